"""Scans that take no time, and what is compared of a folder of results."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from VolumeSuperResolutionLib.commands.batches import manifest
from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

LINEAR = ("--model", "linear", "--scale", "2", "--quiet")


def scan(path: Path, seed: int = 0, size: int = 8) -> Path:
    """A volume of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).integers(0, 1000, (size,) * 3).astype(np.int16)
    files.write(Volume(array, Grid((size,) * 3)), path)
    return path


def scans(folder: Path, count: int) -> Path:
    """A folder with so many."""
    for number in range(count):
        scan(folder / f"{number:02d}.nrrd", number)
    return folder


def records(folder: Path) -> list[dict]:
    """The lines of the manifest."""
    path = folder / manifest.FILE
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def done(folder: Path) -> list[str]:
    """The scans that the manifest says are done, as often as it says so."""
    return sorted(record["scan"] for record in records(folder) if record["status"] == "done")


def results(folder: Path) -> dict[str, str]:
    """All other files in a folder and their checksums."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != manifest.FILE]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}
