"""upscale a volume"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..engine.upscale import Result, upscale
from ..engine.volumes import files
from .bar import Bar
from .options import add_request, request_from


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, metavar="IN", help="a volume file, or a folder with one DICOM series")
    parser.add_argument("output", type=Path, metavar="OUT", help="NRRD, NIfTI or MetaImage")
    add_request(parser)


def run(options: argparse.Namespace) -> None:
    files.check_writable(options.output)
    targets = {options.output, *([beside(options.output, "uncertainty")] if options.uncertainty else [])}
    written = {file for target in targets for file in files.written_by(target)}
    files.check_apart(written, files.read_by(options.input))
    result, metadata = upscale_file(options.input, options)
    save(result, options.output, metadata)
    if options.json:
        print(json.dumps(result.report.to_dict()))
    elif not options.quiet:
        print(result.report)


def upscale_file(path: Path, options: argparse.Namespace) -> tuple[Result, Mapping[str, str]]:
    """One volume file or folder, as the options say, and the keys of its own that the result keeps."""
    loaded = files.read(path)
    # Unsure counts as a label map until there is an option to say which.
    request = request_from(options, label_map=loaded.label_map is not False)
    with Bar(path.name, hidden=options.quiet or options.json) as bar:
        result = upscale(loaded.volume, request, progress=bar)
    report = replace(result.report, warnings=(*loaded.notes, *result.report.warnings))
    return result._replace(report=report), loaded.metadata


def save(result: Result, path: Path, metadata: Mapping[str, str]) -> None:
    """The result, and its map of uncertainty beside it."""
    files.write(result.volume, path, metadata)
    if result.uncertainty is not None:
        files.write(result.uncertainty, beside(path, "uncertainty"))


def beside(path: Path, word: str) -> Path:
    """scan.nii.gz -> scan-uncertainty.nii.gz"""
    stem, dot, suffixes = path.name.partition(".")
    return path.with_name(f"{stem}-{word}{dot}{suffixes}")
