"""The checks of the module's self-test, in the application and on a developer's machine."""

from __future__ import annotations

import os
from typing import Any, Callable

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from ..engine.models import zoo
from ..engine.physics import simulation
from ..engine.physics.degradation import degrade
from ..engine.volumes.grid import Volume
from . import dependencies, scene
from .comparison import LAYOUT, VIEW_NAMES
from .sidebyside import SideBySide


class SelfTest:
    """What has to work wherever the module does."""

    # A box of the sample, (k, j, i): large enough to judge a model, small enough to take seconds.
    BOX = (slice(40, 120), slice(8, 72), slice(30, 110))
    SECONDS = 60

    def __init__(self, case: Any, logic: Any, samples: str) -> None:
        """`case` compares, and tells the user what is being done; `samples` is the folder of the sample volumes."""
        self.case, self.logic, self.samples = case, logic, samples

    def run(self) -> None:
        """Every check, each on an empty scene, which is left empty."""
        for check in (self.checkUpscale, self.checkRefusal, self.checkCombine, self.checkComparison):
            slicer.mrmlScene.Clear(0)
            check()
        slicer.mrmlScene.Clear(0)

    def checkUpscale(self) -> None:
        """A degraded sample is restored on its own grid, by a network better than by an interpolation."""
        truth, degraded = self.makeDegraded()
        errors = {}
        for model in ("linear", "lanczos", *self.learnedModels()):
            self.case.delayDisplay(_("Upscaling with {model}").format(model=model))
            result = self.logic.upscale(degraded, model=model, scale=2, device="cpu")
            self.compareGeometry(degraded, result)
            voxels = slicer.util.arrayFromVolume(result).astype(float)
            self.case.assertEqual(voxels.shape, truth.shape)
            errors[model] = float(np.sqrt(np.mean((voxels - truth)[6:-6, 6:-6, 6:-6] ** 2)))
        self.case.assertLess(errors["lanczos"], errors["linear"])
        for model in self.learnedModels():
            self.case.assertLess(errors[model], errors["lanczos"])

    def checkRefusal(self) -> None:
        """What cannot be done says why, and leaves the scene as it was."""
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
        before = slicer.mrmlScene.GetNumberOfNodes()
        with self.case.assertRaises(ValueError):
            self.logic.upscale(empty, model="lanczos")
        self.case.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)

    def checkCombine(self) -> None:
        """Thick stacks of a patient who moved between them become one volume, sharper than one of them upscaled."""
        piece, random = self.samplePiece(), np.random.default_rng(0)
        made = simulation.orthogonal(piece, 4.0, 0.0, random, 0.01, 2.0, 2.0, simulation.middle(piece.grid, 40))
        nodes = []
        for stack in made:
            array, matrix = stack.volume.array, scene.matrixOf(stack.volume.grid)
            nodes.append(slicer.util.addVolumeFromArray(array, matrix, "Stack"))
        results = [self.logic.upscale(nodes[0], model="lanczos", slices=4), self.logic.combine(nodes)]
        errors = []
        for result in results:
            self.compareGeometry(nodes[0], result)
            difference = slicer.util.arrayFromVolume(result) - made[0].truth.array
            errors.append(float(np.sqrt(np.mean(difference[6:-6, 6:-6, 6:-6] ** 2))))
        self.case.assertLess(errors[1], 0.7 * errors[0])

    def checkComparison(self) -> None:
        """A run in the worker ends with a node, which stands beside its input in three linked views."""
        _truth, degraded = self.makeDegraded()
        job = self.logic.startUpscale(degraded, model="backprojection", scale=2)
        results: list = []
        refusals: list = []
        job.finished.connect(results.append)
        job.failed.connect(refusals.append)
        self.waitFor(lambda: not job.running)
        self.case.assertEqual(refusals, [])
        self.compareGeometry(degraded, results[0])
        manager = slicer.app.layoutManager()
        if manager is None:
            return
        layout = manager.layout
        sideBySide = SideBySide()
        sideBySide.open(degraded, results[0], job.request)
        self.waitFor(lambda: sideBySide.active)
        self.case.assertEqual(manager.layout, LAYOUT)
        shown = [manager.sliceWidget(view).mrmlSliceCompositeNode().GetBackgroundVolumeID() for view in VIEW_NAMES]
        self.case.assertEqual((shown[0], shown[2]), (degraded.GetID(), results[0].GetID()))
        self.case.delayDisplay(_("The comparison"))
        sideBySide.close()
        self.case.assertEqual(manager.layout, layout)

    def learnedModels(self) -> list[str]:
        """One network, where there is one that doubles all axes and torch to run it."""
        doubling = [m for m in self.logic.models() if zoo.card(m).learned and zoo.card(m).factor == (2, 2, 2)]
        fastest = sorted(doubling, key=lambda m: zoo.card(m).seconds_per_megavoxel)
        return fastest[:1] if dependencies.torchState()[0] else []

    def makeDegraded(self) -> tuple[np.ndarray, Any]:
        """A piece of the MR sample, and a node with the same at half the resolution."""
        truth = self.samplePiece()
        coarse = degrade(truth.array, (2, 2, 2))
        grid = truth.grid.refined(coarse.shape[::-1])
        return truth.array.astype(float), slicer.util.addVolumeFromArray(coarse, scene.matrixOf(grid), "Degraded")

    def samplePiece(self) -> Volume:
        """A box of the MR sample."""
        sample = slicer.util.loadVolume(os.path.join(self.samples, "MRBrain.nrrd"))
        volume = scene.volumeFromNode(sample)
        array = np.ascontiguousarray(volume.array[self.BOX])
        grid = volume.grid.cropped([(axis.start, axis.stop) for axis in self.BOX[::-1]])
        slicer.mrmlScene.RemoveNode(sample)
        return Volume(array, grid)

    def compareGeometry(self, inputNode: Any, outputNode: Any) -> None:
        """The same field of view, in RAS."""
        own, other = [0.0] * 6, [0.0] * 6
        inputNode.GetRASBounds(own)
        outputNode.GetRASBounds(other)
        self.case.assertLess(np.abs(np.subtract(own, other)).max(), 1e-4)

    def waitFor(self, condition: Callable[[], Any]) -> None:
        """Let the application go on until something happened."""
        clock = qt.QElapsedTimer()
        clock.start()
        while not condition():
            self.case.assertLess(clock.elapsed(), 1000 * self.SECONDS, "it took too long")
            slicer.app.processEvents()
