"""What the README says can be typed can be typed, and what it points to is there."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import demo
import numpy as np
import phantoms
import pytest
import SimpleITK as sitk
import standins
from VolumeSuperResolutionLib import commands as command_line
from VolumeSuperResolutionLib.engine.physics import registration
from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume
from VolumeSuperResolutionLib.training import export

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
COMMANDS = [line for _, block in BLOCKS for line in block.splitlines() if line.startswith("vsr ")]


def blob(size=(16, 20, 24)):
    """Something round with some texture, as a scan has it."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in size[::-1]), indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.7
    texture = np.random.default_rng(0).normal(0, 40, inside.shape)
    return np.where(inside, 600 + 200 * np.sin(9 * axes[2]) + texture, 20).clip(0).astype(np.int16)


def scan(path, spacing=(1, 1, 1), size=(16, 20, 24)):
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(Volume(blob(size), Grid(size, spacing)), path)


def dicom(folder):
    """A series of slices, four times as thick as their pixels."""
    folder.mkdir()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k, plane in enumerate(blob((12, 14, 6)) - 1024):
        image = sitk.GetImageFromArray(plane[None])
        tags = {
            **{"0020|000d": "1.2.3", "0020|000e": "1.2.3.4", "0008|0018": f"1.2.3.4.{k}", "0020|0013": str(k)},
            **{"0020|0032": f"0\\0\\{4 * k}", "0020|0037": "1\\0\\0\\0\\1\\0", "0008|0060": "CT"},
        }
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{k}.dcm"))
        writer.Execute(image)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder in which everything lies that the examples name, and is the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("T1.nii.gz", "data/T1.nii.gz", "data/scans/one.nii.gz", "scans/one.nii.gz", "scans/two.nrrd"):
        scan(tmp_path / name)
    for name in ("data/FLAIR-4mm.nii.gz", "FLAIR.nii.gz"):
        scan(tmp_path / name, (1, 1, 4), (16, 20, 6))
    stacks = phantoms.three(phantoms.head(32), 1, 1)
    for name, stack in zip(("axial", "sagittal", "coronal"), stacks):
        for folder in (tmp_path, tmp_path / "data"):
            files.write(stack.volume, folder / f"{name}.nrrd")
    (tmp_path / "data" / "sharp").mkdir()
    dicom(tmp_path / "CT-folder")
    scan(tmp_path / "bone.ome.zarr", size=(140, 8, 9))  # so long that there is a second level
    for folder, names in (("my-scans", "abc"), ("my-other-scans", "abc"), ("FOLDER", "a")):
        for name in names:
            scan(tmp_path / folder / f"{name}.nii.gz", size=(36, 36, 36))
    return tmp_path


def test_every_command_does_what_it_says(place, capsys, monkeypatch):
    monkeypatch.setattr(export, "SPEED_SIZE", 16)
    monkeypatch.setattr(registration, "ROUNDS", 20)  # the stacks hardly moved
    monkeypatch.setattr(registration, "SAMPLES", 10_000)
    for command in COMMANDS:
        arguments = shlex.split(command)[1:]
        if "--minutes" in arguments:  # of the training only its first step
            arguments[arguments.index("--minutes") + 1] = "0.0001"
        assert command_line.main(arguments) == 0, f"{command}: {capsys.readouterr().err}"
    written = (
        "sharp.nrrd",
        "T1-sharp.nii.gz",
        "FLAIR-isotropic.nii.gz",
        "CT-isotropic.nrrd",
        "sharp/one.nii.gz",
        "sharp/two.nrrd",
    )
    for name in written:
        assert files.read(place / name).volume.array.size > 0
    assert min(files.read(place / "T1-sharp.nii.gz").volume.grid.size) == 32
    assert len(set(files.read(place / "CT-isotropic.nrrd").volume.grid.spacing)) == 1
    assert {"card.json", "weights.safetensors"} <= {path.name for path in (place / "my-model").iterdir()}


def test_every_option_of_upscale_is_in_the_table(capsys):
    with pytest.raises(SystemExit):
        command_line.main(["upscale", "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    table = {
        option for line in README.splitlines() if line.startswith("| `--") for option in re.findall(r"--[a-z-]+", line)
    }
    assert options == table


@pytest.fixture
def slicer_console(monkeypatch):
    """The scene and the module's import path, as in Slicer's Python console."""
    slicer = pytest.importorskip("slicer")
    standins.install()
    sys.modules.pop("VolumeSuperResolution", None)
    slicer.mrmlScene.Clear(0)
    # The application's own file writers are not there; MRML's are.
    monkeypatch.setattr(slicer.util, "saveNode", lambda node, path: demo.save(slicer.mrmlScene, node, Path(path)))
    yield slicer
    slicer.mrmlScene.Clear(0)
    sys.modules.pop("VolumeSuperResolution", None)


def test_every_python_example_runs(place, slicer_console, capsys):
    """In one namespace and in order, as who follows the page types them."""
    names = {"slicer": slicer_console}
    examples = [block for language, block in BLOCKS if language == "python"]
    assert len(examples) >= 3
    for code in examples:
        exec(compile(code.replace("/data/", f"{place / 'data'}/"), "README.md", "exec"), names)
    sizes = [files.read(place / name).volume.grid.size for name in ("T1.nii.gz", "data/sharp/one.nii.gz")]
    assert sizes == [(16, 20, 24), (32, 40, 48)]
    assert files.read(place / "T1-isotropic.nii.gz").volume.grid.size == (16, 20, 24)
    said = capsys.readouterr().out
    assert "fsrcnn3d-x2" in said and "one.nii.gz:" not in said


def test_the_example_beside_the_samples_runs(place):
    page = (ROOT / "Resources" / "SampleData" / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    exec(compile(code.replace("Resources/", f"{ROOT / 'Resources'}/"), "README.md", "exec"), {})
    assert files.read(place / "MRBrain-4mm.nrrd").volume.grid.size == (140, 19, 164)


@pytest.mark.parametrize("page", ["README.md", "Resources/SampleData/README.md"])
def test_every_link_within_the_repository_leads_somewhere(page):
    path = ROOT / page
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith("http")]
    assert [link for link in local if not (path.parent / link).exists()] == []
