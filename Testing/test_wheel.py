"""The wheel, built from the source distribution and installed beside the test environment's packages, upscales."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import SimpleITK as sitk
import VolumeSuperResolutionLib
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.training import configs

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "VolumeSuperResolution", "weights", "Resources")
LIMIT = 40e6  # bytes

# Everything is built from what is here already, without a network.
OFFLINE = ("--no-index", "--no-deps", "--disable-pip-version-check", "--quiet")


def run(command, folder):
    """What the command printed; it must go well, and finds nothing of this repository by itself."""
    hidden = ("PYTHONPATH", "PYTHONHOME", zoo.FOLDERS_VARIABLE)
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, env=environment, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from the source distribution, that from a copy of the repository: building leaves files behind."""
    copy, out = tmp_path_factory.mktemp("repository"), tmp_path_factory.mktemp("distributions")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, copy / name, ignore=unwanted)
        else:
            shutil.copy(ROOT / name, copy)
    run([sys.executable, "-c", f"from setuptools import build_meta; build_meta.build_sdist({str(out)!r})"], copy)
    (source,) = out.glob("*.tar.gz")
    shutil.rmtree(copy)
    run([sys.executable, "-m", "pip", "wheel", *OFFLINE, "--no-build-isolation", "--wheel-dir", out, source], out)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder with the programs of an environment that has the wheel, and sees torch and all else from here."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=os.name != "nt")
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    python = programs / ("python.exe" if os.name == "nt" else "python")
    own = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip()
    # Lines of a .pth file are only put on the path: an editable installation there, which is a .pth file, is not.
    Path(own, "tests.pth").write_text("\n".join(site.getsitepackages()) + "\n", encoding="utf-8")
    run([sys.executable, "-m", "pip", "--python", python, "install", *OFFLINE, wheel], folder)
    return programs


def test_the_wheel_holds_what_the_repository_holds_and_no_pictures_of_models(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    weights = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("weights/*/*") if path.suffix != ".png"}
    samples = {f"SampleData/{path.name}" for path in (ROOT / "Resources" / "SampleData").iterdir()}
    trained = {f"training/configs/{path.name}" for path in configs.FOLDER.glob("*.json")}
    assert weights and samples and trained
    assert {f"VolumeSuperResolutionLib/{name}" for name in weights | samples | trained} <= names
    assert not [name for name in names if name.startswith("VolumeSuperResolutionLib/weights/") and name.endswith("png")]
    assert wheel.stat().st_size < LIMIT


def test_the_wheel_says_which_version_it_is(wheel):
    assert wheel.name.startswith(f"volume_super_resolution-{VolumeSuperResolutionLib.__version__}-")


def test_an_installed_learned_model_upscales_an_installed_sample_from_any_folder(installed, tmp_path):
    where = "import VolumeSuperResolutionLib; print(VolumeSuperResolutionLib.__path__[0])"
    package = Path(run([installed / "python", "-c", where], tmp_path).strip())
    assert package.is_relative_to(installed.parent)
    scan = sitk.ReadImage(str(package / "SampleData" / "MRBrain.nrrd"))
    sitk.WriteImage(scan[40:64, 20:40, 60:84], str(tmp_path / "scan.nii.gz"))
    learned = {card.id for card in zoo.cards().values() if card.learned and card.folder.is_relative_to(ROOT)}
    listed = run([installed / "vsr", "models"], tmp_path)
    assert learned and learned <= {line.split()[0] for line in listed.splitlines()}
    arguments = ("upscale", "scan.nii.gz", "sharp.nii.gz", "--model", "fsrcnn3d-x2", "--scale", "2")
    run([installed / "vsr", *arguments], tmp_path)
    assert sitk.ReadImage(str(tmp_path / "sharp.nii.gz")).GetSize() == (48, 40, 48)
