"""A batch goes on after every error of one file, and says at the end what was not done"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from VolumeSuperResolutionLib.commands import outputs
from VolumeSuperResolutionLib.commands.batches import manifest

from hostile.language import DONE, Case
from hostile.makers import scan
from hostile.makers_dicom import series
from hostile.makers_files import noise
from hostile.makers_models import put
from hostile.makers_results import full_disk
from hostile.makers_series import localizer_frame

MANIFEST = f"out/{manifest.FILE}"
BATCH = "batch . out --model linear --scale 2 --quiet"


def three(folder: Path) -> None:
    """Two sound scans and a broken one between them."""
    scan(folder, "a.nrrd")
    (folder / "b.nrrd").write_bytes(b"no")
    scan(folder, "c.nii.gz")


def with_hole(folder: Path) -> None:
    scan(folder, "a.nrrd")
    scan(folder, "b.nrrd", np.full((4, 5, 6), np.nan, np.float32))


def with_labels(folder: Path) -> None:
    """A scan and what may be a label map."""
    scan(folder, "a.nrrd")
    scan(folder, "b.nrrd", np.arange(24, dtype=np.uint8).reshape(2, 3, 4) % 3)


def confusing(folder: Path) -> None:
    """Names by which the map of uncertainty of one is the result of another."""
    put(folder)
    (folder / "scan.nrrd").unlink()
    scan(folder, "a.nrrd")
    scan(folder, "a-uncertainty.nrrd")


def file_as_output(folder: Path) -> None:
    scan(folder)
    (folder / "out").write_text("x")


def way_back(folder: Path) -> None:
    """The output folder is another name of the input's."""
    (folder / "in").mkdir()
    scan(folder / "in")
    (folder / "out").symlink_to(folder / "in")


def result_in_the_way(folder: Path) -> None:
    scan(folder, "a.nrrd")
    (folder / "out" / "a.nrrd").mkdir(parents=True)


def half(folder: Path) -> None:
    """A scan of which half the voxels are missing."""
    scan(folder, "a.nrrd")
    path = scan(folder, "b.mha")
    path.write_bytes(path.read_bytes()[:-100])


def with_label_map(folder: Path) -> None:
    """A scan and a segmentation of it."""
    scan(folder, "a.nrrd")
    labels = np.zeros((16, 16, 16), np.uint8)
    labels[4:12, 4:12, 4:12] = 1
    labels[6:9, 6:9, 6:9] = 2
    scan(folder, "b.nrrd", labels)


def three_series(folder: Path) -> None:
    """A scan, and a folder with three DICOM series, of one of which slices are missing, and a localizer."""
    scan(folder, "a.nrrd")
    for number in (1, 2):
        series(folder, number=number)
    series(folder, lambda k, data: k not in (3, 4), number=3)
    series(folder, localizer_frame, count=3, number=4)


def files_in_the_way(folder: Path) -> None:
    """Something else is called as a series would be."""
    three_series(folder)
    (folder / "out" / "scan-2-sr").mkdir(parents=True)
    (folder / "out" / "scan-2-sr" / "00001.dcm").write_bytes(b"mine")


def named_twice(folder: Path) -> None:
    """A list that names a scan in two ways, and one that is not there."""
    scan(folder, "a.nrrd")
    scan(folder, "b.nrrd")
    (folder / "list.txt").write_text(f"a.nrrd\nb.nrrd\n./a.nrrd\n{folder / 'b.nrrd'}\nc.nrrd\n")


def twice_by_links(folder: Path) -> None:
    """A folder that is found by two ways, and one that leads back."""
    (folder / "x").mkdir()
    scan(folder / "x")
    (folder / "y").symlink_to(folder / "x")
    (folder / "x" / "back").symlink_to(folder)


def large_one_between(folder: Path) -> None:
    """Three scans, of which the result of the second is larger than the disk takes."""
    scan(folder, "a.nrrd")
    scan(folder, "b.nrrd", noise((20, 30, 30), np.float32))
    scan(folder, "c.nrrd")


def data_set(*damaged: str):
    """A BIDS data set of which JSON files hold no JSON."""

    def make(folder: Path) -> None:
        (folder / "sub-1" / "anat").mkdir(parents=True)
        scan(folder / "sub-1" / "anat", "sub-1_T1w.nii.gz")
        (folder / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
        for name in damaged:
            (folder / name).write_bytes(b"{\xff\xfe" if "sub" in name else b"[" * 100_000)

    return make


def of_a_killed_run(folder: Path) -> None:
    """What a process leaves that is ended while it writes."""
    three(folder)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (folder / "out" / f"{outputs.PREFIX}{outputs._host()}-{gone.pid}-abc").mkdir(parents=True)


def nothing_of_the_killed_run(folder: Path) -> None:
    assert sorted(path.name for path in (folder / "out").glob(".*")) == []


def clocks_that_jump(folder: Path) -> None:
    """Scans from long ago and from a time to come."""
    three(folder)
    (folder / "b.nrrd").unlink()
    os.utime(folder / "a.nrrd", (0, 0))
    os.utime(folder / "c.nii.gz", (2**33, 2**33))


def damaged_manifest(folder: Path) -> None:
    three(folder)
    (folder / "out").mkdir()
    (folder / MANIFEST).write_bytes(b'\xff\0{"scan": 3}\n{"scan": "a.nrrd", "status": "done"}\n{"scan": "c')


LIST = BATCH.replace(" . ", " l.txt ")
SPREAD = BATCH.replace("linear", "nearest")
SIDECARS = ("out/dataset_description.json", "out/.bidsignore", "out/sub-1/anat/sub-1_desc-sr_T1w.json")
IMAGE = "out/sub-1/anat/sub-1_desc-sr_T1w.nii.gz"

CASES = [
    Case(
        "a broken one",
        three,
        BATCH,
        says="(?s)b.nrrd.*1 of 3 volumes were not upscaled: b.nrrd",
        lines=2,
        leaves=("out/a.nrrd", "out/c.nii.gz", MANIFEST),
    ),
    Case(
        "a cut one",
        half,
        BATCH,
        says="1 of 2 volumes were not upscaled: b.mha",
        lines=2,
        leaves=("out/a.nrrd", MANIFEST),
    ),
    Case(
        "one without a number",
        with_hole,
        BATCH,
        says="b.nrrd: The volume holds nothing but",
        lines=2,
        leaves=("out/a.nrrd", MANIFEST),
    ),
    Case(
        "one that may be a label map",
        with_labels,
        BATCH,
        says="b.nrrd may be a scan or a label map",
        lines=2,
        leaves=("out/a.nrrd", MANIFEST),
    ),
    Case(
        "one that is said to be none",
        with_labels,
        BATCH + " --label-map no",
        DONE,
        leaves=("out/a.nrrd", "out/b.nrrd", MANIFEST),
    ),
    Case(
        "all as JSON beside a broken one",
        three,
        BATCH.replace("--quiet", "--json"),
        lines=2,
        tells=r'(?s)"file": "a.nrrd".*"file": "c.nii.gz"',
        leaves=("out/a.nrrd", "out/c.nii.gz", MANIFEST),
    ),
    Case("a request that nothing fits, said once", three, BATCH.replace("scale 2", "scale 99"), says="out of reach"),
    Case("a model that is not there, said once", three, BATCH.replace("linear", "edsr9d"), says="no model called"),
    Case("no volumes", lambda folder: None, BATCH, says="no volumes"),
    Case("no folder", lambda folder: None, BATCH.replace(" . ", " nowhere "), says="nowhere"),
    Case("a file as the folder", scan, BATCH.replace(" . ", " scan.nrrd "), says="scan.nrrd"),
    Case("a file as the output", file_as_output, BATCH, says="cannot be a folder"),
    Case("onto itself", three, BATCH.replace("out", "."), says="overwrite what is read"),
    Case("onto itself by another way", way_back, BATCH.replace(" . ", " in "), says="overwrite what is read"),
    Case(
        "two results of one name",
        confusing,
        "batch . out --model mine --scale 2 --uncertainty --quiet",
        says="Two results would be written to",
    ),
    Case("a folder in place of a result", result_in_the_way, BATCH, says="folder itself"),
    Case(
        "a label map among the scans",
        with_label_map,
        BATCH,
        says="b.nrrd: A label map can only be upscaled with the model nearest",
        lines=2,
        leaves=("out/a.nrrd", MANIFEST),
    ),
    Case(
        "a folder with three DICOM series",
        three_series,
        SPREAD,
        says="(?s)scan-3.*2 of 8 slices are missing.*1 of 4 volumes were not upscaled: scan-3",
        lines=2,
        leaves=("out/a.nrrd", "out/scan-1.nii.gz", "out/scan-2.nii.gz", MANIFEST),
    ),
    Case(
        "three DICOM series as series, and a scan that is none",
        three_series,
        f"{SPREAD} --dicom",
        says="(?s)a.nrrd is no DICOM series.*2 of 8 slices are missing.*2 of 4 volumes were not upscaled: a.nrrd, sc",
        lines=3,
        leaves=(*(f"out/scan-{n}-sr/{k:05d}.dcm" for n in (1, 2) for k in range(1, 17)), MANIFEST),
    ),
    Case("series of what is none", three, f"{SPREAD} --dicom", says="None of the scans is a DICOM series"),
    Case("series among the scans", three_series, f"{SPREAD} --dicom".replace("out", "."), says="among the scans"),
    Case("a series where other files are", files_in_the_way, f"{SPREAD} --dicom", says="scan-2-sr is there already"),
    Case(
        "a scan that a list names twice",
        named_twice,
        BATCH.replace(" . ", " list.txt "),
        says="(?s)no file or folder.*1 of 3 volumes",
        lines=2,
        leaves=("out/a.nrrd", "out/b.nrrd", MANIFEST),
    ),
    Case("a scan by two ways", twice_by_links, BATCH, DONE, leaves=("out/x/scan.nrrd", MANIFEST)),
    Case(
        "a full disk in the middle",
        large_one_between,
        BATCH,
        says="(?s)b.nrrd.*check the space.*1 of 3 volumes were not upscaled: b.nrrd",
        lines=2,
        leaves=("out/a.nrrd", "out/c.nrrd", MANIFEST),
        while_=full_disk,
    ),
    Case("a BIDS data set", data_set(), BATCH, DONE, leaves=(IMAGE, MANIFEST, *SIDECARS)),
    Case(
        "sidecars without JSON",
        data_set("T1w.json", "sub-1/anat/sub-1_T1w.json"),
        BATCH.replace("--quiet", "--json"),
        DONE,
        tells="sub-1_T1w.json beside the scan cannot be read",
        leaves=(IMAGE, MANIFEST, *SIDECARS),
    ),
    Case("a data set without JSON", data_set("dataset_description.json"), BATCH, says="what this data set is"),
    Case(
        "after a killed run",
        of_a_killed_run,
        BATCH,
        lines=2,
        says="1 of 3 volumes were not upscaled: b.nrrd",
        leaves=("out/a.nrrd", "out/c.nii.gz", MANIFEST),
        check=nothing_of_the_killed_run,
    ),
    Case("clocks that jump", clocks_that_jump, BATCH, DONE, leaves=("out/a.nrrd", "out/c.nii.gz", MANIFEST)),
    Case("a damaged manifest", damaged_manifest, f"{BATCH} --dry-run", says="1 line of .* cannot be read"),
    Case(
        "a folder as the manifest",
        lambda f: (three(f), (f / MANIFEST).mkdir(parents=True)),
        BATCH,
        says="take it away, or mend it",
    ),
    Case(
        "a list without text",
        lambda f: (f / "l.txt").write_bytes(b"\xff"),
        LIST,
        says="list",
    ),
    Case("an empty list", lambda f: (f / "l.txt").touch(), LIST, says="no volumes"),
    Case("a pattern that fits nothing", three, BATCH.replace(" . ", " '*.mha' "), says="no volumes in ..mha"),
    Case("no workers", three, f"{BATCH} --workers 0", says="The workers '0' is no whole number above zero"),
    Case("resources without numbers", three, f"{BATCH} --resources GPU", says="is no list of names and numbers"),
    Case("nothing is taken", three, f"{BATCH} --exclude '*'", says="no volumes that are taken"),
]
