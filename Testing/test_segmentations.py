"""Segmentations on the command line: beside the result, on its grid."""

from __future__ import annotations

import numpy as np
from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume


def test_segmentations_go_to_the_grid_of_the_result(tmp_path, capsys):
    grid = Grid((8, 7, 6), (1, 1, 3), (10, 20, 30))
    files.write(
        Volume(np.random.default_rng(0).integers(0, 999, (6, 7, 8)).astype(np.int16), grid), tmp_path / "s.nrrd"
    )
    labels = np.zeros((6, 7, 8), np.uint8)
    labels[2:5, 2:5, 2:6], labels[3, 3, 3] = 1, 2
    keys = {"Segment0_ID": "a", "Segment0_LabelValue": "1", "Segment0_Extent": "2 5 2 4 2 4"}
    keys["Segmentation_ConversionParameters"] = "Reference image geometry|1;0;"
    files.write(Volume(labels, grid), tmp_path / "whole.nii.gz")
    part = grid.cropped(((2, 6), (2, 5), (2, 5)))
    files.write(Volume(labels[2:5, 2:5, 2:6], part), tmp_path / "part.seg.nrrd", keys)
    command = ["upscale", str(tmp_path / "s.nrrd"), str(tmp_path / "out.nii.gz"), "--model", "linear", "--isotropic"]
    both = [word for name in ("whole.nii.gz", "part.seg.nrrd") for word in ("--segmentation", str(tmp_path / name))]
    assert main([*command, "--quiet", *both]) == 0
    result = files.read(tmp_path / "out.nii.gz").volume
    whole, found = (files.read(tmp_path / f"out-{name}") for name in ("whole.nii.gz", "part.seg.nrrd"))
    assert np.array_equal(whole.volume.array, found.volume.array)
    assert np.allclose(whole.volume.grid.origin, result.grid.origin) and whole.volume.grid.size == result.grid.size
    assert np.bincount(whole.volume.array.ravel())[1:].tolist() == [105, 3]
    assert found.metadata["Segment0_ID"] == "a" and found.metadata["Segment0_LabelValue"] == "1"
    assert not {"Segment0_Extent", "Segmentation_ConversionParameters"} & set(found.metadata)
    assert main([*command, "--quiet", *both, "--region", "2:6,2:5,2:5"]) == 0
    assert np.count_nonzero(files.read(tmp_path / "out-whole.nii.gz").volume.array) == 4 * 3 * 9
    files.write(Volume(labels * 0.5, grid), tmp_path / "half.nrrd")
    files.write(Volume(labels, Grid((8, 7, 6))), tmp_path / "b.nrrd")
    capsys.readouterr()
    for name, words in (("half.nrrd", "no whole numbers"), ("b.nrrd", "another grid"), ("no.nrrd", "no file")):
        (tmp_path / "out.nii.gz").unlink(missing_ok=True)
        assert main([*command, "--segmentation", str(tmp_path / name)]) == 2
        assert words in capsys.readouterr().err and not (tmp_path / "out.nii.gz").exists()


def test_segments_that_overlap_keep_their_layers(tmp_path, capsys):
    grid = Grid((6, 5, 4), (1, 1, 3), (10, 20, 30))
    files.write(Volume(np.random.default_rng(0).integers(0, 99, (4, 5, 6)).astype(np.int16), grid), tmp_path / "s.nrrd")
    layers = np.zeros((4, 5, 6, 2), np.uint8)
    layers[1:3, 1:4, 1:5, 0], layers[:3, 2:5, 2:4, 1] = 1, 1
    header = (
        "NRRD0004\ntype: unsigned char\ndimension: 4\nspace: left-posterior-superior\nsizes: 2 6 5 4\n"
        "space directions: none (1,0,0) (0,1,0) (0,0,3)\nkinds: list domain domain domain\nencoding: raw\n"
        "space origin: (10,20,30)\nSegment0_ID:=a\nSegment0_Layer:=0\nSegment1_ID:=b\nSegment1_Layer:=1\n\n"
    )
    (tmp_path / "both.seg.nrrd").write_bytes(header.encode() + layers.tobytes())
    for n in range(2):
        files.write(Volume(layers[..., n], grid), tmp_path / f"{n}.nrrd")
    names = ("both.seg.nrrd", "0.nrrd", "1.nrrd")
    given = [word for name in names for word in ("--segmentation", str(tmp_path / name))]
    command = ["upscale", str(tmp_path / "s.nrrd"), str(tmp_path / "out.nrrd"), "--model", "linear", "--isotropic"]
    assert main([*command, "--quiet", *given]) == 0
    found = files.read(tmp_path / "out-both.seg.nrrd", layers=True)
    for n in range(2):
        assert np.array_equal(found.volume.array[..., n], files.read(tmp_path / f"out-{n}.nrrd").volume.array)
    assert found.label_map and found.metadata["Segment1_Layer"] == "1"
    assert main(["upscale", str(tmp_path / "both.seg.nrrd"), str(tmp_path / "no.nrrd"), "--isotropic"]) == 2
    assert "2 values in each voxel" in capsys.readouterr().err
