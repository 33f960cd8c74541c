"""The network for several scans: it works on blocks of voxels of what they were combined to, streamed exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from phantoms import head, three
from safetensors.numpy import save
from sample_models import model
from small_networks import difference, enlivened, noise
from VolumeSuperResolutionLib.engine import detail, improving
from VolumeSuperResolutionLib.engine.combine import CombineRequest, combine, estimate
from VolumeSuperResolutionLib.engine.detail import Detail, Seen
from VolumeSuperResolutionLib.engine.errors import CancelledError, RefusalError
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.networks import build, combined
from VolumeSuperResolutionLib.engine.physics.scan import scan_of
from VolumeSuperResolutionLib.engine.request import Request
from VolumeSuperResolutionLib.engine.upscale import upscale
from VolumeSuperResolutionLib.engine.volumes.grid import Volume

ARGUMENTS = {"features": 4, "blocks": 2}
TOLD = np.array([1.5, 1.0, 0.0, 1.2, 1.0, 0.0, 0.7])


def network(seed=0):
    torch.manual_seed(seed)
    return enlivened(build(combined.NETWORK, **ARGUMENTS), seed)


@pytest.fixture
def card(tmp_path, monkeypatch):
    """An installed model for several scans, the only one."""
    monkeypatch.setattr(zoo, "folders", lambda: [tmp_path])
    tensors = {f"0.{name}": tensor.numpy() for name, tensor in network().state_dict().items()}
    return model(tmp_path / "mine", save(tensors), (zoo.Stage(combined.NETWORK, ARGUMENTS),), several=True)


def scans_of(thickness=4.0, count=3):
    stacks = three(head(), 0, 0, thickness, 0.2)[:count]
    return [stack.volume for stack in stacks], tuple(stack.scanner for stack in stacks)


def test_both_sides_agree_on_blocks_and_on_what_is_told(card):
    x = noise((6, 4, 8))
    laid = torch.from_numpy(np.moveaxis(improving.blocks(x), -1, 0))[None]
    assert np.array_equal(zoo.load(card)[0].shuffle(laid)[0, 0].numpy(), x)
    assert improving.BLOCK == combined.BLOCK
    volumes, scanners = scans_of()
    scans = [scan_of(volume, scanner, "MR") for volume, scanner in zip(volumes, scanners)]
    known = [Seen(scan, scan.on(head().grid), np.empty(0)) for scan in scans]
    told = improving.traits(known, 1.0)
    assert np.allclose(told[:6], [1.6] * 3 + [4 / 3] * 3)
    assert len(told) == len(combined.USUAL) and 0.2 < told[6] < 1
    assert np.allclose(improving.traits(known[1:2], 1.0)[:6], [0, 0, 1.6, 0, 0, 4 / 3])


@pytest.mark.parametrize("shape", [(8, 10, 12), (7, 9, 5)])
def test_a_volume_is_improved_as_by_the_whole_network(card, shape):
    x = noise(shape)
    padded = np.pad(x, [(0, n % 2) for n in shape], "edge")
    laid = torch.from_numpy(np.moveaxis(improving.blocks(padded), -1, 0))[None]
    with torch.inference_mode():
        expected = network().unsettled(laid, torch.from_numpy(TOLD).float()[None])[0, 0].numpy()
    made = improving.improve(card, TOLD, x, "cpu")
    assert difference(made, expected[tuple(map(slice, shape))]) <= 1e-5
    with pytest.raises(CancelledError):
        improving.improve(card, TOLD, x, "cpu", cancel=lambda: True)


@pytest.mark.parametrize("name", ["auto", "mine"])
def test_what_is_combined_gets_detail_by_it(card, name):
    volumes, scanners = scans_of()
    plain = CombineRequest(scanners=scanners, aligned=True)
    request = replace(plain, model=name)
    assert estimate([volume.grid for volume in volumes], "float32", request).size == (48, 48, 48)
    before, after = combine(volumes, plain), combine(volumes, request)
    assert after.report.models == () and after.report.together == card.title
    assert f"as made by {card.title}" in str(after.report) and card.title in after.report.derivation("1").sentence
    assert np.abs(after.volume.array - before.volume.array).max() > 1


def test_where_slices_lie_further_apart_than_it_has_seen_it_says_so(card):
    volumes, scanners = scans_of(7.0)
    result = combine(volumes, CombineRequest(scanners=scanners, aligned=True, model="auto"))
    assert result.report.models == () and "No network gains" in result.report.warnings[0]


def test_automatic_takes_it_only_where_it_lost_next_to_nothing(card):
    gains = {"stacks 4": {m: {improving.LEAST: [least]} for m, least in (("MR", -0.05), ("CT", -0.2))}}
    zoo.write_card(replace(card, gains=gains))
    assert improving.card("auto", "MR") and not improving.card("auto", "CT") and improving.card("mine", "CT")
    assert not improving.card("") and not improving.card("lanczos")


def test_after_each_scan_by_itself_it_improves_all_together(card, monkeypatch):
    """The model for several scans sees what the others made already."""
    seen, real = [], improving.improve

    def looking(model, told, array, *given):
        seen.append(array)
        return real(model, told, array, *given)

    monkeypatch.setattr(improving, "improve", looking)
    monkeypatch.setattr(detail, "prior", lambda scans, first, *_, **__: Detail(first.array + 0.05, ("Brighter",)))
    volumes, scanners = scans_of()
    result = combine(volumes, CombineRequest(scanners=scanners, aligned=True, model="auto"))
    assert (result.report.models, result.report.together) == (("Brighter",), card.title)
    assert len(seen) == 1


def test_on_ct_half_of_what_it_changes_is_believed(card):
    volumes, scanners = scans_of()
    scans = [scan_of(volume, scanner, "MR") for volume, scanner in zip(volumes, scanners)]
    known = [Seen(scan, scan.on(head().grid), np.empty(0)) for scan in scans]
    given, first = {"model": card, "dark": 0.0, "device": "cpu"}, Volume(head().array / 1000, head().grid)
    mr, ct = (
        improving.improved(known, first, lambda done, total: None, None, modality=modality, **given).values
        for modality in ("MR", "CT")
    )
    assert np.allclose(ct, (mr + first.array) / 2, atol=1e-5) and not np.allclose(mr, first.array, atol=1e-3)


def test_it_is_no_model_for_one_scan(card):
    assert zoo.for_several() == card and "mine" not in zoo.cards()
    with pytest.raises(RefusalError, match="choose a model for one scan"):
        upscale(head(), Request("mine", scale=(2.0, 2.0, 2.0)))
