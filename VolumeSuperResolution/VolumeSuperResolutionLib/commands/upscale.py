"""upscale a volume"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..engine.errors import RefusalError
from ..engine.upscale import Result, upscale
from ..engine.volumes import files
from .bar import Bar
from .options import add_request, request_from


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, metavar="IN", help="a volume file, or a folder with one DICOM series")
    parser.add_argument("output", type=Path, metavar="OUT", help="NRRD, NIfTI or MetaImage")
    add_request(parser)


def run(options: argparse.Namespace) -> None:
    if options.output.resolve() == options.input.resolve():
        raise RefusalError("The output would overwrite the input; give another name.")
    files.check_writable(options.output)
    result = upscale_file(options.input, options)
    save(result, options.output)
    if options.json:
        print(json.dumps(result.report.to_dict()))
    elif not options.quiet:
        print(result.report)


def upscale_file(path: Path, options: argparse.Namespace) -> Result:
    """One volume file or folder, as the options say."""
    volume, labels = files.read(path)
    request = request_from(options, label_map=labels)
    with Bar(path.name, hidden=options.quiet or options.json) as bar:
        return upscale(volume, request, progress=bar)


def save(result: Result, path: Path) -> None:
    """The result, and its map of uncertainty beside it."""
    files.write(result.volume, path)
    if result.uncertainty is not None:
        files.write(result.uncertainty, beside(path, "uncertainty"))


def beside(path: Path, word: str) -> Path:
    """scan.nii.gz -> scan-uncertainty.nii.gz"""
    stem, dot, suffixes = path.name.partition(".")
    return path.with_name(f"{stem}-{word}{dot}{suffixes}")
