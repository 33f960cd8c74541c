"""Adversarial training: two networks that learn from each other, resumable as one."""

import csv

import numpy as np
import pytest
import torch
from small_runs import begun, config_file, equal, weights
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.networks import build
from VolumeSuperResolutionLib.training import configs, loop, losses
from VolumeSuperResolutionLib.training.adversary import Adversary
from VolumeSuperResolutionLib.training.feed import Batch
from VolumeSuperResolutionLib.training.loop import train

RRDB = {
    "network": "rrdb3d",
    "arguments": {"factor": 2, "features": 4, "blocks": 1, "growth": 2, "residual": True},
    "patch": [8, 8, 8],
    "degraded": [2, 2, 2],
    "batch": 2,
    "losses": {"l1": 1.0, "vgg16_deep": 1.0, "adversarial": 0.01},
    "learning_rate": 0.003,
    "steps": 4,
    "slices": 2,
    "discriminator": 4,
    "half_share": 0.0,
}
CPU = torch.device("cpu")


@pytest.fixture
def batch():
    """Rough truths of two volumes with different ranges."""
    torch.manual_seed(0)
    spread = torch.tensor([1.0, 0.5])
    target = torch.rand(2, 1, 16, 16, 16) * spread.view(-1, 1, 1, 1, 1)
    return Batch(target, target, target, torch.tensor([0.1, 0.2]), spread)


def teach(adversary, made, batch):
    """Steps until the discriminator tells nearly every voxel rightly: a few dozen, whatever it starts from."""
    for step in range(120):
        if adversary.learn(made, batch, 0.001) > 0.95:
            return step
    raise AssertionError("it never told them apart")


def test_the_discriminator_learns_what_is_made(batch):
    torch.manual_seed(1)
    adversary = Adversary(4, 0.001, CPU)
    made = torch.nn.functional.avg_pool3d(batch.target, 3, 1, 1)
    before = [adversary.judge(side, batch).mean() for side in (made, batch.target)]
    assert teach(adversary, made, batch) > 0
    after = [adversary.judge(side, batch).mean() for side in (made, batch.target)]
    assert after[0] > before[0] and after[1] < before[1] and after[0] > after[1] + 0.3


def test_the_discriminator_hears_faint_noise_under_strong_contrast():
    torch.manual_seed(0)
    contrast = torch.nn.functional.interpolate(torch.rand(2, 1, 3, 3, 3), size=(16, 16, 16), mode="trilinear")
    noisy = contrast + 0.02 * torch.randn_like(contrast)
    batch = Batch(noisy, noisy, noisy, torch.tensor([0.1, 0.1]), torch.tensor([1.0, 1.0]))
    adversary = Adversary(4, 0.001, CPU)
    teach(adversary, contrast, batch)
    assert adversary.judge(contrast, batch).mean() > adversary.judge(noisy, batch).mean() + 0.3


def test_judging_teaches_the_generator_and_leaves_the_discriminator(batch):
    adversary = Adversary(4, 0.01, CPU)
    weights_before = [p.clone() for p in adversary.network.parameters()]
    made = batch.target.clone().requires_grad_()
    objective = losses.Objective({"adversarial": 0.01}, 1, CPU, adversary)
    part = objective((made, None), batch, np.random.default_rng(0))["adversarial"]
    part.backward()
    assert made.grad.abs().sum() > 0
    assert all(p.grad is None for p in adversary.network.parameters())
    assert all(torch.equal(a, b) for a, b in zip(weights_before, adversary.network.parameters()))
    # a probability has no unit, and is not relative to the error of interpolation
    judged = adversary.judge(batch.target, batch)
    assert part.item() == pytest.approx(0.01 * judged.mean().item(), rel=1e-3)


def test_learning_leaves_the_generator(batch):
    adversary = Adversary(4, 0.01, CPU)
    made = batch.target.clone().requires_grad_()
    adversary.learn(made, batch, 0.01)
    assert made.grad is None


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, volumes, networks):
    config = config_file(tmp_path, RRDB, steps=2)
    train(config, volumes, tmp_path / "whole")
    begun(config, volumes, tmp_path / "halves", 1, 2)
    train(config, volumes, tmp_path / "halves", resume=True)
    for kind in ("network", "ema"):
        assert equal(weights(tmp_path / "halves", kind=kind), weights(tmp_path / "whole", kind=kind))
    ours, theirs = (weights(tmp_path / run, kind="adversary")["network"] for run in ("halves", "whole"))
    assert equal(ours, theirs)


def test_a_network_with_noise_starts_from_one_without(tmp_path, volumes, networks, unrounded):
    plain = {**RRDB, "losses": {"l1": 1.0}}
    train(config_file(tmp_path, plain, steps=2), volumes, tmp_path / "base")
    noisy = {**RRDB, "arguments": {**RRDB["arguments"], "noise": True}}
    train(
        config_file(tmp_path, noisy, steps=1, learning_rate=0.0),
        volumes,
        tmp_path / "tuned",
        start_from=str(tmp_path / "base"),
    )
    tuned = weights(tmp_path / "tuned")
    untrained = build("rrdb3d", **noisy["arguments"]).state_dict()
    for name in [name for name in tuned if name.startswith("grains")]:
        assert torch.equal(tuned.pop(name), untrained[name])
    assert equal(tuned, weights(tmp_path / "base", kind="ema"))


def test_the_curves_show_every_part(tmp_path, volumes, networks):
    train(config_file(tmp_path, RRDB, steps=2), volumes, tmp_path / "model")
    with open(tmp_path / "model" / "stage0" / "training.csv", newline="") as file:
        row = list(csv.DictReader(file))[-1]
    parts = [float(row[name]) for name in ("l1", "vgg16_deep", "adversarial")]
    assert float(row["loss"]) == pytest.approx(sum(parts))
    assert 0 <= float(row["accuracy"]) <= 1
    assert float(row["LPIPS MR"]) > 0
    assert (tmp_path / "model" / "training.png").stat().st_size > 10_000


def test_several_processes_are_refused(tmp_path, volumes, networks):
    plan = configs.read(config_file(tmp_path, RRDB))
    scans, held_out = loop.read_volumes(volumes)
    with pytest.raises(RefusalError, match="one process"):
        loop.Trainer(plan.stages[0], 1, scans, held_out, loop.Workplace(tmp_path, CPU, 0, 2))
