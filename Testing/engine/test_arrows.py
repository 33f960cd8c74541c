"""Arrows point one way: module -> slicing -> engine <- training, and the engine knows nothing of Slicer."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "VolumeSuperResolution" / "VolumeSuperResolutionLib"
SLICER = {"slicer", "qt", "ctk", "vtk", "PythonQt", "sitkUtils", "PyTorchUtils"}
# What a room may not import, and what else of the package it may not reach.
FORBIDDEN = {
    "engine": (SLICER, {"slicing", "training"}),
    "training": (SLICER, {"slicing"}),
    "slicing": (set(), {"training"}),
}
# The rest works without torch: these are what its absence must not keep from being imported.
TORCH_FREE = ("upscale", "zoo", "weights", "plan", "request", "files", "domain", "checks", "quality", "interpolation")


def imports(path):
    """(top-level package or "", dotted path from this package's root) of every import in a file."""
    here = path.relative_to(PACKAGE).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name.split(".")[0], tuple(name.name.split("."))
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0], tuple(node.module.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1]
            for name in node.names:
                yield "", (*base, *(node.module or "").split("."), name.name)


@pytest.mark.parametrize("room", FORBIDDEN)
def test_no_arrow_points_back(room):
    outside, rooms = FORBIDDEN[room]
    files = sorted((PACKAGE / room).rglob("*.py"))
    assert files
    for path in files:
        for top, dotted in imports(path):
            assert top not in outside, f"{path.name} imports {top}"
            inside = [part for part in dotted if part and part != "VolumeSuperResolutionLib"]
            assert not inside or inside[0] not in rooms, f"{path.name} imports {'.'.join(dotted)}"


def test_the_classical_road_is_free_of_torch():
    for name in TORCH_FREE:
        tree = ast.parse((PACKAGE / "engine" / f"{name}.py").read_text(encoding="utf-8"))
        tops = [n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
        names = {a.name for n in tops if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module for n in tops if isinstance(n, ast.ImportFrom) and n.level == 0}
        assert not any(n.split(".")[0] == "torch" for n in names), name


def test_networks_know_nothing_of_tiles_devices_or_files():
    for path in (PACKAGE / "engine" / "networks").glob("*.py"):
        for top, dotted in imports(path):
            assert top not in {"os", "io", "pathlib", "tempfile", "SimpleITK"}, f"{path.name}: {top}"
            if not top:
                assert dotted[:2] in {("engine", "networks"), ("engine", "errors")}, f"{path.name}: {dotted}"
