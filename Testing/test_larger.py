"""Larger than memory: in files voxel for voxel as in memory, which does not grow, and whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from hostile.makers_dicom import series
from sample_models import STAGES, model
from VolumeSuperResolutionLib.commands import larger, main, outputs
from VolumeSuperResolutionLib.engine.errors import CancelledError, RefusalError
from VolumeSuperResolutionLib.engine.models import domain, zoo
from VolumeSuperResolutionLib.engine.physics import data_step, noise, separable
from VolumeSuperResolutionLib.engine.storage import OnDisk
from VolumeSuperResolutionLib.engine.streaming import inference, memory
from VolumeSuperResolutionLib.engine.upscale import Request, upscale
from VolumeSuperResolutionLib.engine.volumes import files, intensity, labels, mapped, ome_zarr
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

SMALL = (zoo.Stage("edsr3d", {"factor": 2, "features": 2, "blocks": 1}),)
TURNED = (replace(SMALL[0], turns=4),)
OBLIQUE = {"spacing": (0.5, 0.75, 2.0), "origin": (10.0, -20.0, 30.0), "direction": (0.0, -1, 0, 1, 0, 0, 0, 0, 1)}


def texture(shape=(14, 15, 16), dtype=np.int16):
    """Something smooth with noise, which nobody takes for labels."""
    axes = np.meshgrid(*(np.linspace(0, 3, n) for n in shape), indexing="ij")
    smooth = 500 + 300 * np.sin(sum(axes)) + np.random.default_rng(0).normal(0, 30, shape)
    return smooth.clip(0).astype(dtype)


def save(path, array, compress=False, **keys):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(OBLIQUE["spacing"])
    image.SetOrigin(OBLIQUE["origin"])
    image.SetDirection(OBLIQUE["direction"])
    for key, value in keys.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path), compress)
    return path


def with_hole():
    array = texture(dtype=np.float32)
    array[3, 4, 5] = np.nan
    return array


LABELS = (texture() // 200).astype(np.uint8)
# What is read, what is asked, and what is written.
RUNS = {
    "lanczos": ("scan.nrrd", texture(), "--model lanczos --scale 2", "out.nrrd"),
    "a detached header": ("scan.nhdr", texture(dtype=np.float32), "--model bspline --scale 1.7", "out.nhdr"),
    "packed": ("scan.nii.gz", texture(), "--model linear --scale 2", "Out.nii.gz"),
    "plain NIfTI": ("scan.nii", texture(dtype=np.uint16), "--model lanczos --scale 2", "OUT.NII"),
    "labels": ("scan.mhd", LABELS, "--model nearest --scale 2,2,3 --label-map yes", "out.mhd"),
    "rounds": ("scan.mha", texture(), "--model lanczos --consistency 5 --scale 2", "out.mha"),
    "rounds in float": ("scan.nrrd", texture(dtype=np.float32), "--model lanczos --consistency 5 --scale 2", "out.mha"),
    "the data step": ("scan.nii", texture(), "--model backprojection --scale 2", "out.nrrd"),
    "the data step, told": ("scan.mha", texture(), "--model backprojection --profile box --scale 1,2,2", "out.mhd"),
    "a region": ("scan.nrrd", texture(), "--model lanczos --scale 2 --region 2:9,3:14,1:12", "out.nrrd"),
    "a region after a step": (
        "scan.nrrd",
        texture(),
        "--model backprojection --scale 2 --region 2:9,0:15,1:9",
        "out.nrrd",
    ),
    "a hole": ("scan.nrrd", with_hole(), "--model lanczos --scale 2 --fill-nonfinite", "out.nrrd"),
    "far from zero": ("scan.nrrd", texture(dtype=np.float64) + 1e9, "--model lanczos --scale 2", "out.nrrd"),
    "one value": ("scan.nrrd", np.full((6, 7, 8), 7, np.int16), "--model lanczos --scale 2", "out.nrrd"),
    "few levels": ("scan.nrrd", texture() // 30, "--model lanczos --scale 2 --label-map no", "out.nrrd"),
    "one slice": ("scan.nrrd", texture((1, 20, 21)), "--model lanczos --scale 2", "out.nii"),
    "fsrcnn3d-x2": ("scan.nrrd", texture(), "--model fsrcnn3d-x2 --scale 2", "out.nrrd"),
    "a network": ("scan.nrrd", texture(dtype=np.float32), "--model small --scale 2", "out.nrrd"),
    "a network, resampled": ("scan.mha", texture(), "--model small --scale 2.3,2,1.9", "out.nrrd"),
    "a network and rounds": ("scan.nrrd", texture(), "--model small --scale 2 --consistency 2", "out.nrrd"),
    "a network and a step": ("scan.nrrd", texture(), "--model small --scale 2 --profile gaussian", "out.nrrd"),
    "a network's region": ("scan.nrrd", texture(), "--model small --scale 2 --region 4:8,4:8,4:8", "out.nrrd"),
    "a network over flips": ("scan.nrrd", texture(), "--model small --scale 2 --ensemble", "out.nrrd"),
    "a network over turns": ("scan.nrrd", texture(), "--model turned --scale 2.2", "out.nrrd"),
    "slice by slice": ("scan.nrrd", texture(), "--model slices --scale 2", "out.nrrd"),
    "an average of two": ("scan.nrrd", texture(), "--model both --scale 2", "out.nrrd"),
}


def put_models(folder, **more):
    """A small model, the mean of two of it, and more of these stages."""
    for name, stages in {"small": SMALL, **more}.items():
        model(folder / name, stages=stages)
    model(folder / "both", stages=SMALL, averaged_with="small", share=0.3)
    return folder


def go_to(folder, models, monkeypatch):
    """Into a new folder, with models at hand."""
    monkeypatch.setenv(zoo.FOLDERS_VARIABLE, str(models))
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return put_models(tmp_path_factory.mktemp("models"), slices=STAGES, turned=TURNED)


@pytest.fixture
def here(tmp_path, models, monkeypatch):
    return go_to(tmp_path / "here", models, monkeypatch)


def vsr(capsys, command):
    """The report of a command that has to do what it is asked."""
    status, (told, said) = main(command.split()), capsys.readouterr()
    assert status == 0, said
    return json.loads(told)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("what", RUNS)
def test_in_files_every_voxel_is_that_of_memory(here, capsys, what):
    name, array, request, out = RUNS[what]
    save(here / name, array, name.endswith(".gz"), Project="x")
    command = f"upscale {name} %s {request} --modality MR --device cpu --json"
    reports = [vsr(capsys, command % "plain.nrrd"), vsr(capsys, command % f"{out} --on-disk")]
    plain, result = files.read("plain.nrrd").volume, files.read(out).volume
    assert result.array.dtype == plain.array.dtype
    assert np.array_equal(result.array, plain.array)
    assert np.allclose(result.grid.to_physical((1, 2, 0)), plain.grid.to_physical((1, 2, 0)), atol=1e-4)
    image = sitk.ReadImage(out)
    assert np.array_equal(sitk.GetArrayFromImage(image), plain.array)
    assert ".nii" in out.lower() or name.startswith("scan.nii") or image.GetMetaData("Project") == "x"
    for report in reports:
        del report["seconds"], report["peak_memory_mb"]
    assert reports[0] == reports[1]
    left = {"plain.nrrd", *(path.name for path in files.written_by(here / out, plain=True))}
    assert {path.name for path in here.iterdir() if not path.name.startswith("scan.")} == left


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_chunks_in_and_out_are_the_same_too(here, capsys, version):
    zarr = pytest.importorskip("zarr")
    if version == "0.5" and zarr.__version__ < "3":
        pytest.skip("zarr 2 has no format 3")
    grid = Grid(texture().shape[::-1], OBLIQUE["spacing"], OBLIQUE["origin"], OBLIQUE["direction"])
    files.write(Volume(texture(), grid), here / "scan.ome.zarr", {"OME-Zarr": version})
    request = "--model backprojection --scale 2 --json"
    plain = vsr(capsys, f"upscale scan.ome.zarr plain.nrrd {request}")
    for out, more in (("memory.zarr", ""), ("disk.zarr", " --on-disk"), ("old.zarr", " --on-disk --ome-zarr 0.4")):
        report = vsr(capsys, f"upscale scan.ome.zarr {out} {request}{more}")
        loaded = files.read(out)
        assert np.array_equal(loaded.volume.array, files.read("plain.nrrd").volume.array)
        assert np.allclose(loaded.volume.grid.to_physical((1, 2, 0)), grid.refined((32, 30, 28)).to_physical((1, 2, 0)))
        assert loaded.metadata["OME-Zarr"] == ("0.4" if out == "old.zarr" else version)
        assert report["warnings"][:-1] == plain["warnings"] and "how the axes lie" in report["warnings"][-1]
    assert {path.name for path in here.iterdir()} == {
        "scan.ome.zarr", "plain.nrrd", "memory.zarr", "disk.zarr", "old.zarr"
    }  # fmt: skip
    before = contents(here / "scan.ome.zarr" / "0")
    assert main(["upscale", "scan.ome.zarr/0", "scan.ome.zarr", "--scale", "2", "--model", "lanczos"]) == 2
    assert "would overwrite what is read" in capsys.readouterr().err
    assert contents(here / "scan.ome.zarr" / "0") == before


def test_chunks_are_read_and_written_in_parts(here, monkeypatch):
    """Bytes of arrays that are held do not grow with the number of slices."""
    pytest.importorskip("zarr")
    monkeypatch.setattr(ome_zarr, "CHUNK", (8, 64, 64))
    monkeypatch.setattr(ome_zarr, "COARSEST", 16)
    monkeypatch.setattr(labels, "SAMPLE", 10_000)

    def held(planes):
        scratch = mapped.Scratch(here)
        array = scratch.empty((planes, 60, 60), np.float32)
        array[...] = np.random.default_rng(0).random(array.shape[1:], np.float32)
        tracemalloc.start()
        try:
            ome_zarr.write(Volume(array, Grid(array.shape[::-1])), here / f"{planes}.zarr")
            loaded = files.read(here / f"{planes}.zarr", scratch=scratch).volume.array
            assert np.array_equal(loaded[-1], array[-1])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    held(8)  # what is loaded once
    assert held(128) - held(32) < 0.15 * 96 * 60 * 60 * 4


@pytest.mark.parametrize("more", ["endian: big", "scaled", "behind", "dicom"])
def test_what_does_not_lie_in_its_file_as_it_is_used_is_the_same_too(here, capsys, more):
    """Bytes in another order, scaled values, DICOM images; and where more lies behind the voxels, that is told."""
    array, name = texture(dtype=np.float32), "scan.nrrd"
    if more == "dicom":
        name = str(series(here).name)
    elif more == "scaled":
        name = "scan.nii"
        raw = bytearray(save(here / name, array).read_bytes())
        raw[112:120] = np.array([0.5, 7], "<f4").tobytes()
        (here / name).write_bytes(raw)
    elif more == "behind":
        with open(save(here / name, array), "ab") as file:
            file.write(b"abc")
    else:
        header, _, _ = save(here / name, array).read_bytes().partition(b"\n\n")
        header = header.replace(b"endian: little", more.encode())
        (here / name).write_bytes(header + b"\n\n" + array.astype(">f4").tobytes())
    command = f"upscale {name} %s --model lanczos --scale 2 --json"
    plain, report = vsr(capsys, command % "plain.nrrd"), vsr(capsys, command % "out.nrrd --on-disk")
    assert report["warnings"] == plain["warnings"]
    assert ("3 bytes behind" in " ".join(report["warnings"])) == (more == "behind")
    assert np.array_equal(files.read("out.nrrd").volume.array, files.read("plain.nrrd").volume.array)


def test_voxels_at_an_odd_place_are_the_same(here, capsys):
    """Where a header ends is chance; numbers of four bytes then lie across the places they would have in memory."""
    array = texture(dtype=np.float32)
    for pad in range(4):
        header, _, rest = save(here / "scan.nrrd", array).read_bytes().partition(b"\n\n")
        (here / "scan.nrrd").write_bytes(header + b"\n#" + b"x" * pad + b"\n\n" + rest)
        for out in ("plain.nrrd", "out.mha --on-disk"):
            vsr(capsys, f"upscale scan.nrrd {out} --model backprojection --scale 2 --json")
        assert np.array_equal(files.read("out.mha").volume.array, files.read("plain.nrrd").volume.array)


GROWING = {
    "rounds": {"model": "backprojection", "consistency": 5},
    "backprojection": {"model": "backprojection", "profile": "box"},
    "what was invented": {"model": "linear", "invented": True},
    "network, resampled and consistent": {"model": "small", "scale": (2.0, 2.0, 2.2), "consistency": 1},
}


@pytest.mark.parametrize("what", GROWING)
def test_memory_does_not_grow_with_the_number_of_slices(here, monkeypatch, what):
    """Bytes of arrays, as counted; torch's own are not, which the tests of the streams count."""
    # As small beside this scan as slabs and samples are beside a real one.
    for module, name, value in (
        (separable, "SLAB_VOXELS", 20_000),
        (data_step, "BLOCK_VOXELS", 20_000),
        (inference, "THICKEST", 8),
        (intensity, "LARGEST_SAMPLE", 10_000),
        (noise, "ENOUGH_VOXELS", 10_000),
        (domain, "MOST_VOXELS", 10_000),
        (labels, "SAMPLE", 10_000),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(separable, "_threads", lambda: 1)
    request = Request(**{"scale": (2.0, 2.0, 2.0), "memory_mb": 60, "modality": "MR", "device": "cpu", **GROWING[what]})

    def held(planes, on_disk):
        """(the most bytes that were held, bytes of the result)"""
        path = save(here / "scan.nrrd", texture((planes, 40, 40), np.float32))
        tracemalloc.start()
        try:
            if on_disk:
                maps = {name: here / f"out-{name}.nrrd" for name in request.maps}
                with outputs.on_disk(here / "out.nrrd", maps=maps) as storage:
                    result = upscale(storage.read(path, None).volume, request, storage=storage).volume.array.nbytes
            else:
                result = upscale(files.read(path).volume, request).volume.array.nbytes
            return tracemalloc.get_traced_memory()[1], result
        finally:
            tracemalloc.stop()

    upscale(Volume(texture(), Grid(texture().shape[::-1])), request)  # what is loaded once
    (few, small), (many, large) = held(24, True), held(72, True)
    assert held(72, False)[0] - held(24, False)[0] > large - small
    # What grows are the matrices of the one axis.
    assert many - few < 0.12 * (large - small)


def test_what_does_not_fit_goes_into_files_by_itself_and_says_so(here, capsys, monkeypatch):
    save(here / "scan.nrrd", texture())
    command = "upscale scan.nrrd %s --model lanczos --scale 2 --json"
    need = 9 * texture().nbytes
    monkeypatch.setattr(memory, "free_bytes", lambda: need)
    assert not vsr(capsys, command % "plain.nrrd")["warnings"]
    monkeypatch.setattr(memory, "free_bytes", lambda: need - 1)
    assert vsr(capsys, command % "out.nrrd")["warnings"] == [larger.NOTE]
    assert np.array_equal(files.read("out.nrrd").volume.array, files.read("plain.nrrd").volume.array)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("out.nrrd --learn auto", "leave out --learn, which only works in memory"),
        ("out.nrrd --learn-steps 9", "leave out --learn-steps, which only works in memory"),
        ("out.nrrd --learn auto --segmentation x.nrrd", "leave out --segmentation and --learn, which only work in"),
    ],
)
def test_what_can_only_be_done_in_memory_says_what_could_be_done_in_files(here, capsys, monkeypatch, more, words):
    save(here / "scan.nrrd", texture())
    save(here / "x.nrrd", LABELS)
    before = contents(here)
    command = f"upscale scan.nrrd {more} --model lanczos --scale 2"
    assert main([*command.split(), "--on-disk"]) == 2
    assert words in capsys.readouterr().err
    monkeypatch.setattr(memory, "free_bytes", lambda: 1000)
    assert main(command.split()) == 2
    said = capsys.readouterr().err
    assert "would need" in said and words in said and "or a region" in said and said.count("\n") == 1
    assert contents(here) == before


def test_a_disk_without_room_is_told_before_the_work(here, capsys, monkeypatch):
    save(here / "scan.nrrd", texture())
    before = contents(here)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 10**4, 10**4))
    command = "upscale scan.nrrd out.nrrd --model lanczos --scale 2 --on-disk"
    assert main(command.split()) == 2
    said = capsys.readouterr().err
    assert (
        "would need" in said
        and "free on the disk of out.nrrd; give it a name on another disk" in said
        and said.count("\n") == 1
    )
    assert contents(here) == before


def test_a_file_system_that_cannot_set_room_aside_is_filled(here, capsys, monkeypatch):
    def no_service(*_):
        raise OSError(mapped.NO_SUCH_SERVICE[0], "Operation not supported")

    save(here / "scan.nrrd", texture())
    vsr(capsys, "upscale scan.nrrd plain.nrrd --model backprojection --scale 2 --json")
    monkeypatch.setattr(os, "posix_fallocate", no_service, raising=False)
    vsr(capsys, "upscale scan.nrrd out.nrrd --model backprojection --scale 2 --json --on-disk")
    assert np.array_equal(files.read("out.nrrd").volume.array, files.read("plain.nrrd").volume.array)


def test_more_voxels_than_a_format_counts_are_refused(tmp_path):
    storage = OnDisk(tmp_path, tmp_path / "out.nii")
    with pytest.raises(RefusalError, match=r"32767 voxels"):
        storage.result(Grid((2, 2, 40_000)), np.dtype(np.uint8))


@pytest.mark.parametrize("model", ["lanczos", "backprojection", "small"])
def test_cancelled_it_leaves_nothing_and_what_was_there(here, model):
    path = save(here / "scan.nrrd", texture((30, 60, 60)))
    (here / "out.nrrd").write_bytes(b"an older result")
    before, asked = contents(here), []

    def cancel():
        asked.append(sum(len(files) for _, _, files in os.walk(here)))
        return len(asked) > 2

    request = Request(model, scale=(2.0, 2.0, 2.0), device="cpu")
    with pytest.raises(CancelledError), outputs.on_disk(here / "out.nrrd") as storage:
        upscale(storage.read(path, None).volume, request, None, cancel, storage)
    assert asked and contents(here) == before


KILLED = """
import os, signal, sys
from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.engine.volumes import writing
from VolumeSuperResolutionLib.engine import quality
def killed(*_):
    os.kill(os.getpid(), int(sys.argv[1]))
quality.consistency_residual = killed
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_it_leaves_nothing_that_looks_finished_and_the_next_run_removes_that(here, capsys, number):
    save(here / "scan.nrrd", texture())
    command = "upscale scan.nrrd out.nrrd --model backprojection --scale 2 --on-disk --json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, "-c", KILLED, str(int(number)), *command.split()]
    done = subprocess.run(arguments, env=environment, capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == (-number if number == signal.SIGKILL else 128 + number)
    left = {path.name for path in here.iterdir()} - {"scan.nrrd"}
    assert all(name.startswith(".vsr_") for name in left) and bool(left) == (number == signal.SIGKILL)
    vsr(capsys, command)
    assert {path.name for path in here.iterdir()} == {"scan.nrrd", "out.nrrd"}
