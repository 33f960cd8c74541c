"""A progress bar in the terminal, with the time that is left."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..learning.loop import Standing

WIDTH = 30


class Bar:
    """Called with (done, total); draws itself on standard error where that is a terminal."""

    def __init__(self, name: str, hidden: bool = False) -> None:
        self._name = name
        self._hidden = hidden or sys.stderr is None or not sys.stderr.isatty()
        self._started = time.monotonic()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._hidden:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def __call__(self, done: int, total: int) -> None:
        if self._hidden or not done:
            return
        left = (time.monotonic() - self._started) * (total - done) / done
        filled = "=" * (WIDTH * done // total)
        text = f"\r{self._name} [{filled:{WIDTH}}] {100 * done // total:3d}%, {left:.0f} s left\033[K"
        print(text, end="", file=sys.stderr, flush=True)

    def learning(self, standing: Standing) -> None:
        """Before the work that is counted: how long it has learned from the scan, and what that gains so far."""
        self._started = time.monotonic()
        if self._hidden:
            return
        minutes, seconds = divmod(int(standing.seconds), 60)
        gain = f"{standing.gain:+.1f} dB on what was held out"
        text = f"\r{self._name} learning {minutes}:{seconds:02d}, {gain}\033[K"
        print(text, end="", file=sys.stderr, flush=True)
