"""Every hostile case: it ends as it has to, in one sentence, and leaves nothing behind."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from hostile.language import play

CASES = [
    pytest.param(case, id=f"{path.stem[6:]}: {case.name}")
    for path in sorted(Path(__file__).parent.glob("cases_*.py"))
    for case in importlib.import_module(f"hostile.{path.stem}").CASES
]


@pytest.mark.parametrize("case", CASES)
def test_it_ends_as_it_has_to(case, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    play(case, tmp_path, capfd)
