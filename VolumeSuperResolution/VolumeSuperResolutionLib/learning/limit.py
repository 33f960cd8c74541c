"""When learning ends. Without torch: a forecast needs it."""

from __future__ import annotations

from typing import NamedTuple

from ..engine.readers import AUTO
from ..engine.request import Request

# Without a limit of one's own: at most so long.
MOST_SECONDS = 600.0


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
