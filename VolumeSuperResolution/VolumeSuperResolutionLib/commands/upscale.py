"""upscale a volume"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Callable, NamedTuple

from .. import __version__
from ..engine import checks
from ..engine.callbacks import Progress
from ..engine.errors import RefusalError
from ..engine.physics.scanner import from_dicom
from ..engine.request import Report, Request
from ..engine.storage import IN_MEMORY, Storage
from ..engine.upscale import Result
from ..engine.volumes import derived, files, ome_zarr, writing
from ..engine.volumes.grid import Grid, Volume
from ..engine.volumes.slices import Slice
from ..learning.upscale import Learning, check_keep, upscale
from . import larger, outputs, segmentations
from .bar import Bar
from .options import add_request, add_series, request_from


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", type=Path, metavar="IN", help="a volume file, an OME-Zarr folder, or a folder of DICOM slices"
    )
    parser.add_argument(
        "output",
        type=Path,
        metavar="OUT",
        help="NRRD, NIfTI, MetaImage or OME-Zarr (.zarr); with --dicom, a new folder",
    )
    add_series(parser)
    parser.add_argument(
        "--dicom", action="store_true", help="write a DICOM series, derived from the one that was read, of its study"
    )
    parser.add_argument(
        "--segmentation",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="labels on the grid of the scan, which go to that of the result, too; can be repeated",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="with --learn: a new folder for what was learned, for --model DIR",
    )
    parser.add_argument(
        "--ome-zarr",
        choices=ome_zarr.VERSIONS,
        help="the version in which OUT.zarr is written; default: that of IN, or 0.4",
    )
    larger.add_option(parser)
    add_request(parser)


def run(options: argparse.Namespace) -> None:
    request = request_from(options)
    checks.check_request(request)
    if options.keep is not None:
        check_keep(options.keep, request)
    more = _zarr_version(options)
    targets = outputs.targets_of(options.output, request.maps, options.dicom)
    beside = segmentations.targets_of(options.output, options.segmentation)
    if options.dicom:
        _check_series(options.input, options.output)
    sources = {file for path in (options.input, *options.segmentation) for file in files.read_by(path)}
    outputs.check_volumes([*targets[options.dicom :], *beside], sources)
    on_disk = larger.wanted(options, request, targets)
    carried = []
    if options.segmentation:
        grid, _ = files.look(options.input, options.series)
        carried = segmentations.read(options.segmentation, beside, grid, request.region)
    with Bar(options.input.name, hidden=options.quiet or options.json) as bar:
        if on_disk:
            report = _on_disk(options, request, bar, more, dict(zip(request.maps, targets[1:])))
        else:
            result, loaded = upscaled(options.input, request, bar, options.series, bar.learning, options.keep)
            report = noted(options.output, result.report, result.volume.grid)
    if not on_disk:
        parts = written(result, targets, carried, loaded.images, report if options.dicom else None)
        outputs.write_together(parts.volumes, {**loaded.metadata, **more}, None, parts.own, parts.series)
    if on_disk and not options.on_disk:
        report = replace(report, warnings=(*report.warnings, larger.NOTE))
    try:
        if options.json:
            print(json.dumps(report.to_dict()))
        elif not options.quiet:
            print(report)
    except KeyboardInterrupt as interrupt:
        interrupt.args = (f"interrupted; {options.output} was written",)
        raise


def _zarr_version(options: argparse.Namespace) -> dict[str, str]:
    """The version of OME-Zarr that is asked for, as what is read says it; refuses one that cannot be written."""
    if options.ome_zarr is None:
        return {}
    if not writing.is_zarr(options.output):
        raise RefusalError(
            f"{options.output} is no OME-Zarr image; let its name end with .zarr, or leave out --ome-zarr."
        )
    ome_zarr.check_possible(options.ome_zarr)
    return {ome_zarr.KEY: options.ome_zarr}


def _on_disk(
    options: argparse.Namespace, request: Request, bar: Bar, more: Mapping[str, str], maps: Mapping[str, Path]
) -> Report:
    """The result and its maps, made and left in files."""
    about = larger.asked_of(options.input, options.series, request)
    with larger.alone(options.output), outputs.on_disk(options.output, about, maps) as storage:
        storage.more = more
        # In which no array may be left at its end.
        result = upscaled(options.input, request, bar, options.series, storage=storage)[0]
        report = noted(options.output, result.report, result.volume.grid)
        resumed = storage.journal.resumed
        del result
    return replace(report, warnings=(*report.warnings, larger.RESUMED)) if resumed else report


def noted(output: Path, report: Report, grid: Grid) -> Report:
    """The report with what should be told of the format."""
    notes = ome_zarr.said_of(grid) if writing.is_zarr(output) else ()
    return replace(report, warnings=(*report.warnings, *notes))


def upscaled(
    path: Path,
    request: Request,
    progress: Progress | None = None,
    series: str | None = None,
    learning: Learning | None = None,
    keep: Path | None = None,
    storage: Storage = IN_MEMORY,
) -> tuple[Result, files.Loaded]:
    """One volume file or folder upscaled, and what was read."""
    loaded = storage.read(path, series)
    if request.label_map is None:
        if loaded.label_map is None and checks.invents_labels(request):
            raise RefusalError(
                f"{path.name} may be a scan or a label map; say which by --label-map no or --label-map yes."
            )
        request = replace(request, label_map=loaded.label_map)
    thickness = loaded.metadata.get("SliceThickness")
    request = replace(request, scanner=from_dicom(thickness, loaded.volume.grid.spacing))
    result = upscale(loaded.volume, request, progress, learning=learning, keep=keep, storage=storage)
    report = replace(result.report, warnings=(*loaded.notes, *result.report.warnings))
    return result._replace(report=report), loaded


def _check_series(source: Path, target: Path) -> None:
    """Refuse what cannot become a DICOM series, before the work."""
    if not files.is_dicom(source):
        raise RefusalError(f"{source} is no DICOM series that another could be derived from; leave out --dicom.")
    derived.check_folder(target)
    outputs.remove_leftovers(target.parent)


class Written(NamedTuple):
    """What is written where: volumes with metadata of their own, and what makes the series."""

    volumes: dict[Path, Volume]
    own: dict[Path, Mapping[str, str]]
    series: dict[Path, Callable[[Path], None]]


def written(
    result: Result,
    targets: Sequence[Path],
    carried: Sequence[segmentations.Carried],
    images: Sequence[Slice] = (),
    report: Report | None = None,
) -> Written:
    """The result, its maps and segmentations; with a report, the first as a series derived from `images`."""
    volumes = dict(zip(targets, (result.volume, *result.maps.values())))
    series: dict[Path, Callable[[Path], None]] = {}
    if report is not None:
        volume, said = volumes.pop(targets[0]), report.derivation(__version__)
        series[targets[0]] = lambda folder: derived.write(volume, folder, images, said)
    volumes.update({each.target: each.refined(result.volume.grid) for each in carried})
    return Written(volumes, {each.target: each.metadata for each in carried}, series)
