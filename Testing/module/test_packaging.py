"""What Slicer's build packages is what is there."""

from __future__ import annotations

import re
import struct

import pytest
from conftest import ROOT

MODULE = ROOT / "VolumeSuperResolution"
CMAKE = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
EXTENSION = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")


def listed(name):
    """The files that a list in the module's CMakeLists.txt names."""
    text = re.search(rf"set\({name}\n(.*?)\n  \)", CMAKE, re.S)
    return {line.strip() for line in text.group(1).splitlines() if not line.strip().startswith("$")}


def present(folder, pattern):
    return {
        path.relative_to(MODULE).as_posix()
        for path in (MODULE / folder).rglob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_every_script_is_packaged():
    scripts = {"VolumeSuperResolution.py"} | present("VolumeSuperResolutionLib", "*.py")
    assert listed("MODULE_PYTHON_SCRIPTS") == scripts


def test_every_resource_is_packaged():
    assert listed("MODULE_PYTHON_RESOURCES") == present("Resources", "*")
    others = {name for name in present("VolumeSuperResolutionLib", "*") if not name.endswith(".py")}
    assert all(re.fullmatch(r"VolumeSuperResolutionLib/training/configs/[^/]+\.json", name) for name in others)


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
