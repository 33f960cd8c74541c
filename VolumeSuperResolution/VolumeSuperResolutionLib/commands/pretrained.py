"""fetch the networks behind perceptual losses and metrics (150 MB)"""

from __future__ import annotations

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(options: argparse.Namespace) -> None:
    from ..training import pretrained

    for path in pretrained.fetch():
        print(path)
