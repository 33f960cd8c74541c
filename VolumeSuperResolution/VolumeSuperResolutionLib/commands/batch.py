"""upscale every volume of a folder"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..engine.errors import RefusalError
from ..engine.volumes import files
from .options import add_request
from .upscale import save, upscale_file

SOME_REFUSED = 2


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, metavar="IN_FOLDER", help="a folder of NIfTI, NRRD or MetaImage files")
    parser.add_argument("output", type=Path, metavar="OUT_FOLDER", help="where the results go, by the same names")
    add_request(parser)


def run(options: argparse.Namespace) -> int:
    """One that is refused does not stop the others."""
    if options.output.resolve() == options.input.resolve():
        raise RefusalError("The output folder is the input folder; give another one.")
    options.output.mkdir(parents=True, exist_ok=True)
    refused = 0
    for path in files.volumes_in(options.input):
        try:
            result = upscale_file(path, options)
            save(result, options.output / path.name)
        except RefusalError as refusal:
            refused += 1
            print(f"{path.name}: {refusal}", file=sys.stderr)
        else:
            if options.json:
                print(json.dumps({"file": path.name, **result.report.to_dict()}))
            elif not options.quiet:
                print(f"{path.name}: {result.report}\n")
    return SOME_REFUSED if refused else 0
