"""degrade volumes, restore them, and score the result"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from ..engine.models import zoo
from ..engine.physics import degradation
from ..engine.request import read_triple
from .options import add_device, add_quiet, add_volumes


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="", metavar="ID[,ID...]", help="beside the baselines")
    add_volumes(parser)
    parser.add_argument("--scale", type=read_triple, required=True, metavar="2|1,1,4", help="by what they are degraded")
    parser.add_argument("--protocol", choices=tuple(degradation.PROTOCOLS), default="profile", help="and how")
    parser.add_argument("--aside", action="append", default=[], metavar="PATTERN", help="list, but leave out of means")
    parser.add_argument("--consistency", type=int, metavar="N", help="rounds for the models, instead of the card's")
    parser.add_argument("--perceptual", action="store_true", help="LPIPS and FID too (see `vsr pretrained`)")
    add_device(parser)
    parser.add_argument("--json", type=Path, dest="json_file", metavar="FILE", help="the scores of every volume")
    parser.add_argument("--save", action="store_true", help="write the gains into the models' cards")
    add_quiet(parser)


def run(options: argparse.Namespace) -> None:
    from ..training import evaluation

    models = [model for model in options.model.split(",") if model]
    for model in models:
        zoo.card(model)

    perception = None
    if options.perceptual:
        from ..training.perception import Perception

        perception = Perception()

    def tell(line: str) -> None:
        if not options.quiet:
            print(line, file=sys.stderr, flush=True)

    scores = evaluation.evaluate(
        models,
        options.volumes,
        options.scale,
        options.protocol,
        options.aside,
        device=options.device,
        consistency=options.consistency,
        perception=perception,
        tell=tell,
    )
    print(evaluation.table(scores))
    if perception is not None:
        print(f"\nLPIPS and FID: {perception.words()}.")
    if options.json_file is not None:
        options.json_file.write_text(json.dumps(evaluation.to_json(scores), indent=1))
    if options.save:
        for model in models:
            card = zoo.card(model)
            measured = {**card.gains, options.protocol: evaluation.gains(scores, model)}
            known = [limit for limit in card.limits if not limit.startswith(tuple(evaluation.SHORTFALLS.values()))]
            zoo.write_card(replace(card, gains=measured, limits=(*known, *evaluation.shortfalls(measured))))
