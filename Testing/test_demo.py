"""The pictures show what they say they show, and the demo does what the README promises."""

from __future__ import annotations

import demo
import numpy as np
import pytest
import slicer
from PIL import Image
from sliceviews import FRAME, Look, SliceViews, frame, picture
from VolumeSuperResolutionLib.engine.volumes import files


@pytest.fixture
def scene():
    scene = slicer.vtkMRMLScene()
    yield scene
    scene.Clear(True)


def add_volume(scene, array, to_ras):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "T1")
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(to_ras))
    slicer.util.updateVolumeFromArray(node, array)
    node.CreateDefaultDisplayNodes()
    node.GetScalarVolumeDisplayNode().SetAutoWindowLevel(0)
    node.GetScalarVolumeDisplayNode().SetWindowLevel(200, 100)
    return node


@pytest.mark.parametrize("orientation", ["Axial", "Coronal", "Sagittal"])
def test_a_view_shows_the_point_in_its_middle_and_frames_the_detail(scene, orientation):
    array = np.zeros((40, 40, 40), np.int16)
    array[24:28, 10:14, 16:20] = 200  # 4 mm cube around (i, j, k) = (17.5, 11.5, 25.5)
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    to_ras[:3, 3] = (20, 20, -20)
    node = add_volume(scene, array, to_ras)
    cube = (20 - 17.5, 20 - 11.5, -20 + 25.5)
    inner = Look(orientation, cube, 4)
    plane = {"Axial": (0.4, 0.4, cube[2]), "Coronal": (0.4, cube[1], 0.4), "Sagittal": (cube[0], 0.4, 0.4)}
    outer = Look(orientation, plane[orientation], 40)
    with SliceViews(scene, 2, pixels=200) as views:
        whole, same = views.draw([node, node], outer)
        detail = views.draw([node], inner._replace(width_mm=3.8))[0]
    assert np.array_equal(whole, same)
    assert detail.min() == 255
    rows, columns = np.nonzero(whole[..., 0] == 255)
    marked_rows, marked_columns = np.nonzero((frame(whole, outer, inner) == FRAME).all(axis=-1))
    assert abs(rows.min() - marked_rows.min()) <= 3
    assert abs(rows.max() - marked_rows.max()) <= 3
    assert abs(columns.min() - marked_columns.min()) <= 3
    assert abs(columns.max() - marked_columns.max()) <= 3


def test_a_picture_holds_every_view_where_its_column_and_row_are(tmp_path):
    shades = [[np.full((50, 50, 3), 40 * (3 * row + column), np.uint8) for column in range(3)] for row in range(2)]
    picture(shades, ["One\nof three", "Two", "Three"], "note", tmp_path / "views.png")
    image = np.asarray(Image.open(tmp_path / "views.png"))
    for shade in (40, 80, 120, 160, 200):
        assert (image == shade).all(axis=-1).sum() >= 50 * 50
    first = np.argwhere((image == 40).all(axis=-1)).mean(axis=0)
    below = np.argwhere((image == 160).all(axis=-1)).mean(axis=0)
    assert below[0] > first[0] + 50
    assert abs(below[1] - first[1]) < 3


def test_the_demo_leaves_volume_pictures_and_report(tmp_path, capsys):
    assert demo.main(["--sample", "CTChest", "--model", "lanczos", "--output", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    result = files.read(tmp_path / "CTChest-x2-lanczos.nrrd").volume
    source = files.read(demo.ROOT / "Resources" / "SampleData" / "CTChest.nrrd").volume
    assert result.grid.size == tuple(2 * n for n in source.grid.size)
    corners = [
        sorted(tuple(np.round(grid.to_physical(np.multiply(ends, grid.size) - 0.5), 3)) for ends in np.ndindex(2, 2, 2))
        for grid in (source.grid, result.grid)
    ]
    assert np.allclose(*corners, atol=1e-3)
    for ending in ("views.png", "restored.png", "report.txt"):
        assert str(tmp_path / f"CTChest-{ending}") in said
        assert (tmp_path / f"CTChest-{ending}").stat().st_size > 0
    assert "Lanczos" in (tmp_path / "CTChest-report.txt").read_text(encoding="utf-8")
    assert "not for diagnosis" in said


def test_the_demo_refuses_in_a_sentence(tmp_path, capsys):
    assert demo.main(["--model", "lanczoss", "--output", str(tmp_path / "out")]) == 2
    assert "did you mean lanczos" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
