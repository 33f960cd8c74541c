"""What the project says of itself in several places is the same in all of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import run
import VolumeSuperResolutionLib

ROOT = Path(__file__).resolve().parents[1]
MODULE = "VolumeSuperResolution/VolumeSuperResolution.py"


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def minor(version):
    return int(version.partition(".")[2])


def test_the_version_is_the_newest_of_the_changelog_and_the_one_to_cite():
    version = VolumeSuperResolutionLib.__version__
    assert re.search(r"^## (\S+) - ", text("CHANGELOG.md"), re.MULTILINE).group(1) == version
    assert re.search(r"^version: (\S+)$", text("CITATION.cff"), re.MULTILINE).group(1) == version


def test_one_range_of_pythons():
    project = text("pyproject.toml")
    supported = re.findall(r"Python :: (3\.\d+)\"", project)
    oldest, newest = supported[0], supported[-1]
    assert [minor(version) for version in supported] == list(range(minor(oldest), minor(newest) + 1))
    assert f'requires-python = ">={oldest}"' in project
    assert f'target-version = "py{oldest.replace(".", "")}"' in project
    # run.py's packages have no builds for the oldest; all others are tried.
    assert set(run.VERSIONS) == set(supported[1:])
    readme = " ".join(text("README.md").split())
    assert f"Python {supported[1]} to {newest}" in readme
    assert f"Python {oldest} to {newest}" in readme
    workflow = text(".github/workflows/tests.yml")
    tested = re.findall(r'python-version: "(\S+)"', workflow)
    assert oldest in tested and set(tested) <= set(supported)


def test_ruff_is_the_same_before_a_commit_and_in_the_tests():
    pinned = re.search(r"^ruff==(\S+)$", text("Testing/requirements.txt"), re.MULTILINE).group(1)
    assert f"rev: v{pinned}\n" in text(".pre-commit-config.yaml")


def test_the_catalog_entry_says_what_the_extension_says():
    entry = json.loads(text("VolumeSuperResolution.json"))
    extension = text("CMakeLists.txt")
    assert f"project({Path('VolumeSuperResolution.json').stem})" in extension
    assert re.search(r'EXTENSION_DEPENDS "(.*)"', extension).group(1).split() == entry["build_dependencies"]
    assert re.search(r'EXTENSION_HOMEPAGE "(.*)"', extension).group(1) == entry["scm_url"].removesuffix(".git")
    category = re.search(r'categories = \[translate\("qSlicerAbstractCoreModule", "(.*)"\)\]', text(MODULE)).group(1)
    assert entry["category"] == category


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", ".github/pull_request_template.md", ".github/workflows/tests.yml"])
def test_files_that_are_named_are_there(page):
    library = ROOT / "VolumeSuperResolution" / "VolumeSuperResolutionLib"
    known = (ROOT, library, ROOT / "VolumeSuperResolution")
    named = set(re.findall(r"(?:[\w.]+/)+[\w.]+\.(?:py|md|txt|ui|yml)\b", text(page)))
    assert named
    assert [name for name in sorted(named) if not any((folder / name).is_file() for folder in known)] == []
