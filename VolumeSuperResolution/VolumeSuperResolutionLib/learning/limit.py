"""When learning ends. Without torch: a forecast needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..engine.readers import AUTO
from ..engine.request import Request

# Without a limit of one's own: at most so long, and at least so long.
MOST_SECONDS, LEAST_SECONDS = 600.0, 60.0
# It gets no better where the last part of the time gained less than so many decibels, measured so many times.
LAST_PART, LEAST_GAIN, LEAST_MEASURED = 0.3, 0.05, 2


class Limit(NamedTuple):
    """After so many steps or seconds; with neither, when it gets no better."""

    steps: int | None = None
    seconds: float | None = None


def limit_of(request: Request) -> Limit:
    """What a request that learns asks for."""
    if request.learn_steps is not None:
        return Limit(steps=request.learn_steps)
    return Limit() if request.learn == AUTO else Limit(seconds=60 * float(request.learn or 0))


def most_seconds(request: Request) -> float:
    """How long a request learns at the most; 0 where that is not known, or it does not learn."""
    if not request.learns or request.learn_steps is not None:
        return 0.0
    return limit_of(request).seconds or MOST_SECONDS


def settled(history: Sequence[tuple[float, float]], seconds: float) -> bool:
    """Whether it has stopped getting better, by what it gained (seconds, decibels) in these seconds."""
    since = (1 - LAST_PART) * seconds
    before = [gain for when, gain in history if when < since]
    after = [gain for when, gain in history if when >= since]
    if seconds < LEAST_SECONDS or not before or len(after) < LEAST_MEASURED:
        return False
    return max(after) < max(before) + LEAST_GAIN
