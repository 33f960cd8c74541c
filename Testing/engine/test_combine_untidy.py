"""Scans that are combined as untidy as they come: their units, damaged and blank slices, little in common."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from phantoms import head, three
from VolumeSuperResolutionLib.engine.combine import CombineRequest, RefusalError, combine
from VolumeSuperResolutionLib.engine.physics import simulation
from VolumeSuperResolutionLib.engine.physics.scan import blank_slices
from VolumeSuperResolutionLib.engine.volumes.grid import Volume

ALIGNED = CombineRequest(aligned=True)
DAMAGED = 3


@lru_cache
def volumes():
    """Two stacks, between which the patient moved."""
    return [stack.volume for stack in three(head(32), 3.0, 2.0, seed=2)][:2]


@lru_cache
def plain():
    return combine(volumes(), CombineRequest())


def changed(volume, array):
    return Volume(array, volume.grid)


@pytest.mark.parametrize(
    ("unit", "offset", "dtype"),
    [(1e-9, 0.0, "float64"), (1e-9, 7.0, "float64"), (1e7, 1e9, "float32"), (1, 30000, "uint16"), (1, 3e9, "uint32")],
)
def test_what_comes_out_does_not_depend_on_the_units(unit, offset, dtype):
    others = [changed(v, (unit * np.rint(v.array).astype(float) + offset).astype(dtype)) for v in volumes()]
    result = combine(others, CombineRequest())
    assert result.volume.array.dtype == dtype
    apart = np.abs((result.volume.array.astype(float) - offset) / unit - plain().volume.array)
    assert np.quantile(apart, 0.99) < 5 and np.allclose(result.residual.array / unit, plain().residual.array, atol=5)
    assert result.report.stacks[1].gain == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("damage", [lambda slices: 4 * slices, lambda slices: slices + 3000, np.zeros_like])
def test_a_slice_that_is_left_out_may_hold_anything(damage):
    first, second = volumes()
    array = second.array.copy()
    array[DAMAGED] = damage(array[DAMAGED])
    request = CombineRequest(left_out=((2, DAMAGED),))
    whole, result = combine(volumes(), request), combine([first, changed(second, array)], request)
    assert np.allclose(result.volume.array, whole.volume.array, atol=0.1)
    found, undamaged = result.report.stacks[1], whole.report.stacks[1]
    assert found.dropped == (DAMAGED,)
    assert found.residual == pytest.approx(undamaged.residual, rel=1e-3) and found.residual < 0.03
    # Nor is it counted as seen.
    assert (result.coverage.array < plain().coverage.array).any()


def test_blank_slices_are_left_out_but_for_air_beyond_the_patient():
    first, second = volumes()
    array = second.array.copy()
    array[[1, 4]] = array.min()
    given = [first, changed(second, array)]
    result = combine(given, CombineRequest())
    assert result.report.stacks[1].dropped == (1, 4)
    told = combine(given, CombineRequest(left_out=((2, 1), (2, 4))))
    assert np.allclose(result.volume.array, told.volume.array, atol=0.1)
    wide = np.pad(
        np.outer(np.hanning(20), np.hanning(20))[None] * np.hanning(12)[:, None, None], ((3, 3), (0, 0), (0, 0))
    )
    assert blank_slices(wide, 0) == []
    wide[7] = 5
    assert blank_slices(wide, 0) == [7]
    array[3:] = 0
    with pytest.raises(RefusalError, match="Of scan 2 fewer than 4 slices are left"):
        combine([first, changed(second, array)], CombineRequest())


def test_beyond_the_reference_the_brightness_is_right():
    whole = head(40)
    short = simulation.simulate(whole, simulation.SLICE_AXES[0], 4, 0, np.random.default_rng(0), 0.01).volume
    short = Volume(short.array[3:7], short.grid.cropped(((0, 40), (0, 40), (3, 7))))
    long = simulation.simulate(whole, simulation.SLICE_AXES[1], 4, 0, np.random.default_rng(1), 0.01).volume
    tissue = whole.array > 100
    for request in (CombineRequest(fov="union"), replace(ALIGNED, fov="union")):
        result = combine([short, long], request)
        assert result.volume.array.shape == whole.array.shape
        for planes in (slice(6, 10), slice(30, 34)):
            means = [array[planes][tissue[planes]].mean() for array in (result.volume.array, whole.array)]
            assert means[0] == pytest.approx(means[1], rel=0.05)


def test_few_voxels_are_enough():
    assert combine(volumes(), replace(ALIGNED, spacing=8.0)).volume.grid.size == (4, 4, 4)


def test_what_not_all_have_seen_is_told():
    turned = [stack.volume for stack in three(head(32), 25.0, 0.0, seed=4)][:2]
    result = combine(turned, CombineRequest(fov="intersection"))
    assert result.report.coverage[2] < 0.99
    assert any("was not seen by all scans" in warning for warning in result.report.warnings)


def test_a_negative_is_refused_as_what_it_is():
    first, second = volumes()
    with pytest.raises(RefusalError, match="Scan 2 is dark where the others are bright"):
        combine([first, changed(second, 1000 - second.array)], CombineRequest())


def test_another_type_of_numbers_is_told():
    narrow = [changed(v, np.clip(v.array / 5, 0, 255).astype(np.uint8)) for v in volumes()]
    result = combine(narrow, CombineRequest())
    kind = result.volume.array.dtype.name
    assert any(f"stored as {kind}, since uint8" in note for note in result.report.warnings) == (kind != "uint8")
