"""How every command ends: an error is one sentence on the error channel and an exit status, wherever it came from."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Callable

from .. import __version__
from ..engine.checks import REPLACED
from ..engine.errors import RefusalError, plain
from .channels import guarded, say, silence

DONE, DEFECT, REFUSED, INTERRUPTED = 0, 1, 2, 130
# Added to the number of the signal that ended the work.
BY_SIGNAL = 128
# Where this is set, the traceback of a defect is shown.
TRACEBACK_VARIABLE = "VSR_TRACEBACK"
ISSUES = "https://github.com/VolumeSuperResolution/VolumeSuperResolution/issues"
NO_TORCH = "PyTorch is not installed, and this needs it; install it (`pip install torch`), or choose an interpolation."
BROKEN_TORCH = "PyTorch is installed but does not work ({}); install it again, or choose an interpolation."
NO_MEMORY = "The memory did not suffice; choose smaller factors, a region, or another model."
GPU_FAILED = "PyTorch cannot compute on this computer's GPU ({}); choose --device cpu, or mend its driver."
NOTHING_WRITTEN = "interrupted; nothing was written"


class StoppedError(KeyboardInterrupt):
    """A signal asked the program to end; whichever it was, that cleans up as after Ctrl-C."""

    def __init__(self, number: int, *sentence: str) -> None:
        super().__init__(*sentence)
        self.number = number


def end(work: Callable[[], int | None]) -> int:
    """The exit status of some work: what it returns, or that of the error that it ended with, which is told."""
    try:
        with guarded(), _told(), _stopped_by_signals():
            status = work() or DONE
            _flush()
            return status
    except SystemExit:  # of argparse, after --help and --version
        try:
            _flush()
        except OSError:
            silence()
        raise
    except BrokenPipeError:
        silence()
        return BY_SIGNAL + 13
    except KeyboardInterrupt as interrupt:
        say(str(interrupt) or NOTHING_WRITTEN)
        return BY_SIGNAL + getattr(interrupt, "number", signal.SIGINT)
    except Exception as error:
        status, sentence = told(error)
        say(sentence)
        return status


@contextmanager
def helping() -> Iterator[None]:
    """Within, a process works for another one: a signal ends it as it would end a command, and the other one tells."""
    with guarded(), _told(), _stopped_by_signals(), suppress(KeyboardInterrupt, BrokenPipeError):
        yield


def told(error: Exception) -> tuple[int, str]:
    """The status and the sentence of an error."""
    sentence = _refusal(error)
    return (DEFECT, _defect(error)) if sentence is None else (REFUSED, sentence)


@contextmanager
def uninterrupted(sentence: str) -> Iterator[None]:
    """Signals wait: for the few milliseconds in which finished files get their names; told by `sentence` then."""
    caught: list[int] = []
    handlers = _handlers(lambda number, frame: caught.append(number))
    try:
        yield
    finally:
        _restore(handlers)
    if caught:
        raise StoppedError(caught[0], sentence)


def _refusal(error: Exception) -> str | None:
    """What is not the program's fault, in a sentence."""
    if isinstance(error, RefusalError):
        return str(error).replace(REPLACED, f"{REPLACED} (--fill-nonfinite)")
    torch = _torch_problem(error)
    if torch is not None:
        return torch
    if isinstance(error, MemoryError) or _out_of_memory(error):
        return NO_MEMORY
    if isinstance(error, RuntimeError) and ("CUDA" in str(error) or "cuDNN" in str(error)):
        return GPU_FAILED.format(_first_line(error))
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("VolumeSuper"):
        return f"The Python package {error.name} is not installed, and this needs it; install it and try again."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk, or your share of it, is full; free some space, or choose another folder."
    if isinstance(error, OSError) and error.strerror:
        name = "A file" if error.filename is None else error.filename
        return f"{name} cannot be used ({error.strerror}); check that it is there and that you may read and write it."
    return None


def _torch_problem(error: Exception) -> str | None:
    """Whether torch is missing, or could not be imported."""
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        return NO_TORCH
    frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    loading = getattr(sys.modules.get("torch"), "__version__", None) is None
    within = any(name.split(".")[0] == "torch" for name in frames)
    missing = isinstance(error, (ImportError, AttributeError)) and "'torch" in str(error)
    return BROKEN_TORCH.format(_first_line(error)) if loading and (within or missing) else None


def _out_of_memory(error: Exception) -> bool:
    if "torch" not in sys.modules:
        return False
    from ..engine.streaming.devices import is_out_of_memory

    return is_out_of_memory(error)


def _first_line(error: Exception) -> str:
    return plain((str(error).strip() or type(error).__name__).splitlines()[0])[:200]


def _defect(error: Exception) -> str:
    """What to report, and where the whole traceback is."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(last.filename).stem}, line {last.lineno}"
    if os.environ.get(TRACEBACK_VARIABLE):
        say(text, lines=True)
        kept = "the traceback above"
    else:
        kept = f"the traceback that {TRACEBACK_VARIABLE}=1 shows"
        with suppress(OSError):
            file, name = tempfile.mkstemp(prefix="vsr-defect-", suffix=".txt")
            with open(file, "w", encoding="utf-8", errors="backslashreplace") as target:
                target.write(f"vsr {__version__}\n{text}")
            kept = f"the traceback, which is in {name}"
    return (
        f"This is a defect of vsr {__version__} ({type(error).__name__} in {place}); please report it at {ISSUES} with "
        f"{kept}."
    )


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


class _Sentences(logging.Handler):
    """What the library logs, told as the rest is."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


@contextmanager
def _told() -> Iterator[None]:
    """Within, what is logged is a sentence, and what libraries warn of for programmers is not shown."""
    handler = _Sentences(logging.WARNING)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("ignore")
            yield
    finally:
        root.removeHandler(handler)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the work as Ctrl-C does; one that is ignored, as under nohup, stays so."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise StoppedError(number)

    handlers = _handlers(stop, ("SIGTERM", "SIGHUP"))
    try:
        yield
    finally:
        _restore(handlers)


def _handlers(handler: Callable, names: tuple[str, ...] = ("SIGINT", "SIGTERM", "SIGHUP")) -> dict[int, object]:
    """Install a handler; returns those that were there."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return {n: signal.signal(n, handler) for n in numbers if signal.getsignal(n) not in (signal.SIG_IGN, None)}


def _restore(handlers: dict[int, object]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)  # type: ignore[arg-type]
