"""Volumes into files: whole or not at all, and never over what is being read."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from ..errors import RefusalError
from . import itk, metaimage, nifti, ome_zarr, stored
from .grid import Grid, Volume
from .headers import check_name, header


class Ending(NamedTuple):
    """How a volume is written under a name that ends so."""

    # The ending of the file beside the one that is named, where there is one: compressed, as usual, and not.
    second: str = ""
    plain_second: str = ""
    # Where voxels cannot be written one by one: of what it is made when all are there, and the room that it takes then.
    made_of: str = ""
    more_room: float = 0.0


ENDINGS = {
    ".nrrd": Ending(),
    ".nhdr": Ending(".raw.gz", ".raw"),
    ".nii": Ending(),
    ".nii.gz": Ending(made_of=".nii", more_room=1.0),
    ".mha": Ending(),
    ".mhd": Ending(".zraw", ".raw"),
    ome_zarr.ENDING: Ending(made_of=".nrrd", more_room=8 / 7),
}
# What folders that are being written in begin with: those of killed runs are known by it, and removed.
TEMPORARY = ".vsr-"
# How hard gzip tries where files are large.
QUICKLY = 2
# Of a scan, and no longer true of what is made from it.
NOT_OF_A_RESULT = ("SliceThickness", "SpacingBetweenSlices", ome_zarr.KEY)


def write(volume: Volume, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """The volume in a file, complete or not at all; what was there before stays until the new one is checked."""
    path = Path(path)
    check_writable(path)
    stem, ending = split(path)
    with told(path), tempfile.TemporaryDirectory(dir=path.parent, prefix=TEMPORARY) as folder:
        made = Path(folder) / f"{stem}{ending}"
        if ending == ome_zarr.ENDING:
            ome_zarr.write(volume, made, (metadata or {}).get(ome_zarr.KEY, ome_zarr.VERSIONS[0]))
            replace_folder(made, path)
            return
        image = itk.to_image(volume)
        for key, value in keys(metadata or {}, ending).items():
            image.SetMetaData(key, value)
        with itk.quiet():
            sitk.WriteImage(image, str(made), useCompression=True)
        if ending.startswith(".nii") and "intent_code" in (metadata or {}):
            keep_intent(made, metadata or {})
        check_written(volume.grid, volume.array.dtype, made)
        move(made, path)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Within, what hinders the writing of a file is told as a refusal."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        raise RefusalError(f"{path} cannot be written; check the space and the rights in its folder.") from error


def check_writable(path: Path) -> None:
    """Refuse a target that cannot be written, before anything is computed."""
    check_name(path)
    split(path)
    try:
        if (path.is_dir() and not is_zarr(path)) or not path.parent.is_dir():
            raise RefusalError(f"{path} cannot be written: its folder does not exist, or it is a folder itself.")
        for each in written_by(path):
            check_replaceable(each)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=TEMPORARY) as folder:
            for each in written_by(path):
                (Path(folder) / each.name).touch()
    except OSError as error:
        raise RefusalError(f"{path} cannot be written: {error.strerror}; choose another folder or name.") from error


def check_replaceable(path: Path) -> None:
    """Refuse what is there under the name of a file that will be written, and is none, or another's OME-Zarr image."""
    if is_zarr(path):
        ome_zarr.check_possible()
        if os.path.lexists(path) and not ome_zarr.is_mine(path):
            raise RefusalError(f"{path} is there already, and not an image that this program made; give another name.")
        return
    if os.path.lexists(path) and not path.is_file():
        raise RefusalError(f"{path} is there already and no regular file; give another name.")


def written_by(path: str | Path, plain: bool = False) -> set[Path]:
    """Every file that writing to a path would write, compressed or not."""
    path = Path(path)
    stem, ending = split(path)
    second = ENDINGS[ending].plain_second if plain else ENDINGS[ending].second
    return {path, path.with_name(f"{stem}{second}")} if second else {path}


def check_apart(written: Iterable[Path], read: Iterable[Path]) -> None:
    """Refuse where a file that will be written is one that is read, whatever the two are called."""
    sources = list(read)
    for target in written:
        for source in sources:
            with suppress(OSError):
                within = is_zarr(target) and target.resolve() in source.resolve().parents
                if within or os.path.samefile(target, source):
                    raise RefusalError(f"{target} would overwrite what is read; give another name.")


def compress(plain: Path, packed: Path) -> None:
    """A file as gzip has it; fast, as it is large, and the same each time."""
    with open(plain, "rb") as source, open(packed, "wb") as file, gzip.GzipFile("", "wb", QUICKLY, file, 0) as target:
        while chunk := source.read(stored.CHUNK):
            target.write(chunk)


def replace_folder(made: Path, path: Path) -> None:
    """Give a finished folder its name; what it replaces stays beside where it was made, or comes back on an error."""
    older = made.with_name(f"{made.name}.old")
    if path.exists():
        os.replace(path, older)
    try:
        os.replace(made, path)
    except OSError:
        if older.exists():
            os.replace(older, path)
        raise


def is_zarr(path: Path) -> bool:
    """Whether a folder is written to a path."""
    return path.name.lower().endswith(ome_zarr.ENDING)


def split(path: Path) -> tuple[str, str]:
    """The name without the ending of a format that is written, and that ending in lower case."""
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if path.name.lower().endswith(ending) and len(path.name) > len(ending):
            return path.name[: -len(ending)], ending
    raise RefusalError(f"{path.name} has no ending of a volume format; use .nrrd, .nii.gz or .mha.")


def keys(metadata: Mapping[str, str], ending: str) -> dict[str, str]:
    """The keys that a format keeps, and that are still true."""
    if ending.startswith(".nii"):
        names = {"descrip": "ITK_FileNotes", "aux_file": "aux_file"}
        return {names[key]: value for key, value in metadata.items() if key in names}
    kept = {
        key: value
        for key, value in metadata.items()
        if key not in NOT_OF_A_RESULT
        and not key.startswith(("NRRD_", "ITK_"))
        and not key.endswith(("_Extent", "Offset"))
    }
    if ending.startswith(".mh"):
        kept = {
            key: " ".join(value.split())
            for key, value in kept.items()
            if key not in metaimage.FIELDS and key.replace("_", "").isalnum() and value.strip()
        }
    return {key: value for key, value in kept.items() if key and not set(key) & set("\n\r") and ":=" not in key}


def keep_intent(path: Path, metadata: Mapping[str, str]) -> None:
    """NIfTI's intent in the header of a file that was just written; SimpleITK has no word for it."""
    opener = gzip.open if path.name.endswith(".gz") else open
    changed = path.with_name("intent")
    with opener(path, "rb") as source, opener(changed, "wb") as target:
        target.write(nifti.with_metadata(source.read(348), metadata))
        while chunk := source.read(stored.CHUNK):
            target.write(chunk)
    os.replace(changed, path)


def check_written(grid: Grid, dtype: np.dtype, made: Path) -> None:
    """Read back what was written: the header, and whether every voxel is there, on the disk."""
    try:
        found = header(made)
        if found is None:
            raise OSError("what was written is something else")
        stored.verify(found)
    except RefusalError as error:
        raise OSError("what was written is not whole") from error
    if found.grid.size != grid.size or found.dtype.newbyteorder("=") != dtype:
        raise OSError("what was written is something else")
    near = np.allclose(found.grid.spacing, grid.spacing, rtol=1e-4)
    if not near or not np.allclose(found.grid.direction, grid.direction, atol=1e-3):
        raise RefusalError(f"The geometry of the result cannot be stored in {made.suffix} files; choose .nrrd.")
    for part in made.parent.iterdir():
        with open(part, "rb+") as file:
            os.fsync(file.fileno())


def move(made: Path, path: Path) -> None:
    """Give the checked files their names, voxels before header; what they replace comes back where that fails."""
    parts = sorted(made.parent.iterdir(), key=lambda part: part.name == made.name)
    replaced: list[tuple[Path, Path | None]] = []
    try:
        for number, part in enumerate(parts):
            target = path if part.name == made.name else path.with_name(part.name)
            kept = None
            if len(parts) > 1 and target.exists():
                kept = made.parent / f"{number}.old"
                os.replace(target, kept)
            replaced.append((target, kept))
            os.replace(part, target)
    except OSError:
        for target, kept in replaced:
            with suppress(OSError):
                if kept is not None:
                    os.replace(kept, target)
                elif len(parts) > 1:
                    target.unlink()
        raise
