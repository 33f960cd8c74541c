"""Results: whole or absent, never over what is read, right at the limits of every type, with the scan's own keys."""

from __future__ import annotations

import os

import numpy as np

from hostile.language import DONE, UPSCALE, Case
from hostile.makers import ramp, scan
from hostile.makers_files import cut, nifti, same_values, values
from hostile.makers_results import (
    as_waves,
    detached,
    full_disk,
    halves,
    held,
    large_beside,
    linked,
    tells,
    with_keys,
    within,
)

NEAREST = UPSCALE.replace("linear", "nearest")
PACKED = UPSCALE.replace("scan.nrrd", "scan.nii.gz")
FORMATS = {
    "out.nii": ("out.nii",),
    "out.nii.gz": ("out.nii.gz",),
    "out.nrrd": ("out.nrrd",),
    "out.nhdr": ("out.nhdr", "out.raw.gz"),
    "out.mha": ("out.mha",),
    "out.mhd": ("out.mhd", "out.zraw"),
}
LOUD = ("OUT.NII", "OUT.NII.GZ", "OUT.NRRD", "OUT.MHA", "Out.Nii.Gz")
# What is written in files from the start, as where it does not fit into memory.
ON_DISK = {
    **{name: (name,) for name in ("out.nii", "out.nrrd", "out.mha")},
    **{name: (name, "out.raw") for name in ("out.nhdr", "out.mhd")},
}
WIDE = (np.uint32, np.int64, np.uint64, np.float64)


def to(name: str, command: str = UPSCALE) -> str:
    """The command with another output."""
    return command.replace("out.nrrd", name)


def full(name: str, after: int, on_disk: bool = False) -> Case:
    """A disk that is full after so many bytes, and an older result that has to stay."""
    return Case(
        f"{name} on a disk that is full after {after} bytes{' --on-disk' * on_disk}",
        large_beside(*(ON_DISK if on_disk else FORMATS)[name]),
        to(name, NEAREST) + " --on-disk" * on_disk,
        says="no space for a file" if on_disk and after > 1000 else "cannot be written.*space",
        while_=lambda: full_disk(after),
    )


def labels(top: int, dtype: type) -> np.ndarray:
    """Labels that float32, or even float64, cannot tell apart."""
    return (top + ramp().astype(np.int64) % 5).astype(dtype)


CASES = [
    *(full(name, after) for name in FORMATS for after in (100, 20_000)),
    *(full(name, after, on_disk=True) for name in ON_DISK for after in (100, 20_000)),
    *(Case(f"to {name}", scan, to(name), DONE, leaves=files) for name, files in FORMATS.items()),
    *(Case(f"in {name}", scan, to(name) + " --on-disk", DONE, leaves=files) for name, files in ON_DISK.items()),
    *(Case(f"to {name}", scan, to(name), DONE, leaves=(name,)) for name in LOUD),
    Case("to OUT.MHD", scan, to("OUT.MHD"), DONE, leaves=("OUT.MHD", "OUT.zraw")),
    Case("over the input", scan, to("scan.nrrd"), says="overwrite"),
    Case("over the input, by a link", linked(), says="overwrite"),
    Case("over the input, by a hard link", linked(os.link), says="overwrite"),
    Case(
        "over the voxels of the input",
        detached("out.zraw"),
        to("out.mhd").replace("scan.nrrd", "scan.nhdr"),
        says="out.zraw would overwrite",
    ),
    Case(
        "over the header of the input",
        detached("a.raw"),
        to("scan.nhdr").replace("scan.nrrd", "scan.nhdr"),
        says="overwrite",
    ),
    Case("over the input, on disk", scan, to("scan.nrrd --on-disk"), says="overwrite"),
    Case("over the input, on disk, by a hard link", linked(os.link), UPSCALE + " --on-disk", says="overwrite"),
    Case(
        "over the voxels of the input, on disk",
        detached("out.raw"),
        to("out.mhd --on-disk").replace("scan.nrrd", "scan.nhdr"),
        says="out.raw would overwrite",
    ),
    Case(
        "a folder in the place of the voxels, on disk",
        lambda folder: scan(folder) and (folder / "out.raw").mkdir(),
        to("out.mhd --on-disk"),
        says="out.raw is there already",
    ),
    Case("a scan that is cut off, on disk", cut("scan.nrrd", 1), UPSCALE + " --on-disk", says="cut off"),
    Case("a packed scan that is cut off, on disk", cut("scan.nii.gz", 9), PACKED + " --on-disk", says="cut off"),
    Case("to a named pipe", lambda folder: scan(folder) and os.mkfifo(folder / "out.nrrd"), says="no regular file"),
    Case("to a folder", lambda folder: scan(folder) and (folder / "out.nrrd").mkdir(), says="folder itself"),
    Case("to a folder that is not there", scan, to("no/out.nrrd"), says="does not exist"),
    Case("to an ending that is none", scan, to("out.xyz"), says="no ending of a volume format"),
    Case("to an ending without a name", scan, to(".nii.gz"), says="no ending of a volume format"),
    Case("to a name that is too long", scan, to("x" * 255 + ".nrrd"), says="cannot be written"),
    Case("to a name that is not UTF-8", scan, to(os.fsdecode(b"\xff.nrrd")), says="not UTF-8"),
    *(
        Case(
            f"the limits of {np.dtype(dtype).name}",
            halves(dtype),
            UPSCALE.replace("linear", model),
            DONE,
            leaves=("out.nrrd",),
            check=held(dtype, model == "linear"),
        )
        for dtype in (np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64)
        for model in ("linear", "lanczos")
    ),
    *(
        Case(
            f"labels above 2^24 in {np.dtype(dtype).name}",
            values(labels(2**24 + 1, dtype)),
            NEAREST,
            DONE,
            leaves=("out.nrrd",),
            check=same_values(),
        )
        for dtype in (np.int32, *WIDE)
    ),
    *(
        Case(
            f"labels above 2^53 in {np.dtype(dtype).name}",
            values(labels(2**53 + 1, dtype)),
            NEAREST,
            DONE,
            leaves=("out.nrrd",),
            check=same_values(),
        )
        for dtype in (np.int64, np.uint64)
    ),
    *(
        Case(
            f"values of {unit:g} around {offset:g} in {np.dtype(dtype).name}",
            as_waves(unit, offset, dtype),
            UPSCALE,
            DONE,
            leaves=("out.nrrd",),
            check=within(unit, offset),
        )
        for unit, offset, dtype in (
            (1e300, 0, np.float64),
            (1e-300, 0, np.float64),
            (1e-40, 0, np.float64),
            (1.0, 1e6, np.float64),
            (1.0, 1e9, np.float64),
            (0.5, -1e12, np.float64),
            (1e38, 0, np.float32),
            (1e4, 2**30, np.int32),
            (1e4, 2**62, np.int64),
            (1e4, 2**63, np.uint64),
            (1000.0, 0, np.float64),
        )
    ),
    Case(
        "values too far apart",
        values(np.where(ramp((8, 9, 10)) == 5, 1e300, ramp((8, 9, 10), np.float64) / 7)),
        says="reach from",
    ),
    Case(
        "keys of NRRD",
        with_keys("scan.nrrd", Project="x", SliceThickness="5"),
        UPSCALE,
        DONE,
        leaves=("out.nrrd",),
        check=tells("out.nrrd", Project="x", SliceThickness=None),
    ),
    Case(
        "keys of NRRD in MetaImage",
        with_keys("scan.nrrd", Project="x", DimSize="1 2 3"),
        to("out.mha"),
        DONE,
        leaves=("out.mha",),
        check=tells("out.mha", Project="x"),
    ),
    Case(
        "keys of MetaImage",
        with_keys("scan.mha", Project="x"),
        UPSCALE.replace("scan.nrrd", "scan.mha"),
        DONE,
        leaves=("out.nrrd",),
        check=tells("out.nrrd", Project="x"),
    ),
    Case(
        "the description in NIfTI",
        nifti((148, "80s", b"my scan")),
        to("out.nii.gz").replace("scan.nrrd", "scan.nii"),
        DONE,
        leaves=("out.nii.gz",),
        check=tells("out.nii.gz", descrip="my scan"),
    ),
    Case(
        "the intent in NIfTI",
        nifti((68, "h", 1002), (328, "16s", b"atlas")),
        to("out.nii", NEAREST).replace("scan.nrrd", "scan.nii"),
        DONE,
        leaves=("out.nii",),
        check=tells("out.nii", intent_code="1002", intent_name="atlas"),
    ),
    Case("the intent of labels", nifti((68, "h", 1002)), UPSCALE.replace("scan.nrrd", "scan.nii"), says="label map"),
    Case("a segmentation of Slicer", with_keys("scan.nrrd", Segment0_ID="liver"), says="label map"),
    Case(
        "a segmentation of Slicer, refined",
        with_keys("scan.nrrd", Segment0_ID="liver", Segment0_Extent="0 5 0 5 0 5"),
        NEAREST,
        DONE,
        leaves=("out.nrrd",),
        check=tells("out.nrrd", Segment0_ID="liver", Segment0_Extent=None),
    ),
]
