"""How networks are applied: views, orders of axes, averaging, interpolated input, ensembles, last resampling."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_models import STAGES, model
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.physics import interpolation, separable
from VolumeSuperResolutionLib.engine.upscale import CancelledError, RefusalError, Request, estimate, upscale
from VolumeSuperResolutionLib.engine.volumes import intensity
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

SCAN = np.random.default_rng(0).uniform(0, 1000, (5, 7, 9)).astype(np.float32)
MODELS = {
    "whole": (zoo.Stage("edsr3d", {"factor": 2, "features": 4, "blocks": 2}),),
    "turned": (zoo.Stage("edsr3d", {"factor": 2, "features": 4, "blocks": 2}, turns=4),),
    "two stages": STAGES,
    "depth": STAGES[1:],
    "interpolated": (zoo.Stage("srcnn3d", {"features": [4, 3]}),),
    "interpolated views": (zoo.Stage("srcnn2d", {"features": [4, 3, 3]}, ("k", "j", "i")),),
}
FACTORS = {"depth": (1, 1, 2)}


@pytest.fixture(params=MODELS)
def card(request, tmp_path):
    stages = MODELS[request.param]
    factor = FACTORS.get(request.param, (2, 2, 2))
    return model(tmp_path / "mine", stages=stages, factor=factor)


def volume(array=SCAN, spacing=(1, 1, 2)):
    return Volume(array, Grid(array.shape[::-1], spacing, (5.0, 6.0, 7.0)))


def run(card, array=SCAN, **request):
    request = {"scale": tuple(map(float, card.factor)), "model": str(card.folder), **request}
    return upscale(volume(array), Request(**request))


def by_hand(card, array):
    """The same, straight from the definition, on the whole volume at once."""
    window = intensity.window_for(array, "MR")
    networks = zoo.load(card)
    x = array
    if networks[0].on_interpolated:
        x = interpolation.resample(array, [n * f for n, f in zip(array.shape, card.factor[::-1])])
    x = torch.from_numpy(window.to_network(x))
    for stage, network in zip(card.stages, networks):
        if not stage.views:
            turns = [(), (1, 2), (0, 2), (0, 1)][: stage.turns]
            x = torch.stack([network(x.flip(axes)[None, None])[0, 0].flip(axes) for axes in turns]).mean(0)
            continue
        results = []
        for view in stage.views:
            # The axis across becomes the batch; through-plane k is last where it is in the slice.
            order = {"k": (0, 1, 2), "j": (1, 2, 0), "i": (2, 1, 0)}[view]
            slices = network(x.permute(order)[:, None].contiguous())[:, 0]
            results.append(slices.permute(tuple(np.argsort(order))))
        x = torch.stack(results).mean(0)
    return window.to_scanner(x.numpy())


def test_a_plan_is_what_its_card_says(card):
    result = run(card)
    assert np.allclose(result.volume.array, by_hand(card, SCAN), atol=1e-5 * 1000)
    assert result.report.device == "cpu"
    assert result.volume.grid == volume().grid.refined(result.volume.array.shape[::-1])


def test_one_scaled_axis_works_along_any_axis(tmp_path):
    card = model(tmp_path / "mine", stages=STAGES[1:], factor=(1, 1, 2))
    along_k = run(card).volume.array
    for order, scale in (((1, 2, 0), (2.0, 1.0, 1.0)), ((1, 0, 2), (1.0, 2.0, 1.0))):
        turned = run(card, np.ascontiguousarray(SCAN.transpose(order)), scale=scale).volume.array
        # The other two axes may have changed places; the mean of the two views does not mind.
        assert np.allclose(turned, along_k.transpose(order), atol=1e-2)


def test_targets_beside_the_factor_are_resampled_last(card):
    target = tuple(1.7 if f > 1 else 1.0 for f in card.factor)
    natural = by_hand(card, SCAN)
    result = run(card, scale=target)
    expected = interpolation.resample(natural, result.volume.array.shape)
    assert np.allclose(result.volume.array, expected, atol=1e-2)
    for wrong in ((4.0, 4.0, 4.0), (1.0, 1.0, 1.0)):
        with pytest.raises(RefusalError, match="choose a target"):
            run(card, scale=wrong)


def test_consistency_brings_the_result_closer_to_the_scan(card):
    plain, consistent = run(card).report, run(card, consistency=3).report
    assert consistent.consistency_residual < 0.5 * plain.consistency_residual


def test_fewer_rounds_than_a_network_was_trained_through_are_refused(tmp_path):
    card = model(tmp_path / "mine", consistency=2, least_consistency=1)
    assert run(card).report.consistency_rounds == 2
    assert run(card, consistency=1).report.consistency_rounds == 1
    with pytest.raises(RefusalError, match="choose 1 to 10"):
        run(card, consistency=0)


def test_uncertainty_is_the_deviation_over_flips(card):
    result = run(card, uncertainty=True)
    assert np.allclose(result.volume.array, run(card).volume.array, atol=1e-3)
    flipped = []
    for axes in [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]:
        turned = by_hand(card.unturned, np.ascontiguousarray(np.flip(SCAN, axes)))
        flipped.append(np.flip(turned, axes))
    assert np.allclose(result.uncertainty.array, np.std(flipped, axis=0), atol=0.05)
    assert result.uncertainty.grid == result.volume.grid


def test_the_ensemble_gives_the_same_for_a_flipped_scan(card):
    plain = run(card, ensemble=True).volume.array
    flipped = run(card, np.ascontiguousarray(np.flip(SCAN, (0, 2))), ensemble=True).volume.array
    assert np.allclose(np.flip(flipped, (0, 2)), plain, atol=0.05)


def test_integer_scans_and_regions(card):
    array = (SCAN * 4 + 300).astype(np.int16)
    whole = run(card, array)
    assert whole.volume.array.dtype == np.int16
    part = run(card, array, region=((2, 8), (1, 7), (0, 5))).volume
    i, j, k = card.factor
    assert np.abs(part.array - whole.volume.array[0 : 5 * k, j : 7 * j, 2 * i : 8 * i]).max() <= 1


def test_a_constant_scan_gives_a_constant(card):
    result = run(card, np.full((6, 6, 6), 40, np.int16)).volume.array
    assert (result == 40).all()


def test_cancel_and_progress(card):
    told = []
    upscale(volume(), Request(str(card.folder), scale=tuple(map(float, card.factor))), lambda *p: told.append(p))
    assert told and told[-1][0] == told[-1][1] and told == sorted(told)
    with pytest.raises(CancelledError):
        upscale(volume(), Request(str(card.folder), scale=tuple(map(float, card.factor))), cancel=lambda: True)


def test_no_budget_changes_the_result(tmp_path):
    card = model(tmp_path / "mine")
    array = np.random.default_rng(1).uniform(0, 900, (3, 34, 10)).astype(np.float32)
    plain = run(card, array).volume.array
    for megabytes in (1, 8):
        assert np.allclose(run(card, array, memory_mb=megabytes).volume.array, plain, atol=1e-2)


def test_the_estimate_names_the_size_and_the_seconds(card):
    request = Request(str(card.folder), scale=tuple(map(float, card.factor)))
    assert estimate(volume().grid, SCAN.dtype, request).size == run(card).volume.grid.size
    zoo.write_card(replace(card, seconds_per_megavoxel=10.0))
    flips = 8 / card.turns
    for extra, times in (({}, 1), ({"ensemble": True}, flips), ({"uncertainty": True}, flips)):
        foreseen = estimate(volume().grid, SCAN.dtype, replace(request, **extra))
        assert np.isclose(foreseen.seconds, times * 10.0 * SCAN.size / 1e6)
    part = estimate(volume().grid, SCAN.dtype, replace(request, region=((0, 3), (0, 7), (0, 5))))
    assert np.isclose(part.seconds, 10.0 * (3 * 7 * 5) / 1e6)


# What is asked beside the plain result, each with the arrays that it holds.
EXTRAS = {
    "rounds": {"consistency": 2},
    "flips": {"uncertainty": True, "ensemble": True},
    "resampled": {"scale": (2.4, 2.4, 2.4)},
    "turned": {"model": "turned"},
}


def test_the_estimate_counts_what_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(separable, "SLAB_VOXELS", 10_000)  # as small beside this scan as slabs are beside a real one
    monkeypatch.setattr(zoo, "folders", list)
    stages = (zoo.Stage("edsr3d", {"factor": 2, "features": 2, "blocks": 1}),)
    card = model(tmp_path / "mine", stages=stages)
    model(tmp_path / "turned", stages=(replace(stages[0], turns=2),))
    scan = volume(np.random.default_rng(0).uniform(0, 10000, (24, 25, 32)).astype(np.int16))

    def held(**extra):
        """(foreseen, measured) bytes; torch's own are not measured."""
        request = {"model": "mine", "scale": (2.0, 2.0, 2.0), "memory_mb": 35, **extra}
        request = Request(**{**request, "model": str(tmp_path / request["model"])})
        foreseen = estimate(scan.grid, scan.array.dtype, request)
        tracemalloc.start()
        try:
            upscale(scan, request)
            return foreseen.output_bytes + foreseen.working_bytes, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    upscale(volume(), Request(str(card.folder), scale=(2.0, 2.0, 2.0)))  # what is loaded once
    plain = held()
    for what, extra in EXTRAS.items():
        foreseen, measured = (now - before for now, before in zip(held(**extra), plain))
        # Less is seen where the moment of the peak is another one.
        assert 0.25 * foreseen < measured < 1.4 * foreseen, f"{what}: {measured} instead of {foreseen}"
