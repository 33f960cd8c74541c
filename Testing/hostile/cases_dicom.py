"""DICOM series of every kind: the one volume in them, or a sentence that names what was found."""

from __future__ import annotations

import shutil

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from hostile.language import DONE, TOLD, UPSCALE, Case
from hostile.makers import scan
from hostile.makers_dicom import COUNT, SECONDARY_CAPTURE, SPACING, multi_frame, save, series
from hostile.makers_files import both, in_place, same_values
from hostile.makers_results import full_disk
from hostile.makers_series import (
    all_with,
    compressed,
    cut_fragments,
    damaged,
    disordered,
    edited,
    extra,
    file_in_it,
    frame_at,
    frame_scaling,
    frame_time,
    frames,
    localizer_frame,
    lower,
    moved,
    old_multi_frame,
    report,
    run_length,
    scaled_right,
    some_with,
    twelve_bits,
    twice,
    with_more,
    without,
    written_as,
)

OUT = ("out.nrrd",)
FOLDER = UPSCALE.replace("scan.nrrd", "scan")
NEAREST = FOLDER.replace("linear", "nearest")
DERIVED = FOLDER.replace("out.nrrd", "out") + " --dicom"


def refused(name: str, make, says: str) -> Case:
    """A folder that holds no volume, or no single one."""
    return Case(name, make, FOLDER, says=says)


def kept(name: str, make, truth: str = "scan") -> Case:
    """A folder that is read right: every voxel, and every place."""
    check = both(in_place(truth), same_values(truth))
    return Case(name, make, NEAREST, DONE, leaves=OUT, check=check)


def told(name: str, make, tells: str, check=None) -> Case:
    """A folder that is read, and of which something is told."""
    return Case(name, make, TOLD.replace("scan.nrrd", "scan"), DONE, leaves=OUT, tells=tells, check=check)


def beside(make):
    """A sound series, and something where its result should go."""
    return lambda folder: (series(folder), make(folder / "out"))


EIGHT_BITS = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
FIRST = {"ImagePositionPatient": [10, -20, 30], "ImageOrientationPatient": [0, 1, 0, -1, 0, 0]}

CASES = [
    kept("a sound series", series),
    kept("implicit VR", written_as(ImplicitVRLittleEndian), "truth"),
    kept("big endian", written_as(ExplicitVRBigEndian), "truth"),
    kept("run-length compressed", run_length(series), "truth"),
    kept("run-length compressed frames", run_length(multi_frame), "truth"),
    kept("twelve bits and an intercept", edited(twelve_bits)),
    kept(
        "eight bits",
        edited(
            lambda k, d: [setattr(d, *c) for c in EIGHT_BITS.items()]
            and setattr(d, "PixelData", bytes(range(k, k + 42)))
        ),
    ),
    kept("a slope that is a fraction", all_with(RescaleSlope=0.25, RescaleIntercept=-10)),
    Case(
        "compressed frames with scalings of their own",
        run_length(frames(frame_scaling)),
        NEAREST,
        DONE,
        leaves=OUT,
        check=scaled_right,
    ),
    kept("deflated", written_as(DeflatedExplicitVRLittleEndian), "truth"),
    kept(
        "a file without an ending",
        lambda folder: sorted(series(folder).iterdir())[0].rename(folder / "scan" / "x"),
        "scan",
    ),
    kept(
        "a scaling that differs from slice to slice",
        edited(lambda k, d: setattr(d, "RescaleSlope", k + 1) or setattr(d, "RescaleIntercept", -1000)),
    ),
    kept(
        "files of other kinds beside",
        with_more(
            file_in_it("notes.txt", b"hello" * 99), file_in_it(".DS_Store", bytes(500)), file_in_it("empty", b"")
        ),
    ),
    refused("slice 4 of 8 is missing", without(3), r"slice 4 of 8 is missing between 36\.0 and 42\.0 mm"),
    refused("two slices are missing", without(2, 5), "2 of 8 slices are missing, the first between 33.0 and 39.0"),
    refused("two neighbors are missing", without(2, 3), "2 of 8 slices are missing"),
    refused("uneven spacing", moved(lambda k: (0, 0, 0.2 * k * k)), "unevenly spaced, 3.2 to 5.6 mm"),
    refused("one slice out of line", moved(lambda k: (0, 0, 1.0 * (k == 4))), "unevenly spaced"),
    told("positions rounded to 0.01 mm", moved(lambda k: (0, 0, 0.04 * (k % 2))), "off an even spacing"),
    refused("one place twice", moved(lambda k: (0, 0, -SPACING * (k == 4))), "lie at the same place"),
    refused("all at one place", moved(lambda k: (0, 0, -SPACING * k)), "lie at the same place|8 "),
    refused("two time points", twice(TemporalPositionIdentifier=2), "two time points.*--series 1:1 to --series 1:2"),
    refused("two echoes", twice(EchoTime=80.0), r"two echoes \(10.*80"),
    refused("two b-values", twice(DiffusionBValue=1000.0), "two b-values"),
    refused("magnitude and phase", twice(ImageType=["ORIGINAL", "PRIMARY", "P"]), "two image types"),
    refused("two acquisitions", twice(AcquisitionNumber=2), "two acquisitions"),
    refused("two images of each place", twice(), "lie at the same place"),
    refused(
        "a time point lacks a slice",
        with_more(
            lambda folder: series(
                folder, lambda k, d: k != 3 and setattr(d, "TemporalPositionIdentifier", 2) is None, offset=COUNT
            )
        ),
        "two time points",
    ),
    refused("gantry tilt", moved(lambda k: (0, 0.8 * k, 0)), r"gantry tilted by 14\.9 degrees"),
    refused("slices shifted at random", moved(lambda k: (0.9 * (k % 3), 0, 0)), "shifted sideways"),
    refused("a slice without position", some_with([3], ImagePositionPatient=None), "1 of the 8 images.*where they lie"),
    refused("no positions at all", all_with(ImagePositionPatient=None), "where they lie"),
    refused(
        "a position of words", damaged(3, lambda data: data.replace(b"10.0\\-20.0", b"ab.c\\-20.0")), "where they lie"
    ),
    refused("no orientation", all_with(ImageOrientationPatient=None), "where they lie"),
    refused(
        "rows and columns not at right angles", all_with(ImageOrientationPatient=[1, 0, 0, 0.6, 0.8, 0]), "right angles"
    ),
    refused("two pixel sizes", some_with([0, 1, 2], PixelSpacing=[0.9, 0.9]), "two pixel sizes, 0.75 and 0.9"),
    refused("the last slice of another pixel size", some_with([7], PixelSpacing=[0.9, 0.9]), "two pixel sizes"),
    refused("no pixel size", all_with(PixelSpacing=None), "how large a pixel is"),
    refused("a pixel size of zero", all_with(PixelSpacing=[0, 0.5]), "how large a pixel is"),
    refused("a pixel size below zero", all_with(PixelSpacing=[0.5, -0.5]), "how large a pixel is"),
    refused("MONOCHROME1", all_with(PhotometricInterpretation="MONOCHROME1"), "MONOCHROME1"),
    refused("MONOCHROME1 in one slice", some_with([3], PhotometricInterpretation="MONOCHROME1"), "MONOCHROME1"),
    refused("color", all_with(PhotometricInterpretation="RGB", SamplesPerPixel=3, PixelData=bytes(252)), "color"),
    refused(
        "half of another matrix",
        edited(lambda k, d: k % 2 and [setattr(d, "Rows", 3), setattr(d, "PixelData", bytes(42))]),
        "of two sizes",
    ),
    refused(
        "half of another orientation",
        edited(lambda k, d: k % 2 and setattr(d, "ImageOrientationPatient", [1, 0, 0, 0, 0, 1])),
        "several orientations",
    ),
    refused(
        "one slice with cut pixels", some_with([4], PixelData=bytes(60)), r"slice 5 of 8\) is cut off: 84 bytes.*60"
    ),
    refused("one file is cut", damaged(2, lambda data: data[:-30]), "is cut off: 84 bytes"),
    refused("one file ends in its header", damaged(2, lambda data: data[:600]), "cut off or damaged"),
    refused("a scaling of zero", all_with(RescaleSlope=0, RescaleIntercept=5), "no number"),
    refused(
        "two series", with_more(lambda folder: series(folder, number=2)), r"2 DICOM series: 1 \(series 1, 8 images\), 2"
    ),
    refused("no slices", lambda folder: (folder / "scan").mkdir(), "no DICOM series"),
    refused("slices in a folder below", lower, "one of its folders, for example ct"),
    refused("compressed and broken", compressed, "cannot be decoded.*1.2.840.10008.1.2.4.90"),
    refused("compressed and cut", cut_fragments, "slice 5 of 8.*is cut off"),
    told(
        "a localizer of the same matrix",
        with_more(extra(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])),
        "1 image of a localizer",
    ),
    told(
        "a scout of another orientation",
        with_more(extra(ImageOrientationPatient=[1, 0, 0, 0, 0, -1])),
        "another orientation",
    ),
    told(
        "an image of another matrix", with_more(extra(Rows=3, PixelData=bytes(42))), "another orientation or size", None
    ),
    told(
        "a series of localizers",
        with_more(lambda folder: series(folder, localizer_frame, count=3, number=2)),
        "3 images of other series",
    ),
    told(
        "a screenshot without position",
        with_more(extra(SOPClassUID=SECONDARY_CAPTURE, ImagePositionPatient=None)),
        "1 image without a position",
    ),
    told(
        "copies of a slice",
        with_more(lambda folder: shutil.copy(sorted((folder / "scan").iterdir())[2], folder / "scan" / "copy.dcm")),
        "1 image that are copies|copies of others",
    ),
    told("thin slices far apart", series, "2.5 mm thick and 3 mm apart", in_place("scan")),
    told("slices that overlap", all_with(SliceThickness=4), "4 mm thick every 3 mm|3 mm apart: they overlap"),
    told("slices too thick", all_with(SliceThickness=31), "Slices 3 mm apart cannot be 31 mm thick"),
    told("slices of no thickness", all_with(SliceThickness=0), "cannot be 0 mm thick"),
    told("slices of two thicknesses", some_with([2], SliceThickness=5), "of several thicknesses"),
    told("a single slice", edited(None, count=1), "single slice"),
    kept("a multi-frame file", frames()),
    kept("frames that run the other way", frames(order=range(COUNT - 1, -1, -1))),
    kept("frames in disorder", disordered, "truth"),
    refused("a frame out of line", frames(frame_at(4, 43.0)), "unevenly spaced"),
    refused("a frame at the place of another", frames(frame_at(4, 39.0)), "lie at the same place"),
    refused("frames with a gap", frames(frame_at(7, 54.0)), "slice 8 of 9 is missing"),
    refused("frames of two times", frames(frame_time), "two time points"),
    Case("frames with scalings of their own", frames(frame_scaling), NEAREST, DONE, leaves=OUT, check=scaled_right),
    refused(
        "a multi-frame file that is cut",
        lambda folder: [p.write_bytes(p.read_bytes()[:-20]) for p in [multi_frame(folder)]],
        "cut off: 672 bytes.*652",
    ),
    refused("frames without positions", old_multi_frame(), "where they lie"),
    kept("frames counted on from the first", old_multi_frame(**FIRST, SpacingBetweenSlices=3.0), "truth"),
    refused("only a report", lambda folder: save(folder / "scan", report(), "r.dcm"), "hold no image"),
    Case(
        "a NIfTI file in a folder",
        lambda folder: scan(folder, "scan.nii").rename((folder / "scan").mkdir() or folder / "scan" / "a.nii"),
        FOLDER,
        says="no DICOM",
    ),
    Case("a series from a file that is none", scan, UPSCALE.replace("out.nrrd", "out --dicom"), says="no DICOM series"),
    Case(
        "a series where a file is", beside(lambda place: place.write_text("mine")), DERIVED, says="not an empty folder"
    ),
    Case(
        "a series where files are", beside(lambda place: place.mkdir() or (place / "a").touch()), DERIVED, says="not an"
    ),
    Case("a series in a folder that is not there", series, DERIVED.replace(" out ", " no/out "), says="does not exist"),
    Case("a series over the one that is read", series, DERIVED.replace(" out ", " scan "), says="not an empty"),
    Case("a series without room", series, DERIVED, says="check the space", while_=lambda: full_disk(500)),
]
