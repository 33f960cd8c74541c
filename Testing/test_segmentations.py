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
