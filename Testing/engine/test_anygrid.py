"""The network for every grid: one set of weights whatever the factor, streamed as exactly as any other network."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from sample_models import model
from scipy import ndimage
from small_networks import difference, enlivened, noise, whole
from VolumeSuperResolutionLib.engine.checks import lay_out
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.models import grids, zoo
from VolumeSuperResolutionLib.engine.networks import anygrid, build
from VolumeSuperResolutionLib.engine.physics.scanner import Scanner
from VolumeSuperResolutionLib.engine.request import Request
from VolumeSuperResolutionLib.engine.streaming.stream import Stream
from VolumeSuperResolutionLib.engine.upscale import upscale
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

ARGUMENTS = {"features": 6, "blocks": 2}
TRAITS = np.linspace(-0.5, 0.7, anygrid.TRAITS)


def network(factor=2, seed=0):
    torch.manual_seed(seed)
    return enlivened(build("anygrid3d", **ARGUMENTS, factor=factor), seed)


def settled(factor, traits=TRAITS):
    found = network(factor)
    found.settle(traits)
    return found


@pytest.fixture
def card(tmp_path):
    tensors = {f"0.{name}": tensor.numpy() for name, tensor in network().state_dict().items()}
    stages = (zoo.Stage("anygrid3d", ARGUMENTS),)
    return model(tmp_path / "any", save(tensors), stages, factor=(0, 0, 0), data_step=True)


def test_both_sides_agree_on_what_is_told():
    assert (anygrid.FINEST, anygrid.NETWORK) == (grids.FINEST, grids.NETWORK)
    assert len(grids.traits((3, 3, 3), (6, 6, 6), Scanner(), (1.0, 1.0, 1.0))) == anygrid.TRAITS


@pytest.mark.parametrize("factor", [(1, 1, 1), (2, 1, 1), (3, 2, 1), (4, 4, 4)])
def test_settled_it_gives_what_it_gave_in_training(factor):
    x = torch.from_numpy(noise((5, 6, 7)))[None, None]
    with torch.no_grad():
        trained = network().unsettled(x, torch.from_numpy(TRAITS).float()[None], factor)
        assert torch.allclose(settled(factor)(x), trained, atol=1e-4)
        other = network().unsettled(x, torch.zeros(1, anygrid.TRAITS), factor)
    assert not torch.allclose(other, trained, atol=1e-2)


def test_before_that_it_is_for_the_usual_scan():
    x = torch.from_numpy(noise((4, 5, 6)))[None, None]
    with torch.no_grad():
        assert torch.allclose(network()(x), settled(2, np.array(anygrid.USUAL))(x), atol=1e-4)


@pytest.mark.parametrize(("fewer", "parts"), [((2, 2, 2), (2, 2, 2)), ((1, 2, 4), (4, 2, 1)), ((2, 1, 1), (2, 4, 4))])
def test_fewer_sub_voxels_are_means_of_more(fewer, parts):
    x, traits = torch.from_numpy(noise((3, 4, 5)))[None, None], torch.from_numpy(TRAITS).float()[None]
    plain = network()
    plain.residual = False
    with torch.no_grad():
        finest = plain.unsettled(x, traits, (4, 4, 4))
        means = torch.nn.functional.avg_pool3d(finest, parts)
        assert torch.allclose(plain.unsettled(x, traits, fewer), means, atol=1e-4)


def test_three_sub_voxels_of_four_share_their_extent():
    assert np.allclose(anygrid._shares(3) * 3, [[9 / 4, 3 / 4, 0, 0], [0, 3 / 2, 3 / 2, 0], [0, 0, 3 / 4, 9 / 4]])


@given(
    shape=st.tuples(*(st.integers(1, 9),) * 3),
    factor=st.tuples(*(st.integers(1, 4),) * 3),
    thickness=st.integers(1, 7),
)
@settings(max_examples=8, deadline=None)
def test_streamed_it_is_the_whole_volume(shape, factor, thickness):
    one, array = settled(factor), noise(shape)
    truth = whole(one, array)
    out = np.full_like(truth, np.nan)

    def read(ranges):
        return torch.from_numpy(array[tuple(slice(*r) for r in ranges)].copy()).unsqueeze(3)

    with torch.inference_mode():
        for item in Stream(one).run(read, shape, tuple((0, n) for n in truth.shape), thickness, 1 << 30):
            if item is not None:
                (low, high), block = item
                out[low:high] = block[..., 0].numpy()
    assert difference(out, truth) <= 1e-5


def test_all_of_it_learns():
    one = network()
    x, traits = torch.from_numpy(noise((4, 4, 4)))[None, None], torch.from_numpy(TRAITS).float()[None]
    one.unsettled(x, traits, (3, 2, 1)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in one.parameters())


@pytest.mark.parametrize(
    ("scale", "factor"),
    [((2, 2, 2), (2, 2, 2)), ((1, 1, 3), (1, 1, 3)), ((5, 1, 1.4), (1, 2, 4)), ((2.5, 2.5, 1), (1, 3, 3))],
)
def test_its_factor_is_that_of_the_target(card, scale, factor):
    layout = lay_out(Grid((10, 10, 10), (1.0, 1.0, 1.0)), Request(str(card.folder), scale=scale))
    assert layout.card.factor == factor
    assert layout.card.stages[0].arguments["factor"] == list(factor[::-1])


def test_beyond_its_reach_it_is_refused(card):
    for scale in ((7.0, 1.0, 1.0), (1.0, 1.0, 1.0), (2.0, 2.0, 0.4)):
        with pytest.raises(RefusalError, match="up to 6 times finer"):
            lay_out(Grid((10, 10, 10), (1.0, 1.0, 1.0)), Request(str(card.folder), scale=scale))


def test_every_factor_is_upscaled_and_explains_its_scan(card):
    scan = noise((7, 8, 9)) * 100
    for scale in ((1.5, 1.5, 1.5), (1.0, 1.0, 5.0), (3.0, 2.0, 1.0)):
        request = Request(str(card.folder), scale=scale, device="cpu", modality="MR")
        result = upscale(Volume(scan, Grid((9, 8, 7))), request)
        assert result.volume.array.shape == tuple(int(n * s + 0.5) for n, s in zip(scan.shape, scale[::-1]))
        assert result.report.data_step and np.isfinite(result.volume.array).all()


def test_turned_scans_give_turned_results(card):
    scan, plain = noise((6, 7, 8)) * 100, None
    for turn in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        scale = np.array((3.0, 2.0, 1.0))[::-1][list(turn)][::-1]
        array = np.ascontiguousarray(scan.transpose(turn))
        request = Request(str(card.folder), scale=tuple(scale), device="cpu", modality="MR")
        result = upscale(Volume(array, Grid(array.shape[::-1])), request).volume.array.transpose(np.argsort(turn))
        plain = result if plain is None else plain
        assert np.allclose(result, plain, atol=1e-2)


@pytest.mark.parametrize("axis", range(3))
def test_a_region_comes_out_as_within_the_whole(card, axis):
    shape = [6, 6, 6]
    shape[axis] = 40
    scan = noise(tuple(shape)) * 100
    region = [(0, 6)] * 3
    region[2 - axis] = (18, 22)
    scale = [1.0, 1.0, 1.0]
    scale[2 - axis] = 2.5
    request = Request(str(card.folder), scale=tuple(scale), device="cpu", modality="MR", noise=0.5)
    grid = Grid(tuple(shape[::-1]))
    everything = upscale(Volume(scan, grid), request).volume.array
    part = upscale(Volume(scan, grid), replace(request, region=tuple(region))).volume.array
    cut = [slice(None)] * 3
    cut[axis] = slice(45, 55)
    assert np.abs(part - everything[tuple(cut)]).max() < 1e-2


def test_cards_say_that_the_factor_is_any(card, tmp_path):
    assert (card.factor_words, card.typical) == ("any", (2, 2, 2))
    for factor, wanted in ([(2, 2, 2), "has to be 0"], [(0, 2, 2), "has to be 0"]):
        wrong = model(tmp_path / "wrong", stages=(zoo.Stage("anygrid3d", ARGUMENTS),), factor=factor)
        with pytest.raises(RefusalError, match=wanted):
            zoo.read_card(wrong.folder / zoo.CARD_FILE)


def test_orders_fall():
    for factors in product((1, 2, 3), repeat=3):
        order = grids.order((4, 4, 4), [4 * f for f in factors])
        assert [factors[axis] for axis in order] == sorted(factors, reverse=True)


@pytest.mark.parametrize("told", [False, True])
def test_texture_of_a_ct_is_no_noise_to_it_but_what_is_told_is(card, told):
    """An estimated noise that neighbors share counts on MR only, one that is told everywhere."""
    random = np.random.default_rng(0)
    texture = ndimage.gaussian_filter(random.normal(0, 1, (14, 30, 30)), 0.7).astype(np.float32) * 200
    scan = Volume(texture, Grid(texture.shape[::-1]))
    request = Request(str(card.folder), scale=(2.0, 2.0, 2.0), device="cpu", noise=1.0 if told else None)
    for modality in ("MR", "CT"):
        asked = replace(request, modality=modality)
        found = upscale(scan, asked)
        assert found.report.scanner.noise >= 0.01
        clean = upscale(scan, replace(asked, noise=0.0))
        same = np.allclose(found.volume.array, clean.volume.array, atol=1e-3)
        assert same == (modality == "CT" and not told)
