"""What the scene tells of stacks: which volumes they are, how they lie, how thick they are, and which go together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from ..engine.combine_checks import FEWEST, MOST
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


class _Facts(NamedTuple):
    """What tells whether a stack belongs to another; what is not known is empty."""

    node: Any
    plane: str
    bounds: np.ndarray
    study: int
    modality: str
    contrast: frozenset
    echo: float
    # Of the name, without planes and series numbers.
    words: frozenset


def proposed(first: Any = None) -> list:
    """Stacks of one study and contrast, each in a plane of its own; those that go with `first`, if that is given."""
    nodes = candidates()
    if first is not None and (first not in nodes or plane(first) == SOLID):
        return []
    thick = [facts for facts in map(_facts, nodes) if facts.plane != SOLID]
    groups = [_group(facts, thick) for facts in thick if first is None or facts.node is first]
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


def _facts(node: Any) -> _Facts:
    words = re.findall(r"[a-z]+[0-9]?|[0-9]+", (node.GetName() or "").lower())
    contrast = (CONTRASTS.match(word) for word in words)
    hierarchy = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode")
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    modality, bounds = runs.modalityOf(node), np.zeros(6)
    node.GetRASBounds(bounds)
    return _Facts(
        node=node,
        plane=plane(node),
        bounds=bounds,
        study=hierarchy.GetItemAncestorAtLevel(item, "Study") if item else 0,
        modality=modality if modality != "auto" else "",
        contrast=frozenset(match.group() for match in contrast if match),
        echo=acquisition.dicomNumber(node, ECHO_TIME),
        words=frozenset(word for word in words if not PLANE_WORDS.match(word) and not word.isdigit()),
    )


def _group(first: _Facts, others: Sequence[_Facts]) -> list:
    found, planes = [first], {first.plane}
    belonging = [other for other in others if _belongs(first, other)]
    for other in sorted(belonging, key=lambda other: len(first.words ^ other.words)):
        if other.plane not in planes and len(found) < MOST:
            found.append(other)
            planes.add(other.plane)
    return [other.node for other in others if any(other is one for one in found)]


def _belongs(a: _Facts, b: _Facts) -> bool:
    """Whether two scans are of one study and contrast, as far as the scene tells."""
    for own, other in ((a.study, b.study), (a.modality, b.modality), (a.contrast, b.contrast)):
        if own and other and own != other:
            return False
    if a.echo and b.echo and max(a.echo, b.echo) > SAME_ECHO * min(a.echo, b.echo):
        return False
    low, high = (f(a.bounds, b.bounds) for f in (np.maximum, np.minimum))
    return a is not b and bool(np.all(low[::2] < high[1::2]))


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
