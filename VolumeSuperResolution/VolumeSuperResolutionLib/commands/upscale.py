"""upscale a volume"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from .. import __version__
from ..engine import checks
from ..engine.callbacks import Progress
from ..engine.errors import RefusalError
from ..engine.physics.scanner import from_dicom
from ..engine.request import Request
from ..engine.upscale import Result, upscale
from ..engine.volumes import derived, files
from . import outputs
from .bar import Bar
from .options import add_request, add_series, request_from


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, metavar="IN", help="a volume file, or a folder of DICOM slices")
    parser.add_argument("output", type=Path, metavar="OUT", help="NRRD, NIfTI or MetaImage; with --dicom, a new folder")
    add_series(parser)
    parser.add_argument(
        "--dicom", action="store_true", help="write a DICOM series, derived from the one that was read, of its study"
    )
    add_request(parser)


def run(options: argparse.Namespace) -> None:
    request = request_from(options)
    checks.check_request(request)
    targets = outputs.targets_of(options.output, request.maps)
    if options.dicom:
        _check_series(options.input, options.output, len(targets))
    else:
        outputs.check_volumes(targets, files.read_by(options.input))
    result, loaded = upscale_file(options.input, request, options.quiet or options.json, options.series)
    if options.dicom:
        derived.write(result.volume, options.output, loaded.images, result.report.derivation(__version__))
    else:
        save(result, targets, loaded.metadata)
    try:
        if options.json:
            print(json.dumps(result.report.to_dict()))
        elif not options.quiet:
            print(result.report)
    except KeyboardInterrupt as interrupt:
        interrupt.args = (f"interrupted; {options.output} was written",)
        raise


def upscale_file(path: Path, request: Request, quiet: bool, series: str | None = None) -> tuple[Result, files.Loaded]:
    """One volume file or folder upscaled with a bar, and what was read."""
    with Bar(path.name, hidden=quiet) as bar:
        return upscaled(path, request, bar, series)


def upscaled(
    path: Path, request: Request, progress: Progress | None = None, series: str | None = None
) -> tuple[Result, files.Loaded]:
    """One volume file or folder upscaled, and what was read."""
    loaded = files.read(path, series)
    if request.label_map is None:
        if loaded.label_map is None and checks.invents_labels(request):
            raise RefusalError(
                f"{path.name} may be a scan or a label map; say which by --label-map no or --label-map yes."
            )
        request = replace(request, label_map=loaded.label_map)
    thickness = loaded.metadata.get("SliceThickness")
    request = replace(request, scanner=from_dicom(thickness, loaded.volume.grid.spacing))
    result = upscale(loaded.volume, request, progress=progress)
    report = replace(result.report, warnings=(*loaded.notes, *result.report.warnings))
    return result._replace(report=report), loaded


def _check_series(source: Path, target: Path, volumes: int) -> None:
    """Refuse what cannot become a DICOM series, before the work."""
    if volumes > 1:
        raise RefusalError("Maps are written into files beside the result; leave out --dicom, or the maps.")
    if not files.is_dicom(source):
        raise RefusalError(f"{source} is no DICOM series that another could be derived from; leave out --dicom.")
    derived.check_folder(target)
    outputs.remove_leftovers(target.parent)


def save(result: Result, targets: list[Path], metadata: Mapping[str, str]) -> None:
    """The result, and its maps where there are some."""
    outputs.write_together(dict(zip(targets, (result.volume, *result.maps.values()))), metadata)
