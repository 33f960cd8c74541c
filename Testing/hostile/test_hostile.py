"""Every hostile case: it ends as it has to, in one sentence, and leaves nothing behind."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from hostile.language import Case, play

HERE = Path(__file__).parent
MODULES = [importlib.import_module(f"hostile.{path.stem}") for path in sorted(HERE.glob("cases_*.py"))]
CASES = [
    pytest.param(case, id=f"{module.__name__.partition('cases_')[2]}: {case.name}")
    for module in MODULES
    for case in module.CASES
]
README = HERE.parents[1] / "README.md"


@pytest.mark.parametrize("case", CASES)
def test_it_ends_as_it_has_to(case: Case, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    play(case, tmp_path, capfd)


def test_the_table_in_the_readme_is_that_of_the_cases():
    rows = [f"| {module.__doc__.strip().splitlines()[0]} | {len(module.CASES)} |" for module in MODULES]
    assert "\n".join(["| --- | ---: |", *rows, ""]) in README.read_text(encoding="utf-8")
