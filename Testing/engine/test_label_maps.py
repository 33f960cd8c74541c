"""Label maps on finer grids: no label is invented, none is lost, volumes stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.physics.label_maps import placed, refine
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume


def brain() -> np.ndarray:
    """Nested shells of three labels, a small one inside, and one of a single voxel."""
    k, j, i = np.meshgrid(*[np.arange(n) for n in (20, 24, 26)], indexing="ij")
    distance = np.sqrt((k - 10.13) ** 2 + (j - 12.31) ** 2 + (i - 12.77) ** 2)
    labels = np.select([distance < 4.3, distance < 6.2, distance < 8.6], [3, 2, 70000], 0).astype(np.uint32)
    labels[9:11, 11:13, 4:6] = 9
    labels[2, 2, 2] = 5
    return labels


@pytest.mark.parametrize("shape", [(40, 48, 52), (60, 24, 26), (30, 36, 39), (80, 48, 26)])
def test_volumes_of_labels_stay_within_two_percent(shape):
    labels = brain()
    result = refine(labels, shape)
    assert result.dtype == labels.dtype and result.shape == shape
    assert set(np.unique(result)) == set(np.unique(labels))
    for value in np.unique(labels)[1:]:
        before = np.count_nonzero(labels == value) * np.prod(shape) / labels.size
        # Of a single voxel, some finer ones are as near to it as others.
        few = np.prod(shape) / labels.size
        assert abs(np.count_nonzero(result == value) - before) <= max(0.02 * before, few), value


def test_a_ball_is_rounder_than_its_repeated_voxels():
    k, j, i = np.meshgrid(*[np.arange(20.0)] * 3, indexing="ij")
    fine = [np.arange(0.25 - 0.5, 19.5, 0.5)] * 3
    ball = (k - 9.5) ** 2 + (j - 9.5) ** 2 + (i - 9.5) ** 2 < 49
    finer = sum((axis - 9.5) ** 2 for axis in np.meshgrid(*fine, indexing="ij")) < 49
    result = refine(ball.astype(np.uint8), (40, 40, 40)).astype(bool)
    repeated = ball.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    assert np.count_nonzero(result != finer) < 0.55 * np.count_nonzero(repeated != finer)


def test_thin_structures_stay_whole():
    """A plate, a line along an axis and one across: as long as before, without a gap."""
    labels = np.zeros((16, 16, 16), np.int16)
    labels[4] = 1
    labels[8, 8, :] = 2
    for n in range(16):
        labels[10 + n // 4, n, n] = 3
    result = refine(labels, (32, 32, 32))
    assert (result == 1).any(axis=0).all()
    assert (result == 2).any(axis=(0, 1)).all()
    for n in range(16):
        assert 3 in result[2 * (10 + n // 4) : 2 * (10 + n // 4) + 2, 2 * n : 2 * n + 2, 2 * n : 2 * n + 2]


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.tuples(*[st.integers(3, 14)] * 3))
def test_nothing_is_invented_and_nothing_lost_whatever_the_labels(seed, shape):
    labels = np.random.default_rng(seed).choice([0, 0, 0, 1, 4, 255], (3, 4, 3)).astype(np.uint8)
    result = refine(labels, shape)
    assert set(np.unique(result)) <= set(np.unique(labels)) | {0}
    if all(m >= n for n, m in zip(labels.shape, shape)):
        assert set(np.unique(labels)) - {0} <= set(np.unique(result))
        for value in np.unique(labels):
            alone = np.where(labels == value, labels, 0)
            assert np.array_equal(np.unique(refine(alone, shape)), np.unique([0, value])) or (labels == value).all()
    assert np.array_equal(refine(labels, labels.shape), labels)


def test_labels_of_a_part_of_the_scan_are_put_into_place():
    grid = Grid((8, 7, 6), (1, 2, 3), (10, 20, 30), (0, -1, 0, 1, 0, 0, 0, 0, 1))
    labels = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)
    part = Grid((5, 4, 3), grid.spacing, tuple(grid.to_physical((2, 1, 2))), grid.direction)
    whole = placed(Volume(labels, part), grid, "seg")
    assert np.array_equal(whole[2:5, 1:5, 2:7], labels) and np.count_nonzero(whole) == labels.size - 1
    assert np.array_equal(placed(Volume(whole, grid), part, "seg"), labels)
    beside = Grid((5, 4, 3), grid.spacing, tuple(grid.to_physical((20, 1, 2))), grid.direction)
    assert not placed(Volume(labels, beside), grid, "seg").any()
    for other in (part.refined((10, 4, 3)), Grid((5, 4, 3), grid.spacing, (10.4, 20, 30), grid.direction)):
        with pytest.raises(RefusalError, match="seg lies on another grid"):
            placed(Volume(np.zeros(other.size[::-1], np.uint8), other), grid, "seg")
