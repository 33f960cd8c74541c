"""Arrows point one way: module -> application -> engine <- training <- commands, inside the engine too.

Between application or commands and the engine lies learning, from the scan itself; it knows nothing of training.
"""

import ast
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "VolumeSuperResolution" / "VolumeSuperResolutionLib"
SLICER = {"slicer", "qt", "ctk", "vtk", "PythonQt", "sitkUtils", "PyTorchUtils"}
# What a part of the library may not import, and what else of the library it may not reach.
FORBIDDEN = {
    "engine": (SLICER, {"application", "training", "commands", "learning"}),
    "learning": (SLICER, {"application", "training", "commands"}),
    "training": (SLICER, {"application", "commands", "learning"}),
    "application": (set(), {"training", "commands"}),
    "commands": (SLICER, {"application"}),
}
# The rooms of the engine, and which of them each may use beside itself. The ground floor may use all.
ROOMS = {
    "volumes": set(),
    "physics": {"volumes"},
    "networks": set(),
    "streaming": {"networks"},
    "models": {"volumes", "physics", "networks", "streaming"},
}
# Of the ground floor, what the rooms may use: how work ends, and the types of callables.
FOR_ALL = {"errors", "callbacks"}
# Without torch the classical methods work: none of these files may import it when it is loaded itself.
NEEDS_TORCH = {"networks", "streaming"}
TORCH_FREE_STREAMING = {"memory", "tiles", "__init__"}


def imports(path, tree=None):
    """(top-level package or "", dotted path from this library's root) of every import in a file."""
    here = path.relative_to(LIBRARY).parent.parts
    for node in ast.walk(tree or ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name.split(".")[0], tuple(name.name.split("."))
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0], tuple(node.module.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1]
            for name in node.names:
                yield "", (*base, *filter(None, (node.module or "").split(".")), name.name)


@pytest.mark.parametrize("part", FORBIDDEN)
def test_no_arrow_points_back(part):
    outside, parts = FORBIDDEN[part]
    files = sorted((LIBRARY / part).rglob("*.py"))
    assert files
    for path in files:
        for top, dotted in imports(path):
            assert top not in outside, f"{path.name} imports {top}"
            inside = [name for name in dotted if name != "VolumeSuperResolutionLib"]
            assert not inside or inside[0] not in parts, f"{path.name} imports {'.'.join(dotted)}"


def test_every_room_of_the_engine_is_known():
    rooms = {path.parent.name for path in (LIBRARY / "engine").glob("*/__init__.py")}
    assert rooms == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_no_arrow_points_back_inside_the_engine(room):
    files = sorted((LIBRARY / "engine" / room).rglob("*.py"))
    assert files
    for path in files:
        for top, dotted in imports(path):
            if not top:
                assert dotted[0] == "engine", f"{path.name} imports {'.'.join(dotted)}"
                allowed = ROOMS[room] | FOR_ALL | {room}
                assert dotted[1] in allowed, f"{room}/{path.name} imports {'.'.join(dotted)}"


def test_the_classical_road_is_free_of_torch():
    engine = LIBRARY / "engine"
    free = [path for path in engine.rglob("*.py") if path.relative_to(engine).parts[0] not in NEEDS_TORCH]
    # The panel asks of every scan whether it can be learned from.
    free += [LIBRARY / "learning" / f"{name}.py" for name in ("__init__", "upscale", "thick", "model", "held_out")]
    free += [engine / "streaming" / f"{name}.py" for name in TORCH_FREE_STREAMING]
    for path in free:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tree.body = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        for top, dotted in imports(path, tree):
            room = dotted[1:3]
            streams = room[:1] == ("streaming",) and not set(room[1:]) <= TORCH_FREE_STREAMING
            assert top != "torch" and room[:1] != ("networks",) and not streams, f"{path.name}: {dotted}"


def test_networks_know_nothing_of_tiles_devices_or_files():
    for path in (LIBRARY / "engine" / "networks").glob("*.py"):
        for top, _dotted in imports(path):
            assert top not in {"os", "io", "pathlib", "tempfile", "SimpleITK"}, f"{path.name}: {top}"
