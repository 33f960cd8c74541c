"""Pictures of slice views as Slicer draws them, without a window: real layout and slice logic, no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import slicer
from PIL import Image, ImageDraw, ImageFont
from vtk.util import numpy_support

LAYOUT = 599
BACKGROUND = (24, 26, 30)
INK = (232, 234, 237)
FRAME = (255, 196, 0)
GAP = 8
CAPTION = 44
FOOTER = 26


class Look(NamedTuple):
    """What a row of views shows: a plane through a point (RAS), that many mm wide."""

    orientation: str
    point: Sequence[float]
    width_mm: float


class SliceViews:
    """Slice views on a scene; use it in a `with` statement, VTK wants them gone before the scene is."""

    def __init__(self, scene: Any, count: int, pixels: int = 420) -> None:
        self._scene = scene
        self._pixels = pixels
        self._application = slicer.vtkMRMLApplicationLogic()
        self._application.SetMRMLScene(scene)
        self._colors = slicer.vtkMRMLColorLogic()
        self._colors.SetMRMLApplicationLogic(self._application)
        self._colors.SetMRMLScene(scene)
        self._layout = slicer.vtkMRMLLayoutLogic()
        self._layout.SetMRMLApplicationLogic(self._application)
        self._layout.SetMRMLScene(scene)
        items = "".join(
            f'<item><view class="vtkMRMLSliceNode" singletontag="{self._tag(n)}"/></item>' for n in range(count)
        )
        layout = self._layout.GetLayoutNode()
        layout.AddLayoutDescription(LAYOUT, f'<layout type="horizontal">{items}</layout>')
        layout.SetViewArrangement(LAYOUT)
        self._logics = [self._make_logic(n) for n in range(count)]

    def __enter__(self) -> SliceViews:
        return self

    def __exit__(self, *_: object) -> None:
        for logic in self._logics:
            logic.SetSliceNode(None)
            logic.SetMRMLScene(None)
        for logic in (self._layout, self._colors, self._application):
            logic.SetMRMLScene(None)
        self._logics = []

    def draw(self, volumes: Sequence[Any], look: Look) -> list[np.ndarray]:
        """One RGB picture a volume node, all of the same plane, voxels drawn as they are."""
        return [self._draw(logic, volume, look) for logic, volume in zip(self._logics, volumes)]

    def _draw(self, logic: Any, volume: Any, look: Look) -> np.ndarray:
        node = logic.GetSliceNode()
        node.SetOrientation(look.orientation)
        node.SetDimensions(self._pixels, self._pixels, 1)
        node.SetFieldOfView(look.width_mm, look.width_mm, 1.0)
        node.JumpSliceByCentering(*look.point)
        volume.GetScalarVolumeDisplayNode().SetInterpolate(0)
        logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
        producer = logic.GetImageDataConnection().GetProducer()
        producer.Update()
        image = producer.GetOutputDataObject(0)
        pixels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
        return pixels.reshape(self._pixels, self._pixels, -1)[::-1, :, :3].copy()

    def _make_logic(self, number: int) -> Any:
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self._application)
        logic.SetMRMLScene(self._scene)
        logic.SetSliceNode(self._scene.GetSingletonNode(self._tag(number), "vtkMRMLSliceNode"))
        return logic

    @staticmethod
    def _tag(number: int) -> str:
        return f"Demo{number}"


def picture(rows: Sequence[Sequence[np.ndarray]], captions: Sequence[str], footer: str, path: Path) -> None:
    """The views of each row side by side, a caption of up to two lines above each column, written as PNG."""
    side = rows[0][0].shape[0]
    size = (GAP + len(captions) * (side + GAP), CAPTION + len(rows) * (side + GAP) + FOOTER)
    sheet = Image.new("RGB", size, BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for column, caption in enumerate(captions):
        left = GAP + column * (side + GAP)
        for line, text in enumerate(caption.splitlines()):
            pen.text((left, 5 + 19 * line), text, INK, ImageFont.load_default(15 if line == 0 else 13))
        for row, views in enumerate(rows):
            sheet.paste(Image.fromarray(views[column]), (left, CAPTION + row * (side + GAP)))
    pen.text((GAP, size[1] - FOOTER + 3), footer, INK, ImageFont.load_default(13))
    sheet.save(path, optimize=True)


def frame(view: np.ndarray, outer: Look, inner: Look) -> np.ndarray:
    """The view of `outer` with the edge of `inner`'s field of view drawn in; both in the same plane."""
    side = view.shape[0]
    across, down = _in_plane(outer.orientation, np.subtract(inner.point, outer.point))
    half = inner.width_mm / 2
    per_mm = side / outer.width_mm
    box = [side / 2 + sign * half * per_mm + shift * per_mm for sign in (-1, 1) for shift in (across, down)]
    image = Image.fromarray(view)
    ImageDraw.Draw(image).rectangle(box, outline=FRAME, width=2)
    return np.asarray(image)


def _in_plane(orientation: str, offset: np.ndarray) -> tuple[float, float]:
    """An offset (RAS, mm) as millimeters to the right and down in a view of that orientation."""
    right, anterior, superior = offset
    return {"Axial": (-right, -anterior), "Coronal": (-right, -superior), "Sagittal": (-anterior, -superior)}[
        orientation
    ]
