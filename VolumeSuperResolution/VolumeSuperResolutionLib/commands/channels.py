"""The standard channels as the commands use them: closed, broken or in ASCII, they end nothing but themselves."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..engine.errors import plain

# What stands for characters that a terminal may not have.
_IN_ASCII = {"±": "+-", "×": "x", "–": "-", "—": "-", "³": "3", "’": "'", "…": "..."}
_HANDLER = "vsr.plain"


def say(sentence: str, lines: bool = False) -> None:
    """A sentence for the user on the error channel, if there is one; `lines`: as it is, as a traceback."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(sentence if lines else f"vsr: {plain(sentence)}", file=sys.stderr, flush=True)


@contextmanager
def guarded() -> Iterator[None]:
    """Within, no character is too much for the channels, and no file takes the place of one that is closed."""
    _fill()
    before = [(stream, stream.errors) for stream in (sys.stdout, sys.stderr) if hasattr(stream, "reconfigure")]
    for stream, _ in before:
        stream.reconfigure(errors=_HANDLER)
    try:
        yield
    finally:
        for stream, errors in before:
            with suppress(OSError, ValueError):
                stream.reconfigure(errors=errors)


def silence() -> None:
    """Let what is still to be written to the closed standard output go nowhere."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _fill() -> None:
    """Open what is closed of channels 0 to 2: else the next file that is opened gets what libraries print."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)


def _without_error(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    said = "".join(_IN_ASCII.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text)
    return said, error.end


codecs.register_error(_HANDLER, _without_error)
