"""Runs in files that are killed, and go on: `python broken_off.py` reads {name: [command, points]} and tells of them.

All in one process, which forks those that are killed: so what oneDNN makes ready is made once.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import signal
import sys
from collections.abc import Callable

from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.engine import resuming
from VolumeSuperResolutionLib.engine.models import plan
from VolumeSuperResolutionLib.engine.physics import separable
from VolumeSuperResolutionLib.engine.storage import OnDisk
from VolumeSuperResolutionLib.engine.streaming import inference

# Slabs so thin that there are many in a small volume.
THIN = (
    (inference, "THICKEST", 2),
    (separable, "SLAB_VOXELS", 2000),
    (separable, "_threads", lambda: 1),
    (plan, "ENSEMBLE_SLICES", 3),
)
WATCH, STORE = OnDisk.watch, inference._Run._store


def looking(at: Callable[[int], None]) -> Callable:
    """OnDisk.watch that says how often it was looked before whether to go on, as is done at every slab."""

    def watch(storage, cancel):
        asked, counter = WATCH(storage, cancel), itertools.count()

        def ask():
            at(next(counter))
            return asked()

        return ask

    return watch


class Counted:
    """How much was computed: planes of networks that were written, and looks at whether to go on."""

    def __init__(self) -> None:
        self.looks = self.planes = 0

        def look(number):
            self.looks = number + 1

        def store(run, ranges, arrived):
            self.planes += ranges[0][1] - ranges[0][0]
            STORE(run, ranges, arrived)

        OnDisk.watch, inference._Run._store = looking(look), store


def tell_of(command: str) -> dict:
    """What a run computed, and its report's warnings."""
    told, counted = io.StringIO(), Counted()
    with contextlib.redirect_stdout(told):
        status = main(command.split())
    assert status == 0, command
    return {"looks": counted.looks, "planes": counted.planes, "warnings": json.loads(told.getvalue())["warnings"]}


def killed(command: str, point: int) -> None:
    """Let another process kill itself when it looks the so manieth time; its journal is behind what it has done."""
    child = os.fork()
    if not child:
        turns = itertools.count()
        resuming.Journal._due = lambda self: next(turns) % 3 == 2
        OnDisk.watch = looking(lambda number: number != point or os.kill(os.getpid(), signal.SIGKILL))
        os._exit(main(command.split()))
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), (command, point)


def all_of(runs: dict) -> dict:
    """Each run whole, as `whole-NAME.nrrd`, and for each point, a part of its way, killed and gone on with."""
    found = {}
    for name, (command, points) in runs.items():
        command += " --modality MR --device cpu --json --on-disk"
        whole = tell_of(command.format(f"whole-{name}.nrrd"))
        resumed = {}
        for point in points:
            each = command.format(f"{name}-{point}.nrrd")
            killed(each, int(point * whole["looks"]))
            left = os.listdir(f".vsr_unfinished-{name}-{point}.nrrd")
            resumed[point] = {"left": left, "there": os.path.exists(f"{name}-{point}.nrrd"), **tell_of(each)}
        found[name] = {"whole": whole, "resumed": resumed}
    return found


if __name__ == "__main__":
    for module, attribute, value in THIN:
        setattr(module, attribute, value)
    print(json.dumps(all_of(json.load(sys.stdin))))
