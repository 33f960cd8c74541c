"""OME-Zarr images of version 0.4 (Zarr format 2) and 0.5 (format 3): folders of chunks, with a pyramid of resolutions.

What is read is one level of one image: the finest, or the one whose folder is named. Such images say how large voxels
are and where the first is, but not how their axes lie in a patient; this program notes that beside, and reads it again.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np

from ..errors import RefusalError, plain
from . import MAKER, labels, stored
from .grid import Grid, Triple, Volume

ENDING = ".zarr"
VERSIONS = ("0.4", "0.5")
# Under this name the version is among the keys of what was read.
KEY = "OME-Zarr"
# In whose last four bytes is the length of a chunk that Blosc packed.
BLOSC_HEADER = 16
MARKS = (".zgroup", ".zarray", "zarr.json")
SPACE = ("z", "y", "x")
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
# How a chunk is, and how long the axes of the coarsest level are at the most.
CHUNK = (32, 128, 128)
COARSEST = 128
MM = {
    **{f"{name}meter": 10.0 ** (power + 3) for name, power in {
        "": 0, "deci": -1, "centi": -2, "milli": -3, "micro": -6, "nano": -9, "pico": -12, "femto": -15,
        "deca": 1, "hecto": 2, "kilo": 3, "mega": 6,
    }.items()},
    "angstrom": 1e-7,
    "inch": 25.4,
    "foot": 304.8,
    "yard": 914.4,
}  # fmt: skip


class Image(NamedTuple):
    """One level of an image: its folder, where its voxels sit, and the array that has them, behind axes of length 1."""

    path: Path
    folder: Path
    grid: Grid
    array: Any
    before: tuple[Any, ...]
    version: str
    notes: tuple[str, ...]

    @property
    def dtype(self) -> np.dtype:
        """Of the voxels, in the byte order of this machine."""
        return np.dtype(self.array.dtype).newbyteorder("=")


def is_zarr(path: Path) -> bool:
    """Whether a path is a folder of this kind."""
    return os.path.isdir(path) and (
        path.name.lower().endswith(ENDING) or any((path / mark).is_file() for mark in MARKS)
    )


def look(path: Path) -> Image:
    """What an image says of itself; no voxel is read."""
    node = _opened(path)
    level, parent = "", path
    if hasattr(node, "shape"):
        level, parent = path.name, path.parent
        node = _opened(parent) if is_zarr(parent) else {}
    attributes = dict(getattr(node, "attrs", {}))
    told = attributes.get("ome", attributes)
    try:
        scales = told["multiscales"][0]
        usual = VERSIONS[told is not attributes]
        version = str(told.get("version") or scales.get("version") or usual)
        if version not in VERSIONS:
            raise RefusalError(
                f"{path} is an OME-Zarr image of version {plain(version)[:20]}; versions {' and '.join(VERSIONS)} are "
                "read: convert it."
            )
        entry = next(each for each in scales["datasets"] if each["path"] == (level or scales["datasets"][0]["path"]))
        array, folder = node[entry["path"]], parent / str(entry["path"])
        steps = [*entry["coordinateTransformations"], *scales.get("coordinateTransformations", [])]
        axes = [(str(axis["name"]), str(axis.get("type", "")), axis.get("unit")) for axis in scales["axes"]]
        scale, start = _placed(steps, len(axes))
        shape, dtype = tuple(int(n) for n in array.shape), np.dtype(array.dtype)
    except (LookupError, TypeError, ValueError, AttributeError, StopIteration) as error:
        if isinstance(error, RefusalError):
            raise
        raise RefusalError(
            f"{path} does not say completely which OME-Zarr image it is (multiscales, axes, scales); give the folder "
            "of an image, or that of one of its levels."
        ) from error
    names = [name for name, _, _ in axes]
    if len(names) != len(shape) or tuple(names[-3:]) != SPACE:
        raise RefusalError(
            f"{path} has the axes {plain(', '.join(names))[:60]}; images whose last axes are z, y and x are read."
        )
    for name, length in zip(names, shape[:-3]):
        if length != 1:
            raise RefusalError(
                f"{path} holds {length} volumes along {plain(name)[:20]} (channels, time points or the like); extract "
                "the one you want into an image of its own."
            )
    if dtype.kind not in "biuf":
        raise RefusalError(f"The voxels of {path} are no real numbers ({dtype}); convert them first.")
    stored.check_size(path, shape[-3:])
    return _image(path, folder, array, axes[-3:], scale[-3:], start[-3:], attributes.get(MAKER), version)


def load(image: Image, empty: Callable[..., np.ndarray] = np.empty) -> tuple[np.ndarray, tuple[str, ...]]:
    """The voxels (k, j, i), and what should be told of them."""
    result = empty(image.grid.size[::-1], image.dtype)
    try:
        _check_chunks(image.folder)
        for part in _parts(result.shape, image.array.chunks[-3:]):
            result[part] = image.array[(*image.before, *part)]
        missing = result.size > 0 and image.array.nchunks_initialized == 0
    except MemoryError:
        raise
    except Exception as error:  # of whatever unpacks the chunks
        raise RefusalError(
            f"{image.path} is damaged: a part of it cannot be unpacked; copy or export it again."
        ) from error
    notes = ["Not one chunk of voxels is in its folder, so every voxel has the fill value."] if missing else []
    return result, tuple(notes)


def _check_chunks(folder: Path) -> None:
    """Raise where a chunk that Blosc packed is cut off: it would not notice, and unpack what happens to lie behind."""
    described = next(folder / mark for mark in MARKS[1:] if (folder / mark).is_file())
    told = json.loads(described.read_text())
    packers = [told.get("compressor") or {}, *told.get("codecs", [])[-1:]]
    if not any("blosc" in (packer.get("id"), packer.get("name")) for packer in packers):
        return
    for chunk in files_of(folder):
        if chunk.name not in (".zattrs", *MARKS):
            with open(chunk, "rb") as file:
                start = file.read(BLOSC_HEADER)
            if int.from_bytes(start[12:], "little") != chunk.stat().st_size:
                raise OSError("it is cut off")


def files_of(path: Path) -> set[Path]:
    """Every file of an image."""
    return {each for each in path.rglob("*") if each.is_file()}


def is_mine(path: Path) -> bool:
    """Whether an image was written by this program, so that another one may take its place."""
    try:
        return MAKER in _opened(path).attrs
    except (RefusalError, AttributeError):
        return False


def said_of(grid: Grid) -> tuple[str, ...]:
    """What should be told of an image that is written."""
    if np.allclose(grid.direction, IDENTITY):
        return ()
    return (
        "OME-Zarr cannot say how the axes lie in the patient: other programs take them as x, y and z; this one finds "
        f"it in the attribute {MAKER}.",
    )


def check_possible(version: str = VERSIONS[0]) -> None:
    """Refuse what could not be written."""
    if not _is_newer(_package()) and version == VERSIONS[1]:
        raise RefusalError(_older(f"Version {version} of OME-Zarr"))


def write(volume: Volume, path: Path, version: str = VERSIONS[0], relax: Callable[[], None] = lambda: None) -> None:
    """The volume as a new image with its pyramid, chunk by chunk; what is broken off is left to whoever calls."""
    check_possible(version)
    zarr = _package()
    newer = _is_newer(zarr)
    options = {"zarr_format": 2 if version == VERSIONS[0] else 3} if newer else {}
    group = zarr.open_group(str(path), mode="w", **options)
    shapes, dtype = _pyramid(volume.array.shape), volume.array.dtype.newbyteorder("=")
    picks = labels.looks_like_labels(volume.array) is True
    finer: Any = volume.array
    for level, shape in enumerate(shapes):
        array = _made(group, str(level), shape, dtype, version, newer)
        factors = [-(-n // m) for n, m in zip(finer.shape, shape)]
        for part in _parts(shape, CHUNK):
            array[part] = _coarser(finer, part, factors, picks)
            relax()
        finer = array
    group.attrs.update(_attributes(volume.grid, shapes, path, version, picks))
    for each in files_of(path):
        with open(each, "rb+") as file:
            os.fsync(file.fileno())
    found = look(path)
    if found.grid.size != volume.grid.size or found.dtype != dtype:
        raise OSError("what was written is something else")


def _package() -> Any:
    try:
        return importlib.import_module("zarr")
    except ImportError as error:
        raise RefusalError(
            "OME-Zarr images need the Python package zarr; install it (`pip install zarr`), or use NIfTI, NRRD or "
            "MetaImage files."
        ) from error


def _is_newer(zarr: Any) -> bool:
    return int(zarr.__version__.split(".")[0]) >= 3


def _older(what: str) -> str:
    return f"{what} needs version 3 of the Python package zarr, which there is from Python 3.11 on; use version 0.4."


def _opened(path: Path) -> Any:
    zarr = _package()
    if (path / MARKS[2]).is_file() and not _is_newer(zarr):
        raise RefusalError(_older(f"{path}"))
    try:
        return zarr.open(str(path), mode="r")
    except MemoryError:
        raise
    except Exception as error:  # it raises many kinds
        raise RefusalError(f"{path} cannot be read as a Zarr folder; give that of an OME-Zarr image.") from error


def _placed(steps: Sequence[Mapping[str, Any]], count: int) -> tuple[list[float], list[float]]:
    """What transformations in their order make of indices: a factor and an offset for each axis."""
    scale, start = [1.0] * count, [0.0] * count
    for step in steps:
        kind = step["type"]
        if kind not in ("scale", "translation", "identity"):
            raise ValueError(kind)
        values = [float(value) for value in step[kind]] if kind != "identity" else []
        if values and len(values) != count:
            raise ValueError("values for other axes")
        for axis, value in enumerate(values):
            if kind == "scale":
                scale[axis], start[axis] = scale[axis] * value, start[axis] * value
            else:
                start[axis] += value
    return scale, start


def _image(
    path: Path,
    folder: Path,
    array: Any,
    axes: Sequence[tuple[str, str, Any]],
    scale: Sequence[float],
    start: Sequence[float],
    mine: Any,
    version: str,
) -> Image:
    notes, mm = [], []
    for name, _, unit in axes:
        if unit is not None and str(unit) not in MM:
            raise RefusalError(
                f"{path} has lengths along {name} in {plain(str(unit))[:30]}, which is no unit of length."
            )
        mm.append(1.0 if unit is None else MM[str(unit)])
    if any(unit is None for _, _, unit in axes):
        notes.append("The image does not say in which unit its lengths are, so they are taken as millimeters.")
    spacing = tuple(s * u for s, u in zip(scale, mm))[::-1]
    stored.check_spacing(path, spacing)
    origin, direction = tuple(t * u for t, u in zip(start, mm))[::-1], _direction(mine)
    if direction is None:
        notes.append("OME-Zarr does not say how the axes lie in the patient, so they are taken as x, y and z.")
    rotated = np.reshape(direction or IDENTITY, (3, 3)) @ origin
    grid = Grid(
        tuple(int(n) for n in array.shape[:-4:-1]),  # type: ignore[arg-type]
        spacing,  # type: ignore[arg-type]
        tuple(float(v) for v in rotated),  # type: ignore[arg-type]
        direction or IDENTITY,
    )
    grid.check()
    return Image(path, folder, grid, array, (0,) * (len(array.shape) - 3), version, tuple(notes))


def _direction(mine: Any) -> tuple[float, ...] | None:
    """What this program noted of the axes; None where it did not, or somebody has made nonsense of it."""
    try:
        direction = tuple(float(v) for v in mine["direction"])
        Grid((1, 1, 1), direction=direction).check()
    except (RefusalError, LookupError, TypeError, ValueError):
        return None
    return direction


def _parts(shape: Sequence[int], chunk: Sequence[int]) -> Iterator[tuple[slice, slice, slice]]:
    """An array in parts of whole chunks along the first two axes, about as long there as ours, and the whole third."""
    depth, height = (c * max(1, usual // c) for c, usual in zip(chunk[:2], CHUNK))
    for k, j in product(range(0, shape[0], depth), range(0, shape[1], height)):
        yield slice(k, min(k + depth, shape[0])), slice(j, min(j + height, shape[1])), slice(0, shape[2])


def _pyramid(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """The shapes of the levels: each has half of the voxels along each axis that was too long."""
    shapes = [tuple(shape)]
    while max(shapes[-1]) > COARSEST:
        shapes.append(tuple(-(-n // 2) if n > COARSEST else n for n in shapes[-1]))
    return shapes


def _coarser(finer: Any, part: Sequence[slice], factors: Sequence[int], picks: bool) -> np.ndarray:
    """A part of a level from the one before it: the means of what its voxels cover, or of labels the first of them."""
    given = tuple(slice(p.start * f, min(p.stop * f, n)) for p, f, n in zip(part, factors, finer.shape))
    block = np.asarray(finer[given])
    if picks:
        return block[tuple(slice(None, None, f) for f in factors)]
    for axis, factor in enumerate(factors):
        if factor > 1:
            even, odd = (block[(slice(None),) * axis + (slice(n, None, 2),)] for n in (0, 1))
            if odd.shape != even.shape:  # the last voxel covers one only
                odd = np.concatenate([odd, even[(slice(None),) * axis + (slice(-1, None),)]], axis)
            block = _mean(even, odd)
    return block


def _mean(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    wide = np.float64 if one.dtype.itemsize > 2 else np.float32
    mean = (one.astype(wide) + other) / 2
    return (np.rint(mean) if one.dtype.kind in "iu" else mean).astype(one.dtype)


def _made(group: Any, name: str, shape: Sequence[int], dtype: np.dtype, version: str, newer: bool) -> Any:
    common = {"shape": tuple(shape), "chunks": tuple(map(min, shape, CHUNK)), "dtype": dtype, "fill_value": 0}
    if not newer:
        return group.create_dataset(name, dimension_separator="/", **common)
    if version == VERSIONS[0]:
        return group.create_array(name, chunk_key_encoding={"name": "v2", "separator": "/"}, **common)
    return group.create_array(name, dimension_names=SPACE, **common)


def _attributes(
    grid: Grid, shapes: Sequence[Sequence[int]], path: Path, version: str, picks: bool
) -> Mapping[str, Any]:
    """What is said of an image."""
    spacing: Triple = grid.spacing
    start = np.reshape(grid.direction, (3, 3)).T @ grid.origin
    datasets, factors = [], np.ones(3)
    for level, shape in enumerate(shapes):
        if level:
            factors = factors * [2 if n < m else 1 for n, m in zip(shape, shapes[level - 1])][::-1]
        scale = [s * f for s, f in zip(spacing, factors)][::-1]
        first = [t + (f - 1) / 2 * s for t, f, s in zip(start, factors, spacing)][::-1]
        steps = [{"type": "scale", "scale": list(map(float, scale))}]
        steps.append({"type": "translation", "translation": list(map(float, first))})
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    image: dict[str, Any] = {
        "name": path.name.partition(".")[0],
        "axes": [{"name": name, "type": "space", "unit": "millimeter"} for name in SPACE],
        "datasets": datasets,
        "type": "nearest" if picks else "mean",
    }
    mine = {MAKER: {"direction": list(grid.direction)}}
    if version == VERSIONS[0]:
        return {"multiscales": [{"version": version, **image}], **mine}
    return {"ome": {"version": version, "multiscales": [image]}, **mine}
