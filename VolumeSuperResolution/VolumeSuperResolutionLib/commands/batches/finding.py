"""Which scans a batch is about, and what their results are called."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from ...engine.errors import RefusalError
from ...engine.volumes import dicom, files, ome_zarr
from .. import outputs, segmentations
from . import bids

# What a DICOM series becomes.
FROM_DICOM = ".nii.gz"
LIST = ".txt"
# Behind the name of a scan: the folder of a series derived from it, which so is never that of another scan's.
DERIVED = "-sr"
# In patterns of segmentations: the name of the scan.
STEM = "{}"
PREAMBLE, MARK = 128, b"DICM"
# What a series calls itself becomes a part of a name.
UNFIT = re.compile(r"[^A-Za-z0-9._-]")
NAMED_DICOM = (".dcm", ".ima", ".dicom")


class Scan(NamedTuple):
    """A volume file, or a series in a folder of DICOM slices.

    `name` is what it is called in messages and in the manifest: its path from the folder that was searched. `target` is
    the path of its result in the output folder, that of a folder where it is a `derived` DICOM series. `segmentations`
    are the files with labels of it.
    """

    path: Path
    name: str
    target: str
    series: str | None = None
    bids: bool = False
    segmentations: tuple[Path, ...] = ()
    derived: bool = False

    def targets(self, output: Path, maps: Iterable[str]) -> list[Path]:
        """What is written: the result, then its maps."""
        if self.bids:
            return [output / self.target, *(output / bids.result_name(self.name, each) for each in maps)]
        return outputs.targets_of(output / self.target, maps, self.derived)

    def labels(self, output: Path) -> list[Path]:
        """Where its segmentations go."""
        target = output / self.target

        def one(path: Path) -> Path:
            if self.bids and bids.NAME.fullmatch(path.name):
                return target.with_name(bids.result_name(path.name))
            return segmentations.targets_of(target, [path])[0]

        return [one(path) for path in self.segmentations]


class Found(NamedTuple):
    """The scans, the folder that their names begin in, and the BIDS data set they are of, if they are of one."""

    root: Path
    scans: list[Scan]
    described: dict[str, Any] | None = None


class Filter(NamedTuple):
    """Patterns of names, as a shell knows them, that are taken, and that are left out."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def takes(self, name: str) -> bool:
        """Whether a scan is wanted."""
        return (not self.include or _fits(name, self.include)) and not self.drops(name)

    def drops(self, name: str) -> bool:
        """Whether a scan, or a folder with all in it, is not wanted."""
        return _fits(name, self.exclude)


def find(source: str, output: Path, wanted: Filter) -> Found:
    """The scans in a folder and all folders below it, those of a pattern, or those that a list names."""
    folder = Path(source)
    if folder.is_dir():
        described = bids.read_description(folder)
        if described is not None:
            found = Found(folder, _of_data_set(folder, output, wanted), described)
        else:
            found = Found(folder, list(_below(folder, folder, output, wanted)))
    elif folder.is_file():
        found = _of_paths(_listed(folder), wanted)
    elif glob.has_magic(source):
        found = _of_paths(_matching(source, output), wanted)
    else:
        raise RefusalError(f"There is no folder {source}; give one with volumes, a pattern, or a list of volumes.")
    if not found.scans:
        taken = " that are taken" if wanted.include or wanted.exclude or found.described is not None else ""
        raise RefusalError(
            f"There are no volumes{taken} in {source}; give a folder with NIfTI, NRRD, MetaImage or DICOM files."
        )
    return found


def as_series(found: Found, output: Path) -> Found:
    """The DICOM series among the scans with folders for series as their results."""
    scans = []
    for scan in found.scans:
        if scan.target == scan.name + FROM_DICOM:
            named = next((ending for ending in NAMED_DICOM if scan.name.lower().endswith(ending)), "")
            target = scan.name[: len(scan.name) - len(named)] + DERIVED
            scan = scan._replace(target=target, derived=True)
        scans.append(scan)
    if not any(scan.derived for scan in scans):
        raise RefusalError("None of the scans is a DICOM series that another could be derived from; leave out --dicom.")
    if outputs.identity(found.root) == outputs.identity(output):
        raise RefusalError(f"The series would lie among the scans in {output}; give them a folder of their own.")
    return found._replace(scans=scans)


def with_segmentations(found: Found, patterns: Sequence[str]) -> Found:
    """The scans with the files beside each that fit a pattern, which are then no scans themselves."""
    if not patterns:
        return found
    scans, taken = [], set()
    for scan in found.scans:
        name = scan.name.rpartition("/")[2]
        known = bids.NAME.fullmatch(name) if scan.bids else None
        short = glob.escape(known["entities"] if known else outputs.stem(name))
        beside = os.path.join(glob.escape(os.path.abspath(scan.path.parent)), "")
        paths = {path for pattern in patterns for path in glob.glob(beside + pattern.replace(STEM, short))}
        labels = sorted({Path(os.path.normpath(path)) for path in paths} - {Path(os.path.abspath(scan.path))})
        scans.append(scan._replace(segmentations=tuple(labels)))
        taken.update(labels)
    if not taken:
        raise RefusalError(
            f"No file beside a scan fits {' or '.join(patterns)}; {STEM} in it stands for the scan's name without "
            "ending, in a BIDS data set for its entities."
        )
    return found._replace(scans=[scan for scan in scans if Path(os.path.abspath(scan.path)) not in taken])


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) or fnmatch(name, f"*/{pattern}") for pattern in patterns)


def _of_data_set(folder: Path, output: Path, wanted: Filter) -> list[Scan]:
    scans = []
    for subject in sorted(folder.glob("sub-*")):
        for place, names in _folders(subject, folder, output, wanted):
            for file in names:
                name = (place / file).relative_to(folder).as_posix()
                if bids.is_scan(name, bool(wanted.include)) and wanted.takes(name):
                    scans.append(Scan(place / file, name, bids.result_name(name), bids=True))
    return scans


def _below(folder: Path, root: Path, output: Path, wanted: Filter) -> Iterator[Scan]:
    """The scans in a folder and below it."""
    for place, names in _folders(folder, root, output, wanted):
        volumes = [name for name in names if _is_volume(place / name)]
        for file in volumes:
            name = (place / file).relative_to(root).as_posix()
            if wanted.takes(name):
                yield Scan(place / file, name, name)
        if any(_is_dicom(place / name) for name in names if name not in volumes):
            yield from _series(place, root, wanted)


def _folders(folder: Path, root: Path, output: Path, wanted: Filter) -> Iterator[tuple[Path, list[str]]]:
    """A folder and those below it with their files; links are followed, but nowhere twice, and never to the results."""

    def failed(error: OSError) -> None:
        raise RefusalError(f"{error.filename} cannot be opened; check the rights, or --exclude it.") from error

    seen = {outputs.identity(root), outputs.identity(output)}
    if not folder.is_dir():
        return
    for place, below, names in os.walk(folder, followlinks=True, onerror=failed):
        kept = []
        for name in sorted(below):
            path = Path(place, name)
            identity = outputs.identity(path)
            if not name.startswith(".") and identity not in seen and not wanted.drops(_name(path, root)):
                seen.add(identity)
                kept.append(name)
        images = [name for name in kept if ome_zarr.is_zarr(Path(place, name))]  # each is one scan, with all in it
        below[:] = [name for name in kept if name not in images]
        yield Path(place), sorted(name for name in (*names, *images) if not name.startswith("."))


def _is_volume(path: Path) -> bool:
    return path.name.lower().endswith(files.VOLUME_ENDINGS) or ome_zarr.is_zarr(path)


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path != root else path.resolve().name


def _is_dicom(path: Path) -> bool:
    if path.name.lower().endswith(NAMED_DICOM):
        return path.is_file()
    try:
        with open(path, "rb") as file:
            return path.is_file() and file.read(PREAMBLE + len(MARK))[PREAMBLE:] == MARK
    except OSError:
        return False


def _series(folder: Path, root: Path, wanted: Filter) -> Iterator[Scan]:
    """The series in a folder that may be volumes; what is damaged is told when its turn comes."""
    name = _name(folder, root)
    try:
        several = dicom.series_in(folder)
    except RefusalError:
        several = {}
    if len(several) < 2:
        several = {"": ""}
    for uid, short in several.items():
        each = f"{name}-{UNFIT.sub('_', short)}" if short else name
        if wanted.takes(each):
            yield Scan(folder, each, each + FROM_DICOM, uid or short or None)


def _listed(path: Path) -> list[Path]:
    """The paths in a text file, one a line."""
    if path.suffix.lower() != LIST:
        raise RefusalError(f"{path} is a single file; give its folder, a list of volumes ({LIST}), or use vsr upscale.")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RefusalError(f"The list {path} cannot be read; give a text file with one path a line.") from error
    return [Path(line.strip()) for line in lines if line.strip() and not line.startswith("#")]


def _matching(pattern: str, output: Path) -> list[Path]:
    """The volume files and folders of DICOM slices that fit a pattern, but no results."""
    results = Path(os.path.abspath(output))
    paths = [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]
    return [
        path
        for path in paths
        if results not in Path(os.path.abspath(path)).parents
        and (_is_volume(path) or (path.is_dir() and any(map(_is_dicom, path.iterdir()))))
    ]


def _of_paths(paths: Sequence[Path], wanted: Filter) -> Found:
    """Volumes and folders of DICOM slices that were named, each once; the names begin where all of them lie."""
    places = list(dict.fromkeys(Path(os.path.abspath(path)) for path in paths))
    if not places:
        return Found(Path(), [])
    try:
        root = Path(os.path.commonpath([path.parent for path in places]))
    except ValueError as error:
        raise RefusalError("The volumes lie on several drives; make a batch of those of each.") from error
    scans: list[Scan] = []
    for path in places:
        if path.is_dir() and not ome_zarr.is_zarr(path):
            scans += _series(path, root, wanted)
        elif wanted.takes(_name(path, root)):
            scans.append(Scan(path, _name(path, root), _target(_name(path, root))))
    return Found(root, scans)


def _target(name: str) -> str:
    """A single file that was named may be a DICOM file with frames."""
    return name if name.lower().endswith(files.VOLUME_ENDINGS) else name + FROM_DICOM
