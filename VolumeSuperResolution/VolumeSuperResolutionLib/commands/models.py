"""list the models"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..engine.models import zoo
from ..engine.volumes import files
from . import outputs


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the whole cards")
    parser.add_argument("--markdown", action="store_true", help="the table of weights/README.md")
    parser.add_argument("--gallery", nargs=2, type=Path, metavar=("FOLDER", "PNG"), help="a picture of every model")


def run(options: argparse.Namespace) -> None:
    cards = list(zoo.cards().values())
    together = zoo.for_several()
    listed = cards if together is None else [*cards, together]
    if options.json:
        print(json.dumps([card.to_dict() for card in listed]))
    elif options.markdown:
        from ..training.listing import markdown

        print(markdown(listed), end="")
    elif options.gallery:
        from ..training import gallery

        volumes = files.volumes_in(options.gallery[0])
        outputs.check_file(options.gallery[1], volumes)
        gallery.draw([card for card in cards if card.learned], volumes, options.gallery[1])
    else:
        for card in listed:
            print(f"{card.id:24} {'several' if card.several else card.factor_words:10} {card.summary}")
