"""fit weights"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..engine.errors import RefusalError
from ..engine.readers import read_number
from . import outputs
from .options import add_device, add_fill, add_volumes
from .parser import reader


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="a shipped model's id, or a file")
    add_volumes(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="checkpoints, weights and card")
    minutes = reader("minutes", read_number, "a number above zero")
    parser.add_argument("--minutes", type=minutes, metavar="N", help="end after so many, instead of the config's")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the output folder")
    parser.add_argument("--start-from", metavar="ID", help="start from a model of this kind, as wide or narrower")
    add_fill(parser)
    add_device(parser)


def run(options: argparse.Namespace) -> None:
    from ..training.loop import train

    if not options.volumes.is_dir():
        raise RefusalError(f"There is no folder {options.volumes}; give the one that holds the training volumes.")
    outputs.make_folder(options.output)
    try:
        train(
            options.config,
            options.volumes,
            options.output,
            minutes=options.minutes,
            resume=options.resume,
            device=options.device,
            start_from=options.start_from,
            fill_nonfinite=options.fill_nonfinite,
        )
    except KeyboardInterrupt as interrupt:
        kept = any(options.output.glob("stage*/checkpoint.pt"))
        interrupt.args = (
            f"interrupted; the last checkpoint is in {options.output}, and --resume goes on from it"
            if kept
            else "interrupted before there was a checkpoint",
        )
        raise
