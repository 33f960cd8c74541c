"""One run of a model's plan: what it computes with, whom it tells, and the account of what was done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from ..callbacks import NOTHING_KEPT, Begin, Cancel, Convert, Progress, ReadBlock, WriteBlock
from ..physics import separable

if TYPE_CHECKING:
    from ..networks import Network
    from ..streaming import inference
    from ..streaming.place import Place

Shape = tuple[int, int, int]


@dataclass
class Run:
    """One run of a plan: what it computes with, whom it tells, and what was done."""

    device: str = "auto"
    precision: str = "auto"
    memory: int | None = None
    precisions: tuple[str, ...] = ()
    progress: Progress | None = None
    cancel: Cancel | None = None
    passes: float = 1
    finished: float = 0
    accounts: list[inference.Account] = field(default_factory=list)
    # Room for what is held on the way, as np.empty.
    empty: Callable[..., np.ndarray] = np.empty
    # Where an array goes that is changed: into itself, or another where a later process may need it as it was.
    another: Callable[[np.ndarray], np.ndarray] = lambda array: array
    # Begins whatever changes an array of `empty`, in the order in which it is done.
    begin: Begin = lambda: nullcontext(NOTHING_KEPT)
    # The networks as they were made ready to run, for the next time.
    streams: inference.Streams = field(default_factory=dict)
    # Where the networks ran, if that was not the CPU.
    device_of_networks: Place | None = None

    def apply(
        self,
        network: Network,
        read: ReadBlock,
        shape: Shape,
        write: WriteBlock,
        part: float = 1.0,
        convert: Convert | None = None,
        alone: bool = True,
    ) -> None:
        """One pass of a network (or `part` of one), written as `convert` makes it; a step of its own, if `alone`."""
        from ..streaming import inference, windows  # bring torch, which the interpolations do without
        from ..streaming.build import UnstreamableError

        compute = inference.Compute(self.device, self.precision, self.memory)
        with self.begin() if alone else nullcontext(NOTHING_KEPT) as kept:
            if kept.done:
                self.pass_done(kept.state)
                return
            with self.step(part) as tell:
                rest = compute, tell, self.cancel, self.precisions
                try:
                    account = inference.apply(network, read, shape, write, *rest, self.streams, convert, kept)
                except UnstreamableError as refusal:
                    account = windows.apply(network, read, shape, converting(write, convert), *rest, str(refusal))
            self.accounts.append(account)
            kept.tell(asdict(account))

    def changed(self, array: np.ndarray, change: Callable[[np.ndarray], None]) -> np.ndarray:
        """An array, or a copy where it has to stay as it was, after a change in place, which is a step."""
        result = self.another(array)
        with self.begin() as kept:
            if not kept.done:
                if result is not array:
                    whole: separable.Matrices = (None, None, None)
                    separable.apply(array, whole, result.__setitem__, cancel=self.cancel)
                change(result)
        return result

    def pass_done(self, account: Mapping[str, Any]) -> None:
        """One pass of a network was made by an earlier process, of which this is the account."""
        from ..streaming import inference

        self.accounts.append(inference.Account(**account))
        self.finished += 1

    def resample(
        self,
        array: np.ndarray,
        matrices: separable.Matrices,
        write: WriteBlock,
        progress: Progress | None = None,
        convert: Convert | None = None,
    ) -> None:
        """separable.apply as a step, where the last network ran."""
        everything = slice(None)
        with self.begin() as kept:
            if not kept.done:
                separable.apply(
                    array,
                    matrices,
                    lambda part, values: write((part, everything, everything), values),
                    progress,
                    self.cancel,
                    self.place(),
                    convert,
                    kept,
                )

    def place(self) -> Place | None:
        """Where the last network ran, for what is done behind it; None where that is the CPU."""
        device = self.accounts[-1].device if self.accounts else "cpu"
        if device == "cpu":
            return None
        if self.device_of_networks is None:
            from ..streaming.place import Place

            self.device_of_networks = Place(device)
        return self.device_of_networks

    def device_bytes(self) -> int:
        """The most memory that was held on a device other than the CPU."""
        peaks = [account.peak_bytes for account in self.accounts if account.device != "cpu"]
        return max([*peaks, self.device_of_networks.peak_bytes() if self.device_of_networks else 0])

    def notes(self) -> list[str]:
        """What is to be told of how it went."""
        notes = [note for account in self.accounts for note in account.warnings]
        if self.device_of_networks is not None and self.device_of_networks.full:
            notes.append(
                f"The memory of the device {self.device_of_networks.device} was not enough for what is done behind a "
                "network, so some of that ran on the CPU."
            )
        return notes

    @contextmanager
    def step(self, part: float = 1.0) -> Iterator[Progress]:
        """A progress callable for one pass, told on as its share of all passes."""

        def tell(done: int, total: int) -> None:
            if self.progress is not None:
                self.progress(round(1000 * (self.finished + part * done / total) / self.passes), 1000)

        yield tell
        self.finished += part


def converting(write: WriteBlock, convert: Convert | None) -> WriteBlock:
    """Writing what is converted first."""
    return write if convert is None else lambda region, values: write(region, convert(values))
