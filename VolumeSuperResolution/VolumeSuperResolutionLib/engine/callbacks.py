"""What passes through the rooms: callables, blocks that are read and written, where that is done, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Callable, Protocol, runtime_checkable

import numpy as np

from .errors import CancelledError

# (done, total)
Progress = Callable[[int, int], None]
# True as soon as the work should end.
Cancel = Callable[[], bool]
# Steps of the whole in which the progress of its parts is told.
STEPS = 10_000
# A part of an array, in its order of axes.
Block = tuple[slice, slice, slice]
ReadBlock = Callable[[Block], np.ndarray]
WriteBlock = Callable[[Block, np.ndarray], None]


def end_if(cancel: Cancel | None) -> None:
    """Raise CancelledError where the work should end."""
    if cancel is not None and cancel():
        raise CancelledError


def part(progress: Progress | None, start: float, end: float) -> Progress:
    """The progress of a part of the work, which is so far when that begins and when it ends (0 to 1)."""

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(round(STEPS * (start + (end - start) * done / total)), STEPS)

    return tell


class Convert(Protocol):
    """From what is computed to what is stored: for numpy's arrays by a call, for torch's in the steps that it names."""

    @property
    def narrow(self) -> str:
        """The name of the type where a device can do all of it; else nothing, and `typed` is done with numpy."""

    def __call__(self, values: np.ndarray) -> np.ndarray: ...

    def scaled(self, values: Any) -> Any:
        """In other units."""

    def check(self, finite: bool) -> None:
        """Refuse what is no number somewhere."""

    def held(self, values: Any) -> Any:
        """Rounded to what the narrow type can hold."""

    def typed(self, values: np.ndarray) -> np.ndarray:
        """What was scaled, in the final type."""


class Way(Protocol):
    """To a device and back."""

    def send(self, array: np.ndarray) -> Any:
        """The array there, in float32."""

    def fetch(self, block: Any, convert: Convert | None = None) -> Callable[[], np.ndarray]:
        """Starts to copy a block back, converted; the function returned waits for it."""


@runtime_checkable
class ReadThere(Protocol):
    """A ReadBlock that can make its block on a device, too."""

    def there(self, place: Way, region: Block) -> Any:
        """The block as an array of that device."""


class Place(Way, Protocol):
    """A device beside numpy's, on which volumes are worked on slab by slab as long as its memory allows."""

    # How large a slab may be.
    voxels: int
    # Whether memory ran out: numpy goes on.
    full: bool

    def gives_up(self, error: Exception) -> bool:
        """Whether an error says that memory ran out; nothing more is done there then."""

    def change(self, array: np.ndarray, work: Callable[[Any], None]) -> bool:
        """Lets `work` change an array in place there; False, and nothing changed, where memory ran out."""


class Step:
    """A part of a run, and how far an earlier process came with it: here not at all, and nothing of it is kept."""

    # Whether that finished it.
    done = False
    # Where it was, or what it had to tell at its end; plain values, ready for JSON.
    state: Mapping[str, Any] = {}

    def reached(self, where: Callable[[], Mapping[str, Any]]) -> None:
        """All that comes before a place is written; `where` tells it."""

    def tell(self, state: Mapping[str, Any]) -> None:
        """What whoever finds it done has to know."""


NOTHING_KEPT = Step()
# Each begins the next step of a run; left without an error, it is done.
Begin = Callable[[], AbstractContextManager[Step]]
