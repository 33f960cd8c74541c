"""What Slicer's build packages is what is there."""

from __future__ import annotations

import re
import struct

import pytest
from conftest import ROOT

MODULE = ROOT / "VolumeSuperResolution"
CMAKE = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
EXTENSION = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")


def globbed(name):
    """The files that a pattern list in the module's CMakeLists.txt finds, as CMake's GLOB_RECURSE does."""
    text = re.search(rf"file\(GLOB_RECURSE {name} RELATIVE \S+ CONFIGURE_DEPENDS\n(.*?)\n  \)", CMAKE, re.S)
    found = set()
    for pattern in text.group(1).split():
        folder, _, name = pattern.rpartition("/")
        found |= set((MODULE / folder).rglob(name))
    return {path.relative_to(MODULE).as_posix() for path in found}


def tracked():
    """Every file of the module that belongs to the repository."""
    ignored = {"__pycache__", "CMakeLists.txt", "volume_super_resolution.egg-info"}
    files = (path for path in MODULE.rglob("*") if path.is_file() and not ignored & set(path.parts))
    return {path.relative_to(MODULE).as_posix() for path in files}


def test_every_file_is_packaged_once():
    scripts, resources = globbed("MODULE_PYTHON_SCRIPTS"), globbed("MODULE_PYTHON_RESOURCES")
    assert not scripts & resources
    assert scripts | resources == tracked()


def test_one_script_on_the_module_path():
    # Slicer tries to load every script that it finds there as a module.
    assert [path.name for path in MODULE.glob("*.py")] == ["VolumeSuperResolution.py"]


@pytest.mark.parametrize(
    "path", ["Resources/VolumeSuperResolution.png", "VolumeSuperResolution/Resources/Icons/VolumeSuperResolution.png"]
)
def test_icon_has_the_size_that_the_index_asks_for(path):
    content = (ROOT / path).read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (128, 128)


def test_extension_description():
    for word in ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"):
        assert re.search(rf'set\(EXTENSION_{word} "[^"]+"\)', EXTENSION), word
    assert 'set(EXTENSION_DEPENDS "PyTorch")' in EXTENSION
    for url in re.findall(r"https://raw\.[^\s\"]+", EXTENSION):
        assert (ROOT / url.partition("/main/")[2]).is_file(), url
