"""Several stacks into one volume: from nodes and options to a request, and from a result back to nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..engine.combine import combine, estimate
from ..engine.errors import RefusalError
from ..engine.request import CombineRequest, Estimate
from . import runs, scene, stacks


def makeRequest(
    volumes: Sequence,
    reference: Any = None,
    thickness: float | Sequence[float | None] | None = None,
    spacing: float | None = None,
    leftOut: Sequence[tuple[int, int]] = (),
    **options: Any,
) -> tuple[list, CombineRequest]:
    """The volumes with the reference (the first one, if none is named) in front, and the engine's request for them.

    `leftOut` are slices, each as the number of its volume (from 1) and its own (from 0).

    Raises RefusalError, whose sentence is for the user, where there is nothing to combine.
    """
    nodes = list(volumes)
    for node in nodes:
        scene.checkVolumeNode(node)
    told = list(thickness) if np.ndim(thickness) else [thickness] * len(nodes)
    if len(told) != len(nodes):
        text = _("There are {count} volumes and {given} thicknesses; give one for all, or one for each.")
        raise RefusalError(text.format(count=len(nodes), given=len(told)))
    if reference is not None and reference not in nodes:
        raise RefusalError(_("The reference is none of the volumes; choose one of them."))
    first = nodes.index(reference) if reference is not None else 0
    order = [first, *(n for n in range(len(nodes)) if n != first)] if nodes else []
    scanners = tuple(stacks.scannerOf(nodes[n], told[n]) for n in order)
    step = float(spacing) if spacing else None
    places = {n + 1: place for place, n in enumerate(order, start=1)}
    left = tuple((places.get(volume, volume), int(k)) for volume, k in leftOut)
    return [nodes[n] for n in order], CombineRequest(spacing=step, left_out=left, scanners=scanners, **options)


def estimateRequest(nodes: Sequence, request: CombineRequest) -> Estimate:
    """Size, spacing and memory; refuses what the engine would refuse before it looks at a voxel."""
    volumes = stacks.volumesOf(nodes)
    try:
        return estimate([volume.grid for volume in volumes], volumes[0].array.dtype if volumes else "i2", request)
    except RefusalError as refusal:
        raise RefusalError(stacks.named(str(refusal), nodes)) from refusal


def runHere(
    nodes: Sequence,
    request: CombineRequest,
    maps: bool = False,
    outputVolume: Any = None,
    progress: Callable[[int, int], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Any:
    """Combine in this process and add the node."""
    for node in nodes:
        scene.checkTargets(slicer.mrmlScene, node, outputVolume)
    try:
        result = combine(stacks.volumesOf(nodes), request, progress, cancel)
    except RefusalError as refusal:
        raise RefusalError(stacks.named(str(refusal), nodes)) from refusal
    return addResult(nodes, result, request, maps, outputVolume)


def addResult(nodes: Sequence, result: Any, request: CombineRequest, maps: bool, outputVolume: Any = None) -> Any:
    """A node for the result, with a map of how many scans saw each voxel and one of what they say otherwise."""
    record = scene.combinedRecord(nodes, result.report, request)
    others = {scene.COVERAGE_ROLE: result.coverage, scene.RESIDUAL_ROLE: result.residual} if maps else {}
    return scene.addVolumes(slicer.mrmlScene, nodes, result.volume, record, others, outputVolume)


class Combining(runs.Run):
    """Of several volumes, the reference first; the request and whether maps are wanted."""

    def __init__(self, nodes: Sequence, request: tuple[CombineRequest, bool], outputVolume: Any = None) -> None:
        wanted, self._maps = request
        super().__init__(nodes, wanted, outputVolume)

    @staticmethod
    def needsTorch(inputs: Sequence, request: Any) -> bool:
        wanted, _maps = request
        return bool(wanted.model)

    def _volumes(self) -> list:
        return stacks.volumesOf(self.inputs)

    def _add(self, result: Any) -> Any:
        return addResult(self.inputs, result, self.request, self._maps, self._outputVolume)

    def _onFailed(self, sentence: str) -> None:
        super()._onFailed(stacks.named(sentence, self.inputs))
