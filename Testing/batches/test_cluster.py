"""A batch on a Dask cluster: real schedulers and workers, some of which are killed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sample_models import model
from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.commands.batches import cluster as cluster_module
from VolumeSuperResolutionLib.commands.batches import work

from batches.small_scans import LINEAR, done, records, results, scans

pytest.importorskip("distributed")

# What a worker loads: each scan takes a while, so that some are at work when a worker is killed.
SLOW = """
import time
from VolumeSuperResolutionLib.commands.batches import work
def slow(*arguments, real=work.upscaled):
    time.sleep(0.1)
    return real(*arguments)
if work.upscaled.__name__ != "slow":  # it is loaded twice
    work.upscaled = slow
"""


class Processes:
    """A scheduler and workers at one address, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self._folder = folder
        (folder / "slow.py").write_text(SLOW)
        self.scheduler: subprocess.Popen | None = None
        self.workers: list[subprocess.Popen] = []

    def start_scheduler(self) -> None:
        """At the same address each time."""
        at = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--no-show"]
        self.scheduler = self._start("dask_scheduler", *at)

    def start_worker(self) -> None:
        """One more."""
        more = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--preload", str(self._folder / "slow.py")]
        self.workers.append(self._start("dask_worker", self.address, *more, "--resources", "PLACE=1"))

    def _start(self, program: str, *arguments: str) -> subprocess.Popen:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "DASK_TEMPORARY_DIRECTORY": str(self._folder),
        }
        with open(self._folder / "said.txt", "ab") as said:
            command = [sys.executable, "-m", f"distributed.cli.{program}", *arguments]
            return subprocess.Popen(command, stdout=said, stderr=said, env=environment)

    def end(self) -> None:
        """All of them."""
        for process in filter(None, [self.scheduler, *self.workers]):
            process.kill()
            process.wait()


@contextmanager
def cluster(folder: Path, workers: int):
    """A scheduler and so many workers."""
    folder.mkdir()
    processes = Processes(folder)
    try:
        processes.start_scheduler()
        for _ in range(workers):
            processes.start_worker()
        yield processes
    finally:
        processes.end()


@pytest.mark.hypothesis  # among those that `explore` runs
def test_a_killed_worker_and_a_new_scheduler_change_nothing(tmp_path, exploring):
    count = 60
    source = scans(tmp_path / "in", count)
    out, alone = tmp_path / "out", tmp_path / "alone"
    happened: list[str] = []

    def wait_for(number: int) -> None:
        while len(records(out)) < number:
            time.sleep(0.01)

    def disturb(processes: Processes) -> None:
        wait_for(8)
        processes.workers[0].kill()
        happened.append("a worker was killed")
        wait_for(20)
        assert processes.scheduler is not None
        processes.scheduler.kill()
        processes.scheduler.wait()
        happened.append("the scheduler was killed")
        for worker in processes.workers:  # as a queue of jobs does with those whose scheduler is gone
            with suppress(subprocess.TimeoutExpired):
                worker.wait(10)
            worker.kill()
        happened.append(f"{len(records(out))} were done by then")
        processes.start_scheduler()
        for _ in range(3):
            processes.start_worker()

    with cluster(tmp_path / "processes", 3) as processes:
        disturbing = threading.Thread(target=disturb, args=(processes,))
        disturbing.start()
        status = main(["batch", str(source), str(out), *LINEAR, "--scheduler", processes.address])
        disturbing.join()
    assert status == 0 and len(happened) == 3
    assert 20 <= int(happened[2].split()[0]) < count
    assert main(["batch", str(source), str(alone), *LINEAR]) == 0
    assert done(out) == [f"{number:02d}.nrrd" for number in range(count)]
    assert results(out) == results(alone)


def test_a_scheduler_file_is_enough_and_what_was_done_is_not_done_again(tmp_path):
    from distributed import LocalCluster

    source, out = scans(tmp_path / "in", 3), tmp_path / "out"
    (source / "broken.nrrd").write_bytes(b"no")
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    with LocalCluster(**options, resources={"PLACE": 2}) as local:
        place = tmp_path / "scheduler.json"
        place.write_text(json.dumps(local.scheduler.identity()))
        command = ["batch", str(source), str(out), *LINEAR, "--scheduler", str(place), "--resources", "PLACE=1"]
        assert main(command) == 2
        written = results(out)
        assert sorted(written) == done(out) == ["00.nrrd", "01.nrrd", "02.nrrd"]
        (source / "broken.nrrd").unlink()
        assert main(command) == 0
    assert results(out) == written and len(records(out)) == 4


def test_workers_get_whole_paths(tmp_path, monkeypatch, capsys):
    from distributed import LocalCluster

    def tell(place, scan):
        named = (place.root, place.output, scan.path, place.request.model, place.request.profile)
        return work.Outcome(scan, "failed", 2, "|".join(map(str, named)))

    monkeypatch.setattr(work, "do", tell)
    monkeypatch.chdir(tmp_path)
    scans(tmp_path / "in", 1)
    model(tmp_path / "mine")
    (tmp_path / "profile.txt").write_text("-1 0.5\n0 1\n1 0.5\n")
    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as local:
        command = ["batch", "in", "out", "--model", "mine", "--profile", "profile.txt", "--scale", "2", "--quiet"]
        assert main([*command, "--scheduler", local.scheduler_address]) == 2
    whole = "|".join(str(tmp_path / name) for name in ("in", "out", "in/00.nrrd", "mine", "profile.txt"))
    assert whole in capsys.readouterr().err


def test_workers_of_another_version_are_told(tmp_path, monkeypatch, capsys):
    from distributed import LocalCluster

    def other(place, scan):
        raise AttributeError("no such thing as do")

    monkeypatch.setattr(work, "do", other)
    options = {"n_workers": 0, "processes": False, "dashboard_address": None}
    with LocalCluster(**options) as local:
        adding = threading.Timer(0.5, local.scale, [1])
        adding.start()
        command = ["batch", str(scans(tmp_path / "in", 1)), str(tmp_path / "out"), *LINEAR]
        assert main([*command, "--scheduler", local.scheduler_address]) == 2
        adding.join()
    said = capsys.readouterr().err
    assert "has no workers yet; the scans wait" in said
    assert "cannot run this version of vsr (no such thing as do)" in said
    assert results(tmp_path / "out") == {}


def test_a_scheduler_that_does_not_answer_is_told_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 0)
    source, out = scans(tmp_path / "in", 1), tmp_path / "out"
    for address in (str(tmp_path / "nothing.json"), "tcp://127.0.0.1:1"):
        assert main(["batch", str(source), str(out), *LINEAR, "--scheduler", address]) == 2
        assert f"No scheduler answers at {address}" in capsys.readouterr().err
    assert results(out) == {}
