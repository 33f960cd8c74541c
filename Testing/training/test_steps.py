"""What a training leaves for later, and what processes share: losses looked at together, exports nobody waits for."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from small_runs import config_file
from test_training import FSRCNN, ON_INTERPOLATED, trainer_of
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.training import loop, losses
from VolumeSuperResolutionLib.training.loop import train


def test_losses_are_looked_at_every_few_steps_and_the_step_that_failed_is_named(tmp_path, volumes, monkeypatch):
    trainer, count = trainer_of(tmp_path, volumes, FSRCNN), [0]
    real = losses.Objective.__call__

    def poisoned(*arguments):
        count[0] += 1
        return {name: part * (float("inf") if count[0] == 4 else 1) for name, part in real(*arguments).items()}

    monkeypatch.setattr(losses.Objective, "__call__", poisoned)
    with pytest.raises(RefusalError, match="at step 3;"):
        for _ in range(loop.LOOK):
            trainer.train_step()
    assert trainer.step == loop.LOOK and len(trainer.journal.recent) == 3
    for work in (trainer.measure, trainer.save):
        trainer.unseen = [(10, {loop.LOSS: torch.tensor(1.0), loop.NORM: torch.tensor(float("nan"))})]
        with pytest.raises(RefusalError, match="no number"):
            work()
    assert not (tmp_path / "checkpoint.pt").exists()


def test_processes_look_at_the_same_slices_and_tell_of_their_batch_statistics(tmp_path, volumes, monkeypatch):
    drawn = []
    real = losses.Objective.__call__
    monkeypatch.setattr(
        losses.Objective, "__call__", lambda *given: drawn.append(given[-1].integers(1 << 60)) or real(*given)
    )
    norms = {**ON_INTERPOLATED, "network": "dcsrn3d", "arguments": {"growth": 3, "units": 1}}
    for stage, told in ((FSRCNN, False), (norms, True)):
        trainer = trainer_of(tmp_path, volumes, stage)
        assert "process" not in trainer._hardware()
        for trainer.rank in (0, 1):
            trainer.step = 5
            trainer.train_step()
        trainer.world = 2
        assert "2 processes" in trainer._hardware()
        assert ("batch statistics" in trainer._hardware()) == told
    assert len(drawn) == 4 and drawn[0] == drawn[1]


def test_nobody_waits_for_the_export(tmp_path, volumes, monkeypatch):
    ended = []
    real = loop.processes

    @contextmanager
    def processes(device):
        with real(device) as group:
            yield group
        ended.append(True)

    monkeypatch.setattr(loop, "processes", processes)
    exported = loop.export.export
    monkeypatch.setattr(loop.export, "export", lambda *given: ended.append("export") or exported(*given))
    rounded = loop.rounding.fewest_bits
    monkeypatch.setattr(loop.rounding, "fewest_bits", lambda *given: ended.append("bits") or rounded(*given))
    train(config_file(tmp_path, FSRCNN, steps=1), volumes, tmp_path / "model")
    assert ended == [True, "bits", "export"]
