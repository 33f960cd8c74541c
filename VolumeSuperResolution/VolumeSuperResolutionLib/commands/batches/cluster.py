"""Who works on the scans of a cluster: the workers of a Dask scheduler, which read and write the files themselves.

Only names and what is asked go through the scheduler. Where it ends, this waits for one at the same address, and hands
out what is left; what the workers had written down by then is not done again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...engine.errors import RefusalError
from ..channels import say
from . import work
from .finding import Scan
from .work import Outcome, Place

if TYPE_CHECKING:
    from distributed import Client

POLL_SECONDS = 1.0
# How long a scheduler may be away, or not be there yet: a job waits in a queue.
PATIENCE_SECONDS = 3600.0
CONNECT_SECONDS = 10
NO_DASK = "Dask is not installed, and --scheduler needs it; install it (`pip install distributed`), or use --workers."
ENDED = "The workers that worked on it were ended, perhaps because the memory did not suffice; give them more."
UNFIT = "The workers of the cluster cannot run this version of vsr ({}); install the same one on all computers."
AWAY = "The scheduler at {} does not answer any more; the scans that are left wait until one does there."
UNREACHABLE = "No scheduler answers at {}; start one there, or check the address and that this computer may connect."


class Cluster:
    """The workers of a scheduler at an address, or one that wrote where it is into a file."""

    def __init__(self, place: Place, address: str, resources: dict[str, float], patience: float = PATIENCE_SECONDS):
        try:
            import distributed  # noqa: F401  # refused before anything is made
        except ModuleNotFoundError as error:
            raise RefusalError(NO_DASK) from error
        for name in ("distributed", "distributed.client", "distributed.utils", "tornado", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what they warn of is told here where it matters
        self._place, self._address, self._resources, self._patience = place, address, resources, patience
        self._client: Client | None = None
        self._connect(CONNECT_SECONDS)

    def outcomes(self, scans: Iterable[Scan]) -> Iterator[Outcome]:
        """How the work on each scan ended, as it ends."""
        left = {scan.name: scan._replace(path=scan.path.absolute()) for scan in scans}
        while left:
            if self._client is None:
                say(AWAY.format(self._address))
                self._connect(self._patience)
            assert self._client is not None
            if not self._client.scheduler_info()["workers"]:
                say(f"The scheduler at {self._address} has no workers yet; the scans wait for them.")
            for outcome in self._ended(left):
                del left[outcome.scan.name]
                yield outcome

    def check(self) -> None:
        """What would be refused of every scan is only known where the workers are."""

    def close(self, at_once: bool) -> None:
        """Leave the cluster; what its workers have begun they finish, and write down."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):  # a connection that is lost cannot be closed
                client.close(timeout=CONNECT_SECONDS)

    def _ended(self, scans: dict[str, Scan]) -> Iterator[Outcome]:
        """The same, until the connection is lost."""
        from distributed.scheduler import KilledWorker

        assert self._client is not None
        ended: queue.SimpleQueue = queue.SimpleQueue()
        futures: dict[str, Any] = {}
        for scan in scans.values():
            # A key of its own: what an earlier run left at the scheduler is another task.
            key = f"vsr-{os.urandom(8).hex()}"
            future = self._client.submit(
                work.do, self._place, scan, key=key, pure=False, resources=self._resources or None
            )
            futures[key] = future, scan
            future.add_done_callback(lambda future: ended.put(future.key))
        while futures:
            try:
                key = ended.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if self._is_connected():
                    continue
                break
            future, scan = futures.pop(key)
            if future.status == "cancelled":  # with the connection, all are
                break
            try:
                outcome = future.result()
            except KilledWorker:
                outcome = work.lost(self._place, scan, ENDED)
            except (OSError, CancelledError, asyncio.CancelledError):  # the connection ended while this was on its way
                break
            except Exception as error:  # what goes wrong with a scan is an outcome
                raise RefusalError(UNFIT.format(str(error).strip().partition("\n")[0])) from error
            yield outcome
        else:
            return
        self.close(at_once=True)

    def _is_connected(self) -> bool:
        comm = None if self._client is None else self._client.scheduler_comm
        return comm is not None and not comm.closed() and self._client.status == "running"  # type: ignore[union-attr]

    def _connect(self, patience: float) -> None:
        from distributed import Client

        deadline = time.monotonic() + patience
        path = Path(self._address)
        while True:
            try:
                if "://" in self._address:
                    self._client = Client(self._address, timeout=CONNECT_SECONDS, set_as_default=False)
                else:
                    if not path.is_file():
                        raise FileNotFoundError
                    self._client = Client(scheduler_file=str(path), timeout=CONNECT_SECONDS, set_as_default=False)
            except (OSError, asyncio.TimeoutError, ValueError, KeyError) as error:  # the file may be half written
                if time.monotonic() > deadline:
                    raise RefusalError(UNREACHABLE.format(self._address)) from error
                time.sleep(POLL_SECONDS)
            else:
                return
