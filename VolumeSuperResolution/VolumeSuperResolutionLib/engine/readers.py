"""Options as values: each reads a text, and what is wrong with it is a ValueError whose words go on after its name."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from .volumes.grid import Region, Triple

AUTO = "auto"


class Option(NamedTuple):
    """What a user has to know of a field: in `vsr --help`, and in the README's table.

    `example` stands for the value; `parse` reads it from text, and is not needed where there are `choices`. Where it
    cannot, the words of its ValueError go on after the value.
    """

    help: str
    example: str = ""
    parse: Callable[[str], Any] | None = None
    choices: tuple[str, ...] = ()
    # Of the targets exactly one is to be given.
    target: bool = False


def read_number(text: str) -> float:
    """ "0.5" as a number."""
    try:
        return float(text)
    except ValueError:
        raise ValueError("is no number") from None


def read_whole(text: str) -> int:
    """ "3" as a whole number."""
    try:
        return int(text)
    except ValueError:
        raise ValueError("is no whole number") from None


def read_triple(text: str) -> Triple:
    """ "2" or "1,1,4" as three numbers."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError("is no number, nor three of them with commas between") from None
    if len(values) not in (1, 3):
        raise ValueError("has neither one number nor three")
    return tuple(values * 3 if len(values) == 1 else values)  # type: ignore[return-value]


def read_numbers(text: str) -> tuple[float, ...]:
    """ "4" or "4,4,3" as numbers."""
    return tuple(read_number(part) for part in text.split(","))


def read_region(text: str) -> Region:
    """ "0:10,0:20,5:15" as three pairs of bounds."""
    try:
        bounds = [tuple(int(n) for n in part.split(":")) for part in text.split(",")]
    except ValueError:
        bounds = []
    if len(bounds) != 3 or any(len(pair) != 2 for pair in bounds):
        raise ValueError("is not three pairs of whole numbers")
    return tuple(bounds)  # type: ignore[return-value]


def read_slices(text: str) -> tuple[tuple[int, int], ...]:
    """ "2:5,3:0" as pairs of whole numbers."""
    try:
        pairs = [tuple(int(n) for n in part.split(":")) for part in text.split(",")]
    except ValueError:
        pairs = [()]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("does not name slices as SCAN:SLICE")
    return tuple(pairs)  # type: ignore[arg-type]


def read_percent(text: str) -> float:
    """ "1.5" or "1.5%" as a number."""
    return read_number(text.strip().rstrip("%"))


def read_answer(text: str) -> bool | None:
    """ "yes", "no", or "auto", which leaves it open."""
    answers = {"auto": None, "yes": True, "no": False}
    if text.lower() not in answers:
        raise ValueError("is neither auto, yes nor no")
    return answers[text.lower()]


def read_minutes(text: str) -> float | str:
    """ "3" as a number, or "auto"."""
    if text.lower() == AUTO:
        return AUTO
    try:
        return float(text)
    except ValueError:
        raise ValueError("is neither auto nor a number") from None
