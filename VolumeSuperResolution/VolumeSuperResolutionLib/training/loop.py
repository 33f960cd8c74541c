"""The training loop of all models: stage by stage, resumable, in one process or several (torchrun)."""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..engine.errors import RefusalError
from ..engine.networks import Network
from ..engine.streaming import trials
from ..engine.streaming.devices import choose_device
from ..engine.volumes import files
from . import checkpoints, export, losses, rounding, widening
from .adversary import Adversary
from .configs import StageConfig, read
from .journal import ACCURACY, Journal
from .material import material
from .optimizers import OPTIMIZERS
from .patches import Scan, read_scan

CHECKPOINT_SECONDS = 120.0
VALIDATION_SECONDS = 180.0
# Validation of a deep network takes long: at most this fraction of the training time is spent on it.
VALIDATION_SHARE = 0.1
PROGRESS_SECONDS = 10.0
# Losses are looked at together after so many steps: a GPU would wait for each look.
LOOK = 10
LOSS, NORM = "loss", "norm of the gradient"
# How long processes wait for the first one, which measures alone.
PATIENCE = timedelta(hours=2)
HELD_OUT_SHARE = 0.1
# From this fraction of the training on, batch normalization uses the running statistics, as it does in inference.
NORMS_SETTLE = 0.25
# Fine-tuning uses this fraction of the learning rate of a training from scratch.
FINE_TUNING = 0.3


def train(
    config: str | Path,
    volumes: str | Path,
    output: str | Path,
    minutes: float | None = None,
    resume: bool = False,
    device: str = "auto",
    start_from: str | None = None,
    fill_nonfinite: bool = False,
) -> Path:
    """Trains every stage of a config and exports weights and card; returns their folder.

    `minutes` for all stages together; `start_from` is a model's id or folder whose weights are the start.
    """
    recipe, output = read(config), Path(output)
    if minutes is not None and not 0 < minutes < math.inf:
        raise RefusalError(f"A training of {minutes:g} minutes is not possible; give a number above zero.")
    if max(stage.consistency for stage in recipe.stages) > recipe.card.get("consistency", 0):
        raise RefusalError(
            f"The card of {recipe.id} has fewer consistency rounds than a stage is trained through; raise them."
        )
    with processes(device) as (place, rank, world):
        starts: Sequence[Network | None] = [None] * len(recipe.stages)
        if start_from:
            starts = widening.start_networks(start_from, recipe)
        scans, held_out = read_volumes(Path(volumes), fill_nonfinite)
        shares = [stage.minutes or 1.0 for stage in recipe.stages]
        folders = [output / f"stage{n}" for n in range(len(recipe.stages))]
        trainers = []
        for n, stage in enumerate(recipe.stages):
            limit = stage.minutes if minutes is None else minutes * shares[n] / sum(shares)
            work = Workplace(folders[n], place, rank, world)
            trainer = Trainer(stage, recipe.seed + n, scans, held_out, work, 60 * limit, starts[n])
            trainer.run(resume)
            trainers.append(trainer)
    if rank == 0:  # which nobody waits for any more
        stored = [rounding.fewest_bits(trainer.ema, trainer.gains) for trainer in trainers]
        export.export(recipe, folders, stored, output, scans, start_from, held_out)
    return output


@contextmanager
def processes(device: str) -> Iterator[tuple[torch.device, int, int]]:
    """(device, rank, world size); joins the group that torchrun describes in the environment."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    place = choose_device(device)
    if world > 1:
        if place.type == "cuda":
            torch.cuda.set_device(place)  # or all processes would use a little of the first one
            dist.init_process_group("nccl", timeout=PATIENCE, device_id=place)
        else:
            dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield place, rank, world
        if world > 1:
            # Free what still refers to the group, and wait for all processes: one that exits while the group's threads
            # run is aborted.
            gc.collect()
            dist.barrier()
    finally:
        if world > 1:
            dist.destroy_process_group()


def read_volumes(folder: Path, fill_nonfinite: bool = False) -> tuple[list[Scan], list[Scan]]:
    """Volumes to learn from and volumes to measure on.

    Those of the subfolders train/ and validation/ where there are such; else the last tenth by name is held out. A
    folder of a single volume is measured on that.
    """
    if not folder.is_dir():
        raise RefusalError(f"There is no folder {folder}; give the one that holds the training volumes.")
    if (folder / "train").is_dir() and (folder / "validation").is_dir():
        train_scans, held_out = (
            [read_scan(path, fill_nonfinite) for path in files.volumes_in(folder / part)]
            for part in ("train", "validation")
        )
        return train_scans, held_out
    scans = [read_scan(path, fill_nonfinite) for path in files.volumes_in(folder)]
    if len(scans) == 1:
        return scans, scans
    kept = len(scans) - max(1, round(HELD_OUT_SHARE * len(scans)))
    return scans[:kept], scans[kept:]


@dataclass(frozen=True)
class Workplace:
    """Where a stage is trained: its folder, its device, and which of how many processes this is."""

    folder: Path
    device: torch.device
    rank: int = 0
    world: int = 1


class Trainer:
    """Trains one network.

    All randomness is seeded with (seed, step, index in the batch), so that a resumed run, and one in several processes,
    give the same result as an uninterrupted one in a single process. Not so with batch normalization: each process
    normalizes by its own part of a batch, and the running statistics are those of the first.
    """

    def __init__(
        self,
        config: StageConfig,
        seed: int,
        scans: Sequence[Scan],
        held_out: Sequence[Scan],
        work: Workplace,
        seconds: float = 0.0,
        start: Network | None = None,
    ):
        self.config, self.seed, self.limit = config, seed, seconds
        self.folder, self.device, self.rank, self.world = work.folder, work.device, work.rank, work.world
        if config.batch % self.world:
            raise RefusalError(
                f"{self.world} processes cannot share a batch of {config.batch}; choose a divisor of it."
            )
        torch.manual_seed(seed)
        network = config.build()
        self.rate, self.fine_tuning = config.learning_rate, start is not None
        if start is not None:
            network.load_state_dict(start.state_dict())
            self.rate *= FINE_TUNING
        elif network.residual and network.ends_plainly:
            # A zero tail: training starts from the quality of interpolation, not below it.
            for parameter in network.tail.parameters():
                nn.init.zeros_(parameter)
        layout = torch.channels_last if network.dimensions == 2 else torch.channels_last_3d
        self.network = network.to(self.device)
        self.network.to(memory_format=layout)  # type: ignore[call-overload]  # torch does not declare memory_format
        self.adversary = None
        if losses.ADVERSARIAL in config.losses:
            if self.world > 1:
                raise RefusalError("Adversarial training runs in one process; start it without torchrun.")
            self.adversary = Adversary(config.discriminator, self.rate, self.device)
        self.objective = losses.Objective(config.losses, config.slices, self.device, self.adversary)
        made = material(config, self.network, scans, held_out, self.folder, seed, self.rank, self.world)
        self.alone, self.feed, self.validation = made
        self.trained: nn.Module = DistributedDataParallel(self.alone) if self.world > 1 else self.alone
        self.optimizer = OPTIMIZERS[config.optimizer](self.network, self.rate, config.weight_decay)
        self.ema = {name: t.detach().clone() for name, t in self.network.state_dict().items()}
        self.feed.draw_ahead(self.device)
        self.norms = {name: part for name, part in network.named_modules() if isinstance(part, nn.BatchNorm3d)}
        self.half = has_fast_half(self.device)
        self.step, self.seconds, self.done = 0, 0.0, 0.0
        # The losses that were not looked at yet, with their steps.
        self.unseen: list[tuple[int, dict[str, torch.Tensor]]] = []
        self.journal = Journal(self.folder)

    def run(self, resume: bool = False) -> Journal:
        """Trains to the end. Checkpoints are only ever written of finite weights."""
        if resume and checkpoints.has_checkpoint(self.folder):
            self.load()
        started = time.monotonic() - self.seconds
        saved = told = measured = time.monotonic()
        measuring = 0.0
        if self.fine_tuning and self.step == 0 and self.rank == 0:
            measuring = self.measure()
        self.done = self._measure_done()
        while self.done < 1.0:
            self.train_step()
            now = time.monotonic()
            self.seconds = now - started
            self.done = self._measure_done()
            if self.rank:
                continue
            if now - told > PROGRESS_SECONDS:
                self.journal.tell(self.step, self.seconds, self.done)
                told = now
            if now - measured > max(VALIDATION_SECONDS, measuring / VALIDATION_SHARE):
                measuring = self.measure()
                measured = time.monotonic()
            if now - saved > CHECKPOINT_SECONDS:
                self.save()
                saved = time.monotonic()
        self.look()
        self.trained = self.alone  # nothing refers to the group of processes any more
        if self.rank == 0:
            self.measure()
            self.save()
        return self.journal

    def measure(self) -> float:
        """Validates the EMA weights and enters the gains into the journal; returns the seconds that it took."""
        self.look()
        started = time.monotonic()
        self.journal.measured(self.step, self.seconds, self._rate(), self.gains(self.ema))
        self.journal.tell(self.step, self.seconds, self.done)
        return time.monotonic() - started

    def gains(self, state: Mapping[str, torch.Tensor]) -> dict[str, float]:
        """Validation gains over interpolation, with the given weights (the EMA) in place of those being trained."""

        named = {f"network.{name}": tensor for name, tensor in state.items()}

        def upscale(*given: Any) -> torch.Tensor:
            return torch.func.functional_call(self.alone, named, given)[0]

        assert self.validation is not None  # only the first process measures
        self.network.eval()
        with torch.inference_mode():
            return self.validation.gains(upscale, self.device)

    def _measure_done(self) -> float:
        """The fraction of the training that is done; the same in all processes."""
        done = self.step / self.config.steps
        if self.limit:
            done = max(done, self.seconds / self.limit)
            if self.world > 1:
                shared = torch.tensor(done, device=self.device)
                dist.broadcast(shared, 0)
                done = float(shared)
        return done

    def _learn(self) -> None:
        self.network.train()
        if self.done >= NORMS_SETTLE:
            for name, norm in self.norms.items():
                norm.eval()
                assert norm.running_mean is not None and norm.running_var is not None
                norm.running_mean.copy_(self.ema[f"{name}.running_mean"])
                norm.running_var.copy_(self.ema[f"{name}.running_var"])

    def _rate(self) -> float:
        warm = min(1.0, (self.step + 1) / max(1, self.config.warmup))
        return self.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(self.done, 1.0))))

    def train_step(self) -> dict[str, torch.Tensor]:
        """One step of the optimizer; returns the parts of the loss, which are looked at later."""
        batch: Any = self.feed(self.step).to(self.device)
        self._learn()
        rate = self._rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        half = self.half and self.done < self.config.half_share
        with torch.autocast(self.device.type, torch.bfloat16) if half else nullcontext():
            random = np.random.default_rng([self.seed, self.step, 0, 1])  # the same in all processes
            out = self.trained(*batch.given)
            parts = self.objective(out, batch, random)
            loss = torch.stack(list(parts.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimizer.step()
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            state = self.network.state_dict()
            floats = [name for name, value in state.items() if value.is_floating_point()]
            torch._foreach_lerp_([self.ema[name] for name in floats], [state[name] for name in floats], 1 - decay)
            for name in state.keys() - set(floats):
                self.ema[name].copy_(state[name])
        told = {name: part.detach() for name, part in parts.items()}
        if self.adversary is not None:
            with torch.autocast(self.device.type, torch.bfloat16) if half else nullcontext():
                told[ACCURACY] = self.adversary.learn(out[0], batch, rate)
        self.unseen.append((self.step, {LOSS: loss.detach(), NORM: norm, **told}))
        self.step += 1
        if len(self.unseen) >= LOOK:
            self.look()
        return told

    def look(self) -> None:
        """Enters the losses of the last steps into the journal; refuses to go on where one was no number."""
        if not self.unseen:
            return
        values = torch.stack([torch.stack([v.float() for v in found.values()]) for _, found in self.unseen]).tolist()
        steps, names = [step for step, _ in self.unseen], list(self.unseen[0][1])
        self.unseen = []
        for step, row in zip(steps, values):
            found = dict(zip(names, row))
            if not (math.isfinite(found.pop(LOSS)) and math.isfinite(found.pop(NORM))):
                raise RefusalError(
                    f"The training stopped because the loss was no number any more at step {step}; the last good "
                    f"checkpoint, if one was due, is in {self.folder}. Lower learning_rate and go on with --resume."
                )
            if self.rank == 0:
                self.journal.add(found)

    def save(self) -> None:
        """Writes checkpoint, CSV file and curve."""
        self.look()
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "network": self.network.state_dict(),
            "ema": self.ema,
            "optimizer": self.optimizer.state_dict(),
            "adversary": self.adversary.state() if self.adversary else {},
            "journal": self.journal.state(),
            "hardware": self._hardware(),
        }
        checkpoints.write_checkpoint(self.folder, state)
        self.journal.write()

    def _hardware(self) -> str:
        several = f", {self.world} processes" if self.world > 1 else ""
        alone = ", each with batch statistics of its own" if several and self.norms else ""
        return export.hardware(self.device) + several + alone

    def load(self) -> None:
        """Restores the state of the checkpoint."""
        state = checkpoints.read_checkpoint(self.folder)
        try:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.ema = {name: state["ema"][name].to(self.device).view_as(value) for name, value in self.ema.items()}
            if self.adversary is not None:
                self.adversary.restore(state["adversary"])
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
            self.journal.restore(state["journal"])
        except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise RefusalError(
                f"The checkpoint in {self.folder} is of another training than the config's; train again without "
                "--resume."
            ) from error


def has_fast_half(device: torch.device) -> bool:
    """Whether bfloat16 is worth it: on CUDA, and on a CPU with instructions for it."""
    if device.type != "cpu":
        return device.type == "cuda"
    return trials.bfloat16_gains()
