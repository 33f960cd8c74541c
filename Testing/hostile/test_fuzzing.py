"""Cards and weights with bytes flipped: whatever they say then, it ends in a model or in a refusal, soon and small."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.models import weights, zoo
from VolumeSuperResolutionLib.engine.streaming import memory

from hostile.makers_models import put, sound

FEW = settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
EXCERPTS = ("0", "1e9", "-1", "null", "true", '""', "[]", "{}", "[[[[", "1e400", "NaN", "\\ud800", "\x1b[2J")
MOST_BYTES = 2 * 2**30
PAGES = Path("/proc/self/statm")


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes of which some are flipped, left out, or replaced with what means something in JSON."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(changed) - 1))
        kind = draw(st.sampled_from(["flip", "cut", "put", "end"]))
        if kind == "flip":
            changed[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del changed[place : place + draw(st.integers(1, 40))]
        elif kind == "put":
            changed[place : place + 1] = draw(st.sampled_from(EXCERPTS)).encode()
        else:
            del changed[place + 1 :]
        if not changed:
            break
    return bytes(changed)


@contextmanager
def asking_for_at_most(size: int) -> Iterator[None]:
    """Within, memory of more than that, even if it is never touched, is not to be had (on Linux)."""
    if not PAGES.exists():
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    held = int(PAGES.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(not PAGES.exists(), reason="only Linux tells how much was asked for")
def test_the_limit_holds():
    with asking_for_at_most(MOST_BYTES):
        np.empty(MOST_BYTES // 2, np.uint8)
        with pytest.raises(MemoryError):
            np.empty(2 * MOST_BYTES, np.uint8)
    np.empty(2 * MOST_BYTES, np.uint8)


def loads_or_refuses(text: bytes, data: bytes) -> None:
    """Nothing but RefusalError may come out, and what is loaded holds numbers only."""
    memory.forget_peak()
    before = memory.resident_bytes()
    with TemporaryDirectory() as folder, suppress(RefusalError), asking_for_at_most(MOST_BYTES):
        path = put(Path(folder), text, data)
        for network in zoo.load(zoo.read_card(path / zoo.CARD_FILE)):
            assert all(np.isfinite(tensor.numpy()).all() for tensor in network.state_dict().values())
    assert memory.peak_bytes() - before < MOST_BYTES


@FEW
@given(damaged(json.dumps(sound()[0]).encode()))
def test_a_damaged_card_is_read_or_refused(text):
    loads_or_refuses(text, sound()[1])


@FEW
@given(damaged(sound()[1]))
def test_damaged_weights_are_loaded_or_refused_even_when_their_card_fits_them(data):
    described = {"bytes": len(data), "sha256": weights.sha256(data)}
    loads_or_refuses(json.dumps({**sound()[0], "weights": described}).encode(), data)


@FEW
@given(st.integers(0, 8 + int.from_bytes(sound()[1][:8], "little") - 1), st.binary(min_size=1, max_size=3))
def test_another_header_is_read_or_refused(place, put_there):
    """Where a header is damaged most is told by the numbers in it."""
    data = bytearray(sound()[1])
    data[place : place + len(put_there)] = put_there
    described = {"bytes": len(data), "sha256": weights.sha256(bytes(data))}
    loads_or_refuses(json.dumps({**sound()[0], "weights": described}).encode(), bytes(data))
