"""A batch goes on after every error of one file, and says at the end what was not done"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from VolumeSuperResolutionLib.commands.batches import manifest

from hostile.language import DONE, Case
from hostile.makers import scan
from hostile.makers_models import put

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
]
