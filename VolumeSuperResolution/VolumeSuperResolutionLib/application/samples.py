"""The sample volumes that come with the extension, and three stacks that are made of one of them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import slicer

from ..engine.physics import simulation
from ..engine.volumes.grid import Volume
from . import scene, stacks

# Slices of 4 mm with 1% of noise, of a patient who moved by up to so much between them.
THICKNESS, NOISE, DEGREES, MM = 4.0, 0.01, 3.0, 3.0


def addStacks(folder: str) -> list:
    """Axial, sagittal and coronal stacks of the sample brain, as nodes; always the same."""
    sample = slicer.util.loadVolume(os.path.join(folder, "MRBrain.nrrd"), {"show": False})
    try:
        volume = scene.volumeFromNode(sample)
        truth = Volume(volume.array.astype(np.float32), volume.grid)
        made = simulation.orthogonal(truth, THICKNESS, 0.0, np.random.default_rng(20), NOISE, DEGREES, MM)
        nodes = [_add(stack.volume) for stack in made]
    finally:
        slicer.mrmlScene.RemoveNode(sample)
    slicer.util.setSliceViewerLayers(background=nodes[0])
    return nodes


def _add(volume: Volume) -> Any:
    array = np.clip(np.rint(volume.array), 0, 255).astype(np.uint8)
    node = slicer.util.addVolumeFromArray(array, scene.matrixOf(volume.grid), "Stack")
    node.SetName(f"MRBrain {stacks.plane(node)}")
    return node
