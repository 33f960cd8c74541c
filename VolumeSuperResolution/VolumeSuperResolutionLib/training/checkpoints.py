"""The file from which a training run can be resumed."""

from __future__ import annotations

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
    state = torch.load(path, map_location=device, weights_only=True)
    if state.get("version") != VERSION:
        raise RefusalError(f"{path} was written by another version; train again without --resume.")
    return state
