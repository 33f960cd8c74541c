"""What worker processes do in place of their work, so that a test sees how they are and what becomes of their end."""

from __future__ import annotations

import json
import os
import signal

from VolumeSuperResolutionLib.commands.batches import pool, work
from VolumeSuperResolutionLib.engine.streaming import memory

real = pool._serve


def dying(*arguments) -> None:
    """Ends as the system ends what needs too much memory, in the middle of the work on one scan."""

    def upscaled(path, *rest, before=work.upscaled):
        if path.name == "01.nrrd":
            os.kill(os.getpid(), signal.SIGKILL)
        return before(path, *rest)

    work.upscaled = upscaled
    real(*arguments)


def refusing(connection, *rest) -> None:
    """Says at once that nothing can be done."""
    connection.send("The weights are damaged; install the model again.")
    connection.recv()


def telling(*arguments) -> None:
    """Tells what it was given a share of."""

    def do(place, scan, progress):
        told = {name: os.environ.get(name, "") for name in (*pool.THREADS, pool.GPUS)}
        return work.Outcome(scan, work.DONE, sentence=json.dumps({**told, "sharers": memory._sharers}))

    work.do = do
    real(*arguments)
