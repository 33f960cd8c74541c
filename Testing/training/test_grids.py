"""Training for every grid: what is drawn, that it is the scanner's own model, and that a run is reproducible."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_runs import check_that_a_resumed_run_is_the_whole, config_file, equal
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.models import grids as told
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.networks import build
from VolumeSuperResolutionLib.engine.physics.scanner import Axis, Scanner
from VolumeSuperResolutionLib.engine.volumes.intensity import Window
from VolumeSuperResolutionLib.training import configs, grids, widening
from VolumeSuperResolutionLib.training.grids import Degraded, Setting
from VolumeSuperResolutionLib.training.loop import train
from VolumeSuperResolutionLib.training.patches import Scan, kind_shares

STAGE = {
    "network": "anygrid3d",
    "arguments": {"features": 4, "blocks": 1},
    "patch": [5, 5, 5],
    "batch": 2,
    "losses": {"l1": 1.0},
    "optimizer": "muon",
    "learning_rate": 0.01,
    "warmup": 2,
    "steps": 6,
    "half_share": 0.0,
}


def scan_of(array, spacing=(1.0, 1.0, 1.0), name="a.nii", modality="MR", tmp="."):
    from pathlib import Path

    everywhere = np.argwhere(np.ones(array.shape, bool))[:: max(1, array.size // 50)]
    return Scan(Path(tmp) / name, modality, spacing, array.astype(np.float32), Window(0, 1), 1.0, everywhere)


def random_scan(shape=(40, 36, 38), **values):
    return scan_of(np.random.default_rng(0).random(shape), **values)


def settings(count=300):
    return [grids.draw_setting((16, 16, 16), np.random.default_rng([1, n])) for n in range(count)]


def test_factors_of_every_kind_are_drawn_and_all_can_be_served():
    one = alike = 0
    for setting in settings():
        factors = [m / n for n, m in zip(setting.coarse, setting.fine)]
        assert factors == sorted(factors, reverse=True)
        assert told.sub_voxels(setting.coarse, setting.fine) is not None
        assert 0.4 < np.prod(setting.coarse) / 16**3 < 1.3
        assert all(part.stop - part.start >= 6 for part in setting.inner)
        one += factors[1] == 1
        alike += factors[0] == factors[2]
    assert 0.35 < one / 300 < 0.55 and 0.33 < alike / 300 < 0.47
    small = [grids.draw_setting((4, 4, 4), np.random.default_rng(n)) for n in range(50)]
    assert all(told.sub_voxels(setting.coarse, setting.fine) is not None for setting in small)
    drawn = [s.fine[0] / s.coarse[0] for s in settings()]
    assert max(drawn) > 5.5 and len(set(drawn)) > 50


def test_what_is_told_may_be_nothing_or_wrong():
    drawn = [grids.draw_degraded(np.random.default_rng(n)) for n in range(400)]
    known = [d for d in drawn if d.told.told_shape((True,) * 3)]
    assert 0.4 < len(known) / 400 < 0.6
    assert all(d.told.axes[0].profile == d.true.profile for d in known)
    errors = np.array([d.told.axes[0].width / d.true.width - 1 for d in known])
    assert np.abs(errors).max() <= grids.WRONG and 0.3 < np.mean(errors == 0) < 0.7
    assert {d.told.axes for d in drawn if d not in known} == {Scanner().axes}
    noises = np.array([d.noise for d in drawn])
    assert 0.1 < np.mean(noises == 0) < 0.3 and noises.max() > 0.02


@pytest.mark.parametrize(("coarse", "fine"), [((8, 8, 8), (20, 16, 8)), ((6, 12, 12), (27, 12, 12))])
@pytest.mark.parametrize("profile", ["gaussian", "box"])
def test_the_truth_explains_the_patch(coarse, fine, profile):
    """Away from the border, the told step's own model takes the fine patch to the coarse one."""
    scan, setting = random_scan(), Setting(coarse, fine)
    axis = Axis(profile, 0.9, told="user", shape="user")
    start, order, flips = [7, 5, 3], (2, 0, 1), (True, False, True)
    degraded = Degraded(axis, 0.0, Scanner((axis,) * 3, 0.0))
    sample = grids.cut_sample(scan, setting, start, degraded, np.random.default_rng(0), order, flips)
    view = scan.array.transpose(order)[::-1, :, ::-1]
    truth = view[tuple(slice(s, s + m) for s, m in zip(start, fine))]
    assert np.array_equal(sample.target, truth[setting.inner])
    zero = torch.zeros(fine)
    seen = sample.step(torch.from_numpy(truth.copy()), zero[: coarse[0], : coarse[1], : coarse[2]], 1e9)
    assert torch.allclose(seen, torch.from_numpy(truth.copy()), atol=1e-4)  # so heavy a mu leaves the guess alone
    explained = sample.step(truth.astype(np.float64), sample.input.astype(np.float64), sample.mu)
    assert np.abs(explained - truth)[setting.inner][2:-2].max() < 0.05
    moved = np.abs(grids.DataStep(sample.step.forward)(truth * 0, sample.input, sample.mu))
    assert moved.max() > 0.5


def test_thick_slices_are_no_truth():
    thick = random_scan((12, 60, 60), spacing=(0.5, 0.5, 5.0))
    for setting in settings(100):
        for order in grids.orders(thick, setting):
            assert setting.coarse[order.index(0)] == setting.fine[order.index(0)]
    assert any(grids.orders(thick, setting) for setting in settings(100))
    assert grids.orders(random_scan((60, 60, 60)), Setting((8, 8, 8), (16, 16, 16)))


def test_kinds_count_by_the_root_of_their_number():
    scans = [random_scan((4, 4, 4), name=name) for name in ("head_01.nii", "head_02.nii", "head_3.nii", "knee.nii")]
    shares = kind_shares([*scans, random_scan((4, 4, 4), name="head_44.nii")])
    assert np.allclose(shares, np.array([1 / 2, 1 / 2, 1 / 2, 1, 1 / 2]) / 3)


def test_modalities_alternate_and_a_volume_without_room_is_passed_over():
    small, large = random_scan((6, 6, 6), name="s.nii"), random_scan(name="l.nii")
    chest = random_scan(name="c.nii", modality="CT")
    feed = grids.Feed([small, large, chest], (5, 5, 5), 3, 4)
    batch = feed(0)
    assert batch.input.shape == (4, 1, *batch.setting.coarse)
    assert batch.target.shape[2:] == tuple(part.stop - part.start for part in batch.setting.inner)
    with pytest.raises(RefusalError, match="No training volume has room"):
        grids.Feed([random_scan((5, 4, 4))], (5, 5, 5), 3, 4)(0)


def test_the_loss_reaches_every_weight_through_the_data_step():
    feed = grids.Feed([random_scan()], (5, 5, 5), 3, 2)
    trained = grids.Trained(build("anygrid3d", features=4, blocks=1), {"l1": 1.0})
    with torch.no_grad():
        trained.network.condition.weight.normal_(std=0.1)
    total = torch.zeros(())
    for step in range(4):
        batch = feed(step)
        out = trained(batch)[0]
        assert out.shape == batch.target.shape
        total = total + (out - batch.target).abs().mean()
    total.backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().max() > 0 for p in trained.network.parameters())


def test_losses_that_look_at_slices_are_not_for_it():
    with pytest.raises(RefusalError, match="l1 and mse only"):
        grids.Trained(build("anygrid3d", features=4, blocks=1), {"l1": 1.0, "vgg16": 1.0})


def test_three_and_three_steps_are_six_and_the_model_runs(tmp_path, volumes):
    config = config_file(tmp_path, STAGE, factor=(0, 0, 0))
    check_that_a_resumed_run_is_the_whole(config, volumes, tmp_path, 3, 6)
    card = zoo.read_card(tmp_path / "whole" / zoo.CARD_FILE)
    assert card.every_grid and card.factor == (0, 0, 0) and card.seconds_per_megavoxel > 0


def test_it_starts_from_an_edsr_and_from_one_of_its_own(tmp_path, volumes):
    torch.manual_seed(0)
    edsr, network = build("edsr3d", features=4, blocks=1), build("anygrid3d", features=4, blocks=1)
    widening.adopt(network, edsr)
    assert torch.equal(network.body.body[0].body[2].weight, edsr.body.body[0].body[2].weight)
    assert not network.tail.weight.any()
    with pytest.raises(RefusalError, match="as many features"):
        widening.adopt(network, build("edsr3d", features=5, blocks=1))
    config = config_file(tmp_path, STAGE, factor=(0, 0, 0), steps=1)
    train(config, volumes, tmp_path / "first")
    (start,) = widening.start_networks(str(tmp_path / "first"), configs.read(config))
    stored = zoo.load(zoo.read_card(tmp_path / "first" / zoo.CARD_FILE))[0]
    assert equal(start.state_dict(), stored.state_dict())
