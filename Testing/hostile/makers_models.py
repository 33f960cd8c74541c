"""Makers of models: small sound ones, and what can be wrong with their cards and weights."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from safetensors.numpy import load, save
from sample_models import interval_table, model, tensors_of
from VolumeSuperResolutionLib.engine.models import weights, zoo

from hostile.language import MODELS
from hostile.makers import scan

STAGES = (zoo.Stage("edsr3d", {"factor": 2, "features": 2, "blocks": 1}),)
Maker = Callable[[Path], object]


@lru_cache(maxsize=1)
def sound() -> tuple[dict[str, Any], bytes]:
    """What the card and the weights' file of a small model hold."""
    with TemporaryDirectory() as folder:
        card = model(Path(folder) / "mine", save(tensors_of(STAGES)), STAGES)
        return card.to_dict(), (card.folder / zoo.WEIGHTS_FILE).read_bytes()


def put(folder: Path, text: str | bytes | None = None, data: bytes | None = None, name: str = "mine") -> Path:
    """A scan, and a model of these bytes; sound where none are given."""
    values, good = sound()
    if not (folder / "scan.nrrd").exists():
        scan(folder)
    place = folder / MODELS / name
    place.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**values, "id": name}) if text is None else text
    (place / zoo.CARD_FILE).write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    (place / zoo.WEIGHTS_FILE).write_bytes(good if data is None else data)
    return place


def with_text(text: str | bytes) -> Maker:
    """A model whose card is this text."""
    return lambda folder: put(folder, text)


def with_values(**changes: Any) -> Maker:
    """A model in whose card these values are others; `...` takes one out."""

    def make(folder: Path) -> None:
        values = {**sound()[0], **changes}
        put(folder, json.dumps({name: value for name, value in values.items() if value is not ...}))

    return make


def with_intervals(**changes: Any) -> Maker:
    """A model that says within what the truth lies; `changes` are the table's."""
    return with_values(intervals=[{**vars(interval_table()), **changes}])


def with_stage(**changes: Any) -> Maker:
    """A model whose one stage is another."""
    return with_values(stages=[{**vars(STAGES[0]), **changes}])


def with_weights(data: bytes | Callable[[bytes], bytes]) -> Maker:
    """A model with other weights, which its card fits."""

    def make(folder: Path) -> None:
        changed = data if isinstance(data, bytes) else data(sound()[1])
        described = {"bytes": len(changed), "sha256": weights.sha256(changed)}
        put(folder, json.dumps({**sound()[0], "weights": described}), changed)

    return make


def with_tensors(change: Callable[[dict[str, np.ndarray]], Mapping[str, np.ndarray]]) -> Maker:
    """A model with other tensors."""
    return with_weights(lambda good: save(dict(change(load(good)))))


def with_header(change: Callable[[dict[str, Any]], Any], tail: bytes = b"") -> Maker:
    """A model whose weights have another header over the same numbers."""

    def changed(good: bytes) -> bytes:
        length = int.from_bytes(good[:8], "little")
        header = json.loads(good[8 : 8 + length])
        text = json.dumps(change(header) or header).encode()
        return struct.pack("<Q", len(text)) + text + good[8 + length :] + tail

    return with_weights(changed)


def with_entry(**changes: Any) -> Maker:
    """A model in whose weights' header the first tensor is described otherwise; `...` takes a word out."""

    def change(header: dict[str, Any]) -> None:
        first = min(header, key=lambda name: header[name]["data_offsets"])
        values = {**header[first], **changes}
        header[first] = {name: value for name, value in values.items() if value is not ...}

    return with_header(change)


def special(kind: str, file: str = zoo.CARD_FILE) -> Maker:
    """A model of which a file is something else than a regular one."""

    def make(folder: Path) -> None:
        path = put(folder) / file
        path.unlink()
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            path.symlink_to(path if kind == "loop" else folder / "nowhere")

    return make


def pair(folder: Path, **changes: Any) -> None:
    """A model for looks and its faithful partner."""
    put(folder, name="faithful")
    put(folder, json.dumps({**sound()[0], "partner": "faithful", **changes}))
