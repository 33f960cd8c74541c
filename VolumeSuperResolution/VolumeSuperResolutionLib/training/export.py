"""From checkpoints to a model that can be shipped: weights.safetensors, and a card that says what they come from."""

from __future__ import annotations

import csv
import os
import platform
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..engine import improving
from ..engine.models import domain, weights, zoo
from ..engine.networks.combined import USUAL
from ..engine.upscale import Request, upscale
from ..engine.volumes.grid import Grid, Volume
from . import material, precision
from .checkpoints import read_checkpoint
from .configs import Config
from .journal import CURVE_FILE
from .patches import Scan

INDEX_FILE = "INDEX.tsv"
SPEED_SIZE = 64


def export(
    config: Config,
    folders: Sequence[Path],
    tensors: Sequence[Mapping[str, np.ndarray]],
    output: Path,
    scans: Sequence[Scan],
    start_from: str | None = None,
    held_out: Sequence[Scan] = (),
) -> zoo.Card:
    """Writes weights and card to `output`, reads the model back, and runs it, on crops of `held_out` in each precision.

    For each stage, `folders` has the checkpoint and `tensors` what is to be stored. A fine-tuned model takes the name
    of its folder as its id.
    """
    states = [read_checkpoint(folder) for folder in folders]
    networks = [stage.build() for stage in config.stages]
    named = {f"{n}.{name}": array for n, stage in enumerate(tensors) for name, array in stage.items()}
    data = weights.safetensors(named)
    output.mkdir(parents=True, exist_ok=True)
    (output / zoo.WEIGHTS_FILE).write_bytes(data)
    if (folders[-1] / CURVE_FILE).is_file():
        shutil.copyfile(folders[-1] / CURVE_FILE, output / CURVE_FILE)
    learned = material.learned(config, scans)
    spacings = np.array([scan.spacing for scan in learned.scans])
    finest, coarsest = min(learned.factors), max(learned.factors)
    described: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in config.card.items()}
    card = zoo.Card(
        id=output.resolve().name if start_from else config.id,
        stages=tuple(zoo.Stage(stage.network, stage.arguments, stage.views, stage.turns) for stage in config.stages),
        parameters=sum(p.numel() for network in networks for p in network.parameters()),
        spacing_mm=(round(float(spacings.min() * finest), 3), round(float(spacings.max() * coarsest), 3)),
        noise=round(max(domain.noise_level(scan.array) for scan in learned.scans) + learned.noise, 4),
        modalities=tuple(sorted({scan.modality for scan in learned.scans}, reverse=True)),
        training={**_provenance(config, states, learned.scans), **(_beginning(start_from) if start_from else {})},
        degradation=learned.words,
        least_consistency=max(stage.consistency for stage in config.stages),
        weights={"bytes": len(data), "sha256": weights.sha256(data)},
        folder=output,
        **described,
    )
    card = replace(card, seconds_per_megavoxel=_speed(card))
    if held_out and not card.several:  # which is run in full precision
        crops = precision.crops([scan.array for scan in held_out], card.modalities)
        card = precision.told(card, precision.losses(card, crops))
    zoo.write_card(card)
    return card


def _provenance(config: Config, states: Sequence[Mapping[str, Any]], scans: Sequence[Scan]) -> dict[str, Any]:
    """The card's account of the training: data, duration, hardware, losses."""
    index = _index(scans)
    return {
        "volumes": {m: sum(scan.modality == m for scan in scans) for m in sorted({scan.modality for scan in scans})},
        "licenses": sorted({entry["licence"] for entry in index.values()}),
        "sources": sorted({entry["source"] for entry in index.values()}),
        "files": [scan.name for scan in scans],
        "steps": [state["step"] for state in states],
        "minutes": [round(state["seconds"] / 60, 1) for state in states],
        "hardware": [state["hardware"] for state in states],
        "losses": [dict(stage.losses) for stage in config.stages],
        "optimizers": [stage.optimizer for stage in config.stages],
        "consistency_in_training": [stage.consistency for stage in config.stages],
        "patches": [f"{stage.batch} of {' x '.join(map(str, stage.patch))} voxels a step" for stage in config.stages],
    }


def _beginning(start_from: str) -> dict[str, Any]:
    """How the model that this one was initialized from had been trained."""
    card = zoo.card(start_from)
    told = ("steps", "minutes", "losses", "optimizers", "consistency_in_training", "patches", "started_from")
    return {"started_from": {"id": card.id, **{name: card.training[name] for name in told if name in card.training}}}


def _index(scans: Sequence[Scan]) -> dict[str, dict[str, str]]:
    """What the table beside the training folder says about each file, where there is one."""
    for folder in {parent for scan in scans for parent in scan.path.parents[:2]}:
        if (folder / INDEX_FILE).is_file():
            with open(folder / INDEX_FILE, newline="", encoding="utf-8") as file:
                rows = {row["file"]: row for row in csv.DictReader(file, delimiter="\t")}
            return {scan.name: rows[scan.name] for scan in scans if scan.name in rows}
    return {}


def hardware(device: torch.device) -> str:
    """The processor in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), name)
    return f"{name}, {torch.get_num_threads()} thread(s)"


def _speed(card: zoo.Card) -> float:
    """Seconds for a million voxels on this machine's CPU, of a model just written."""
    zoo.write_card(card)
    values = np.random.default_rng(0).random((SPEED_SIZE,) * 3, np.float32)
    if card.several:
        started = time.perf_counter()
        improving.improve(card, np.array(USUAL), values, "cpu")
        return round((time.perf_counter() - started) * 1e6 / SPEED_SIZE**3, 3)
    grid = Grid((SPEED_SIZE,) * 3, (1.0,) * 3, (0.0,) * 3, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    i, j, k = map(float, card.typical)
    request = Request(model=str(card.folder), scale=(i, j, k), device="cpu", modality="MR")
    seconds = upscale(Volume(values, grid), request).report.seconds
    return round(seconds * 1e6 / SPEED_SIZE**3, 3)
