"""The command line: one file a command, which says what it takes and does it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .. import __version__
from ..engine.errors import RefusalError
from . import batch, evaluate, models, pretrained, train, upscale

COMMANDS = (upscale, batch, models, evaluate, pretrained, train)
REFUSED = 2
INTERRUPTED = 130
EXAMPLES = """examples:
  vsr models
  vsr upscale T1.nii.gz T1-sharp.nii.gz --model fsrcnn3d-x2 --scale 2
  vsr upscale CT-folder CT-isotropic.nrrd --model cnnil-depth-x4 --isotropic
  vsr batch scans/ sharp/ --model fsrcnn3d-x2 --scale 2
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what was asked, 2 when it was refused."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except RefusalError as refusal:
        print(f"vsr: {refusal}", file=sys.stderr)
        return REFUSED
    except MemoryError:
        print("vsr: The memory did not suffice; choose smaller factors, or a region.", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("vsr: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
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
