"""The child process: runs the engine for the application, one request after the other.

Started by path with the folder for arrays, the application's process id and the seconds until an idle child gives back
what it can. Requests come as JSON lines on the standard input, answers go as JSON lines to the standard output; voxels
are in files. Imports nothing but engine and learning. Ends, and takes the folder with it, when the application is gone.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import json
import math
import os
import queue
import shutil
import sys
import threading
import time
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# How the names of the folders begin that the worker makes.
FOLDER_PREFIX = "VolumeSuperResolution-"
# What can be asked of the child, and the volumes that its result may have.
OUTPUTS = {
    "upscale": ("volume", "uncertainty", "interval", "invented"),
    "combine": ("volume", "coverage", "residual"),
    "refine": ("volume",),
}
# Bytes a voxel of what a combination has beside its volume.
MAP_BYTES = 5
PROGRESS_SECONDS = 0.05
WATCH_SECONDS = 1.0
HALF_INSTALLED = (
    "PyTorch is installed but does not work ({reason}); reinstall it with the module PyTorch Util of the PyTorch "
    "extension and restart Slicer, or choose an interpolation."
)
NOT_INSTALLED = (
    "PyTorch is not installed, and the learned models need it; install it with the PyTorch extension, or choose an "
    "interpolation."
)
GPU_FAILED = (
    "PyTorch cannot compute on this computer's GPU ({reason}); choose the CPU as the device, or reinstall PyTorch for "
    "this GPU and its driver with the module PyTorch Util."
)
DISK_FULL = (
    "The disk that holds temporary files ({folder}) is full; free some space there, or choose another temporary "
    "folder in the application settings."
)
OUT_OF_MEMORY = "There is not enough memory for this; choose a smaller target, a region, or another model."


def torch_problem() -> str | None:
    """What keeps torch from computing, as a sentence for the user; None if it computes. Imports torch."""
    importlib.invalidate_caches()
    try:
        import torch

        ones = torch.ones(1, 1, 3, 3, 3)
        if float(torch.nn.functional.conv3d(ones, ones)) != 27.0:
            return HALF_INSTALLED.format(reason="a convolution came out wrong")
    except ModuleNotFoundError as error:
        if error.name == "torch":
            return NOT_INSTALLED
        return HALF_INSTALLED.format(reason=f"its part {error.name} is missing")
    except Exception as error:
        return HALF_INSTALLED.format(reason=_first_line(error))
    return None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__


def disk_full(error: OSError) -> bool:
    """Whether an error says that a disk, or the user's share of it, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Child:
    """The loop of the child process."""

    def __init__(self, folder: Path, parent: int, idle_seconds: float) -> None:
        self._folder = folder
        # One that is somebody else's is not removed at the end.
        self._made_for_this = folder.name.startswith(FOLDER_PREFIX) or not any(folder.glob("*"))
        self._parent = parent
        self._idle_seconds = idle_seconds
        # The protocol keeps the real standard output; whatever libraries print goes to the error channel.
        self._answers = os.fdopen(os.dup(1), "w", encoding="ascii", newline="\n")
        os.dup2(2, 1)
        self._tasks: queue.Queue[dict] = queue.Queue()
        self._cancelled: set[int] = set()
        # The jobs that are to learn no more.
        self._enough: set[int] = set()
        self._told = 0.0

    def run(self) -> None:
        """Work until the application is gone."""
        if hasattr(os, "setsid"):
            with contextlib.suppress(PermissionError):  # raised where it leads a group already
                os.setsid()
        threading.Thread(target=self._listen, daemon=True).start()
        if os.name == "posix":
            threading.Thread(target=self._watch, daemon=True).start()
        self._answer(ready=os.getpid())
        idle = None
        while True:
            try:
                task = self._tasks.get(timeout=idle)
            except queue.Empty:
                release()
                self._answer(released=True)
                idle = None
                continue
            self._do(task)
            idle = self._idle_seconds

    def _listen(self) -> None:
        """Take requests, also while computing; no more input means that the application is gone."""
        for line in sys.stdin.buffer:
            try:
                message = dict(json.loads(line))
                if "cancel" in message:
                    self._cancelled.add(int(message["cancel"]))
                elif "enough" in message:
                    self._enough.add(int(message["enough"]))
                else:
                    self._tasks.put(message)
            except (ValueError, TypeError, RecursionError) as error:
                print(f"A line that is no message was passed over: {error}", file=sys.stderr, flush=True)
        self._leave()

    def _watch(self) -> None:
        """A second look at the application, in case another process holds our input open."""
        while True:
            time.sleep(WATCH_SECONDS)
            try:
                os.kill(self._parent, 0)
            except ProcessLookupError:
                self._leave()
            except PermissionError:
                pass  # it is there

    def _leave(self) -> None:
        if self._made_for_this:
            shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(0)

    def _answer(self, **message: Any) -> None:
        self._answers.write(json.dumps(message) + "\n")
        self._answers.flush()

    def _do(self, task: dict) -> None:
        if "warm" in task:
            self._answer(torch=torch_problem())
            return
        if "remove" in task:
            if self._folder.resolve() in Path(str(task["remove"])).resolve().parents:
                shutil.rmtree(task["remove"], ignore_errors=True)
            return
        job = task.get("job")
        try:
            answer = self._run(task)
            if "torch" in sys.modules:
                self._answer(torch=None)
            self._answer(job=job, **answer)
        except Exception as error:
            self._answer(job=job, **self._ending(error))
        finally:
            self._cancelled.discard(job)
            self._enough.discard(job)

    def _run(self, task: dict) -> dict:
        from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

        job = task["job"]

        def cancel() -> bool:
            return job in self._cancelled

        def progress(done: int, total: int) -> None:
            now = time.monotonic()
            if now - self._told >= PROGRESS_SECONDS or done == total:
                self._told = now
                self._answer(job=job, progress=[done, total])

        volumes = [
            Volume(_map(part), Grid(**{name: tuple(value) for name, value in part["grid"].items()}))
            for part in task["inputs"]
        ]
        compute = {"upscale": self._upscale, "combine": self._combine, "refine": self._refine}[task["kind"]]
        result = compute(job, volumes, task["request"], progress, cancel)
        made = {name: getattr(result, name) for name in OUTPUTS[task["kind"]]}
        saved = {
            name: self._save(task["outputs"][name], volume, cancel)
            for name, volume in made.items()
            if volume is not None
        }
        report = getattr(result, "report", None)
        return {"report": report and report.to_dict(), "volumes": saved}

    def _upscale(self, job: int, volumes: list, request: dict, *callbacks: Any) -> Any:
        from VolumeSuperResolutionLib.engine import upscale as engine
        from VolumeSuperResolutionLib.engine.checks import result_type
        from VolumeSuperResolutionLib.learning.upscale import upscale

        def learning(standing: Any) -> None:
            now = time.monotonic()
            if now - self._told >= PROGRESS_SECONDS:
                self._told = now
                self._answer(job=job, learning=list(standing))

        (volume,) = volumes
        wanted = engine.Request.from_dict(request)
        need = engine.estimate(volume.grid, result_type(volume.array, wanted.model), wanted)
        self._check_disk(need.output_bytes + need.map_bytes)
        return upscale(volume, wanted, *callbacks, learning, lambda: job in self._enough)

    def _combine(self, _job: int, volumes: list, request: dict, *callbacks: Any) -> Any:
        from VolumeSuperResolutionLib.engine import combine as engine

        wanted = engine.CombineRequest.from_dict(request)
        size = engine.target_grid([volume.grid for volume in volumes], wanted).size
        each = max(4, volumes[wanted.reference - 1].array.dtype.itemsize) + MAP_BYTES
        self._check_disk(size[0] * size[1] * size[2] * each)
        return engine.combine(volumes, wanted, *callbacks)

    def _refine(self, _job: int, volumes: list, request: dict, *callbacks: Any) -> Any:
        from VolumeSuperResolutionLib.engine.physics import label_maps
        from VolumeSuperResolutionLib.engine.request import RefineRequest
        from VolumeSuperResolutionLib.engine.volumes.grid import Volume

        (labels,) = volumes
        grid = labels.grid.refined(RefineRequest.from_dict(request).size)
        shape = grid.size[::-1]
        self._check_disk(math.prod((*shape, *labels.array.shape[3:])) * labels.array.dtype.itemsize)
        return SimpleNamespace(volume=Volume(label_maps.refine(labels.array, shape, *callbacks), grid))

    def _check_disk(self, needed: int) -> None:
        """Better before computing than after; what would not even fit the memory is the engine's to refuse."""
        from VolumeSuperResolutionLib.engine.streaming.memory import free_bytes

        if shutil.disk_usage(self._folder).free < needed <= free_bytes():
            raise OSError(errno.ENOSPC, "no space for the result")

    def _save(self, path: str, volume: Any, cancel: Any) -> dict:
        import numpy as np

        from VolumeSuperResolutionLib.engine.errors import CancelledError

        with open(path, "wb") as file:
            for plane in volume.array:
                if cancel():
                    raise CancelledError
                file.write(np.ascontiguousarray(plane))
        return {"file": path, "dtype": volume.array.dtype.str, "shape": volume.array.shape, "grid": vars(volume.grid)}

    def _ending(self, error: Exception) -> dict:
        """How a run that gave no result is told."""
        from VolumeSuperResolutionLib.engine.errors import CancelledError, RefusalError

        if isinstance(error, CancelledError):
            return {"cancelled": True}
        if isinstance(error, RefusalError):
            return {"failed": str(error)}
        detail = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        if isinstance(error, MemoryError):
            return {"failed": OUT_OF_MEMORY, "detail": detail}
        if isinstance(error, OSError) and disk_full(error):
            return {"failed": DISK_FULL.format(folder=self._folder.parent), "detail": detail}
        if "CUDA" in str(error) or "cuDNN" in str(error):
            # Such an error stays with the process.
            return {"failed": GPU_FAILED.format(reason=_first_line(error)), "detail": detail, "spoiled": True}
        problem = torch_problem() if "torch" in detail else None
        if problem is not None:
            self._answer(torch=problem)
            return {"failed": problem, "detail": detail}
        sentence = f"The computation failed ({type(error).__name__}: {error}); the error log has the details."
        return {"failed": sentence, "detail": detail}


def release() -> None:
    """Give back what an idle process need not hold: models that nobody refers to, and the memory of the GPU."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    elif getattr(torch.backends, "mps", None) is not None and torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _map(description: dict) -> Any:
    import numpy as np

    # Copy on write: torch warns about memory that cannot be written to.
    return np.asarray(np.memmap(description["file"], description["dtype"], "c", shape=tuple(description["shape"])))


# Threads of a BLAS wait for each other in products as small as those of a resampling; torch has threads of its own.
SINGLE_THREADED = ("OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

if __name__ == "__main__":
    for variable in SINGLE_THREADED:
        os.environ.setdefault(variable, "1")
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    Child(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])).run()
