"""Engine processes with torch from the start: forked from one that has imported it, which saves each of them seconds.

The application sees what it sees in Slicer, a launcher that has the real process as its child. One that would find
another torch, or a program of its own in the place of Python, is started as ever.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

LAUNCHER = """#!{python} -IS
import json, os, signal, socket, sys
if os.environ.get("PYTHONPATH") != {path!r}:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
connection.connect({address!r})
socket.send_fds(connection, [json.dumps([sys.argv[1:], dict(os.environ)]).encode()], [0, 1, 2])
status = int(connection.recv(16) or -signal.SIGKILL)
if status < 0:
    os.kill(os.getpid(), -status)
os._exit(status)
"""
LARGEST = 1 << 17  # bytes of arguments and environment


@contextlib.contextmanager
def preforked(child: object) -> Iterator[None]:
    """Engine processes that `child`, the module, starts are forked meanwhile, where there are forks."""
    if not hasattr(os, "fork"):
        yield
        return
    usual, python = child.interpreter, sys.executable
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        address, launcher = str(Path(folder, "address")), Path(folder, "launcher")
        launcher.write_text(LAUNCHER.format(python=python, path=os.environ.get("PYTHONPATH"), address=address))
        launcher.chmod(0o755)
        server = subprocess.Popen([python, __file__, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        server.stdout.readline()  # it can be reached
        patch.setattr(child, "interpreter", lambda: str(launcher) if sys.executable == python else usual())
        yield
        server.communicate()


def serve(address: str) -> None:
    """Fork a process for each launcher, until the standard input ends."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(address)
    server.listen()
    print(flush=True)
    import torch  # noqa: F401
    import VolumeSuperResolutionLib.engine.upscale  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those between
    while 0 not in select.select([0, server], [], [])[0]:
        connection, _ = server.accept()
        if os.fork() == 0:
            server.close()
            between(connection)
        connection.close()


def between(connection: socket.socket) -> None:
    """Fork the process that a launcher asks for, and tell the launcher how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, channels, *_ = socket.recv_fds(connection, LARGEST, 3)
    pid = os.fork()
    if pid == 0:
        connection.close()
        become(*json.loads(message), channels)
    os.closerange(0, 3)
    for channel in channels:
        os.close(channel)
    with contextlib.suppress(OSError):  # the launcher was killed
        connection.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    os._exit(0)


def become(arguments: list[str], environment: dict[str, str], channels: list[int]) -> None:
    """Be the script that was asked for, with the launcher's arguments, environment and channels."""
    for number, channel in enumerate(channels):
        os.dup2(channel, number)
        os.close(channel)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = arguments
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
