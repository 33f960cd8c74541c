"""Training of the network for several scans, on pairs of what stacks are combined to and the truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from phantoms import head
from small_runs import check_that_a_resumed_run_is_the_whole, config_file, equal
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.networks import build
from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.training import configs, several, widening
from VolumeSuperResolutionLib.training.patches import read_scan

STAGE = {
    "network": "combined3d",
    "arguments": {"features": 4, "blocks": 1},
    "patch": [12, 12, 12],
    "batch": 2,
    "losses": {"l1": 1.0},
    "steps": 4,
}
PATCH = (12, 12, 12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two volumes."""
    place = tmp_path_factory.mktemp("heads")
    for seed in (0, 1):
        files.write(head(32, seed), place / f"head_{seed}.nii.gz")
    return place


@pytest.fixture
def few(monkeypatch):
    """Small pairs, of which there are few."""
    changes = {"EXTENT": 24, "SHORTEST": 24, "BEYOND": 4, "FIRST": 1, "EVERY": 2, "THICKNESSES": (3.0,), "GAPS": (0.0,)}
    for name, value in {**changes, "DETAILED": 0.0, "WATCHED": {"4 voxels": (4.0, 0.0, False)}}.items():
        monkeypatch.setattr(several, name, value)


def test_a_pair_is_made_once_and_what_was_combined_lies_on_the_truth(few, folder, tmp_path):
    bank = several.Bank([read_scan(folder / "head_0.nii.gz")], PATCH, tmp_path, 3)
    pair = bank(0)
    assert pair.combined.shape == pair.truth.shape == pair.covered.shape and min(pair.truth.shape) >= 12
    assert np.corrcoef(pair.combined[pair.covered], pair.truth[pair.covered])[0, 1] > 0.95
    assert len(list(tmp_path.iterdir())) == 1
    assert np.array_equal(bank(0).truth, pair.truth)
    other = several.Bank(bank.scans, PATCH, tmp_path / "other", 3)(0)
    assert np.array_equal(other.combined, pair.combined)
    assert not np.array_equal(bank(1).traits, pair.traits)


def test_a_pair_may_have_the_detail_that_networks_see_in_each_stack(few, folder, tmp_path, monkeypatch):
    scans = [read_scan(folder / "head_0.nii.gz")]
    plain = several.Bank(scans, PATCH, tmp_path / "plain", 3)(0)
    monkeypatch.setattr(several, "DETAILED", 1.0)
    detailed = several.Bank(scans, PATCH, tmp_path / "detailed", 3)(0)
    assert np.array_equal(detailed.truth, plain.truth) and np.array_equal(detailed.traits, plain.traits)
    errors = [np.abs(each.combined - each.truth)[each.covered].mean() for each in (plain, detailed)]
    assert not np.array_equal(detailed.combined, plain.combined) and errors[1] < 1.2 * errors[0]
    monkeypatch.setattr(several.automatic, "networks_at_hand", lambda: False)
    without = several.Bank(scans, PATCH, tmp_path / "without", 3)(0)
    assert np.array_equal(without.combined, plain.combined)


def test_what_the_network_is_told_turns_with_the_patch():
    traits = np.array([4.0, 3.0, 2.0, 0.4, 0.3, 0.2, 9.0])
    side = np.broadcast_to(np.arange(12.0)[:, None, None], (12, 12, 12))
    pair = several.Pair(side, side, np.ones((12, 12, 12), bool), traits)
    for seed in range(6):
        patch = several.random_patch(pair, PATCH, np.random.default_rng(seed))
        along = int(np.argmax([np.ptp(patch.truth, axis=axis).max() for axis in range(3)]))
        assert patch.traits[along] == 4.0 and patch.traits[3 + along] == 0.4 and patch.traits[6] == 9.0


def test_three_and_one_steps_are_four_and_the_model_says_what_it_is(few, folder, tmp_path):
    config = config_file(tmp_path, STAGE)
    values = config.read_text().replace('"summary"', '"several": true, "summary"')
    config.write_text(values)
    check_that_a_resumed_run_is_the_whole(config, folder, tmp_path, 3, 4)
    card = zoo.read_card(tmp_path / "whole" / zoo.CARD_FILE)
    assert card.several and card.factor == (2, 2, 2) and card.seconds_per_megavoxel > 0
    assert card.degradation == several.words() and "stacks" in card.degradation
    (start,) = widening.start_networks(str(card.folder), configs.read(config))
    assert equal(start.state_dict(), zoo.load(card)[0].state_dict())


def test_it_starts_from_the_features_of_one_for_every_grid():
    torch.manual_seed(0)
    general, network = build("anygrid3d", features=4, blocks=1), build("combined3d", features=4, blocks=1)
    widening.adopt_for_blocks(network, general)
    x = torch.rand(1, 1, 6, 6, 6)
    with torch.no_grad():
        seen = network.head(x.expand(-1, 8, -1, -1, -1))
        assert torch.allclose(seen, general.head(x), atol=1e-5)
    assert not network.tail.weight.any()
    with pytest.raises(RefusalError, match="as many features"):
        widening.adopt_for_blocks(network, build("anygrid3d", features=5, blocks=1))


def test_volumes_without_room_and_other_losses_are_refused(few, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(several, "TRIALS", 2)
    with pytest.raises(RefusalError, match="along each axis"):
        several.Bank([], PATCH, tmp_path, 3)
    with pytest.raises(RefusalError, match="make the config's patch smaller"):
        several.Bank([read_scan(folder / "head_0.nii.gz")], (40, 40, 40), tmp_path, 3)(0)
    with pytest.raises(RefusalError, match="l1 and mse only"):
        several.Trained(build("combined3d", features=4, blocks=1), {"vgg16": 1.0})
