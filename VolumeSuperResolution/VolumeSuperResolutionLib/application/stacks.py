"""What the scene tells of stacks: which volumes they are, how they lie, how thick they are, and which go together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from ..engine.combine import FEWEST, MOST
from ..engine.errors import RefusalError
from ..engine.physics.scanner import Scanner
from ..engine.volumes.grid import Grid, Volume
from . import acquisition, runs, scene
from .targets import THICK

AXIAL, CORONAL, SAGITTAL, OBLIQUE, SOLID = "axial", "coronal", "sagittal", "oblique", "solid"
# The plane of slices whose normal runs along R, A or S; one further from all of them is oblique.
PLANES, NEAREST = (SAGITTAL, CORONAL, AXIAL), 0.8
# Words in names that tell a contrast, and those that tell a plane.
CONTRASTS = re.compile(r"(t1|t2|pd|flair|stir|tirm|dwi|adc|swi|gd|ce|km|post|fs|fatsat)")
PLANE_WORDS = re.compile(r"(ax|axial|tra|trans|transverse|transversal|cor|coronal|sag|sagittal)$")
# Echo times of one contrast differ by no more than this factor.
SAME_ECHO = 1.5
ECHO_TIME = "0018,0081"
# What counts as rigid: axes that stay as long and as orthogonal as they were, within this.
RIGID = 1e-3
_LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def candidates() -> list:
    """The scans of the scene that could be stacks, in the order of the scene."""
    found = []
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        image = node.GetImageData()
        isScan = node.GetClassName() == "vtkMRMLScalarVolumeNode" and not node.GetHideFromEditors()
        isMade = bool(node.GetAttribute(scene.PREFIX + "Settings"))
        if isScan and not isMade and image is not None and image.GetNumberOfScalarComponents() == 1:
            found.append(node)
    return [node for node in found if min(node.GetImageData().GetDimensions()) > 1]


def plane(node: Any) -> str:
    """How its slices lie in the patient."""
    spacing = node.GetSpacing()
    if max(spacing) < THICK * min(spacing):
        return SOLID
    direction = np.asarray(scene.gridFromNode(node).direction).reshape(3, 3) @ np.eye(3)[runs.throughPlane(node)]
    toWorld = _between(node, None)
    direction = np.abs(direction if toWorld is None else toWorld[:3, :3] @ direction)
    axis = int(np.argmax(direction))
    return PLANES[axis] if direction[axis] >= NEAREST * np.linalg.norm(direction) else OBLIQUE


def thickness(node: Any) -> float | None:
    """The slice thickness in mm that DICOM tells; None where it tells none."""
    return acquisition.scannerOf(node).axes[2].width


def scannerOf(node: Any, told: float | None = None) -> Scanner:
    """How it was scanned: as thick as the user says, as DICOM says, or as its slices are apart."""
    known = acquisition.scannerOf(node)
    return known.told(node.GetSpacing(), thickness=told) if told else known


def proposed(first: Any = None) -> list:
    """Stacks of one study and contrast, each in a plane of its own; those that go with `first`, if that is given."""
    thick = [node for node in candidates() if plane(node) != SOLID]
    if first is not None and first not in thick:
        return []
    groups = [_group(node, thick) for node in ([first] if first is not None else thick)]
    largest = max(groups, key=len, default=[])
    return largest if len(largest) >= FEWEST else []


def volumesOf(nodes: Sequence) -> list[Volume]:
    """The scans in the space of the first one, where its result will be; refuses what lies there bent or stretched."""
    volumes = []
    for node in nodes:
        volume = scene.volumeFromNode(node)
        matrix = _between(node, nodes[0])
        if matrix is None or np.abs(matrix[:3, :3].T @ matrix[:3, :3] - np.eye(3)).max() > RIGID:
            raise RefusalError(
                _(
                    "{name} lies under a transform that bends or stretches it against {other}; harden or remove the "
                    "transform first."
                ).format(name=node.GetName(), other=nodes[0].GetName())
            )
        volumes.append(Volume(volume.array, _moved(volume.grid, matrix)))
    return volumes


def named(sentence: str, nodes: Sequence) -> str:
    """What the engine says of "scan 2", with the name of the volume that it is."""

    def name(match: re.Match) -> str:
        numbers = [int(n) - 1 for n in match.groups() if n]
        if max(numbers) >= len(nodes):
            return match.group()
        return " and ".join(nodes[n].GetName() for n in numbers)

    return re.sub(r"\b[Ss]cans? (\d+)(?: and (\d+))?\b", name, sentence)


def _group(first: Any, others: Sequence) -> list:
    found, planes = [first], {plane(first)}
    alike = sorted((node for node in others if _belongs(first, node)), key=lambda node: -_likeness(first, node))
    for node in alike:
        if plane(node) not in planes and len(found) < MOST:
            found.append(node)
            planes.add(plane(node))
    return sorted(found, key=list(others).index)


def _belongs(a: Any, b: Any) -> bool:
    """Whether two scans are of one study and contrast, as far as the scene tells."""
    if a is b or not _overlap(a, b):
        return False
    for known in (_study, _modality, _contrast):
        own, other = known(a), known(b)
        if own and other and own != other:
            return False
    echoes = sorted(filter(None, (acquisition.dicomNumber(node, ECHO_TIME) for node in (a, b))))
    return len(echoes) < 2 or echoes[1] <= SAME_ECHO * echoes[0]


def _overlap(a: Any, b: Any) -> bool:
    bounds = np.zeros((2, 6))
    for node, row in zip((a, b), bounds):
        node.GetRASBounds(row)
    low, high = bounds[:, ::2].max(axis=0), bounds[:, 1::2].min(axis=0)
    return bool(np.all(low < high))


def _study(node: Any) -> int:
    hierarchy = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode")
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    return hierarchy.GetItemAncestorAtLevel(item, "Study") if item else 0


def _modality(node: Any) -> str:
    known = runs.modalityOf(node)
    return known if known != "auto" else ""


def _contrast(node: Any) -> frozenset:
    found = (CONTRASTS.match(word) for word in _words(node))
    return frozenset(match.group() for match in found if match)


def _words(node: Any) -> list[str]:
    return re.findall(r"[a-z]+[0-9]?|[0-9]+", (node.GetName() or "").lower())


def _likeness(a: Any, b: Any) -> float:
    """Of two names, planes and series numbers left out."""
    names = [" ".join(w for w in _words(n) if not PLANE_WORDS.match(w) and not w.isdigit()) for n in (a, b)]
    return SequenceMatcher(None, *names).ratio()


def _between(node: Any, other: Any) -> np.ndarray | None:
    """From the space of a volume to another's (None: the world), in LPS; None where that is no matrix."""
    matrix = vtk.vtkMatrix4x4()
    target = other.GetParentTransformNode() if other is not None else None
    transforms = slicer.vtkMRMLTransformNode
    if not transforms.GetMatrixTransformBetweenNodes(node.GetParentTransformNode(), target, matrix):
        return None
    return _LPS_RAS @ slicer.util.arrayFromVTKMatrix(matrix) @ _LPS_RAS


def _moved(grid: Grid, matrix: np.ndarray) -> Grid:
    direction = matrix[:3, :3] @ np.reshape(grid.direction, (3, 3))
    origin = matrix[:3, :3] @ grid.origin + matrix[:3, 3]
    return replace(grid, origin=tuple(origin + 0.0), direction=tuple(direction.ravel() + 0.0))
