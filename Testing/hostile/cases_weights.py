"""Weights are used only when every byte of them is as it should be, and give numbers"""

from __future__ import annotations

import struct

import numpy as np
from VolumeSuperResolutionLib.engine.models import zoo

from hostile.cases_cards import MINE
from hostile.language import DONE, Case
from hostile.makers_models import (
    put,
    sound,
    special,
    with_entry,
    with_header,
    with_tensors,
    with_values,
    with_weights,
)


def first(values: dict, change) -> dict:
    """The tensors, of which the first by name is changed."""
    name = min(values)
    return {**values, name: change(values[name])}


def in_bytes(scale):
    """A tensor of several channels as whole numbers, with this as its scale."""

    def change(values: dict) -> dict:
        name = max(sorted(values), key=lambda n: (values[n].ndim, len(values[n])))
        scales = {} if scale is None else {f"{name}.scale": scale(values[name])}
        return {**values, name: np.ones(values[name].shape, np.int8), **scales}

    return with_tensors(change)


def tampered(change):
    """Weights that their card does not fit."""
    return lambda folder: put(folder, data=change(sound()[1]))


UNFIT_WEIGHTS = {
    "missing": (lambda folder: (put(folder) / zoo.WEIGHTS_FILE).unlink(), "missing"),
    "a fifo": (special("fifo", zoo.WEIGHTS_FILE), "wrong size"),
    "a device": (special("device", zoo.WEIGHTS_FILE), "wrong size"),
    "a folder": (special("folder", zoo.WEIGHTS_FILE), "wrong size|cannot be read"),
    "a link to itself": (special("loop", zoo.WEIGHTS_FILE), "cannot be read"),
    "empty": (tampered(lambda data: b""), "wrong size"),
    "cut short": (tampered(lambda data: data[:-1]), "wrong size"),
    "longer": (tampered(lambda data: data + b"\0"), "wrong size"),
    "one bit": (tampered(lambda data: data[:-1] + bytes([data[-1] ^ 1])), "checksum"),
    "a checksum of no digits": (with_values(weights={"bytes": len(sound()[1]), "sha256": "z" * 64}), "checksum"),
    "nine bytes": (with_weights(bytes(9)), "header that cannot be read"),
    "a header beyond the file": (with_weights(lambda data: struct.pack("<Q", 2**62) + data[8:]), "cut off"),
    "a header that is no JSON": (with_weights(struct.pack("<Q", 4) + b"nope"), "header that cannot be read"),
    "a header nested deeply": (with_weights(struct.pack("<Q", 90_000) + b"[" * 90_000), "header that cannot be read"),
    "a header that is a list": (with_header(lambda header: [1]), "lists no tensors"),
    "a header of nothing": (with_header(lambda header: {"__metadata__": {}}), "bytes that belong to no tensor"),
    "a tensor that is a number": (with_header(lambda header: {"a": 7}), "not described"),
    "doubles": (with_entry(dtype="F64"), "none of F32, F16, I8"),
    "an unknown type": (with_entry(dtype="Q99"), "none of F32"),
    "a type that is a list": (with_entry(dtype=["F32"]), "none of F32"),
    "no type": (with_entry(dtype=...), "none of F32"),
    "no shape": (with_entry(shape=...), "impossible shape"),
    "a shape below zero": (with_entry(shape=[-1]), "impossible shape"),
    "a shape of halves": (with_entry(shape=[0.5, 4]), "impossible shape"),
    "a shape that is true": (with_entry(shape=[True]), "impossible shape"),
    "a shape of many axes": (with_entry(shape=[1] * 99), "impossible shape"),
    "a shape beyond memory": (with_entry(shape=[2**62, 2**62]), "shape and place disagree"),
    "a shape of nothing times everything": (with_entry(shape=[0, 2**62], data_offsets=[0, 0]), "disagree"),
    "a place left out": (with_entry(data_offsets=...), "outside the file"),
    "a place beyond the file": (with_entry(data_offsets=[0, 10**12]), "outside the file"),
    "a place upside down": (with_entry(data_offsets=[8, 0]), "outside the file"),
    "a place below zero": (with_entry(data_offsets=[-8, 0]), "outside the file"),
    "a place in words": (with_entry(data_offsets=["0", "8"]), "outside the file"),
    "tensors that overlap": (with_header(lambda h: {**h, "twice": dict(next(iter(h.values())))}), "overlap"),
    "bytes of nobody": (with_header(lambda h: h, b"\0" * 8), "bytes that belong to no tensor"),
    "a tensor too few": (with_tensors(lambda v: {n: v[n] for n in sorted(v)[1:]}), "does not fit the network"),
    "a tensor too many": (
        with_tensors(lambda v: {**v, "\x1b[31mx": np.ones(3, np.float32)}),
        "does not fit the network",
    ),
    "another shape": (with_tensors(lambda v: first(v, lambda t: t[None])), "shape of"),
    "no number": (with_tensors(lambda v: first(v, lambda t: t * np.nan)), "not numbers"),
    "infinity": (with_tensors(lambda v: first(v, lambda t: t + np.inf)), "not numbers"),
    "numbers whose sums are none": (
        with_tensors(lambda v: {n: np.full_like(t, 3e38) for n, t in v.items()}),
        "would hold values that are not numbers",
    ),
    "whole numbers without a scale": (in_bytes(None), "without a fitting scale"),
    "whole numbers with half a scale": (in_bytes(lambda t: np.ones(1, np.float32)), "without a fitting scale"),
    "whole numbers with an endless scale": (in_bytes(lambda t: np.full(len(t), np.inf, np.float32)), "not numbers"),
}
CASES = [
    *(Case(name, make, MINE, says=says) for name, (make, says) in UNFIT_WEIGHTS.items()),
    Case(
        "no number at all in a batch of two",
        UNFIT_WEIGHTS["no number"][0],
        "batch . out --model mine --scale 2",
        says="not numbers",
    ),
    Case(
        "sound in half the bits",
        with_tensors(lambda v: {n: t.astype(np.float16) for n, t in v.items()}),
        MINE,
        DONE,
        leaves=("out.nrrd",),
    ),
    Case("sound in a quarter", in_bytes(lambda t: np.ones(len(t), np.float32)), MINE, DONE, leaves=("out.nrrd",)),
]
