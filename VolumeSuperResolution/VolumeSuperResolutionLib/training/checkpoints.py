"""The file from which a training run can be resumed."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..engine.errors import RefusalError

CHECKPOINT_FILE = "checkpoint.pt"
VERSION = 1


def write_checkpoint(folder: Path, state: Mapping[str, Any]) -> None:
    """Replaces the folder's checkpoint atomically: there is always a complete one."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{CHECKPOINT_FILE}.partial"
    torch.save({"version": VERSION, **state}, partial)
    partial.replace(folder / CHECKPOINT_FILE)


def has_checkpoint(folder: Path) -> bool:
    """Whether there is a checkpoint to resume from."""
    return (folder / CHECKPOINT_FILE).is_file()


def read_checkpoint(folder: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """A checkpoint's plain values and tensors; no code in it is executed."""
    path = folder / CHECKPOINT_FILE
    damaged = RefusalError(f"{path} is damaged; delete it, or train again without --resume.")
    try:
        _check_container(path)
        state = torch.load(path, map_location=device, weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever damaged bytes lead to
        raise damaged from error
    if not isinstance(state, dict):
        raise damaged
    if state.get("version") != VERSION:
        raise RefusalError(f"{path} was written by another version; train again without --resume.")
    return state


def _check_container(path: Path) -> None:
    """Only what torch.save writes today: older kinds of files, and TorchScript, are read by code that trusts them."""
    with zipfile.ZipFile(path) as file:
        parts = file.infolist()
        if any(part.compress_type != zipfile.ZIP_STORED or part.filename.endswith("constants.pkl") for part in parts):
            raise ValueError("it is no checkpoint")
