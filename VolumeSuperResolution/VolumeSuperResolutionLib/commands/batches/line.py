"""One line for a whole batch: how far it is, what failed, how long it will take."""

from __future__ import annotations

import sys
import time

from .finding import Scan

WIDTH = 30
REDRAW_SECONDS = 0.2


class Line:
    """Draws itself on standard error where that is a terminal."""

    def __init__(self, total: int, hidden: bool = False) -> None:
        self._hidden = hidden or sys.stderr is None or not sys.stderr.isatty()
        self._total, self._ended, self._failed = total, 0, 0
        self._parts: dict[str, float] = {}
        self._started, self._drawn = time.monotonic(), 0.0

    def part(self, scan: Scan, part: float) -> None:
        """So much of a scan is done."""
        self._parts[scan.name] = part
        if time.monotonic() - self._drawn > REDRAW_SECONDS:
            self.draw()

    def ended(self, scan: Scan, failed: bool) -> None:
        """A scan is done, or will not be."""
        self._parts.pop(scan.name, None)
        self._ended += 1
        self._failed += failed
        self.draw()

    def hide(self) -> None:
        """Make room for what is told."""
        if not self._hidden:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def draw(self) -> None:
        """The line as it is now."""
        if not self._hidden:
            self._drawn = time.monotonic()
            print(f"\r{self.text(self._drawn - self._started)}\033[K", end="", file=sys.stderr, flush=True)

    def text(self, seconds: float) -> str:
        """What it says after so many seconds."""
        done = self._ended + sum(self._parts.values())
        filled = "=" * int(WIDTH * done / self._total) if self._total else ""
        failed = f", {self._failed} failed" if self._failed else ""
        left = f", {duration(seconds * (self._total - done) / done)} left" if done else ""
        return f"[{filled:{WIDTH}}] {self._ended} of {self._total}{failed}{left}"


def duration(seconds: float) -> str:
    """ "40 s", "12 min" or "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
