"""A region comes out as it does within the whole volume: what is read around it follows from what is computed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_models import STAGES, model
from VolumeSuperResolutionLib.engine import upscale as front
from VolumeSuperResolutionLib.engine.models import plan, zoo
from VolumeSuperResolutionLib.engine.physics import interpolation, separable
from VolumeSuperResolutionLib.engine.upscale import Request, upscale
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

MODELS = {
    "whole": ((zoo.Stage("edsr3d", {"factor": 2, "features": 4, "blocks": 2}),), (2, 2, 2)),
    "two stages": (STAGES, (2, 2, 2)),
    "depth": (STAGES[1:], (1, 1, 2)),
    "interpolated": ((zoo.Stage("srcnn3d", {"features": [4, 3]}),), (2, 2, 2)),
    "interpolated views": ((zoo.Stage("srcnn2d", {"features": [4, 3, 3]}, ("k", "j", "i")),), (2, 2, 2)),
}
RANGE = 1000.0


def scan(shape):
    """Smooth enough that what a margin leaves out would show, and the window is that of the whole in every part."""
    return np.random.default_rng(0).uniform(0, RANGE, shape).astype(np.float32)


@pytest.fixture(params=MODELS)
def card(request, tmp_path):
    stages, factor = MODELS[request.param]
    return model(tmp_path / "mine", stages=stages, factor=factor)


def compared(array, region, **request):
    """The largest difference between a region alone and the same in the whole, as a part of the range."""
    volume = Volume(array, Grid(array.shape[::-1]))
    whole = upscale(volume, Request(**request)).volume
    part = upscale(volume, Request(**request, region=region)).volume
    factors = [m / n for m, n in zip(whole.grid.size, volume.grid.size)]
    inside = tuple(slice(round(a * f), round(b * f)) for (a, b), f in zip(region, factors))[::-1]
    assert part.array.shape == whole.array[inside].shape
    return np.abs(part.array - whole.array[inside]).max() / RANGE


@given(data=st.data(), target=st.sampled_from((2.0, 1.5)), rounds=st.integers(0, 1))
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_learned_region_is_that_part_of_the_whole(card, data, target, rounds):
    axis = data.draw(st.integers(0, 2))  # along which the volume is too long to be read whole
    size = [72 if n == axis else 8 for n in range(3)]
    region = []
    for n in size:
        start = 2 * data.draw(st.integers(0, n // 2 - 1))
        region.append((start, start + 2 * data.draw(st.integers(1, min(6, (n - start) // 2)))))
    scale = tuple(target if f > 1 else 1.0 for f in card.factor)
    array = scan(size[::-1])
    assert compared(array, tuple(region), model=str(card.folder), scale=scale, consistency=rounds) < 1e-5


@pytest.mark.parametrize("kernel", ["nearest", "linear", "bspline", "lanczos"])
@given(start=st.integers(0, 90), length=st.integers(1, 8), factor=st.sampled_from((2.0, 1.5, 0.75)))
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_interpolated_region_is_that_part_of_the_whole(kernel, start, length, factor):
    region = ((0, 4), (0, 4), (4 * (start // 4), 4 * (start // 4) + 4 * length))
    array = scan((160, 4, 4))
    assert compared(array, region, model=kernel, scale=(1.0, 1.0, factor)) < 1e-5


def test_the_margin_is_what_the_networks_look_around(tmp_path):
    deep = model(tmp_path / "deep", stages=(zoo.Stage("edsr3d", {"factor": 2, "features": 4, "blocks": 3}),))
    # head, two convolutions a block, one behind them and one before the shuffle; the tail is behind it
    assert plan.reach(deep, zoo.load(deep), (2.0, 2.0, 2.0), {}) == (1 + 6 + 1 + 1 + 1,) * 3
    beside = plan.reach(deep, zoo.load(deep), (1.5, 1.5, 1.5), {})
    assert all(10 < n <= 10 + 5 for n in beside)  # and Lanczos from the fine grid
    flat = model(tmp_path / "flat", stages=STAGES[1:], factor=(1, 1, 2))
    k, j, i = plan.reach(flat, zoo.load(flat), (2.0, 1.0, 1.0), {})
    assert j == i > 0 and k > 0


def test_a_region_is_not_read_wider_than_it_must(tmp_path, monkeypatch):
    card = model(tmp_path / "mine", stages=MODELS["whole"][0])
    seen = []
    plain = plan.run
    monkeypatch.setattr(plan, "run", lambda array, *rest: seen.append(array.shape) or plain(array, *rest))
    array = scan((100, 9, 8))
    region = ((0, 8), (0, 9), (40, 44))
    upscale(Volume(array, Grid(array.shape[::-1])), Request(str(card.folder), (2.0, 2.0, 2.0), region=region))
    margin = plan.reach(card, zoo.load(card), (2.0,) * 3, {})[0]
    assert seen == [(4 + 2 * margin, 9, 8)]
    assert 4 + margin > front.LARGEST_UNIT


def test_an_ensemble_traces_its_network_once_a_stage(tmp_path, monkeypatch):
    from VolumeSuperResolutionLib.engine.streaming import inference

    card = model(tmp_path / "mine", stages=STAGES)
    made = []
    plain = inference.Stream
    monkeypatch.setattr(inference, "Stream", lambda network, *rest: made.append(network) or plain(network, *rest))
    array = scan((20, 10, 12))
    upscale(Volume(array, Grid(array.shape[::-1])), Request(str(card.folder), (2.0, 2.0, 2.0), ensemble=True))
    assert len(made) == len(set(made)) == len(STAGES)


ODD = ((17, 28), (3, 16), (0, 23))  # of which no margin is a whole number of voxels that are 1.7 times finer


def on_grid(whole, size, factor):
    """The odd region of an array that covers the volume, on the region's own grid for a target."""
    matrices = []
    for (a, b), n, f in zip(ODD[::-1], size[::-1], factor[::-1]):
        m = round((b - a) * f)
        positions = a + (np.arange(m) + 0.5) * (b - a) / m - 0.5
        length = whole.shape[len(matrices)]
        zoom = length / n
        factor = m / (b - a) / zoom
        matrices.append(interpolation.at_positions(length, (positions + 0.5) * zoom - 0.5, factor))
    return separable.apply(whole, tuple(matrices))


def test_a_region_that_does_not_divide_is_read_as_wide_as_others(tmp_path):
    card = model(tmp_path / "mine", stages=MODELS["whole"][0])
    array = scan((32, 20, 40))
    volume = Volume(array, Grid((40, 20, 32)))
    natural = upscale(volume, Request(str(card.folder), (2.0,) * 3)).volume.array
    part = upscale(volume, Request(str(card.folder), (1.7,) * 3, region=ODD)).volume.array
    assert np.abs(part - on_grid(natural, (40, 20, 32), (1.7,) * 3)).max() < 1e-5 * RANGE
    plain = upscale(volume, Request("lanczos", (1.7,) * 3, region=ODD)).volume.array
    assert np.abs(plain - on_grid(array, (40, 20, 32), (1.7,) * 3)).max() < 1e-5 * RANGE


@pytest.mark.parametrize(
    "asked",
    [
        {"model": "backprojection"},
        {"model": "backprojection", "profile": "box"},
        {"model": "backprojection", "consistency": 5},
        {"model": "mine", "uncertainty": True},
        {"model": "mine", "profile": "box", "noise": 1.0},
    ],
    ids=str,
)
def test_what_lies_further_away_than_the_margin_changes_nothing(tmp_path, asked):
    stage = zoo.Stage("edsr3d", {"factor": [2, 1, 1], "features": 4, "blocks": 2})
    card = model(tmp_path / "mine", stages=(stage,), factor=(1, 1, 2))
    asked = {**asked, "model": str(card.folder) if asked["model"] == "mine" else asked["model"]}
    array = scan((90, 16, 18))
    request = Request(scale=(1.0, 1.0, 1.7), region=((0, 18), (0, 16), (37, 48)), **{"noise": 1.0, **asked})
    found = {}
    for name, changed in (("plain", slice(0, 0)), ("far", slice(80, None)), ("near", slice(49, 51))):
        other = array.copy()
        other[changed] = other[changed][:, ::-1, ::-1]
        found[name] = upscale(Volume(other, Grid((18, 16, 90))), request).volume.array
    assert np.abs(found["far"] - found["plain"]).max() < 1e-4 * RANGE
    assert np.abs(found["near"] - found["plain"]).max() > 1e-2 * RANGE


@given(
    start=st.tuples(*[st.integers(0, 3)] * 3),
    order=st.permutations(range(3)),
    flips=st.tuples(*[st.sampled_from((1, -1))] * 3),
)
@settings(max_examples=20, deadline=None)
def test_grids_that_fit_still_do_when_turned(start, order, flips):
    low = (9, 10, 11)
    fit = interpolation.Fit(tuple(s / 7 for s in start), (0.4, 1.0, 0.7))
    high = (20, 9, 14)
    array = np.random.default_rng(0).random(low, np.float32)
    expected = separable.apply(array, interpolation.matrices(low, high, "lanczos", fit))
    turned = tuple(slice(None, None, step) for step in flips)
    back = fit.flipped(flips, low, high).along(order)
    given = array[turned].transpose(order)
    size = [high[axis] for axis in order]
    found = separable.apply(given, interpolation.matrices(given.shape, size, "lanczos", back))
    assert np.abs(found - expected[turned].transpose(order)).max() < 1e-5
