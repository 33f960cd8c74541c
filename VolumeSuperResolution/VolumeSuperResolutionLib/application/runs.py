"""From nodes and options to a request, and from a result back to a node: here, or in the worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..engine.checks import lay_out, result_type
from ..engine.errors import RefusalError
from ..engine.models import zoo
from ..engine.models.automatic import AUTOMATIC
from ..engine.physics.scanner import slice_axis
from ..engine.readers import AUTO
from ..engine.request import MAPS, MEGA, Estimate, Request
from ..engine.upscale import estimate
from ..learning.upscale import check, upscale
from . import acquisition, dependencies, regions, scene
from .signals import Signal
from .worker import Worker

# The middle of a comparison: the sharpest interpolation; a result of that one is compared with the plainest.
BEST_INTERPOLATION, PLAIN_INTERPOLATION = "lanczos", "linear"
PREVIEW_SECONDS = 1.0
# What is read for a preview has edges of this many voxels, a fifth of which at each end is margin.
PREVIEW_EDGES = (12, 100)


def makeRequest(
    inputVolume: Any,
    model: str | None = None,
    scale: float | Sequence[float] | None = None,
    slices: float | None = None,
    spacing: Sequence[float] | None = None,
    isotropic: bool = False,
    region: Any = None,
    memory: int | None = None,
    realism: float | None = None,
    **options: Any,
) -> Request:
    """The engine's request for what the module's user asks for. `slices` scales the through-plane axis alone.

    Raises RefusalError, whose sentence is for the user, where there is nothing to upscale.
    """
    scene.checkVolumeNode(inputVolume)
    if spacing is not None or isotropic:
        scale = None
    elif slices is not None:
        scale = [1.0, 1.0, 1.0]
        scale[throughPlane(inputVolume)] = float(slices)
    elif np.ndim(scale) == 0:
        scale = (2.0 if scale is None else float(scale),) * 3
    if region is not None and hasattr(region, "IsA"):
        region = regions.regionFromRoi(region, inputVolume)
    if isinstance(options.get("learn"), bool):
        options["learn"] = AUTO if options["learn"] else None
    options.setdefault("modality", modalityOf(inputVolume))
    options.setdefault("scanner", acquisition.scannerOf(inputVolume))
    return Request(
        model=model or AUTOMATIC,
        scale=None if scale is None else tuple(float(f) for f in scale),
        spacing=None if spacing is None else tuple(float(s) for s in spacing),
        isotropic=bool(isotropic),
        region=None if region is None else tuple((int(a), int(b)) for a, b in region),
        memory_mb=None if memory is None else int(memory),
        realism=None if realism is None else float(realism),
        **options,
    )


def throughPlane(inputVolume: Any) -> int:
    """The axis across the slices: the one with the largest spacing, the last where all are the same."""
    return slice_axis(inputVolume.GetSpacing())


def modalityOf(inputVolume: Any) -> str:
    """ "MR" or "CT" as the DICOM series says, else "auto": by the intensities."""
    units = inputVolume.GetVoxelValueUnits()
    if units is not None and units.GetCodeValue() in ("[hnsf'U]", "hnsf'U"):
        return "CT"
    hierarchy = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode")
    item = hierarchy.GetItemByDataNode(inputVolume) if hierarchy is not None else 0
    modality = hierarchy.GetItemAttribute(item, "DICOM.Modality") if item else ""
    return modality if modality in ("MR", "CT") else "auto"


def cardOf(inputVolume: Any, request: Request) -> Any:
    """The card of the model that a request runs, also where it leaves the choice open."""
    if request.model != AUTOMATIC:
        return zoo.card(request.model)
    return lay_out(scene.gridFromNode(inputVolume), request).card


def estimateRequest(inputVolume: Any, request: Request) -> Estimate:
    """Size, spacing, memory and time of a request; refuses what the engine would refuse."""
    volume = scene.volumeFromNode(inputVolume)
    if request.learns:
        check(volume.grid, request)
    # VTK remembers the range for as long as the voxels stay as they are.
    extremes = tuple(map(float, inputVolume.GetImageData().GetScalarRange()))
    return estimate(volume.grid, result_type(volume.array, request.model, extremes), request)


def runHere(
    inputVolume: Any,
    request: Request,
    outputVolume: Any = None,
    progress: Callable[[int, int], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Any:
    """Upscale in this process and add the node."""
    scene.checkTargets(slicer.mrmlScene, inputVolume, outputVolume)
    if request.learns or cardOf(inputVolume, request).learned:
        dependencies.requireTorch()
    result = upscale(scene.volumeFromNode(inputVolume), request, progress, cancel)
    return addResult(inputVolume, result, request, outputVolume)


def addResult(inputVolume: Any, result: Any, request: Request, outputVolume: Any) -> Any:
    """The node of a result, whose report also tells what is to be told of the input's geometry."""
    report = replace(result.report, warnings=(*acquisition.warnings(inputVolume), *result.report.warnings))
    return scene.addResultNode(slicer.mrmlScene, inputVolume, result._replace(report=report), request, outputVolume)


class Run:
    """A run in the worker that ends with a node: exactly one of finished(node), failed(sentence), cancelled().

    The result takes the place of the first of its inputs.
    """

    def __init__(self, inputs: Sequence, request: Any, outputVolume: Any = None) -> None:
        for inputVolume in inputs:
            scene.checkTargets(slicer.mrmlScene, inputVolume, outputVolume)
        self.progressed = Signal()
        self.finished = Signal()
        self.failed = Signal()
        self.cancelled = Signal()
        self.learning = Signal()
        self.inputs = list(inputs)
        self.request = request
        self._outputVolume = outputVolume
        self._job = Worker.shared().start(self._volumes(), request)
        self._job.progressed.connect(self.progressed.emit)
        self._job.learning.connect(self.learning.emit)
        self._job.finished.connect(self._onFinished)
        self._job.failed.connect(self._onFailed)
        self._job.cancelled.connect(self.cancelled.emit)

    @staticmethod
    def needsTorch(inputs: Sequence, request: Any) -> bool:
        """Whether such a run computes with a network."""
        raise NotImplementedError

    @property
    def inputVolume(self) -> Any:
        """The first of the inputs."""
        return self.inputs[0]

    @property
    def running(self) -> bool:
        """Whether it still goes on."""
        return self._job.running

    def cancel(self) -> None:
        """End it within a second; nothing is added to the scene."""
        self._job.cancel()

    def endLearning(self) -> None:
        """Where it learns from the scan, go on with what it has learned."""
        self._job.endLearning()

    def _volumes(self) -> list:
        """What the engine gets."""
        return [scene.volumeFromNode(node) for node in self.inputs]

    def _add(self, result: Any) -> Any:
        """The engine's result as a node."""
        raise NotImplementedError

    def _onFailed(self, sentence: str) -> None:
        self.failed.emit(sentence)

    def _onFinished(self, result: Any) -> None:
        try:
            node = self._add(result)
        except RefusalError as refusal:
            self.failed.emit(str(refusal))
        except Exception as error:
            logging.exception("A result could not be added to the scene")
            self.failed.emit(_("The result could not be added to the scene: {error}").format(error=error))
        else:
            self.finished.emit(node)


class Upscaling(Run):
    """Of one volume."""

    @staticmethod
    def needsTorch(inputs: Sequence, request: Any) -> bool:
        return request.learns or cardOf(inputs[0], request).learned

    def _add(self, result: Any) -> Any:
        return addResult(self.inputVolume, result, self.request, self._outputVolume)


def previewRequest(inputVolume: Any, request: Request, ras: Sequence[float], rate: float) -> Request:
    """The same for a box around a point, as large as takes about a second; `rate` is in seconds a megavoxel."""
    edge = int(np.clip((PREVIEW_SECONDS * MEGA / rate) ** (1 / 3) if rate else np.inf, *PREVIEW_EDGES))
    margin = edge // 5
    values = request.to_dict()
    values.update(
        model=cardOf(inputVolume, request).id,
        learn=None,
        learn_steps=None,
        ensemble=False,
        margin=margin,
        **dict.fromkeys(MAPS, False),
    )
    values.update(region=regions.regionAround(inputVolume, ras, edge - 2 * margin))
    return Request.from_dict(values)


def interpolationRequest(request: Request, model: str) -> Request:
    """The best interpolation onto the grid of another request, which was done with this model."""
    interpolation = BEST_INTERPOLATION if model != BEST_INTERPOLATION else PLAIN_INTERPOLATION
    target = {name: getattr(request, name) for name in ("scale", "spacing", "isotropic", "region", "fill_nonfinite")}
    return Request(model=interpolation, **target)
