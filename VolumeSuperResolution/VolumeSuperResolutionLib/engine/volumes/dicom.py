"""The one volume in DICOM files: chosen where it is unambiguous, refused with what was found where it is not.

Positions are looked at before any pixel is read. Nothing is guessed: slices that are missing, uneven, doubled or
shifted sideways (a tilted gantry) make no volume of right angles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import RefusalError
from .grid import THICKEST, Grid
from .ladder import MISSING, UNEVEN, UNEVENLY, ladder
from .slices import Found, Slice, files_of, find

SAME_DIRECTION = 1e-3
SAME_SPACING = 1e-3
SAME_PLACE_MM = 0.005
# Other images in a series are left out where all of them are fewer than one in so many.
FEW = 4
NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
MOST_NAMED = 6


class Stack(NamedTuple):
    """The images of one volume in their order, where they lie, and what should be told of them."""

    slices: list[Slice]
    grid: Grid
    notes: tuple[str, ...]
    metadata: dict[str, str]


def select(path: Path, series: str | None = None) -> Stack:
    """The volume in a folder or a file; `series` is a UID or number, and ":2" behind it names the second of several."""
    found = find(files_of(path) if path.is_dir() else [path])
    if not found.slices:
        raise RefusalError(_nothing(path, found))
    notes: list[str] = []
    chosen, part = _of_series(path, found.slices, series)
    chosen, name = _one_series(path, chosen, notes)
    chosen = _one_kind(path, chosen, notes)
    _check_kind(path, chosen)
    chosen = _without_copies(chosen, notes)
    chosen = _one_of_several(path, chosen, part, name)
    chosen, grid = _ladder(path, chosen, notes)
    _check_complete(path, chosen)
    if chosen[0].expected_images > len(chosen):
        notes.append(f"The files speak of {chosen[0].expected_images} images; {len(chosen)} are there.")
    metadata = dict(chosen[0].kept)
    if len({each.kept.get("SliceThickness") for each in chosen}) > 1:
        metadata.pop("SliceThickness", None)
        notes.append("The slices are said to be of several thicknesses, so none is taken from them.")
    if len(chosen) > 1:
        metadata["SpacingBetweenSlices"] = f"{grid.spacing[2]:.6g}"
        _tell_gap(metadata, grid, notes)
    return Stack(chosen, grid, tuple(notes), metadata)


def series_in(folder: Path) -> dict[str, str]:
    """The series in a folder that may be volumes: by UID, what they are called in short."""
    series = _by_series(find(files_of(folder)).slices)
    names = _names(series)
    return {uid: names[uid] for uid in _volumes(series)}


def _nothing(path: Path, found: Found) -> str:
    if not path.is_dir():
        return f"{path} is a DICOM file without an image; give the one that holds the volume."
    if found.without_image:
        return f"The DICOM files in {path} hold no image; give the folder that holds the slices."
    below = [each.name for each in sorted(path.iterdir()) if each.is_dir() and _holds_dicom(each)]
    if below:
        return f"There is no DICOM series in {path} itself; give one of its folders, for example {below[0]}."
    return f"There is no DICOM series in {path}; give the folder that holds the slices."


def _holds_dicom(folder: Path) -> bool:
    try:
        return bool(find(files_of(folder)[:1]).slices)
    except RefusalError:
        return False


def _count(number: int) -> str:
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def _of_series(path: Path, slices: list[Slice], series: str | None) -> tuple[list[Slice], str]:
    if series is None:
        return slices, ""
    for name, part in ((series, ""), series.rpartition(":")[::2]):
        chosen = [s for s in slices if name and name in (s.series, s.number)]
        if chosen:
            return chosen, part
    known = sorted({s.number or s.series for s in slices})
    raise RefusalError(f"{path} holds no series {series}; it holds {', '.join(known[:MOST_NAMED])}.")


def _one_series(path: Path, slices: list[Slice], notes: list[str]) -> tuple[list[Slice], str]:
    """The series that alone can be a volume, and what it is called."""
    series = _by_series(slices)
    names, volumes = _names(series), _volumes(series)
    if len(volumes) > 1:
        named = [
            f"{names[uid]} ({images[0].description + ', ' if images[0].description else ''}{len(images)} images)"
            for uid, images in sorted(volumes.items(), key=lambda entry: (len(names[entry[0]]), names[entry[0]]))
        ]
        rest = "" if len(named) <= MOST_NAMED else f" and {len(named) - MOST_NAMED} more"
        raise RefusalError(
            f"{path} holds {len(volumes)} DICOM series: {', '.join(named[:MOST_NAMED])}{rest}; pick one with --series, "
            "or move it into a folder of its own."
        )
    uid, chosen = next(iter(volumes.items()))
    left = len(slices) - len(chosen)
    if left:
        notes.append(f"{_images(left)} of other series (localizers, screenshots) were left out.")
    return chosen, names[uid]


def _by_series(slices: Sequence[Slice]) -> dict[str, list[Slice]]:
    series: dict[str, list[Slice]] = {}
    for each in slices:
        series.setdefault(each.series, []).append(each)
    return series


def _names(series: dict[str, list[Slice]]) -> dict[str, str]:
    """The number of each series, or its UID where another has the same one."""
    numbers = Counter(images[0].number for images in series.values())
    return {uid: i[0].number if i[0].number and numbers[i[0].number] == 1 else uid for uid, i in series.items()}


def _volumes(series: dict[str, list[Slice]]) -> dict[str, list[Slice]]:
    """Those that may be volumes; all, where none looks like one."""
    return {
        uid: images
        for uid, images in series.items()
        if any(s.position and s.samples == 1 and not s.localizer for s in images)
    } or series


def _images(count: int) -> str:
    return f"{count} image{'s' * (count != 1)}"


def _one_kind(path: Path, slices: list[Slice], notes: list[str]) -> list[Slice]:
    """Without localizers and screenshots; of one matrix and orientation."""
    scan = [s for s in slices if not s.localizer]
    if scan and len(scan) < len(slices):
        notes.append(f"{_images(len(slices) - len(scan))} of a localizer were left out.")
        slices = scan
    placed = [s for s in slices if s.position and s.orientation]
    if len(placed) < len(slices) and len(slices) > 1:
        kinds = {(s.kind, s.samples) for s in placed}
        rest = [s for s in slices if not (s.position and s.orientation)]
        if not placed or any((s.kind, s.samples) in kinds for s in rest):
            raise RefusalError(
                f"{len(rest)} of the {len(slices)} images in {path} do not say where they lie, so they make no volume; "
                "export the series again."
            )
        notes.append(f"{_images(len(rest))} without a position were left out.")
        slices = placed
    groups: list[list[Slice]] = []
    for each in slices:
        group = next((g for g in groups if _alike(g[0], each)), None)
        if group is None:
            groups.append([each])
        else:
            group.append(each)
    groups.sort(key=len, reverse=True)
    left = len(slices) - len(groups[0])
    if left * FEW > len(groups[0]):
        shapes = sorted({f"{s.shape[1]}x{s.shape[0]}" for s in slices})
        what = f"of {_count(len(shapes))} sizes ({', '.join(shapes)})" if len(shapes) > 1 else "of several orientations"
        raise RefusalError(f"{path} holds images {what}, so which are the volume is unclear; keep only those of one.")
    if left:
        notes.append(f"{_images(left)} of another orientation or size were left out.")
    return groups[0]


def _alike(one: Slice, other: Slice) -> bool:
    if one.shape != other.shape or len(one.orientation) != len(other.orientation):
        return False
    return bool(np.allclose(one.orientation, other.orientation, rtol=0, atol=SAME_DIRECTION))


def _check_kind(path: Path, slices: list[Slice]) -> None:
    first = slices[0]
    if first.samples != 1 or first.photometric.startswith(("RGB", "YBR", "PALETTE")):
        raise RefusalError(f"The images in {path} are in color (3 values in each voxel); give the scan itself.")
    for allocated, bits, _, _ in {s.pixel_format for s in slices}:
        if allocated not in (8, 16, 32) or not 0 < bits <= allocated:
            raise RefusalError(f"The images in {path} store {bits} of {allocated} bits a pixel, which cannot be read.")
    if any(s.photometric == "MONOCHROME1" for s in slices):
        raise RefusalError(
            f"The images in {path} are stored inverted (MONOCHROME1), which programs read differently; convert them "
            "to MONOCHROME2 first."
        )
    if first.kept.get("Modality") in ("RTDOSE", "SEG"):
        raise RefusalError(f"{path} holds a dose or a segmentation and no scan; load it in 3D Slicer and export it.")
    if not all(np.isfinite(s.scaling).all() and s.scaling[0] for s in slices):
        raise RefusalError(
            f"The images in {path} scale their values by something that is no number; export them again."
        )
    spacings = sorted({s.spacing for s in slices})
    if spacings[0] == () or not all(np.isfinite(v) and v > 0 for pair in spacings for v in pair):
        raise RefusalError(f"The images in {path} do not say how large a pixel is; export the series again.")
    if not np.allclose(spacings[0], spacings[-1], rtol=SAME_SPACING, atol=0):
        raise RefusalError(
            f"{path} holds images of two pixel sizes, {spacings[0][0]:g} and {spacings[-1][0]:g} mm; keep only those "
            "of one."
        )


def _without_copies(slices: list[Slice], notes: list[str]) -> list[Slice]:
    """Each image once, where files are copies of one another."""
    seen: dict[tuple[str, int], Slice] = {}
    kept = []
    for each in slices:
        first = seen.setdefault((each.uid, each.frame), each)
        if first is each or not each.uid or first.path.read_bytes() != each.path.read_bytes():
            kept.append(each)
    if len(kept) < len(slices):
        notes.append(f"{_images(len(slices) - len(kept))} that are copies of others were left out.")
    return kept


def _normal(slices: Sequence[Slice]) -> np.ndarray:
    rows, columns = np.reshape(slices[0].orientation, (2, 3))
    return np.cross(rows, columns)


def _one_of_several(path: Path, slices: list[Slice], part: str, name: str) -> list[Slice]:
    """The images of one time point, echo and the like, where a place was imaged several times."""
    if not (slices[0].position and slices[0].orientation):
        return slices
    along = np.array([s.position for s in slices]) @ _normal(slices)
    order = np.argsort(along, kind="stable")
    places = np.empty(len(slices), int)
    places[order] = np.concatenate(([0], np.cumsum(np.diff(along[order]) > SAME_PLACE_MM)))
    times = int(np.bincount(places).max())
    if times == 1:
        return slices
    for word in slices[0].marks:
        parts: dict[object, list[int]] = {}
        for index, each in enumerate(slices):
            parts.setdefault(each.marks.get(word), []).append(index)
        if len(parts) == times and all(len(set(places[p])) == len(p) for p in parts.values()):
            values = sorted(parts, key=_order)
            if part in [str(n + 1) for n in range(times)]:
                return [slices[index] for index in parts[values[int(part) - 1]]]
            said = f" ({', '.join(str(v) for v in values)})" if times <= MOST_NAMED and word != "image types" else ""
            raise RefusalError(
                f"{path} holds {_count(times)} {word}{said} of one volume; pick one with --series {name}:1 to "
                f"--series {name}:{times}."
            )
    place = along[places == np.bincount(places).argmax()][0]
    raise RefusalError(
        f"{_count(times).capitalize()} images in {path} lie at the same place ({place:.1f} mm), and nothing tells them "
        "apart; keep one of each."
    )


def _order(value: object) -> tuple[int, float, str]:
    try:
        return 0, float(value), ""  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 1, 0.0, str(value)


def _ladder(path: Path, slices: list[Slice], notes: list[str]) -> tuple[list[Slice], Grid]:
    """The images in their order along the normal, and the grid they lie on."""
    first = slices[0]
    if not (first.position and first.orientation):
        return _unplaced(path, slices, notes)
    rows, columns = np.reshape(first.orientation, (2, 3))
    normal = _normal(slices)
    if not np.allclose((rows @ rows, columns @ columns, rows @ columns), (1, 1, 0), rtol=0, atol=SAME_DIRECTION):
        raise RefusalError(f"The rows and columns of the images in {path} are not at right angles; they are damaged.")
    along = np.array([s.position for s in slices]) @ normal
    order = np.argsort(along, kind="stable")
    if first.frames == len(slices) > 1 and np.array_equal(order[::-1], np.arange(len(slices))):
        order, normal = order[::-1], -normal  # a file of frames that run the other way stays in its order
    slices = [slices[n] for n in order]
    if len(slices) == 1:
        step = first.between or float(first.kept.get("SliceThickness") or 0) or 1.0
        notes.append("There is a single slice.")
    else:
        step = _step(path, slices, normal, notes)
    direction = np.column_stack((rows, columns, normal))
    size = (first.shape[1], first.shape[0], len(slices))
    spacing = (first.spacing[1], first.spacing[0], step)
    return slices, Grid(size, spacing, slices[0].position, tuple(map(float, direction.ravel())))  # type: ignore[arg-type]


def _unplaced(path: Path, slices: list[Slice], notes: list[str]) -> tuple[list[Slice], Grid]:
    """A single image that says no position."""
    first = slices[0]
    if len(slices) > 1:
        raise RefusalError(f"The {len(slices)} images in {path} do not say where they lie, so they make no volume.")
    notes.append("The image does not say where it lies, so left and right may be swapped.")
    thickness = first.between or float(first.kept.get("SliceThickness") or 0) or 1.0
    return slices, Grid((first.shape[1], first.shape[0], 1), (first.spacing[1], first.spacing[0], thickness))


def _step(path: Path, slices: list[Slice], normal: np.ndarray, notes: list[str]) -> float:
    """The distance of the slices; refuses where it is not one, and where they are shifted sideways."""
    found = ladder(np.array([s.position for s in slices]), normal)
    if found.fault == MISSING:
        raise RefusalError(f"The volume in {path} is incomplete: {found.words}; export the series again.")
    if found.fault == UNEVENLY:
        raise RefusalError(
            f"The images in {path} make no regular volume: {found.words}; resample them in 3D Slicer first, or export "
            "the series again."
        )
    if found.fault:
        raise RefusalError(
            f"The images in {path} make no volume of right angles: {found.words}; load the series in 3D Slicer, harden "
            "its acquisition transform, and save the volume."
        )
    if found.off > 0.2 * UNEVEN * found.step:
        notes.append(f"The slices are up to {found.off:.2g} mm off an even spacing of {found.step:.4g} mm.")
    return found.step


def _check_complete(path: Path, slices: list[Slice]) -> None:
    for number, each in enumerate(slices, start=1):
        if each.stored is not None and each.stored < each.expected:
            raise RefusalError(
                f"{each.path} (slice {number} of {len(slices)}) is cut off: {each.expected} bytes of pixels were "
                f"expected, and {each.stored} are there; copy or export it again."
            )


def _tell_gap(metadata: dict[str, str], grid: Grid, notes: list[str]) -> None:
    try:
        thickness = float(metadata.get("SliceThickness", ""))
    except ValueError:
        return
    step = grid.spacing[2]
    if not 0 < thickness <= THICKEST * step:
        notes.append(f"Slices {step:.4g} mm apart cannot be {thickness:.4g} mm thick, so that was passed over.")
    elif abs(thickness - step) > UNEVEN * step:
        gap = f"gaps of {step - thickness:.3g} mm between them" if thickness < step else "they overlap"
        notes.append(f"The slices are {thickness:.4g} mm thick and {step:.4g} mm apart: {gap}.")
