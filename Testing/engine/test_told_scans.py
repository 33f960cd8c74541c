"""What is told of a scan is used, said, and refused where it cannot be; what is assumed changes no result."""

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from phantoms import head
from sample_models import model
from VolumeSuperResolutionLib.engine.checks import lay_out
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.physics import separable
from VolumeSuperResolutionLib.engine.physics.scanner import Scanner, from_dicom
from VolumeSuperResolutionLib.engine.request import Report
from VolumeSuperResolutionLib.engine.upscale import Request, upscale
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

TWICE = (2.0, 2.0, 2.0)


def degraded(noise=0.0, size=24, **told):
    """A head as a scanner has seen it, twice as coarse; and the head."""
    truth = head(size).array
    low = truth.shape[0] // 2
    scanner = Scanner().told((1.0, 1.0, 1.0), **told)
    array = separable.apply(truth, scanner.matrices(truth.shape, (low,) * 3, (1.0,) * 3))
    array = array + np.random.default_rng(0).normal(0, noise, array.shape).astype(np.float32)
    return Volume(array, Grid((low,) * 3)), truth


def error(result, truth):
    return float(np.sqrt(np.mean((result.volume.array - truth)[4:-4, 4:-4, 4:-4] ** 2)))


@pytest.mark.parametrize("name", ["backprojection", "fsrcnn3d-x2"])
def test_a_profile_that_is_told_is_relied_on(name):
    volume, truth = degraded(profile="box")
    scale = TWICE
    assumed = upscale(volume, Request(name, scale=scale))
    told = upscale(volume, Request(name, scale=scale, profile="box", noise=0.0))
    card = zoo.card(name)
    assert (assumed.report.consistency_rounds, assumed.report.data_step) == (card.consistency, card.data_step)
    assert (told.report.consistency_rounds, told.report.data_step) == (card.least_consistency, True)
    # Without noise it explains the scan exactly, through the profile that was told, and says so.
    assert told.report.consistency_residual < 1e-2 < assumed.report.consistency_residual
    assert "box profile (as given), noise 0% (as given)" in str(told.report)
    assert error(told, truth) < error(assumed, truth)


@pytest.mark.parametrize("name", ["lanczos", "nearest"])
def test_what_makes_no_result_agree_with_the_scan_does_not_begin_to(name):
    volume, _ = degraded()
    assumed, told = (upscale(volume, Request(name, scale=TWICE, profile=p)) for p in (None, "box"))
    assert np.array_equal(assumed.volume.array, told.volume.array)


def test_a_thickness_alone_is_used_by_the_data_step_and_leaves_networks_as_they_are():
    volume, truth = degraded(thickness=1.9)
    known = from_dicom(1.9, volume.grid.spacing)
    for name, better in (("backprojection", True), ("fsrcnn3d-x2", False)):
        plain, told = (upscale(volume, Request(name, scale=TWICE, scanner=s)) for s in (Scanner(), known))
        assert np.array_equal(plain.volume.array, told.volume.array) is not better
        assert (error(told, truth) < error(plain, truth)) is better
        assert told.report.scanner == replace(known, noise=told.report.scanner.noise, noise_told="estimated")
        assert "slices 1.9 mm thick every 1 mm (from DICOM)" in str(told.report)


def test_rounds_that_are_asked_for_take_the_place_of_the_step():
    volume, _ = degraded(profile="box")
    for name, rounds in (("backprojection", 3), ("fsrcnn3d-x2", 2)):
        plain = upscale(volume, Request(name, scale=TWICE, consistency=rounds))
        told = upscale(volume, Request(name, scale=TWICE, consistency=rounds, profile="box"))
        assert np.array_equal(plain.volume.array, told.volume.array) and not told.report.data_step


def test_more_noise_is_believed_less():
    volume, _ = degraded(noise=10.0, profile="box")
    left = [
        upscale(volume, Request("fsrcnn3d-x2", scale=TWICE, profile="box", noise=noise)).report.consistency_residual
        for noise in (0.0, 1.0, 3.0)
    ]
    assert left == sorted(left) and left[0] < 0.05 < left[1] < 0.9 * left[2]
    # The estimate is about what was added: 10 of a range of about 700.
    assert 0.005 < upscale(volume, Request("lanczos", scale=TWICE)).report.scanner.noise < 0.03


@pytest.mark.parametrize("name", ["backprojection", "narrow"])
def test_a_region_is_that_part_of_the_whole(tmp_path, name):
    array = np.random.default_rng(0).normal(500, 90, (64, 6, 6)).astype(np.float32)
    volume = Volume(array, Grid((6, 6, 64), (1.0, 1.0, 2.0)))
    if name == "narrow":
        stage = zoo.Stage("fsrcnn3d", {"factor": 2, "features": 4, "shrunk": 2, "mapping": 1})
        name = model(tmp_path / "narrow", stages=(stage,), consistency=1, least_consistency=1).folder
    request = Request(str(name), scale=TWICE, slice_thickness=1.0, profile="box", noise=0.5)
    whole = upscale(volume, request).volume.array
    part = upscale(volume, replace(request, region=((0, 6), (0, 6), (30, 34))))
    assert part.report.data_step
    assert np.abs(part.volume.array - whole[60:68]).max() < 1e-2


def test_a_profile_with_two_sides_is_not_turned_with_the_flips_of_a_network(tmp_path):
    (tmp_path / "profile.txt").write_text("-1 0\n-0.9 1\n0 0.4\n2 0\n")
    told = {"profile": str(tmp_path / "profile.txt"), "noise": 0.0}
    stage = zoo.Stage("edsr3d", {"factor": [2, 1, 1], "features": 3, "blocks": 1})
    name = str(model(tmp_path / "depth", stages=(stage,), factor=(1, 1, 2)).folder)
    for thick, more in product(((1.0, 1.0, 2.0), (2.0, 1.0, 1.0)), ({}, {"ensemble": True})):
        volume = Volume(degraded()[0].array, Grid((12, 12, 12), thick))
        request = Request(name, scale=thick, **told)
        assert upscale(volume, replace(request, **more)).report.consistency_residual < 1e-2


def test_requests_and_reports_travel_as_json_and_old_ones_are_understood():
    scanner = from_dicom(3.0, (1.0, 1.0, 3.6))
    request = Request("backprojection", isotropic=True, slice_thickness=3.3, profile="box", noise=1.5, scanner=scanner)
    assert Request.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    old = {name: value for name, value in request.to_dict().items() if name in ("model", "isotropic", "device")}
    assert Request.from_dict(old) == Request("backprojection", isotropic=True)
    report = upscale(degraded()[0], Request("lanczos", scale=TWICE)).report
    values = json.loads(json.dumps(report.to_dict()))
    assert Report.from_dict(values) == report
    del values["scanner"]
    assert "the scan:" not in str(Report.from_dict(values))


@pytest.mark.parametrize("values", [{"slice_thickness": 36.01}, {"scanner": Scanner().along(2, width=40.0)}])
def test_a_thickness_beyond_ten_spacings_is_refused_before_any_voxel_is_looked_at(values):
    grid = Grid((9, 9, 9), (1.0, 1.0, 3.6))
    with pytest.raises(RefusalError, match=r"along k is not possible with voxels every 3\.6 mm"):
        lay_out(grid, Request("lanczos", isotropic=True, **values))
    assert lay_out(grid, Request("lanczos", isotropic=True, slice_thickness=36.0)).scanner.axes[2].width == 36.0
