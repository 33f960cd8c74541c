"""Segmentations of a scan, carried along to the grid of its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..engine.errors import RefusalError, about
from ..engine.physics import label_maps
from ..engine.volumes import files
from ..engine.volumes.grid import Grid, Region, Volume, slices_of
from . import outputs

# What 3D Slicer writes of the grid that it found: it would take the finer labels back to that.
OF_THE_GRID = ("Segmentation_ConversionParameters",)


class Carried(NamedTuple):
    """A segmentation on the grid of what is read of the scan, where it goes, and what its file says of it."""

    target: Path
    labels: np.ndarray
    metadata: Mapping[str, str]

    def refined(self, grid: Grid) -> Volume:
        """On the grid of the result."""
        with about(self.target.name):
            return Volume(label_maps.refine(self.labels, grid.size[::-1]), grid)


def targets_of(output: Path, paths: Sequence[Path]) -> list[Path]:
    """sharp.nii.gz and tumor.seg.nrrd -> sharp-tumor.seg.nrrd"""
    return [output.with_name(f"{outputs.stem(output.name)}-{path.name}") for path in paths]


def read(paths: Sequence[Path], targets: Sequence[Path], grid: Grid, region: Region | None) -> list[Carried]:
    """The segmentations of a scan on a grid, of which a part may be wanted; refuses what is none of this scan."""
    carried = []
    part = slices_of(region) if region is not None else ()
    for path, target in zip(paths, targets):
        loaded = files.read(path, layers=True)
        array = loaded.volume.array
        if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.rint(array)).all()):
            raise RefusalError(f"{path.name} holds values that are no whole numbers, so it is no segmentation.")
        labels = label_maps.placed(loaded.volume, grid, path.name)[part]
        metadata = {key: value for key, value in loaded.metadata.items() if key not in OF_THE_GRID}
        carried.append(Carried(target, labels, metadata))
    return carried
