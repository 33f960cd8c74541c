"""Files of every format that is read: whole and in place, or refused."""

from __future__ import annotations

import bz2
import gzip
import os

import numpy as np

from hostile.language import DONE, TOLD, UPSCALE, Case
from hostile.makers import ramp, scan
from hostile.makers_files import (
    NAMES,
    PLACED,
    RAW,
    VOXELS,
    and_the_truth,
    both,
    cut,
    deflated,
    flipped,
    in_place,
    link,
    meta,
    nifti,
    nifti_swapped,
    nifti_two,
    nrrd,
    packed,
    pipe,
    same_values,
    without_voxels,
)

OUT = ("out.nrrd",)
NEAREST = UPSCALE.replace("linear", "nearest")


def of(name: str, command: str = UPSCALE) -> str:
    """The command on another file."""
    return command.replace("scan.nrrd", name)


def kept(name: str, make, source: str = "", label: str = "") -> Case:
    """A case of a file that is read right: every voxel, and every place."""
    check = both(in_place(source or name), same_values(source or name))
    return Case(label or f"{name} is whole", make, of(name, NEAREST), DONE, leaves=OUT, check=check)


def told(label: str, make, tells: str, name: str = "scan.nrrd", check=None) -> Case:
    """A case of a file that is read, and of which something is told."""
    return Case(label, make, of(name, TOLD), DONE, leaves=OUT, tells=tells, check=check)


def slices(first: int = 0) -> dict[str, bytes]:
    """The voxels of each slice, by the name of its file."""
    return {f"p{first + n}": RAW[84 * n : 84 * n + 84] for n in range(5)}


def spacing_cases() -> list[Case]:
    cases = []
    for word in ("0", "-1", "nan", "inf"):
        number = float(word)
        says = "voxels are|cannot be read"
        cases += [
            Case(f"nii spacing {word}", nifti((84, "f", number)), of("scan.nii"), says=says),
            Case(f"nrrd spacings {word}", nrrd(f"spacings: 1 {word} 2\n"), says=says),
            Case(f"mha spacing {word}", meta(change=("0.5 0.75 2", f"0.5 {word} 2")), of("scan.mha"), says=says),
        ]
    return cases


def size_cases() -> list[Case]:
    huge = (42, "3h", 32767, 32767, 32767)
    return [
        Case("nii promises 70 TB", nifti(huge), of("scan.nii"), says="cut off.*promises"),
        Case("nii.gz promises 70 TB", nifti(huge, name="scan.nii.gz"), of("scan.nii.gz"), says="cut off.*promises"),
        Case("nii with a negative size", nifti((42, "h", -7)), of("scan.nii"), says="is no volume"),
        Case("nii without dimensions", nifti((40, "h", 0)), of("scan.nii"), says="is no volume"),
        Case("nii with nine dimensions", nifti((40, "h", 9)), of("scan.nii"), says="is no volume"),
        Case("nrrd promises 2 EB", nrrd(change=("7 6 5", "1000000 1000000 1000000")), says="cut off.*promises"),
        Case("nrrd size beyond all types", nrrd(change=("7 6 5", "7 6 99999999999999999999")), says="is no volume"),
        Case("nrrd with a negative size", nrrd(change=("7 6 5", "7 -6 5")), says="is no volume"),
        Case("nrrd with a size of zero", nrrd(change=("7 6 5", "7 0 5")), says="is no volume"),
        Case("nrrd size is a word", nrrd(change=("7 6 5", "7 six 5")), says="not numbers"),
        Case(
            "gzip nrrd promises 8 GB",
            nrrd(data=gzip.compress(RAW), change=("7 6 5(.*\n.*\n.*)raw", r"2000 2000 1000\1gzip")),
            says="cut off.*promises",
        ),
        Case("mha promises 2 EB", meta(change=("7 6 5", "999999 999999 999999")), of("scan.mha"), says="promises"),
        Case("mha with a negative size", meta(change=("7 6 5", "7 6 -5")), of("scan.mha"), says="is no volume"),
        Case("mha of fewer sizes", meta(change=("7 6 5", "7 6")), of("scan.mha"), says="sizes and 3 dimensions"),
    ]


NIFTI_CASES = [
    Case("NIfTI-2", nifti_two(), of("scan.nii"), DONE, leaves=OUT, check=in_place("truth.nrrd")),
    Case("NIfTI-2, big endian", nifti_two(">"), of("scan.nii"), DONE, leaves=OUT, check=in_place("truth.nrrd")),
    kept("scan.nii", nifti_swapped, label="NIfTI-1, big endian"),
    kept("scan.img", lambda folder: scan(folder, "scan.hdr"), "scan.hdr", "the voxel file is named"),
    kept("scan.img.gz", lambda folder: scan(folder, "scan.img.gz"), label="a compressed pair"),
    told("neither qform nor sform", nifti((252, "2h", 0, 0)), "left and right", "scan.nii", in_place("scan.nii")),
    told(
        "qform and sform disagree",
        nifti((252, "2h", 1, 2), (280, "12f", 0.5, 0, 0, 1, 0, 0.75, 0, 2, 0, 0, 2, 3)),
        "two positions.*qform was taken",
        "scan.nii",
        in_place("scan.nii"),
    ),
    told(
        "a sheared sform beside a qform",
        nifti((280, "12f", 0, 0.75, 0.5, -10, -0.5, 0, 0, 20, 0, 0, 2, 30)),
        "sheared.*qform",
        "scan.nii",
        in_place("scan.nii"),
    ),
    Case(
        "only a sheared sform",
        nifti((252, "h", 0), (280, "12f", 0, 0.75, 0.5, -10, -0.5, 0, 0, 20, 0, 0, 2, 30)),
        of("scan.nii"),
        says="two sizes|sheared",
    ),
    Case(
        "sform and pixdim disagree",
        nifti((252, "h", 0), (80, "f", 3.0)),
        of("scan.nii"),
        says="two sizes of a voxel along i, 3 and 0.5",
    ),
    Case("sform of nan", nifti((280, "f", np.nan)), of("scan.nii"), says="not numbers"),
    Case("quaternion of nan", nifti((254, "h", 0), (256, "f", np.nan)), of("scan.nii"), says="not a number"),
    Case("offset of nan", nifti((254, "h", 0), (268, "f", np.nan)), of("scan.nii"), says="not numbers"),
    kept("scan.nii", and_the_truth(nifti((112, "2f", 0, 5))), "truth.nii", "a slope of zero"),
    kept("scan.nii", nifti((112, "2f", 2.5, -1000)), label="slope and intercept"),
    told("slope of nan", nifti((112, "f", np.nan)), "taken as stored", "scan.nii", in_place("scan.nii")),
    kept("scan.nii", nifti((123, "B", 3)), label="micrometers"),
    kept("scan.nii", nifti((123, "B", 1)), label="meters"),
    Case("voxels begin beyond the end", nifti((108, "f", 1e6)), of("scan.nii"), says="cut off"),
    Case("voxels begin nowhere", nifti((108, "f", np.nan)), of("scan.nii"), says="begin at byte nan"),
    Case("voxels begin within the header", nifti((108, "f", 300)), of("scan.nii"), says="begin at byte 300"),
    Case("unknown type", nifti((70, "h", 999)), of("scan.nii"), says="type 999"),
    Case("128-bit floats", nifti((70, "2h", 1536, 128)), of("scan.nii"), says="type 1536"),
    Case("color", nifti((70, "2h", 128, 24)), of("scan.nii"), says="3 values in each voxel"),
    Case("bits that do not fit the type", nifti((72, "h", 32)), of("scan.nii"), says="contradicts itself"),
    Case("a series", nifti((40, "5h", 4, 7, 6, 1, 5)), of("scan.nii"), says="a series of 5 volumes"),
    Case("vectors", nifti((40, "6h", 5, 7, 6, 1, 1, 5)), of("scan.nii"), says="5 values in each voxel"),
    Case("Analyze", nifti((344, "4s", b"\0\0\0\0")), of("scan.nii"), says="Analyze"),
    told("bytes behind the voxels", nifti(more=b"garbage"), "7 bytes behind", "scan.nii", in_place("scan.nii")),
    Case("checksum", packed("scan.nii.gz", flipped(-8)), of("scan.nii.gz"), says="cut off or damaged"),
    Case("length behind", packed("scan.nii.gz", flipped(-1)), of("scan.nii.gz"), says="cut off or damaged"),
    Case("a damaged block", packed("scan.nii.gz", flipped(900)), of("scan.nii.gz"), says="damaged"),
    kept("scan.nii.gz", packed("scan.nii.gz", lambda data: data + bytes(512)), label="zeros behind gzip"),
    Case(
        "gzip of something else",
        packed("scan.nii.gz", lambda _: gzip.compress(b"text")),
        of("scan.nii.gz"),
        says="cannot be read",
    ),
    Case(
        "a name that ends in .nii",
        lambda folder: (folder / "scan.nii").write_text("hello"),
        of("scan.nii"),
        says="cannot be read",
    ),
    kept("scan.nii", and_the_truth(nifti(name="scan.nii.gz"), "scan.nii.gz"), "truth.nii", "gzip by another name"),
]

NRRD_CASES = [
    kept("scan.nrrd", nrrd(change=("raw", "ascii"), data=" ".join(map(str, ramp().ravel())).encode()), label="as text"),
    kept("scan.nrrd", nrrd(change=("raw", "hex"), data=RAW.hex().encode()), label="as hex"),
    kept("scan.nrrd", nrrd(change=("raw", "gzip"), data=gzip.compress(RAW)), label="gzip"),
    Case("bzip2", nrrd(change=("raw", "bz2"), data=bz2.compress(RAW)), NEAREST, DONE, leaves=OUT),
    Case("bzip2, cut", nrrd(change=("raw", "bz2"), data=bz2.compress(RAW)[:-9]), says="cut off"),
    Case("gzip, cut", nrrd(change=("raw", "gzip"), data=gzip.compress(RAW)[:-9]), says="cut off"),
    Case("text, cut", nrrd(change=("raw", "ascii"), data=b"1 2 3 4 " * 20), says="cut off"),
    Case("text of words", nrrd(change=("raw", "ascii"), data=b"one two " * 210), says="not the numbers"),
    Case("text beyond its type", nrrd(change=("raw", "ascii"), data=b"99999 " * 210), says="not the numbers"),
    Case("hex, cut", nrrd(change=("raw", "hex"), data=RAW.hex().encode()[:-4]), says="cut off"),
    Case("an unknown encoding", nrrd(change=("raw", "zstd")), says="'zstd'"),
    kept("scan.nrrd", nrrd(PLACED + "byte skip: 3\n", b"abc" + RAW), label="bytes skipped"),
    kept("scan.nrrd", nrrd(PLACED + "byte skip: -1\n", b"abcdefgh" + RAW), label="all bytes but the last skipped"),
    kept("scan.nrrd", nrrd(PLACED + "line skip: 2\n", b"a\nb\n" + RAW), label="lines skipped"),
    kept(
        "scan.nrrd",
        nrrd(PLACED + "byte skip: 3\n", gzip.compress(b"abc" + RAW), ("raw", "gzip")),
        label="unpacked bytes skipped",
    ),
    Case("more lines skipped than there are", nrrd(PLACED + "line skip: 9\n", b"a\nb\n"), says="cut off"),
    Case("skip of -2", nrrd(PLACED + "byte skip: -2\n"), says="cannot be"),
    kept(
        "scan.nrrd",
        nrrd(PLACED + "data file: p%d.raw 1 5 1\n", b"", **slices(1)),
        label="a file a slice, by pattern",
    ),
    kept(
        "scan.nrrd",
        nrrd(PLACED + "data file: LIST\n" + "\n".join(f"{stem}.raw" for stem in slices()), b"", **slices()),
        label="a file a slice, by list",
    ),
    Case(
        "one of the files is cut",
        nrrd(PLACED + "data file: p%d.raw 0 4 1\n", b"", **{**slices(), "p4": RAW[-82:]}),
        says="p4.raw is cut off",
    ),
    Case(
        "one of the files is missing",
        nrrd(PLACED + "data file: p%d.raw 0 4 1\n", b"", **slices(1)),
        says="p0.raw, which is not there",
    ),
    Case(
        "a file too few is named",
        nrrd(PLACED + "data file: p%d.raw 0 3 1\n", b"", **slices()),
        says="5 slices and names 4",
    ),
    Case("files without end", nrrd(PLACED + "data file: p%d.raw 1 999999999 1\n", b""), says="counts its data files"),
    Case("no byte order", nrrd(change=("endian.*\n", "")), says="byte order"),
    Case("no type", nrrd(change=("type.*\n", "")), says="its type"),
    Case("an unknown type", nrrd(change=("short", "quad")), says="'quad'"),
    told("no geometry", nrrd(""), "no voxel size", check=in_place()),
    told("spacings only", nrrd("spacings: 1 2 3\n"), "left and right", check=in_place()),
    told("no origin", nrrd(PLACED.rsplit("space origin", 1)[0]), "where the volume begins", check=in_place()),
    told("micrometers", nrrd(PLACED + 'space units: "um" "um" "um"\n'), "taken as millimeters", check=in_place()),
    told("scanner-xyz", nrrd(change=("LPS", "scanner-xyz"), extra=PLACED), "taken as LPS", check=in_place()),
    kept("scan.nrrd", nrrd(change=("LPS", "right-anterior-superior")), label="RAS"),
    Case("LAS", nrrd(change=("LPS", "left-anterior-superior")), says="LAS"),
    Case("sheared", nrrd(change=(r"\(0,0.75,0\)", "(0.3,0.75,0)")), says="sheared"),
    Case("a direction of zero", nrrd(change=(r"\(0,0.75,0\)", "(0,0,0)")), says="0 x|x 0"),
    Case("a direction of nan", nrrd(change=(r"\(0,0.75,0\)", "(0,nan,0)")), says="three numbers an axis"),
    Case("an origin of inf", nrrd(change=("10,-20,30", "inf,0,0")), says="three numbers an axis"),
    Case("an origin of two numbers", nrrd(change=("10,-20,30", "1,2")), says="three numbers an axis"),
    Case(
        "a vector in each voxel",
        nrrd("space: LPS\nspace directions: none (1,0,0) (0,1,0)\nkinds: vector domain domain\n"),
        says="7 values in each voxel",
    ),
    told("bytes behind the voxels", nrrd(data=RAW + b"xyz"), "3 bytes behind", check=in_place()),
]

META_CASES = [
    kept(
        "scan.mha",
        meta(f"CompressedData = True\nCompressedDataSize = {len(deflated())}\n", deflated()),
        label="deflated",
    ),
    Case(
        "deflated without a size",
        meta("CompressedData = True\n", deflated()),
        of("scan.mha", NEAREST),
        DONE,
        leaves=OUT,
    ),
    Case(
        "deflated and cut", meta("CompressedData = True\n", deflated()[:-3]), of("scan.mha"), says="cut off or damaged"
    ),
    Case(
        "deflated and damaged", meta("CompressedData = True\n", flipped(-2)(deflated())), of("scan.mha"), says="damaged"
    ),
    Case("said to be deflated", meta("CompressedData = True\n"), of("scan.mha"), says="damaged"),
    Case(
        "as text",
        meta(change=("BinaryData = True", "BinaryData = False"), data=b"1 2 3 4 5 6 7 " * 30),
        of("scan.mha", NEAREST),
        DONE,
        leaves=OUT,
    ),
    kept("scan.mha", meta("HeaderSize = -1\n", b"xyz" + RAW), label="a header of unknown length"),
    kept("scan.mha", meta(end="a.raw", data=b"", a=RAW), label="a file beside it"),
    kept(
        "scan.mha",
        meta("HeaderSize = 4\n", end="a.raw", data=b"", a=b"abcd" + RAW),
        label="a file with a header of its own",
    ),
    Case("the file beside it is cut", meta(end="a.raw", data=b"", a=RAW[:-2]), of("scan.mha"), says="a.raw is cut off"),
    Case(
        "the file beside it is missing", meta(end="a.raw", data=b""), of("scan.mha"), says="a.raw, which is not there"
    ),
    kept(
        "scan.mha",
        meta(end="LIST", data="".join(f"p{n}.raw\n" for n in range(5)).encode(), **slices()),
        label="a file a slice, by list",
    ),
    kept(
        "scan.mha",
        meta(end="p%d.raw 1 5 1", data=b"", **slices(1)),
        label="a file a slice, by pattern",
    ),
    Case(
        "a slice is missing",
        meta(end="LIST", data=b"p0.raw\np1.raw\n", p0=RAW[:84]),
        of("scan.mha"),
        says="p1.raw, which is not there",
    ),
    kept("scan.mha", meta("TransformMatrix = 0.8 0.6 0 -0.6 0.8 0 0 0 1\nOffset = 1 2 3\n"), label="turned"),
    Case("sheared", meta("TransformMatrix = 1 0.5 0 0 1 0 0 0 1\n"), of("scan.mha"), says="sheared"),
    Case("a matrix of nan", meta("TransformMatrix = 1 0 0 0 nan 0 0 0 1\n"), of("scan.mha"), says="9 numbers"),
    Case("an offset of words", meta("Offset = one two three\n"), of("scan.mha"), says="a number should be"),
    told("no spacing", meta(change=("ElementSpacing.*\n", "")), "no voxel size", "scan.mha", in_place("scan.mha")),
    told("micrometers", meta("DistanceUnits = um\n"), "millimeters", "scan.mha", in_place("scan.mha")),
    told(
        "a scaling that others ignore",
        meta("ElementToIntensityFunctionSlope = 2\n"),
        "taken as stored",
        "scan.mha",
        in_place("scan.mha"),
    ),
    Case("two channels", meta("ElementNumberOfChannels = 2\n", RAW * 2), of("scan.mha"), says="2 values"),
    Case("an unknown type", meta(change=("MET_SHORT", "MET_OTHER")), of("scan.mha"), says="MET_OTHER"),
    Case(
        "no end of the header",
        lambda folder: (folder / "scan.mha").write_text("ObjectType = Image\n"),
        of("scan.mha"),
        says="cannot be read",
    ),
]

THINGS = [
    Case("a named pipe", pipe, says="not a regular file"),
    Case("a device", link("/dev/zero"), says="not a regular file"),
    Case("a link to nowhere", link("nowhere"), says="no file or folder"),
    Case("a link to itself", link("scan.nrrd"), says="cannot be opened"),
    Case("an empty file", lambda folder: (folder / "scan.nrrd").touch(), says="cannot be read"),
    Case(
        "a picture",
        lambda folder: (folder / "scan.nrrd").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99)),
        says="cannot be read",
    ),
    Case("too long a name", lambda folder: None, of("x" * 300 + ".nrrd"), says="cannot be opened"),
    Case(
        "a name that is not UTF-8",
        lambda folder: scan(folder).rename(folder / os.fsdecode(b"\xff.nrrd")),
        of(os.fsdecode(b"\xff.nrrd")),
        says="not UTF-8",
    ),
    Case(
        "a folder of something else",
        lambda folder: scan(folder).rename((folder / "sub").mkdir() or folder / "sub" / "a"),
        of("sub"),
        says="no DICOM",
    ),
    Case(
        "a name in other scripts",
        lambda folder: scan(folder, "größe日本.nii.gz"),
        of("größe日本.nii.gz"),
        DONE,
        leaves=OUT,
        check=in_place("größe日本.nii.gz"),
    ),
]

CASES = [
    *(kept(name, lambda folder, name=name: scan(folder, name)) for name in NAMES),
    *(Case(f"{name} lacks a byte", cut(name, 1), of(name), says="cut off") for name in NAMES),
    *(Case(f"{name} lacks half", cut(name, 200), of(name), says="cut off") for name in NAMES),
    *(
        Case(f"{name} is a header only", cut(name, None), of(name), says="cut off|damaged|cannot be read")
        for name in NAMES
    ),
    *(Case(f"{name} without its voxels", without_voxels(name), of(name), says="is not there") for name in VOXELS),
    *spacing_cases(),
    *size_cases(),
    *NIFTI_CASES,
    *NRRD_CASES,
    *META_CASES,
    *THINGS,
]
