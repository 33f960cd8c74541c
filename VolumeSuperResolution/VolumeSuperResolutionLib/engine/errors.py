"""The two ways a run ends without a result, and what a sentence for the user is like."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

# Sequences by which a text could move the cursor of a terminal, change its colors or its title.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")


class RefusalError(ValueError):
    """What was asked cannot be done. The message is one sentence for the user: what is wrong, and what to do."""


class NotFiniteError(RefusalError):
    """The result would hold values that are not numbers."""


class CancelledError(Exception):
    """The caller's cancel() answered True; nothing was produced."""


def plain(text: str) -> str:
    """A text from outside on one line, without anything that a terminal would act on."""
    if text.isprintable():
        return text
    text = "".join(" " if c in "\n\r\t\u2028\u2029" else c for c in _ESCAPES.sub("", text))
    return "".join(c for c in text if unicodedata.category(c)[0] != "C")


@contextmanager
def about(name: str) -> Iterator[None]:
    """What is refused within names the file it is about."""
    try:
        yield
    except RefusalError as refusal:
        raise RefusalError(str(refusal) if name in str(refusal) else f"{name}: {refusal}") from refusal
