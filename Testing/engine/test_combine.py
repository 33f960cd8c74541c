"""Several scans into one volume, through the front door: what comes out, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from phantoms import head, three
from VolumeSuperResolutionLib.engine import detail, quality
from VolumeSuperResolutionLib.engine.combine import (
    CancelledError,
    CombineReport,
    CombineRequest,
    RefusalError,
    combine,
    target_grid,
)
from VolumeSuperResolutionLib.engine.models import automatic
from VolumeSuperResolutionLib.engine.physics import interpolation, reconstruction, simulation, slice_motion
from VolumeSuperResolutionLib.engine.physics.scan import scan_of, smoothness
from VolumeSuperResolutionLib.engine.physics.scanner import Scanner
from VolumeSuperResolutionLib.engine.physics.stacks import Pose
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume
from VolumeSuperResolutionLib.engine.volumes.intensity import to_unit_range

ALIGNED = CombineRequest(aligned=True)


@lru_cache
def stacks_of(degrees=0.0, mm=0.0, gap=0.0, seed=0, size=48):
    return three(head(size), degrees, mm, gap=gap, seed=seed)


def volumes_of(made):
    return [stack.volume for stack in made]


def gain_over_lanczos(result, made):
    """dB over the best of the stacks upscaled on its own axes."""
    peak = quality.data_range(made[0].truth.array)

    def psnr(array, truth):
        return quality.psnr(array, truth, quality.foreground(truth, "MR"), peak)

    lanczos = max(psnr(interpolation.resample(m.volume.array, m.truth.array.shape), m.truth.array) for m in made)
    assert result.volume.grid.size == made[0].truth.grid.size
    assert np.allclose(result.volume.grid.origin, made[0].truth.grid.origin)
    return psnr(result.volume.array, made[0].truth.array) - lanczos


def test_stacks_that_were_moved_become_one_sharp_volume():
    made = stacks_of(4.0, 3.0, seed=2, size=40)
    told = []
    request = CombineRequest(scanners=tuple(stack.scanner for stack in made))
    result = combine(volumes_of(made), request, lambda done, total: told.append(done / total))
    assert gain_over_lanczos(result, made) > 5
    points = head(40).grid.corners(0.5)
    for found, stack in zip(result.report.stacks, made):
        pose = Pose(np.reshape(found.rotation, (3, 3)), np.asarray(found.shift))
        assert pose.after(stack.pose.inverse()).displacement(points).mean() < 0.25
        assert not found.dropped and found.alike > 0.95 and found.residual < 0.03
    assert result.report.loop_error_mm < 0.5
    assert told == sorted(told) and told[-1] == 1
    # The inner part was seen by all, and the maps have the result's grid.
    assert (result.coverage.array[12:-12, 12:-12, 12:-12] == 3).all()
    assert result.coverage.grid == result.residual.grid == result.volume.grid
    assert sum(result.report.coverage) == pytest.approx(1)


def test_two_that_lie_as_they_are_need_no_registration():
    made = stacks_of(gap=0.2)[:2]
    result = combine(volumes_of(made), replace(ALIGNED, slice_thickness=(4.0,)))
    assert gain_over_lanczos(result, made) > 2
    assert result.report.loop_error_mm is None
    assert result.report.stacks[1].moved_mm == 0
    again = combine(volumes_of(made), replace(ALIGNED, slice_thickness=(4.0, 4.0)))
    assert np.array_equal(result.volume.array, again.volume.array)
    wrong = combine(volumes_of(made), replace(ALIGNED, slice_thickness=(1.0,)))
    assert gain_over_lanczos(wrong, made) < gain_over_lanczos(result, made)


def test_brightness_may_differ_and_vary():
    made = stacks_of()
    first, *others = volumes_of(made)
    field = np.linspace(0.8, 1.2, others[0].array.shape[2], dtype=np.float32)
    bright = [Volume(3 * v.array * field + 200, v.grid) for v in others]
    plain = gain_over_lanczos(combine([first, *others], ALIGNED), made)
    result = combine([first, *bright], ALIGNED)
    assert gain_over_lanczos(result, made) > plain - 1
    assert [stack.gain for stack in result.report.stacks] == pytest.approx([1, 3, 3], rel=0.1)


def test_slices_that_moved_or_are_damaged_drop_out():
    made = stacks_of()
    first, second, third = volumes_of(made)
    array = second.array.copy()
    array[5] = np.roll(array[5], (6, 5), axis=(0, 1))
    array[7] = 0
    result = combine([first, Volume(array, second.grid), third], ALIGNED)
    assert result.report.stacks[1].dropped == (5, 7)
    assert result.report.stacks[0].dropped == result.report.stacks[2].dropped == ()
    assert gain_over_lanczos(result, made) > gain_over_lanczos(combine([first, third], ALIGNED), made)


def test_slices_that_moved_alone_are_followed(monkeypatch):
    small = head(40)
    made = three(small, 2.0, 2.0, seed=2)
    first, second, third = volumes_of(made)
    array, random = second.array.copy(), np.random.default_rng(3)
    for n in (3, 6):
        own = simulation.random_pose(random, 4.0, 3.0, small.grid.center()).after(made[1].pose)
        array[n] = simulation.simulate(small, simulation.SLICE_AXES[1], 4, 0, random, pose=own).volume.array[n]
    told, meanwhile, find = [], [], slice_motion.find

    def watched(*given):
        before = len(told)
        found = find(*given)
        meanwhile.append(len(told) - before)
        return found

    monkeypatch.setattr(slice_motion, "find", watched)
    scans = [first, Volume(array, second.grid), third]
    result = combine(scans, CombineRequest(), lambda done, total: told.append(done / total))
    assert told == sorted(told) and told[-1] == 1 and max(meanwhile) > 0
    assert [stack.followed for stack in result.report.stacks] == [(), (3, 6), ()]
    assert not any(stack.dropped for stack in result.report.stacks)
    assert "2 of 10 slices moved alone" in str(result.report)
    # With both left out it is less.
    assert gain_over_lanczos(result, made) > 8.65


def test_a_scan_of_equal_voxels_is_one_like_others(monkeypatch):
    """Its slices are along its last axis, also where pixels are joined to find the places."""
    shape = (41, 48, 46)
    monkeypatch.setattr(reconstruction, "WORKING_VOXELS", 20_000)
    whole = head()
    part = tuple((0, n) for n in shape[::-1])
    noise = np.random.default_rng(0).normal(0, 60, shape).astype(np.float32)
    even = Volume(whole.array[: shape[0], : shape[1], : shape[2]] + noise, whole.grid.cropped(part))
    thick = stacks_of(2.0, 2.0, seed=2)[1]
    result = combine([even, thick.volume], CombineRequest(left_out=((1, 20),)))
    truth = whole.array[: shape[0], : shape[1], : shape[2]]
    assert [stack.slices for stack in result.report.stacks] == [shape[0], 12]
    assert 20 in result.report.stacks[0].dropped
    inside = np.s_[6:-6, 6:-6, 6:-6]
    before, after = (np.abs(array - truth)[inside].mean() for array in (even.array, result.volume.array))
    assert after < 0.7 * before


def test_slices_that_are_left_out_say_nothing():
    first, second, third = volumes_of(stacks_of())
    array = second.array.copy()
    array[5] = 0
    request = replace(ALIGNED, left_out=((2, 5),))
    whole, hurt = (combine([first, volume, third], request) for volume in (second, Volume(array, second.grid)))
    assert hurt.report.stacks[1].dropped == (5,)
    inside = np.s_[4:-4, 4:-4, 4:-4]
    difference = np.abs(whole.volume.array - hurt.volume.array)[inside]
    assert difference.mean() < 0.01 * np.ptp(second.array)


def test_the_field_of_view_is_what_is_asked_for():
    first, second, third = volumes_of(stacks_of())
    part = second.grid.cropped(((0, 30), (0, 48), (0, 12)))
    scans = [first, Volume(second.array[:, :, :30], part), third]
    grids = [scan.grid for scan in scans]
    sizes = {fov: target_grid(grids, CombineRequest(fov=fov)).size for fov in ("reference", "intersection", "union")}
    assert sizes["reference"] == (48, 48, 48)
    # Sagittal: its columns run along j.
    assert np.prod(sizes["intersection"]) == 30 * 48 * 48
    assert sizes["union"] == (48, 48, 48)
    result = combine(scans, replace(ALIGNED, fov="intersection", spacing=1.5))
    assert result.volume.grid.spacing == (1.5,) * 3
    assert result.volume.array.dtype == np.float32
    whole = combine(scans, ALIGNED)
    counts = np.unique(whole.coverage.array)
    assert list(counts) == [2, 3]


def test_the_result_has_the_type_and_the_axes_of_the_reference():
    made = stacks_of()
    scans = [Volume(np.rint(v.array + 300).astype(np.int16), v.grid) for v in volumes_of(made)]
    result = combine(scans, replace(ALIGNED, reference=2))
    assert result.volume.array.dtype == np.int16
    assert result.volume.grid.direction == scans[1].grid.direction
    assert result.report.reference == 2


def test_requests_and_reports_go_through_json():
    scanner = Scanner(noise=0.02).along(2, width=3.0, told="user")
    request = CombineRequest(2, 0.5, "union", True, (3.0, 4.0), ((1, 5), (2, 0)), (scanner, Scanner()))
    assert CombineRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    report = combine(volumes_of(stacks_of())[:2], ALIGNED).report
    assert CombineReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    assert "scan 2" in str(report)


def test_what_the_scans_leave_open_is_as_a_model_makes_them(monkeypatch):
    """A model that knows the truth is worth a lot; whatever one makes of them, the scans are believed."""
    made = stacks_of(gap=0.2)[:2]
    plain, told = replace(ALIGNED, slice_thickness=(4.0,)), []
    before = gain_over_lanczos(combine(volumes_of(made), plain), made)
    request = replace(plain, model="backprojection")
    result = combine(volumes_of(made), request, lambda done, total: told.append(done / total))
    assert gain_over_lanczos(result, made) > before - 1
    assert told == sorted(told) and told[-1] == 1
    real, units = detail.upscale, to_unit_range(made[0].volume.array, "MR")

    def knowing(volume, *given):
        truth = next(m.truth for m in made if m.volume.grid == volume.grid)
        return real(volume, *given)._replace(volume=Volume(units.carry(truth.array), truth.grid))

    monkeypatch.setattr(detail, "upscale", knowing)
    assert gain_over_lanczos(combine(volumes_of(made), request), made) > before + 2
    assert result.report.models == ("Back-projection",) and "Back-projection" in str(result.report)


def test_where_no_network_gains_automatic_adds_nothing_and_says_so(monkeypatch):
    monkeypatch.setattr(automatic, "networks_at_hand", lambda: False)
    volumes = volumes_of(stacks_of())[:2]
    plain, result = (combine(volumes, replace(ALIGNED, model=model)) for model in ("", "auto"))
    assert np.array_equal(result.volume.array, plain.volume.array)
    assert result.report.models == () and "No network gains" in result.report.warnings[0]


def test_a_model_sees_slices_that_do_not_fit_as_the_others_tell_them():
    made = stacks_of()
    first, second, third = volumes_of(made)
    hurt = second.array.copy()
    hurt[6] = 800
    seen = [Volume(hurt, second.grid), first, third]
    units = to_unit_range(second.array, "MR")
    scans = [scan_of(volume, Scanner(), "MR", units=units) for volume in seen]
    grid = target_grid([volume.grid for volume in seen], CombineRequest())
    found = reconstruction.solve(scans, grid, smoothness(scans[1]), 0.4, lambda n, of: None, None)
    assert scans[0].weights[6] < 0.3
    values = detail._fitting(detail.Seen(scans[0], found[1][0], found[2][0]), Volume(found[0], grid))
    values = units.to_type(values, np.dtype("float32"))
    away = [np.abs(array[6] - second.array[6]).mean() for array in (hurt, values)]
    assert away[1] < 0.2 * away[0]
    assert np.allclose(np.delete(values, 6, 0), np.delete(hurt, 6, 0), atol=0.25 * second.array.std())
    # One that moved alone shows what lies elsewhere.
    scans[0].moved = {6: Pose(np.eye(3), np.array([3.0, 0.0, 0.0]))}
    scans[0].weights[6] = 1.0
    seen = scans[0].on(grid)
    residual = seen.values - seen.see(found[0])
    values = detail._fitting(detail.Seen(scans[0], seen, residual), Volume(found[0], grid))
    values = units.to_type(values, np.dtype("float32"))
    assert np.abs(values[6] - second.array[6]).mean() < 0.2 * away[0]


def test_where_no_scan_is_a_model_sees_nothing():
    parts = []
    for (array, grid), rows in zip(volumes_of(stacks_of()), ((0, 36), (12, 48))):
        parts.append(Volume(array[:, slice(*rows)], grid.cropped(((0, 48), rows, (0, 12)))))
    result = combine(parts, replace(ALIGNED, fov="union", model="linear"))
    assert (result.coverage.array == 0).any()
    assert np.isfinite(result.volume.array).all()
    assert (result.volume.array[result.coverage.array == 0] == parts[0].array.min()).all()


def shifted(volume, mm):
    return Volume(volume.array, replace(volume.grid, origin=(mm, mm, mm)))


def wrong_contrast():
    """A second sequence: what is bright in one is dark in the other."""
    first, second, third = volumes_of(stacks_of())
    inside = second.array > 150
    return [first, Volume(np.where(inside, 1100 - second.array, second.array), second.grid), third]


def breathing():
    """Every slice of the second stack lies elsewhere."""
    first, second, third = volumes_of(stacks_of())
    moves = np.random.default_rng(0).integers(-9, 10, (len(second.array), 2))
    array = np.stack([np.roll(plane, tuple(m), axis=(0, 1)) for plane, m in zip(second.array, moves)])
    return [first, Volume(array, second.grid), third]


REFUSED = {
    "one": (lambda: volumes_of(stacks_of())[:1], CombineRequest(), "One scan alone"),
    "too many": (lambda: volumes_of(stacks_of()) * 3, CombineRequest(), "are too many"),
    "twice": (lambda: [*volumes_of(stacks_of()), stacks_of()[1].volume], CombineRequest(), "are the same"),
    "apart": (
        lambda: [stacks_of()[0].volume, shifted(stacks_of()[1].volume, 300.0)],
        CombineRequest(),
        "no field of view in common",
    ),
    "no such reference": (lambda: volumes_of(stacks_of()), CombineRequest(reference=4), "no scan 4"),
    "thicknesses": (lambda: volumes_of(stacks_of()), CombineRequest(slice_thickness=(1.0, 2.0)), "2 thicknesses"),
    "no such slice": (lambda: volumes_of(stacks_of()), CombineRequest(left_out=((2, 12),)), "no slice 12 of scan 2"),
    "few slices": (
        lambda: volumes_of(stacks_of()),
        CombineRequest(left_out=tuple((1, n) for n in range(9))),
        "fewer than 4 slices",
    ),
    "spacing": (lambda: volumes_of(stacks_of()), CombineRequest(spacing=-1.0), "not possible"),
    "field of view": (lambda: volumes_of(stacks_of()), CombineRequest(fov="all"), "No field of view"),
    "no such model": (lambda: volumes_of(stacks_of()), replace(ALIGNED, model="no-such"), "no model called no-such"),
    "a model for less": (lambda: volumes_of(stacks_of()), replace(ALIGNED, model="fsrcnn3d-x2"), "choose a target"),
    "too large": (lambda: volumes_of(stacks_of()), CombineRequest(spacing=0.01), "would need"),
    "contrast": (wrong_contrast, ALIGNED, "contrast"),
    "motion": (breathing, ALIGNED, "moved|contrast"),
    "empty": (
        lambda: [stacks_of()[0].volume, Volume(np.zeros((12, 48, 48)), stacks_of()[1].volume.grid)],
        CombineRequest(),
        "one value only",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_combined_is_refused_with_a_sentence(case):
    volumes, request, words = REFUSED[case]
    with pytest.raises(RefusalError, match=words) as refusal:
        combine(volumes(), request)
    assert str(refusal.value).endswith(".")


def test_another_thing_is_refused_and_not_laid_over():
    first = stacks_of()[0]
    other = three(head(seed=7), 0, 0)[1]
    with pytest.raises(RefusalError, match=r"does not look like|laid over"):
        combine([first.volume, other.volume], CombineRequest())


def test_it_can_be_cancelled_at_any_time():
    volumes = volumes_of(stacks_of(4.0, 3.0, seed=2, size=40))
    for allowed in (0, 3):
        calls = []

        def cancel(calls=calls, allowed=allowed):
            calls.append(True)
            return len(calls) > allowed

        with pytest.raises(CancelledError):
            combine(volumes, CombineRequest(), cancel=cancel)


def test_a_sheared_scan_is_refused():
    first, second, _ = volumes_of(stacks_of())
    sheared = Grid(second.grid.size, second.grid.spacing, second.grid.origin, (1, 0.3, 0, 0, 1, 0, 0, 0, 1))
    with pytest.raises(RefusalError, match="sheared"):
        combine([first, Volume(second.array, sheared)], CombineRequest())
