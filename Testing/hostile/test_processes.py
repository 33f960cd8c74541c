"""What needs a process of its own: closed channels, terminals in ASCII, a computer without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

from hostile.cases_training import odd, scans, smooth
from hostile.makers import ramp, scan

posix = pytest.mark.skipif(os.name != "posix", reason="shells and signals of POSIX")
UPSCALE = "upscale scan.nrrd out.nrrd --model linear --scale 2"
BATCH = "batch . sharp --model bspline --scale 2 --quiet"
# Runs several commands one after the other, and prints the status of each.
SEVERAL = """
import json, shlex, sys
from VolumeSuperResolutionLib.commands import main
for line in sys.argv[1:]:
    print(json.dumps({"status": main(shlex.split(line))}), file=sys.stderr)
"""
ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""
LEARNED = (
    "upscale scan.nrrd out.nrrd --model fsrcnn3d-x2 --scale 2",
    "batch . out --model fsrcnn3d-x2 --scale 2",
    "evaluate --volumes scans --scale 2 --quiet --model fsrcnn3d-x2",
    "evaluate --volumes scans --scale 2 --quiet --perceptual",
    "train small.json --volumes scans --output out",
)


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """A command line in which `vsr` is the program."""
    return subprocess.run(
        ["bash", "-c", f'set -o pipefail; vsr() {{ {sys.executable} -m VolumeSuperResolutionLib "$@"; }}; {command}'],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def several(folder: Path, commands, before: str = "", **environment: str) -> list[tuple[int, str]]:
    """(status, what was said) of commands, all in one process."""
    done = subprocess.run(
        [sys.executable, "-c", before + SEVERAL, *commands],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    said, results = [], []
    for line in done.stderr.splitlines():
        if line.startswith('{"status"'):
            results.append((json.loads(line)["status"], "\n".join(said)))
            said = []
        else:
            said.append(line)
    assert len(results) == len(commands), done.stderr
    return results


@posix
def test_a_reader_that_leaves_ends_the_command_quietly(tmp_path):
    done = shell("vsr models --json | head -c 10", tmp_path)
    assert done.returncode == 141
    assert done.stderr == "" and len(done.stdout) == 10


@posix
def test_nothing_but_the_channels_suffers_where_they_are_closed(tmp_path):
    """The files that are opened next must not get what is printed."""
    scan(tmp_path)
    done = shell(f"vsr {UPSCALE} <&- >&- 2>&-; echo $?; vsr {UPSCALE} --scale x 2>&-; echo $?", tmp_path)
    assert done.stdout.split() == ["0", "2"]
    assert sitk.ReadImage(str(tmp_path / "out.nrrd")).GetSize() == tuple(2 * n for n in ramp().shape[::-1])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no /dev/full")
def test_a_full_disk_behind_the_standard_output_is_told(tmp_path):
    done = shell("vsr models > /dev/full", tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "is full" in done.stderr


def test_a_terminal_in_ascii_gets_ascii(tmp_path):
    scans(tmp_path)
    scan(tmp_path, "Schädel ±.nrrd")
    commands = ("evaluate --volumes scans --scale 2", "models --markdown", "upscale 'Schädel ±.nrrd' x.y --model z")
    results = several(tmp_path, commands, PYTHONIOENCODING="ascii")
    assert [status for status, _ in results] == [0, 0, 2]


def test_without_torch_every_command_says_so_or_does_without(tmp_path):
    odd("other", smooth())(tmp_path)
    scan(tmp_path)
    results = several(tmp_path, LEARNED, ABSENT)
    for status, said in results:
        assert status == 2
        assert said.startswith("vsr: PyTorch is not installed") and said.count("\n") == 0, said
    without = ("models", "models --json", "evaluate --volumes scans --scale 2 --quiet", BATCH, UPSCALE)
    assert [status for status, _ in several(tmp_path, without, ABSENT)] == [0] * len(without)


EMPTY = "import sys, types; sys.modules['torch'] = types.ModuleType('torch')\n"
BROKEN = "import sys; sys.path.insert(0, 'half')\n"


@pytest.mark.parametrize(
    ("before", "torch"),
    [
        (EMPTY, ""),
        (BROKEN, "raise OSError('libtorch_cpu.so: cannot open shared object file')"),
        (BROKEN, "import nothing_of_this_name"),
    ],
    ids=["an empty folder", "a missing library", "a missing part"],
)
def test_half_a_torch_is_told_by_every_command(tmp_path, before, torch):
    scans(tmp_path)
    scan(tmp_path)
    (tmp_path / "half" / "torch").mkdir(parents=True)
    (tmp_path / "half" / "torch" / "__init__.py").write_text(torch)
    for status, said in several(tmp_path, LEARNED, before):
        assert status == 2
        assert said.startswith("vsr: PyTorch is installed but does not work") and said.count("\n") == 0, said
