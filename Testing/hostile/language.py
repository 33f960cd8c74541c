"""A small language for hostile cases: what is made, what is called, and how that has to end.

A case is one line: `Case("header only", damaged.header_only, says="cut off")`. Its maker gets an empty folder, makes
the input there, and the command runs inside that folder; models that it makes in the folder "models" are at hand.
Whatever the status, nothing that was there before may have changed, and nothing new may be left but what `leaves`
names.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.engine.models import zoo

DONE, DEFECT, REFUSED = 0, 1, 2
UPSCALE = "upscale scan.nrrd out.nrrd --model linear --scale 2 --quiet"
# The same with its report, notes included, on standard output.
TOLD = UPSCALE.replace("--quiet", "--json")
# What no sentence for a user may hold: a traceback, a memory address, the name of a class.
UNFIT = re.compile(r"Traceback|0x[0-9a-f]{6,}|<class|itk::|\.py\b|Error:|\x1b")
MODELS = "models"


@dataclass(frozen=True)
class Case:
    """How a command has to end.

    `says` is a regular expression for the sentence on the error channel, `tells` one for what is printed; a refusal is
    one line, a batch in which several are refused has `lines`. `check` looks at what was written. `while_` holds while
    the command runs (a full disk).
    """

    name: str
    make: Callable[[Path], object]
    command: str = UPSCALE
    status: int = REFUSED
    says: str = ""
    leaves: tuple[str, ...] = ()
    check: Callable[[Path], object] | None = None
    tells: str = ""
    lines: int = 1
    while_: Callable[[], AbstractContextManager] = nullcontext


def contents(folder: Path) -> dict[str, str]:
    """Every regular file below a folder and the checksum of what it holds."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def play(case: Case, folder: Path, capfd) -> None:
    """Run a case in an empty folder that is the working folder; raises AssertionError where it ends otherwise."""
    case.make(folder)
    before = contents(folder)
    capfd.readouterr()
    with case.while_(), pytest.MonkeyPatch.context() as patch:
        if os.path.lexists(folder / MODELS):
            patch.setenv(zoo.FOLDERS_VARIABLE, str(folder / MODELS))
        status = main(shlex.split(case.command))
    told, said = (text.strip() for text in capfd.readouterr())
    after = contents(folder)
    assert status == case.status, f"status {status}: {said}"
    assert not UNFIT.search(said), said
    if status == REFUSED:
        assert said.count("\n") == case.lines - 1, said
        assert all(line.startswith("vsr: ") for line in said.splitlines()), said
    assert re.search(case.says, said), said
    assert re.search(case.tells, told), told
    assert {name: after.get(name) for name in before} == before, "something that was there has changed"
    assert sorted(set(after) - set(before)) == sorted(case.leaves)
    if case.check is not None:
        case.check(folder)
