"""A signal in plain Python: a Python QObject subclass with a qt.Signal crashes Slicer at exit."""

from __future__ import annotations

from typing import Any, Callable


class Signal:
    """Calls every connected function, in the order of connection."""

    def __init__(self) -> None:
        self._slots: list[Callable[..., Any]] = []

    def connect(self, slot: Callable[..., Any]) -> None:
        """Have `slot` called at each emit; connecting it again changes nothing."""
        if slot not in self._slots:
            self._slots.append(slot)

    def disconnect(self, slot: Callable[..., Any]) -> None:
        """Stop calling `slot`; one that was never connected is no error."""
        if slot in self._slots:
            self._slots.remove(slot)

    def emit(self, *args: Any) -> None:
        """Call all slots. One that raises does not keep the others from being called; the first error is raised."""
        errors = []
        for slot in list(self._slots):
            try:
                slot(*args)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
