"""fit weights"""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_device, add_volumes


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="a shipped model's id, or a file")
    add_volumes(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="checkpoints, weights and card")
    parser.add_argument("--minutes", type=float, metavar="N", help="end after so many, instead of the config's")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the output folder")
    parser.add_argument("--start-from", metavar="ID", help="start from a model of this kind, as wide or narrower")
    add_device(parser)


def run(options: argparse.Namespace) -> None:
    from ..training.loop import train

    train(
        options.config,
        options.volumes,
        options.output,
        minutes=options.minutes,
        resume=options.resume,
        device=options.device,
        start_from=options.start_from,
    )
