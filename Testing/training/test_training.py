"""Training: what a patch is, that a run is reproducible however it is cut up, and what it leaves behind."""

from __future__ import annotations

import csv
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from safetensors.numpy import load as load_safetensors
from small_runs import begun, config_file, equal, weights
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.networks import anygrid, build, combined
from VolumeSuperResolutionLib.engine.physics import interpolation
from VolumeSuperResolutionLib.training import configs, loop, losses
from VolumeSuperResolutionLib.training.checkpoints import read_checkpoint
from VolumeSuperResolutionLib.training.feed import Batch, Feed
from VolumeSuperResolutionLib.training.loop import train
from VolumeSuperResolutionLib.training.optimizers import OPTIMIZERS
from VolumeSuperResolutionLib.training.patches import Cut

FSRCNN = {
    "network": "fsrcnn3d",
    "arguments": {"factor": 2, "features": 6, "shrunk": 3, "mapping": 1},
    "patch": [6, 6, 6],
    "degraded": [2, 2, 2],
    "batch": 4,
    "losses": {"mse": 1.0},
    "learning_rate": 0.003,
    "warmup": 5,
    "steps": 12,
    "half_share": 0.0,
}
ON_INTERPOLATED = {**FSRCNN, "network": "srcnn3d", "arguments": {"features": [3, 3]}, "patch": [12, 12, 12]}
DEPTH = {
    "network": "cnnil_depth",
    "arguments": {"factor": 2, "features": 6},
    "views": ["j", "i"],
    "patch": [2, 10, 8],
    "degraded": [1, 1, 2],
    "batch": 2,
    "losses": {"l1": 1.0, "intermediate_l1": 1.0},
    "steps": 4,
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_six_and_six_steps_are_twelve(tmp_path, volumes, optimizer):
    config = config_file(tmp_path, FSRCNN, optimizer=optimizer)
    train(config, volumes, tmp_path / "whole")
    begun(config, volumes, tmp_path / "halves", 6, 12)
    train(config, volumes, tmp_path / "halves", resume=True)
    for kind in ("network", "ema"):
        assert equal(weights(tmp_path / "halves", kind=kind), weights(tmp_path / "whole", kind=kind))
    with open(tmp_path / "halves" / "stage0" / "training.csv", newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [12]


def test_batch_norms_settle_early(tmp_path, volumes):
    stage = {**ON_INTERPOLATED, "network": "dcsrn3d", "arguments": {"growth": 3, "units": 1}}
    plan = configs.read(config_file(tmp_path, stage))
    work = loop.Workplace(tmp_path / "stage0", torch.device("cpu"))
    trainer = loop.Trainer(plan.stages[0], plan.seed, *loop.read_volumes(volumes), work)

    def averages():
        return {name: value.clone() for name, value in trainer.network.state_dict().items() if "running" in name}

    before = averages()
    for _ in range(3):
        trainer.train_step()
    trainer.done = loop.NORMS_SETTLE
    moved = {name: value.clone() for name, value in trainer.ema.items() if "running" in name}
    weight = trainer.network.tail.weight.clone()
    for _ in range(3):
        trainer.train_step()
    assert not equal(moved, before)
    assert equal(averages(), moved)
    assert not torch.equal(trainer.network.tail.weight, weight)


def test_two_processes_get_the_weights_of_one(tmp_path, volumes, monkeypatch):
    """Told of each other as torchrun tells them; one of them is this."""
    config = config_file(tmp_path, FSRCNN, steps=3)
    train(config, volumes, tmp_path / "one")
    with socket.create_server(("127.0.0.1", 0)) as free:
        group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2", "RANK": "0"}
    command = [
        *(sys.executable, "-m", "VolumeSuperResolutionLib", "train", config, "--volumes", volumes),
        *("--output", tmp_path / "two", "--device", "cpu"),
    ]
    library = str(Path(loop.__file__).resolve().parents[2])
    environment = {**os.environ, **group, "RANK": "1", "PYTHONPATH": library, "OMP_NUM_THREADS": "1"}
    for name, value in group.items():
        monkeypatch.setenv(name, value)
    with subprocess.Popen(list(map(str, command)), env=environment) as other:
        try:
            train(config, volumes, tmp_path / "two", device="cpu")
            assert other.wait(200) == 0
        finally:
            other.kill()
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    fresh = configs.read(config).stages[0].build().state_dict()
    for name in one:
        assert torch.allclose(one[name], two[name], atol=1e-6), name
        assert not torch.allclose(one[name], fresh[name], atol=1e-4), name


def trainer_of(folder, volumes, stage, seed=1):
    """A trainer at its start, in a folder of its own."""
    plan = configs.read(config_file(folder, stage))
    scans, held_out = loop.read_volumes(volumes)
    return loop.Trainer(plan.stages[0], seed, scans, held_out, loop.Workplace(folder, torch.device("cpu")))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_bring_the_loss_of_a_batch_down_at_a_rate_that_rises_and_falls(tmp_path, volumes, optimizer):
    trainer = trainer_of(tmp_path, volumes, {**FSRCNN, "optimizer": optimizer, "steps": 40})
    batch = trainer.feed(0)
    trainer.feed = lambda step: batch
    found, rates = [], []
    for step in range(40):
        rates.append(trainer._rate())
        found.append(sum(trainer.train_step().values()))
        trainer.done = (step + 1) / 40
    # From 22 to less than 5, whatever the seed.
    assert found[-1] < 0.5 * found[0]
    assert rates.index(max(rates)) == 4 and max(rates) == pytest.approx(0.003, rel=0.03)
    assert rates[4:] == sorted(rates[4:], reverse=True) and rates[-1] < 0.03 * max(rates)


def test_a_residual_network_starts_at_the_interpolation(tmp_path, volumes):
    arguments = {"factor": 2, "features": 4, "blocks": 1, "residual": True}
    trainer = trainer_of(tmp_path, volumes, {**FSRCNN, "network": "edsr3d", "arguments": arguments})

    def linear(x, scanned=None):
        return torch.nn.functional.interpolate(x, scale_factor=2.0, mode="trilinear")

    x = torch.rand(1, 1, 6, 6, 6)
    with torch.no_grad():
        assert torch.equal(trainer.network(x), linear(x))
    trainer.measure()
    gains = trainer.validation.gains(linear, torch.device("cpu"))
    assert {name: trainer.journal.rows[0][name] for name in gains} == pytest.approx(gains)
    before = trainer.network.tail.weight.clone()
    trainer.train_step()
    assert not torch.equal(trainer.network.tail.weight, before)


def test_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path, volumes, monkeypatch):
    config = config_file(tmp_path, FSRCNN, steps=10)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    real, calls = losses.Objective.__call__, []

    def poisoned(*arguments):
        calls.append(1)
        parts = real(*arguments)
        return {name: part * float("nan") for name, part in parts.items()} if len(calls) > 6 else parts

    monkeypatch.setattr(losses.Objective, "__call__", poisoned)
    with pytest.raises(RefusalError, match="no number any more at step 6"):
        train(config, volumes, tmp_path / "run")
    state = read_checkpoint(tmp_path / "run" / "stage0")
    assert state["step"] == 6
    assert all(torch.isfinite(t).all() for t in state["network"].values())
    assert not (tmp_path / "run" / "card.json").exists()
    monkeypatch.setattr(losses.Objective, "__call__", real)
    train(config, volumes, tmp_path / "run", resume=True)
    assert read_checkpoint(tmp_path / "run" / "stage0")["step"] == 10


def test_the_end_is_a_model_with_a_full_card(tmp_path, volumes, capsys, unrounded):
    inplane = {**DEPTH, "network": "cnnil_inplane", "views": ["k"], "patch": [2, 8, 8], "degraded": [2, 2, 2]}
    train(
        config_file(tmp_path, {**inplane, "target": [2, 1, 1], "flat_share": 0.5}, DEPTH), volumes, tmp_path / "model"
    )
    card = zoo.card(str(tmp_path / "model"))
    networks = zoo.load(card)
    for n, network in enumerate(networks):
        assert equal(network.state_dict(), weights(tmp_path / "model", n, "ema"))
    data = (tmp_path / "model" / zoo.WEIGHTS_FILE).read_bytes()
    assert load_safetensors(data)["1.head.weight"].shape == (6, 1, 3, 3)
    assert card.parameters == sum(p.numel() for network in networks for p in network.parameters())
    assert card.modalities == ("MR", "CT")
    assert card.spacing_mm == (1.0, 3.0)
    assert card.training["files"] == ["a_ct.nii.gz", "b_mr.nii.gz"]
    assert card.training["volumes"] == {"CT": 1, "MR": 1}
    assert card.training["steps"] == [4, 4]
    assert card.seconds_per_megavoxel > 0
    assert "0.7 to 1.2" in card.degradation
    assert "min left" in capsys.readouterr().out
    for stage in ("stage0", "stage1"):
        with open(tmp_path / "model" / stage / "training.csv", newline="") as file:
            (row,) = csv.DictReader(file)
        assert {"step", "loss", "profile MR", "scanner MR"} <= set(row)
        assert (tmp_path / "model" / stage / "training.png").stat().st_size > 1000


def test_the_index_beside_the_volumes_is_cited(tmp_path, volumes):
    folder = tmp_path / "volumes"
    folder.mkdir()
    for path in volumes.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "INDEX.tsv").write_text("file\tlicence\tsource\nb_mr.nii.gz\tCC0\tOpen brains\nelse.nii\tsecret\tnone\n")
    train(config_file(tmp_path, FSRCNN, steps=1), folder, tmp_path / "model")
    training = zoo.card(str(tmp_path / "model")).training
    assert training["licenses"] == ["CC0"]
    assert training["sources"] == ["Open brains"]


def test_fine_tuning_starts_from_a_models_weights(tmp_path, volumes, unrounded):
    config = config_file(tmp_path, FSRCNN, steps=3)
    train(config, volumes, tmp_path / "base")
    still = config_file(tmp_path, FSRCNN, steps=1, learning_rate=0.0)
    train(still, volumes, tmp_path / "tuned", start_from=str(tmp_path / "base"))
    assert equal(weights(tmp_path / "tuned"), weights(tmp_path / "base", kind="ema"))
    card = zoo.card(str(tmp_path / "tuned"))
    assert card.id == "tuned"
    assert card.training["started_from"]["id"] == "small"
    assert card.training["started_from"]["steps"] == [3]
    with open(tmp_path / "tuned" / "stage0" / "training.csv", newline="") as file:
        before, after = csv.DictReader(file)
    # a run that changes nothing is measured as such
    assert before["profile MR"] == after["profile MR"]
    other = config_file(tmp_path, DEPTH, factor=(1, 1, 2))
    with pytest.raises(RefusalError, match="other networks"):
        train(other, volumes, tmp_path / "other", start_from=str(tmp_path / "base"))


def test_minutes_end_a_run_whatever_its_steps(tmp_path, volumes, monkeypatch):
    seconds = [0.0]  # a clock that only training moves: two seconds a step
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    real = loop.Trainer.train_step

    def step(trainer):
        seconds[0] += 2
        return real(trainer)

    monkeypatch.setattr(loop.Trainer, "train_step", step)
    train(config_file(tmp_path, FSRCNN, steps=10**9), volumes, tmp_path / "model", minutes=0.1)
    assert read_checkpoint(tmp_path / "model" / "stage0")["step"] == 3


def test_train_and_validation_folders_are_kept_apart(tmp_path, volumes):
    for part, name in (("train", "a_ct.nii.gz"), ("validation", "c_mr.nii.gz")):
        (tmp_path / part).mkdir()
        (tmp_path / part / name).symlink_to(volumes / name)
    scans, held_out = loop.read_volumes(tmp_path)
    assert [scan.name for scan in scans] == ["a_ct.nii.gz"]
    assert [scan.name for scan in held_out] == ["c_mr.nii.gz"]


def test_modalities_count_alike(volumes):
    scans, _ = loop.read_volumes(volumes)
    feed = Feed([*scans, *scans[1:]], Cut((6, 6, 6), (2, 2, 2)), 3, seed=1, batch=6)
    scales = feed(0).scale.tolist()
    assert scales.count(np.float32(feed.errors["a_ct.nii.gz"])) == len(scales) / 2


def test_batches_drawn_ahead_are_the_same_batches(volumes):
    scans, _ = loop.read_volumes(volumes)
    feeds = [Feed(scans, Cut((6, 6, 6), (2, 2, 2)), 3, seed=1, batch=4) for _ in range(2)]
    feeds[1].draw_ahead(torch.device("cpu"))
    for step in range(6):
        for here, ahead in zip(feeds[0](step), feeds[1](step)):
            assert torch.equal(here, ahead)


@pytest.mark.parametrize("path", sorted(configs.FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_the_shipped_configs_are_sound(path):
    plan = configs.read(path.stem)
    assert plan.id == path.stem
    factor = np.ones(3, int)
    for stage in plan.stages:
        with torch.device("meta"):
            network = stage.build()
        losses.Trained(network, stage.losses)
        if stage.network in (anygrid.NETWORK, combined.NETWORK):
            factor = factor * (0 if stage.network == anygrid.NETWORK else network.factor)
            continue
        cut = stage.cut(network)
        if network.on_interpolated:
            scaled = cut.scaled()
        else:
            scaled = (1,) * (3 - network.dimensions) + network.factor
            assert cut.scaled() == scaled
        axes = {"": (2, 1, 0), "k": (2, 1, 0), "j": (0, 2, 1)}[stage.views[0] if stage.views else ""]
        for axis, f in zip(axes, scaled):
            factor[axis if stage.views != ("j", "i") else (1, 0, 2)[axes.index(axis)]] *= f
    assert list(factor) == plan.card["factor"]
    zoo.Card(plan.id, **plan.card)


def test_an_unknown_config_is_refused_with_those_there_are():
    with pytest.raises(RefusalError, match="fsrcnn3d-x2"):
        configs.read("nothing-x2")


@pytest.mark.parametrize("changes", [{"colour": 1}, {"losses": {"l3": 1.0}}, {"losses": {"intermediate_l1": 1.0}}])
def test_a_config_that_makes_no_sense_is_refused(tmp_path, volumes, changes):
    with pytest.raises(RefusalError, match=r"colour|l3|intermediate"):
        train(config_file(tmp_path, FSRCNN, **changes), volumes, tmp_path / "model")


def test_volumes_that_cannot_be_trained_on_are_refused(tmp_path, volumes):
    config = config_file(tmp_path, FSRCNN)
    with pytest.raises(RefusalError, match="no folder"):
        train(config, tmp_path / "missing", tmp_path / "model")
    with pytest.raises(RefusalError, match=r"a_ct.nii.gz is smaller"):
        train(config_file(tmp_path, FSRCNN, patch=[18, 18, 18]), volumes, tmp_path / "model")
    for name, array in (("flat", np.zeros((16, 16, 16))), ("hole", np.full((16, 16, 16), np.nan))):
        folder = tmp_path / name
        folder.mkdir()
        sitk.WriteImage(sitk.GetImageFromArray(array.astype(np.float32)), str(folder / f"{name}.nrrd"))
        with pytest.raises(RefusalError, match=rf"{name}.nrrd .* out of the training folder"):
            train(config, folder, tmp_path / "model")


def test_losses_are_relative_to_interpolation():
    target = torch.zeros(2, 1, 4, 4)
    out = (torch.stack([torch.full((1, 4, 4), 0.2), torch.full((1, 4, 4), -0.6)]), target + 0.1)
    batch = Batch(target, target, target, scale=torch.tensor([0.2, 0.3]), spread=torch.ones(2))

    def total(**parts):
        found = losses.Objective(parts, 1, torch.device("cpu"))(out, batch, np.random.default_rng(0))
        assert list(found) == list(parts)
        return sum(found.values()).item()

    assert total(l1=1.0) == pytest.approx((1 + 2) / 2)
    assert total(mse=2.0) == pytest.approx(2 * (1 + 4) / 2)
    assert total(l1=1.0, intermediate_l1=1.0) == pytest.approx(1.5 + (0.5 + 1 / 3) / 2)


def test_consistency_in_training_is_that_of_the_engine():
    random = np.random.default_rng(0)
    low, high = random.random((6, 7, 8), np.float32), random.random((12, 7, 32), np.float32)
    expected = high.copy()
    interpolation.back_project(expected, low, 2)
    out = torch.from_numpy(high)[None, None].requires_grad_()
    result = losses.consistent(out, torch.from_numpy(low)[None, None], 2)
    assert np.allclose(result.detach()[0, 0], expected, atol=1e-5)
    result.sum().backward()
    assert out.grad.abs().sum() > 0


@pytest.mark.parametrize("stage", [FSRCNN, ON_INTERPOLATED], ids=["on the scan", "on the interpolated scan"])
def test_a_network_trained_with_consistency_is_judged_and_measured_with_it(tmp_path, volumes, stage):
    plain, trainer = (trainer_of(tmp_path, volumes, {**stage, "consistency": rounds}) for rounds in (0, 2))

    def consistent(x, scanned):
        return losses.consistent(trainer.network(x), scanned, 2)

    batch = trainer.feed(0)
    with torch.inference_mode():
        out, _ = trainer.trained(batch.input, batch.scanned)
        assert torch.equal(out, consistent(batch.input, batch.scanned))
        expected = trainer.validation.gains(consistent, torch.device("cpu"))
    gains = trainer.gains(trainer.ema)
    assert gains == pytest.approx(expected)
    # of the same weights, which the rounds bring far closer to what was scanned
    assert gains["profile MR"] > plain.gains(plain.ema)["profile MR"] + 1
    with pytest.raises(RefusalError, match="Only a 3D network"):
        losses.Trained(build("srcnn2d"), {"l1": 1.0}, 1)
