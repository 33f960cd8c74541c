"""`vsr` as a person types it: files in, files out, and clear words when it cannot be."""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields

import numpy as np
import phantoms
import pytest
import SimpleITK as sitk
from sample_models import interval_table, model, pair
from VolumeSuperResolutionLib import __version__
from VolumeSuperResolutionLib import commands as command_line
from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.commands.options import request_from
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.physics import reconstruction, registration
from VolumeSuperResolutionLib.engine.request import MAPS, Request, options
from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume


@pytest.fixture
def scan(tmp_path):
    array = np.random.default_rng(0).integers(0, 1000, (6, 7, 8)).astype(np.int16)
    path = tmp_path / "scan.nii.gz"
    files.write(Volume(array, Grid((8, 7, 6), (1, 1, 3), (10, 20, 30))), path)
    return path


@pytest.mark.parametrize("ending", [".nrrd", ".nii", ".nii.gz", ".mha", ".mhd"])
def test_upscale_writes_a_finer_volume_in_the_same_place(scan, tmp_path, capsys, ending):
    out = tmp_path / f"out{ending}"
    assert main(["upscale", str(scan), str(out), "--model", "lanczos", "--scale", "2,2,3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["output_size"] == [16, 14, 18]
    image = sitk.ReadImage(str(out))
    assert image.GetSize() == (16, 14, 18)
    assert np.allclose(image.GetSpacing(), (0.5, 0.5, 1))
    before = sitk.ReadImage(str(scan))
    corner = [-0.5] * 3
    assert np.allclose(
        image.TransformContinuousIndexToPhysicalPoint(corner),
        before.TransformContinuousIndexToPhysicalPoint(corner),
        atol=1e-5,
    )
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith((".", "tmp"))) == []


def test_without_a_model_the_best_for_the_target_is_taken_and_named(scan, tmp_path, capsys):
    out = tmp_path / "out.nrrd"
    assert main(["upscale", str(scan), str(out), "--scale", "2,2,2", "--modality", "MR", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["automatic"] and zoo.card(report["model"]).learned
    assert sitk.ReadImage(str(out)).GetSize() == (16, 14, 12)


@pytest.mark.parametrize("target", [["--isotropic"], ["--spacing", "1"], ["--scale", "1,1,3"]])
def test_every_way_to_name_a_target(scan, tmp_path, target):
    out = tmp_path / "out.nrrd"
    assert main(["upscale", str(scan), str(out), "--model", "bspline", *target, "--quiet"]) == 0
    assert sitk.ReadImage(str(out)).GetSize() == (8, 7, 18)


def dicom_series(folder, **more):
    """Four slices 2 mm apart, with more tags as "0018|0050"."""
    folder.mkdir()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(4):
        image = sitk.GetImageFromArray(np.full((1, 6, 5), 100 * k, np.int16))
        image.SetSpacing((0.5, 0.5, 2))
        for tag, value in {
            "0020|000d": "1.2.3",
            "0020|000e": "1.2.3.4",
            "0008|0018": f"1.2.3.4.{k}",
            "0020|0032": f"0\\0\\{2 * k}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0020|0013": str(k),
            "0008|0060": "CT",
            **more,
        }.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{k}.dcm"))
        writer.Execute(image)
    return str(folder)


def test_a_dicom_folder_is_read(tmp_path):
    folder = dicom_series(tmp_path / "dicom")
    assert main(["upscale", folder, str(tmp_path / "o.nrrd"), "--model", "linear", "--scale", "2", "--quiet"]) == 0
    image = sitk.ReadImage(str(tmp_path / "o.nrrd"))
    assert image.GetSize() == (10, 12, 8)
    assert np.allclose(image.GetSpacing(), (0.25, 0.25, 1))


@pytest.mark.parametrize(
    ("tags", "options", "words", "note"),
    [
        ({}, [], "voxels as wide as their spacing (assumed), noise 0% (estimated)", ""),
        ({"0018|0050": "2"}, [], "slices 2 mm (from DICOM), noise", ""),
        ({"0018|0050": "1"}, [], "slices 1 mm thick every 2 mm (from DICOM), noise", "gaps of 1 mm between them"),
        ({"0018|0050": "2.6"}, [], "slices 2.6 mm thick every 2 mm (from DICOM), noise", "they overlap"),
        ({"0018|0050": "21"}, [], "voxels as wide as their spacing (assumed), noise", "passed over"),
        (
            {"0018|0050": "1"},
            ["--slice-thickness", "2.5", "--profile", "box", "--noise", "1.5%"],
            "slices 2.5 mm thick every 2 mm (as given), box profile (as given), noise 1.5% (as given)",
            "gaps of 1 mm",
        ),
    ],
)
def test_the_report_says_how_the_scan_was_taken(tmp_path, capsys, tags, options, words, note):
    folder = dicom_series(tmp_path / "dicom", **tags)
    assert (
        main(["upscale", folder, str(tmp_path / "o.nrrd"), "--model", "backprojection", "--scale", "2", *options]) == 0
    )
    told = capsys.readouterr().out
    assert f"the scan: {words}" in told and note in told
    # What is made of it is no such scan any more.
    assert (
        main(["upscale", str(tmp_path / "o.nrrd"), str(tmp_path / "p.nrrd"), "--model", "linear", "--scale", "2"]) == 0
    )
    assert "the scan: voxels as wide as their spacing (assumed)" in capsys.readouterr().out


def save(image, path):
    sitk.WriteImage(image, str(path))
    return path


def bad_inputs(folder):
    ones = np.ones((4, 5, 6), np.float32)
    broken = folder / "broken.nrrd"
    broken.write_bytes(b"NRRD0004\nnot a header")
    hole = ones.copy()
    hole[0, 0, 0] = np.inf
    labels = np.arange(120).reshape(4, 5, 6).astype(np.uint8) % 4
    return {
        "missing": (folder / "none.nrrd", "check the name"),
        "broken": (broken, "cannot be read"),
        "empty folder": (folder / "nothing", "no DICOM"),
        "color": (save(sitk.Compose([sitk.GetImageFromArray(ones)] * 3), folder / "c.nrrd"), "3 values"),
        "complex": (
            save(sitk.RealAndImaginaryToComplex(*[sitk.GetImageFromArray(ones)] * 2), folder / "x.mha"),
            "complex|values",
        ),
        "series": (save(sitk.JoinSeries([sitk.GetImageFromArray(ones)] * 3), folder / "s.nii.gz"), "series of 3"),
        "not numbers": (save(sitk.GetImageFromArray(hole), folder / "n.nrrd"), "not numbers"),
        "one voxel": (save(sitk.GetImageFromArray(ones[:1, :1, :1]), folder / "v.nrrd"), "single voxel"),
        "labels": (save(sitk.GetImageFromArray(labels), folder / "l.nrrd"), "label map"),
    }


@pytest.mark.parametrize(
    "what", ["missing", "broken", "empty folder", "color", "complex", "series", "not numbers", "one voxel", "labels"]
)
def test_bad_input_gets_one_sentence_and_nothing_is_written(tmp_path, capsys, what):
    (tmp_path / "nothing").mkdir()
    path, words = bad_inputs(tmp_path)[what]
    out = tmp_path / "out.nrrd"
    assert main(["upscale", str(path), str(out), "--model", "linear", "--scale", "2"]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said and said.startswith("vsr: ")
    assert re.search(words, said), said
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "linnear", "--scale", "2"], "did you mean linear"),
        (["--model", "linear", "--scale", "0"], "above zero"),
        (["--model", "linear", "--scale", "-2"], "above zero"),
        (["--model", "linear", "--scale", "9999"], "out of reach"),
        (["--model", "linear", "--spacing", "0"], "above zero"),
        (["--model", "linear", "--scale", "2", "--region", "0:99,0:2,0:2"], "region"),
        (["--model", "linear", "--scale", "2", "--consistency", "-1"], "rounds"),
        (["--model", "linear", "--scale", "2", "--memory-mb", "-5"], "memory"),
        (["--model", "linear", "--scale", "2", "--realism", "0.5"], "realism of Linear cannot be chosen"),
    ],
)
def test_bad_requests_get_one_sentence(scan, tmp_path, capsys, arguments, words):
    assert main(["upscale", str(scan), str(tmp_path / "out.nrrd"), *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and "\n" not in said
    assert not (tmp_path / "out.nrrd").exists()


def test_bad_targets_are_refused_before_any_work(scan, tmp_path, capsys):
    for out in (scan, tmp_path / "no" / "where.nrrd", tmp_path / "out.xyz", tmp_path):
        assert main(["upscale", str(scan), str(out), "--model", "linear", "--scale", "2"]) == 2
        assert "Traceback" not in capsys.readouterr().err
    assert sitk.ReadImage(str(scan)).GetSize() == (8, 7, 6)


def test_fill_nonfinite(tmp_path):
    array = np.ones((3, 4, 5), np.float32)
    array[1, 1, 1] = np.nan
    save(sitk.GetImageFromArray(array), tmp_path / "n.nrrd")
    arguments = ["upscale", str(tmp_path / "n.nrrd"), str(tmp_path / "o.nrrd"), "--model", "linear", "--scale", "2"]
    assert main([*arguments, "--fill-nonfinite", "--quiet"]) == 0


def test_batch_goes_on_after_a_refusal(scan, tmp_path, capsys):
    out = tmp_path / "out"
    (tmp_path / "broken.nrrd").write_bytes(b"no")
    assert main(["batch", str(tmp_path), str(out), "--model", "linear", "--scale", "2"]) == 2
    assert sorted(p.name for p in out.iterdir()) == ["scan.nii.gz", "vsr-batch.jsonl"]
    assert "broken.nrrd" in capsys.readouterr().err


def test_uncertainty_is_written_beside_the_result(scan, tmp_path):
    card = model(tmp_path / "mine")
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / scan.name).symlink_to(scan)
    places = (("upscale", scan, tmp_path / "o.nrrd"), ("batch", tmp_path / "scans", tmp_path / "out"))
    for command, source, target in places:
        arguments = [command, str(source), str(target), "--model", str(card.folder), "--scale", "2", "--uncertainty"]
        assert main([*arguments, "--quiet"]) == 0
    for name in ("o-uncertainty.nrrd", "out/scan-uncertainty.nii.gz"):
        assert sitk.ReadImage(str(tmp_path / name)).GetSize() == (16, 14, 12)


def test_maps_are_written_beside_the_result_and_told(scan, tmp_path, capsys):
    card = model(tmp_path / "mine", intervals=(interval_table(noise=1),))
    options = ["--model", str(card.folder), "--scale", "2", "--interval", "--invented", "--modality", "MR"]
    assert main(["upscale", str(scan), str(tmp_path / "o.nrrd"), *options]) == 0
    assert "with 90% (86 to 93% measured on 5 subjects)" in capsys.readouterr().out
    interval, invented = (sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"o-{m}.nrrd"))) for m in MAPS[1:])
    assert interval.shape == invented.shape == (12, 14, 16)
    assert interval.min() > 0 and invented.max() > 0
    assert main(["upscale", str(scan), str(tmp_path / "o.nrrd"), *options, "--consistency", "1", "--json"]) == 2
    assert "leave the consistency or the interval out" in capsys.readouterr().err


def test_realism_leads_from_the_partner_to_the_model(scan, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(zoo.FOLDERS_VARIABLE, str(tmp_path / "models"))
    pair(tmp_path / "models")
    out = tmp_path / "out"
    out.mkdir()

    def voxels(command, *options):
        places = (scan, out / scan.name) if command == "upscale" else (scan.parent, out)
        assert main([command, *map(str, places), "--scale", "2", "--json", "--model", *options]) == 0
        image = sitk.ReadImage(str(out / scan.name))
        return sitk.GetArrayFromImage(image), json.loads(capsys.readouterr().out)["realism"]

    own, asked = voxels("upscale", "looks")
    assert asked is None
    faithful = voxels("upscale", "faithful")[0]
    half, asked = voxels("upscale", "looks", "--realism", "0.5")
    assert asked == 0.5
    assert not np.array_equal(half, own) and not np.array_equal(half, faithful)
    assert np.array_equal(voxels("upscale", "looks", "--realism", "0")[0], faithful)
    assert np.array_equal(voxels("batch", "looks", "--realism", "0.5")[0], half)
    arguments = ["upscale", str(scan), str(tmp_path / "bad.nrrd"), "--model", "looks", "--scale", "2"]
    assert main([*arguments, "--realism", "1.5"]) == 2
    assert "choose 0 (faithful) to 1 (realistic)" in capsys.readouterr().err
    assert not (tmp_path / "bad.nrrd").exists()


def test_every_option_is_explained(capsys):
    for command in command_line.COMMANDS:
        with pytest.raises(SystemExit):
            main([command.__name__.rpartition(".")[2], "--help"])
    parser = command_line._parser()
    parsers = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction)).choices
    assert len(parsers) == len(command_line.COMMANDS)
    silent = [(name, a.dest) for name, p in parsers.items() for a in p._actions if not a.help]
    assert silent == []


def test_every_field_of_a_request_that_a_user_may_set_is_an_option():
    given = ["upscale", "in.nrrd", "out.nrrd", "--isotropic"]
    for more, name in (([], "auto"), (["--model", "linear"], "linear")):
        namespace = command_line._parser().parse_args([*given, *more])
        assert request_from(namespace) == Request(model=name, isotropic=True)
    # What a scan's file tells of it is no option.
    assert {f.name for f in fields(Request)} == {*options(), "scanner"}


def test_the_version_and_examples_are_told(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"vsr {__version__}\n"
    with pytest.raises(SystemExit):
        main(["--help"])
    examples = capsys.readouterr().out.partition("examples:")[2].strip().splitlines()
    assert examples
    for line in examples:
        command_line._parser().parse_args(shlex.split(line)[1:])


def test_models_are_listed(capsys):
    assert main(["models"]) == 0
    assert "backprojection" in capsys.readouterr().out
    assert main(["models", "--json"]) == 0
    assert {"nearest", "linear", "bspline", "lanczos"} <= {card["id"] for card in json.loads(capsys.readouterr().out)}


def test_evaluate_scores_the_baselines(tmp_path, capsys):
    k, j, i = np.meshgrid(*[np.linspace(0, 9, 36)] * 3, indexing="ij")
    array = (500 + 300 * np.sin(i + j) * np.cos(2 * k)).astype(np.float32)
    files.write(Volume(array, Grid((36, 36, 36))), tmp_path / "a.nrrd")
    for protocol in ("profile", "box", "scanner"):
        arguments = ["evaluate", "--volumes", str(tmp_path), "--scale", "2", "--protocol", protocol, "--quiet"]
        assert main([*arguments, "--json", str(tmp_path / "scores.json")]) == 0
        assert "MR (1) | rounds" in capsys.readouterr().out
        scores = {s["model"]: s for s in json.loads((tmp_path / "scores.json").read_text())}
        assert scores["linear"]["psnr"] < scores["lanczos"]["psnr"]
        if protocol == "profile":
            assert scores["lanczos"]["psnr"] < scores["rounds"]["psnr"]
    assert main(["evaluate", "--volumes", str(tmp_path), "--scale", "1.37", "--quiet"]) == 2
    assert main(["evaluate", "--volumes", str(tmp_path), "--scale", "2", "--model", "nune", "--quiet"]) == 2


def test_the_module_runs_as_a_program():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "VolumeSuperResolutionLib", "models"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def three_stacks(tmp_path):
    paths = [tmp_path / f"{view}.nrrd" for view in ("axial", "sagittal", "coronal")]
    for path, stack in zip(paths, phantoms.three(phantoms.head(32), 0, 0)):
        files.write(stack.volume, path)
    return [str(path) for path in paths]


def test_combine_writes_the_volume_its_report_and_the_maps(three_stacks, tmp_path, capsys):
    out, folder = tmp_path / "out.nii.gz", tmp_path / "report"
    assert main(["combine", *three_stacks, str(out), "--aligned", "--report", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((folder / "report.json").read_text())
    assert report["output_size"] == [32, 32, 32] and len(report["stacks"]) == 3 and report["models"] == []
    for path in (out, folder / "coverage.nrrd", folder / "residual.nrrd"):
        assert files.read(path).volume.array.shape == (32, 32, 32)
    assert main(["combine", *three_stacks, str(tmp_path / "more.nrrd"), "--aligned", "--model", "linear"]) == 0
    assert "each upscaled by: Linear" in capsys.readouterr().out


def test_combine_refuses_in_a_sentence_and_writes_nothing(three_stacks, tmp_path, capsys):
    out = tmp_path / "out.nrrd"
    for arguments in ([three_stacks[0]], [three_stacks[0]] * 2, [*three_stacks, "--reference", "7"]):
        assert main(["combine", *arguments[:3], str(out), *arguments[3:]]) == 2
        assert capsys.readouterr().err.count(".") >= 1
    assert main(["combine", *three_stacks[:2], three_stacks[2]]) == 2  # the last is no output
    assert "is there already" in capsys.readouterr().err
    assert main(["combine", *three_stacks, str(out), "--slice-thickness", "4,x"]) == 2
    assert not out.exists()


@pytest.fixture
def short_search(monkeypatch):
    """Scans that hardly moved are laid over each other, and solved, in a few steps."""
    monkeypatch.setattr(registration, "ROUNDS", 8)
    monkeypatch.setattr(registration, "SAMPLES", 3_000)
    monkeypatch.setattr(reconstruction, "MOST_ROUNDS", 2)
    monkeypatch.setattr(reconstruction, "ROUNDS_OF", (3, 2, 2))


@pytest.mark.usefixtures("short_search")
def test_evaluate_says_what_combining_stacks_is_worth(tmp_path, capsys):
    (tmp_path / "sharp").mkdir()
    files.write(phantoms.head(48), tmp_path / "sharp" / "head.nrrd")
    kept, scores = tmp_path / "kept", tmp_path / "scores.json"
    arguments = f"evaluate --volumes {tmp_path / 'sharp'} --stacks 4 --crop 36 --keep {kept} --quiet".split()
    card = model(tmp_path / "mine", stages=(zoo.Stage("combined3d", {"features": 2}),), several=True)
    assert main([*arguments, "--json", str(scores), "--prior", str(card.folder), "--save"]) == 0
    assert "| head.nrrd |" in capsys.readouterr().out
    (score,) = json.loads(scores.read_text())
    assert score["without"] > score["single"] > score["lanczos"] - 1e-6
    assert score["pose_error"] < 0.25
    saved = zoo.card(str(card.folder)).gains["stacks 4"]["MR"]
    assert saved["over_combined"][0] == saved["over_combined_at_least"][0] == round(score["psnr"] - score["without"], 3)
    assert main([*arguments, "--save"]) == 2 and "name it by --prior" in capsys.readouterr().err
    assert sorted(path.name for path in kept.iterdir()) == [f"head-{v}.nrrd" for v in ("axial", "coronal", "sagittal")]
    assert main(["evaluate", "--volumes", str(kept), "--stacks", "1", "--quiet"]) == 2
    assert main(["evaluate", "--volumes", str(kept), "--scale", "2", "--prior", "auto", "--quiet"]) == 2


@pytest.mark.usefixtures("short_search")
def test_evaluate_predicts_stacks_that_are_left_out(three_stacks, tmp_path, capsys):
    scores = tmp_path / "scores.json"
    arguments = ["evaluate", "--volumes", str(tmp_path), "--leave-one-out", "--quiet", "--json", str(scores)]
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("dB") == 12
    for one in json.loads(scores.read_text()):
        assert one["combined"] > one["alone"] and one["slices"] > one["slices_alone"]
    os.remove(three_stacks[0])
    assert main(arguments) == 2
    assert "too few" in capsys.readouterr().err
