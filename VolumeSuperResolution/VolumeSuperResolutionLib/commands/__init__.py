"""The command line: one file a command, which says what it takes and does it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .. import __version__
from . import batch, combine, ending, evaluate, models, pretrained, train, upscale
from .parser import Parser

COMMANDS = (upscale, batch, combine, models, evaluate, pretrained, train)
EXAMPLES = """examples:
  vsr models
  vsr upscale FLAIR.nii.gz FLAIR-isotropic.nii.gz --isotropic
  vsr upscale T1.nii.gz T1-sharp.nii.gz --model fsrcnn3d-x2 --scale 2
  vsr upscale CT-folder CT-isotropic.nrrd --model cnnil-depth-x4 --isotropic
  vsr combine axial.nii.gz sagittal.nii.gz coronal.nii.gz sharp.nii.gz
  vsr batch scans/ sharp/ --model fsrcnn3d-x2 --scale 2
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what was asked, and else as `ending` says."""

    def work() -> int | None:
        options = _parser().parse_args(arguments)
        return options.run(options)

    return ending.end(work)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="vsr",
        description="Super-resolution of medical volumes. Research use only - not for diagnosis.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vsr {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2]
        command_parser = commands.add_parser(name, help=command.__doc__, description=command.__doc__)
        command.add_options(command_parser)
        command_parser.set_defaults(run=command.run)
    return parser
