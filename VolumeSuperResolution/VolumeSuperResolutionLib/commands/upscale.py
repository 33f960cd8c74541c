"""upscale a volume"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..engine import checks
from ..engine.errors import RefusalError
from ..engine.physics.scanner import from_dicom
from ..engine.request import Request
from ..engine.upscale import Result, upscale
from ..engine.volumes import files
from . import outputs
from .bar import Bar
from .options import add_request, add_series, request_from


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, metavar="IN", help="a volume file, or a folder of DICOM slices")
    parser.add_argument("output", type=Path, metavar="OUT", help="NRRD, NIfTI or MetaImage")
    add_series(parser)
    add_request(parser)


def run(options: argparse.Namespace) -> None:
    request = request_from(options)
    checks.check_request(request)
    targets = outputs.targets_of(options.output, request.maps)
    outputs.check_volumes(targets, files.read_by(options.input))
    result, metadata = upscale_file(options.input, request, options.quiet or options.json, options.series)
    save(result, targets, metadata)
    try:
        if options.json:
            print(json.dumps(result.report.to_dict()))
        elif not options.quiet:
            print(result.report)
    except KeyboardInterrupt as interrupt:
        interrupt.args = (f"interrupted; {options.output} was written",)
        raise


def upscale_file(
    path: Path, request: Request, quiet: bool, series: str | None = None
) -> tuple[Result, Mapping[str, str]]:
    """One volume file or folder, and the keys of its own that the result keeps."""
    loaded = files.read(path, series)
    if request.label_map is None:
        if loaded.label_map is None and checks.invents_labels(request):
            raise RefusalError(
                f"{path.name} may be a scan or a label map; say which by --label-map no or --label-map yes."
            )
        request = replace(request, label_map=loaded.label_map)
    thickness = loaded.metadata.get("SliceThickness")
    request = replace(request, scanner=from_dicom(thickness, loaded.volume.grid.spacing))
    with Bar(path.name, hidden=quiet) as bar:
        result = upscale(loaded.volume, request, progress=bar)
    report = replace(result.report, warnings=(*loaded.notes, *result.report.warnings))
    return result._replace(report=report), loaded.metadata


def save(result: Result, targets: list[Path], metadata: Mapping[str, str]) -> None:
    """The result, and its maps where there are some."""
    outputs.write_together(dict(zip(targets, (result.volume, *result.maps.values()))), metadata)
