"""combine several scans of one thing into one sharp volume"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from ..engine.combine import CombineResult, combine
from ..engine.errors import RefusalError
from ..engine.physics.scanner import from_dicom
from ..engine.request import CombineRequest
from ..engine.volumes import files
from . import outputs
from .bar import Bar
from .options import add_fields, add_quiet, request_from

REPORT = "report.json"
COVERAGE, RESIDUAL = "coverage.nrrd", "residual.nrrd"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs", type=Path, nargs="+", metavar="IN", help="2 to 8 volume files or folders of DICOM slices"
    )
    parser.add_argument("output", type=Path, metavar="OUT", help="NRRD, NIfTI or MetaImage")
    add_fields(parser, CombineRequest)
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="the report, and maps of how many scans saw a voxel and of residuals"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    add_quiet(parser)


def run(options: argparse.Namespace) -> None:
    request = request_from(options, CombineRequest)
    sources = {file for path in options.inputs for file in files.read_by(path)}
    if options.output.exists():
        # Who forgets to name the output must not lose the last of the scans.
        raise RefusalError(f"{options.output} is there already; the last name is the result's, give one that is free.")
    outputs.check_volumes([options.output], sources)
    if options.report is not None:
        outputs.make_folder(options.report)
        for name in (REPORT, COVERAGE, RESIDUAL):
            outputs.check_file(options.report / name, sources)
    loaded = [files.read(path) for path in options.inputs]
    for path, scan in zip(options.inputs, loaded):
        if scan.label_map:
            raise RefusalError(f"{path.name} is a label map; only scans can be combined.")
    scanners = (from_dicom(scan.metadata.get("SliceThickness"), scan.volume.grid.spacing) for scan in loaded)
    request = replace(request, scanners=tuple(scanners))
    with Bar(options.output.name, hidden=options.quiet or options.json) as bar:
        result = combine([scan.volume for scan in loaded], request, progress=bar)
    outputs.write_together({options.output: result.volume})
    if options.report is not None:
        _write_report(result, options.report)
    if options.json:
        print(json.dumps(result.report.to_dict()))
    elif not options.quiet:
        print(result.report)


def _write_report(result: CombineResult, folder: Path) -> None:
    outputs.write_together({folder / COVERAGE: result.coverage, folder / RESIDUAL: result.residual})
    (folder / REPORT).write_text(json.dumps(result.report.to_dict(), indent=1), encoding="utf-8")
