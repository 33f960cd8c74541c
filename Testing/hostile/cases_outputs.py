"""What is written is whole, takes no input's place, and was known to be possible before the work"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from VolumeSuperResolutionLib.commands import outputs

from hostile.language import DONE, UPSCALE, Case
from hostile.makers import ramp, scan
from hostile.makers_models import put, with_intervals

DOUBTS = UPSCALE.replace("linear", "mine") + " --modality MR --interval --invented"
UNSURE = UPSCALE.replace("linear", "mine") + " --uncertainty"


def linked(folder: Path) -> None:
    scan(folder)
    (folder / "out.nrrd").symlink_to(folder / "scan.nrrd")


def same_file(folder: Path) -> None:
    scan(folder)
    os.link(folder / "scan.nrrd", folder / "out.nrrd")


def detached(folder: Path) -> None:
    """scan.mhd with its voxels in out.zraw, where out.mhd would put its own."""
    scan(folder, "scan.mhd")
    (folder / "scan.raw").rename(folder / "out.zraw")
    text = (folder / "scan.mhd").read_text().replace("scan.raw", "out.zraw")
    (folder / "scan.mhd").write_text(text)


def fifo(folder: Path) -> None:
    scan(folder)
    os.mkfifo(folder / "out.nrrd")


def map_in_the_way(folder: Path) -> None:
    put(folder)
    (folder / "out-uncertainty.nrrd").mkdir()


def leftovers(folder: Path) -> None:
    """What a killed run left, what one that goes on holds, and what only looks like it."""
    scan(folder)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for process in (gone.pid, os.getppid()):
        place = folder / f"{outputs.PREFIX}{outputs._host()}-{process}-abc"
        place.mkdir()
        (place / "part").mkdir()
    (folder / ".vsr-notes").mkdir()


def only_stale_ones_gone(folder: Path) -> None:
    left = sorted(path.name for path in folder.glob(".vsr-*"))
    assert left == sorted([f".vsr-{outputs._host()}-{os.getppid()}-abc", ".vsr-notes"])


def both_are_volumes(folder: Path) -> None:
    for name in ("out.nrrd", "out-uncertainty.nrrd"):
        assert sitk.ReadImage(str(folder / name)).GetSize() == tuple(2 * n for n in ramp().shape[::-1])


def three_volumes(folder: Path) -> None:
    for name in ("out.nrrd", "out-interval.nrrd", "out-invented.nrrd"):
        assert sitk.ReadImage(str(folder / name)).GetSize() == tuple(2 * n for n in ramp().shape[::-1])


def segmented(*names: str, dtype: type = np.uint8):
    """A scan and segmentations of it."""

    def make(folder: Path) -> None:
        scan(folder)
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            scan(folder, name, (ramp() % 3 * (1 if dtype is np.uint8 else 0.7)).astype(dtype))

    return make


def layered(folder: Path) -> None:
    """Segments that overlap, in layers."""
    scan(folder)
    image = sitk.GetImageFromArray(ramp().astype(np.uint8) % 2)
    sitk.WriteImage(sitk.Compose(image, image), str(folder / "x.nrrd"))


def linked_segmentation(folder: Path) -> None:
    segmented("x.nrrd")(folder)
    os.link(folder / "x.nrrd", folder / "out-x.nrrd")


SEGMENTED = UPSCALE + " --segmentation x.nrrd"


def onto(name: str, source: str = "scan.nrrd", more: str = "") -> str:
    return f"upscale {source} {name} --model linear --scale 2 --quiet {more}"


CASES = [
    Case("onto itself", scan, onto("scan.nrrd"), says="overwrite what is read"),
    Case("onto itself by another way", scan, onto("./scan.nrrd"), says="overwrite what is read"),
    Case("onto itself by a link", linked, says="overwrite what is read|no regular file"),
    Case("onto itself by a second name", same_file, says="overwrite what is read"),
    Case("onto the voxels of its input", detached, onto("out.mhd", "scan.mhd"), says="overwrite what is read"),
    Case(
        "the map of uncertainty onto the input",
        lambda f: (put(f), scan(f, "T1-uncertainty.nii.gz")),
        "upscale T1-uncertainty.nii.gz T1.nii.gz --model mine --scale 2 --uncertainty",
        says="overwrite what is read",
    ),
    Case("no place for the map of uncertainty", map_in_the_way, UNSURE, says="folder itself"),
    Case(
        "a map of uncertainty", put, UNSURE, DONE, leaves=("out.nrrd", "out-uncertainty.nrrd"), check=both_are_volumes
    ),
    Case(
        "the map of what was invented onto the input",
        lambda f: scan(f, "T1-invented.nrrd"),
        "upscale T1-invented.nrrd T1.nrrd --model linear --scale 2 --invented",
        says="overwrite what is read",
    ),
    Case(
        "no place for the map of intervals",
        lambda f: (with_intervals()(f), (f / "out-interval.nrrd").mkdir()),
        DOUBTS,
        says="folder itself",
    ),
    Case(
        "maps of intervals and of what was invented",
        with_intervals(),
        DOUBTS,
        DONE,
        leaves=("out.nrrd", "out-interval.nrrd", "out-invented.nrrd"),
        check=three_volumes,
    ),
    Case("into no folder", scan, onto("no/where/out.nrrd"), says="folder does not exist"),
    Case("into a file", scan, onto("scan.nrrd/out.nrrd"), says="folder does not exist"),
    Case("a folder in its place", lambda f: (scan(f), (f / "out.nrrd").mkdir()), says="folder itself"),
    Case("a fifo in its place", fifo, says="no regular file"),
    Case("a device", scan, onto("/dev/null"), says="no ending|no regular file"),
    Case("no ending", scan, onto("out"), says="no ending of a volume format"),
    Case("an ending alone", scan, onto(".nrrd"), says="no ending"),
    Case("an unknown ending", scan, onto("out.jpeg"), says="no ending of a volume format"),
    Case("a long name", scan, onto("a" * 300 + ".nrrd"), says="too long|cannot be written"),
    Case("leftovers", leftovers, status=DONE, leaves=("out.nrrd",), check=only_stale_ones_gone),
    Case("a segmentation onto itself", linked_segmentation, SEGMENTED, says="no regular file|overwrite what is read"),
    Case(
        "two segmentations of one name",
        segmented("x.nrrd", "y/x.nrrd"),
        SEGMENTED + " --segmentation y/x.nrrd",
        says="Two results would be written to out-x.nrrd",
    ),
    Case(
        "a segmentation as a DICOM series",
        segmented("x.nrrd"),
        SEGMENTED + " --dicom",
        says="scan.nrrd is no DICOM series",
    ),
    Case("a segmentation that is none", segmented("x.nrrd", dtype=np.float32), SEGMENTED, says="no whole numbers"),
    Case("segments that overlap", layered, SEGMENTED, says="x.nrrd.*2 values|several values|vector"),
    Case(
        "a segmentation",
        segmented("x.nrrd"),
        SEGMENTED,
        DONE,
        leaves=("out.nrrd", "out-x.nrrd"),
    ),
]
