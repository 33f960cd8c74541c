"""Who works on the scans of one machine: this process, or several that share its cores, its memory and its GPUs."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Callable, NamedTuple

import SimpleITK as sitk

from ...engine.errors import RefusalError
from ...engine.request import Request
from ...engine.streaming import memory
from .. import ending
from . import work
from .finding import Scan
from .work import Outcome, Place

# Whoever computes in several threads asks one of these.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
GPUS = "CUDA_VISIBLE_DEVICES"
# Progress is told where it grew by this part of a scan.
STEP = 0.01
JOIN_SECONDS = 10.0
ENDED = (
    "The process that worked on it was ended (status {}), perhaps because the memory did not suffice; try again with "
    "fewer workers."
)
# (scan, the part of it that is done)
TellPart = Callable[[Scan, float], None]


class Alone:
    """This process, one scan after the other."""

    def __init__(self, place: Place, tell: TellPart) -> None:
        self._place, self._tell = place, tell

    def outcomes(self, scans: Iterable[Scan]) -> Iterator[Outcome]:
        """How the work on each scan ended."""
        for scan in scans:
            yield work.do(self._place, scan, lambda done, total, scan=scan: self._tell(scan, done / max(1, total)))

    def check(self) -> None:
        """Refuse once what would be refused of every scan."""
        work.check(self._place.request)

    def close(self, at_once: bool) -> None:
        """There is nothing to end."""


class _Worker(NamedTuple):
    process: SpawnProcess
    connection: Connection


class Pool:
    """Several processes. One that is ended, as by a system short of memory, costs its scan and is replaced."""

    def __init__(self, place: Place, count: int, gpus: int, tell: TellPart) -> None:
        self._place, self._count, self._gpus, self._tell = place, count, gpus, tell
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, tuple[_Worker, Scan]] = {}
        self._started = 0
        for _ in range(count):  # while this process goes on, they load what every scan needs
            self._idle.append(self._start())

    def check(self) -> None:
        """Refuse once what would be refused of every scan: the first process that is ready says so."""
        for connection in wait([worker.connection for worker in self._idle])[:1]:
            with suppress(EOFError, OSError):  # it has ended: told when it is to do a scan
                _refuse(connection.recv())  # type: ignore[union-attr]  # no other kind was given

    def outcomes(self, scans: Iterable[Scan]) -> Iterator[Outcome]:
        """How the work on each scan ended, as it ends."""
        waiting = deque(scans)
        while waiting or self._busy:
            while waiting and len(self._busy) < self._count:
                worker = self._idle.pop() if self._idle else self._start()
                scan = waiting.popleft()
                self._busy[worker.connection] = worker, scan
                with suppress(OSError):  # it has ended: told when it is listened to
                    worker.connection.send((self._place, scan))
            for connection in wait(list(self._busy)):
                outcome = self._hear(connection)  # type: ignore[arg-type]  # no other kind was given
                if outcome is not None:
                    yield outcome

    def close(self, at_once: bool) -> None:
        """End the processes; `at_once`: also those that are at work."""
        workers = [*self._idle, *(worker for worker, _ in self._busy.values())]
        for worker in workers:
            worker.connection.close()
            if at_once:
                worker.process.terminate()
        for worker in workers:
            worker.process.join(JOIN_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._idle, self._busy = [], {}

    def _hear(self, connection: Connection) -> Outcome | None:
        worker, scan = self._busy[connection]
        try:
            heard = connection.recv()
        except (EOFError, OSError):
            worker.process.join()
            connection.close()
            del self._busy[connection]
            return work.lost(self._place, scan, ENDED.format(worker.process.exitcode))
        if isinstance(heard, float):
            self._tell(scan, heard)
            return None
        if isinstance(heard, str):
            _refuse(heard)
            return None
        del self._busy[connection]
        self._idle.append(worker)
        return heard

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        each, more = divmod(_cores(), self._count)
        threads = max(1, each + (self._started % self._count < more))
        changes = dict.fromkeys(THREADS, str(threads))
        if self._gpus:
            own = os.environ.get(GPUS, "").split(",")
            number = self._started % self._gpus
            changes[GPUS] = own[number] if len(own) > number and own[number] else str(number)
        given = theirs, self._count, threads, self._place.request
        process = context.Process(target=_serve, args=given, daemon=True)
        with _environment(changes):
            process.start()
        theirs.close()
        self._started += 1
        return _Worker(process, ours)


def _cores() -> int:
    """Those that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get(THREADS[0], "")
    return min(cores, int(asked)) if asked.isdigit() and int(asked) else cores


@contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    """Within, processes that are started find these variables changed."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _refuse(sentence: str) -> None:
    if sentence:
        raise RefusalError(sentence)


def _why_not(request: Request) -> str:
    """What a process says first: why no scan can be done, or nothing; a defect is told of each scan."""
    try:
        work.check(request)
    except Exception as error:
        code, sentence = ending.told(error)
        return sentence if code == ending.REFUSED else ""
    return ""


def _serve(connection: Connection, sharers: int, threads: int, request: Request) -> None:
    """What a worker process does, until nobody is there to tell."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever typed Ctrl-C ends the process that started this one
    memory.share(sharers)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    with ending.helping():
        connection.send(_why_not(request))
        while True:
            try:
                place, scan = connection.recv()
            except (EOFError, OSError):
                return
            connection.send(work.do(place, scan, partial(_tell, connection, [0.0])))


def _tell(connection: Connection, told: list[float], done: int, total: int) -> None:
    part = done / max(1, total)
    if part >= told[0] + STEP:
        told[0] = part
        with suppress(OSError):  # the work goes on without anybody to tell
            connection.send(part)
