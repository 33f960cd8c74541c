"""What a value of a JSON file may be: each check gives it in its final form, or says what is wrong with it."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from pathlib import Path
from typing import Any, Callable, NoReturn

from ..errors import plain

# Raises ValueError with words that go on after the name of the value: "is 17, but has to be ...".
Check = Callable[[Any], Any]

MOST_BYTES = 4 * 2**20


def entry(means: str, check: Check, **default: Any) -> Any:
    """A field of a dataclass that says what it means and what it may hold."""
    return field(metadata={"means": means, "check": check}, **default)


def checks_of(kind: type) -> dict[str, Check]:
    """The checks of a dataclass's fields, by their names."""
    return {f.name: f.metadata["check"] for f in fields(kind) if f.metadata}


def whole(low: int, high: int) -> Check:
    """A whole number within bounds."""

    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            _wrong(value, f"a whole number from {low} to {high}")
        return value

    return check


def number(low: float, high: float) -> Check:
    """A finite number within bounds."""

    def check(value: Any) -> float:
        # A NaN is not between any bounds.
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
            _wrong(value, f"a number from {low:g} to {high:g}")
        return value

    return check


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        _wrong(value, "true or false")
    return value


def text(least: int = 0, most: int = 10_000) -> Check:
    """Characters that can be shown; what a terminal would act on is taken out."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not least <= len(plain(value).strip()) <= most:
            _wrong(value, f"a text of {least} to {most} characters")
        return plain(value)

    return check


def name(value: Any) -> str:
    """A text that can be the name of a folder."""
    found = text(1, 200)(value)
    if set(found) & set('/\\"') or found.strip(". ") == "":
        _wrong(value, "a name without slashes and quotes")
    return found


def one_of(*names: str) -> Check:
    """One of a few names."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            _wrong(value, "one of " + ", ".join(names))
        return value

    return check


def several(check: Check, least: int = 0, most: int = 1000) -> Check:
    """A list of values of one kind, as a tuple."""

    def checked(values: Any) -> tuple:
        if not isinstance(values, (list, tuple)) or not least <= len(values) <= most:
            _wrong(values, f"a list of {least} to {most} values" if least != most else f"a list of {most} values")
        return tuple(check(value) for value in values)

    return checked


def table(check: Check, most: int = 1000) -> Check:
    """Values of one kind by name."""

    def checked(values: Any) -> dict[str, Any]:
        if not isinstance(values, Mapping) or len(values) > most:
            _wrong(values, "a table of values by name")
        return {text(1, 200)(key): _within(key, check, value) for key, value in values.items()}

    return checked


def record(checks: Mapping[str, Check], needed: Sequence[str] = ()) -> Check:
    """A table of which every value has a name and a kind of its own; what it does not know is left as it is."""

    def checked(values: Any) -> dict[str, Any]:
        if not isinstance(values, Mapping):
            _wrong(values, "a table of values by name")
        missing = [key for key in needed if key not in values]
        if missing:
            raise ValueError(f"has no {missing[0]}")
        return {text(1, 200)(key): _within(key, checks.get(key, document), value) for key, value in values.items()}

    return checked


def document(value: Any) -> Any:
    """Anything that JSON can hold; lists stay lists."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, (list, tuple)):
        return [document(part) for part in value]
    if isinstance(value, Mapping):
        return {text()(key): document(part) for key, part in value.items()}
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _wrong(value, "plain JSON")


def read_json(path: Path) -> Any:
    """What a JSON file holds, read strictly: a regular file of a sane size, finite numbers, no name twice.

    Raises OSError or ValueError.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no regular file")
    if found.st_size > MOST_BYTES:
        raise ValueError(f"it has {found.st_size} bytes, more than the {MOST_BYTES} that are read")
    try:
        return json.loads(
            path.read_bytes().decode("utf-8-sig"),
            parse_constant=_finite,
            parse_float=_finite,
            object_pairs_hook=_without_repetition,
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("it is no text in UTF-8") from error


def _finite(digits: str) -> float:
    value = float(digits.replace("Infinity", "inf"))
    if not math.isfinite(value):
        raise ValueError(f"{digits} is no finite number")
    return value


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name stands twice in one table")
    return values


def _within(key: Any, check: Check, value: Any) -> Any:
    """The check, whose complaint names the place."""
    try:
        return check(value)
    except ValueError as error:
        raise ValueError(f"{plain(str(key))[:60]} {error}") from error


def _wrong(value: Any, wanted: str) -> NoReturn:
    shown = repr(value) if isinstance(value, (str, int, float, type(None))) else f"a {type(value).__name__}"
    shown = plain(shown) if len(shown) <= 60 else plain(shown)[:57] + "..."
    raise ValueError(f"is {shown}, but has to be {wanted}")
