"""degrade volumes, restore them, and score the result"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ..engine.errors import RefusalError
from ..engine.models import automatic, zoo
from ..engine.physics import degradation
from ..engine.readers import read_numbers, read_whole
from ..engine.request import options as request_options
from ..engine.volumes import files
from . import outputs
from .channels import say
from .options import add_device, add_fill, add_quiet, add_volumes
from .parser import reader


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="", metavar="ID[,ID...]", help="beside the baselines; auto, too")
    add_volumes(parser)
    scale = reader("scale", request_options()["scale"].parse, "2 or 1,1,4")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--scale", type=scale, metavar="2|1,1,4", help="by what they are degraded")
    what.add_argument(
        "--stacks",
        type=reader("stacks", read_numbers, "a thickness in voxels, a gap in parts of it, and a part of slices: 4,0.2"),
        metavar="THICKNESS[,GAP[,ALONE]]",
        help="combine three orthogonal stacks of every volume, moved by up to 3 degrees and 3 mm, as is by itself the "
        "part ALONE of the slices",
    )
    what.add_argument(
        "--leave-one-out",
        action="store_true",
        help="the volumes are stacks of one thing: predict each from the others combined",
    )
    what.add_argument("--precision", action="store_true", help="measure only in which precisions the models stay good")
    parser.add_argument(
        "--intervals",
        action="store_true",
        help="with --scale: measure only the error bounds that hold in nine of ten voxels",
    )
    parser.add_argument(
        "--same-subject",
        action="append",
        default=[],
        metavar="PATTERN",
        help="with --intervals: files of these names are of one subject; others are of one each",
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="with --stacks: write the simulated stacks there")
    parser.add_argument(
        "--prior",
        default="",
        metavar="ID",
        help="of stacks: what all leave open is as this model makes them (`vsr combine --model`)",
    )
    parser.add_argument(
        "--crop",
        type=reader("crop", read_whole, "a number of voxels"),
        metavar="N",
        help="only a part of every volume with most of its tissue, so many voxels long",
    )
    parser.add_argument("--protocol", choices=tuple(degradation.PROTOCOLS), default="profile", help="and how")
    parser.add_argument("--aside", action="append", default=[], metavar="PATTERN", help="list, but leave out of means")
    parser.add_argument(
        "--consistency",
        type=reader("consistency", read_whole, "a number of rounds"),
        metavar="N",
        help="rounds for the models, instead of the card's",
    )
    add_fill(parser)
    parser.add_argument("--perceptual", action="store_true", help="LPIPS and FID too (see `vsr pretrained`)")
    add_device(parser)
    parser.add_argument("--json", type=Path, dest="json_file", metavar="FILE", help="the scores of every volume")
    parser.add_argument("--save", action="store_true", help="write what was measured into the models' cards")
    add_quiet(parser)


def run(options: argparse.Namespace) -> None:
    models = [model for model in options.model.split(",") if model]
    for model in models:
        if model != automatic.AUTOMATIC or options.save or options.precision or options.intervals:
            zoo.card(model)
    _check(options, models)

    def tell(line: str) -> None:
        if not options.quiet:
            say(line)

    if options.precision:
        _precisions(models, options, tell)
        return
    if options.intervals:
        _intervals(models, options, tell)
        return
    if options.stacks or options.leave_one_out:
        _stacks(models, options, tell)
        return
    from ..training import evaluation

    perception = None
    if options.perceptual:
        from ..training.perception import Perception

        perception = Perception()

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
        fill_nonfinite=options.fill_nonfinite,
        crop=options.crop,
    )
    print(evaluation.table(scores))
    if perception is not None:
        print(f"\nLPIPS and FID: {perception.words()}.")
    if options.json_file is not None:
        options.json_file.write_text(json.dumps(evaluation.to_json(scores), indent=1, allow_nan=False))
    if options.save:
        for model in models:
            card = zoo.card(model)
            entry = automatic.entry(card, options.protocol, options.scale)
            measured = {**card.gains, entry: evaluation.gains(scores, model, options.crop)}
            known = [limit for limit in card.limits if not limit.startswith(tuple(evaluation.SHORTFALLS.values()))]
            zoo.write_card(replace(card, gains=measured, limits=(*known, *evaluation.shortfalls(measured))))


def _precisions(models: Sequence[str], options: argparse.Namespace, tell: Callable[[str], None]) -> None:
    """How much each model loses in each precision, and which it may use."""
    from ..training import precision

    measured = {}
    for model in models:
        card = zoo.card(model)
        measured[model] = precision.losses(card, precision.crops_of(options.volumes, card.modalities), tell)
        if options.save:
            zoo.write_card(precision.told(card, measured[model]))
    print(precision.table(measured))


def _intervals(models: Sequence[str], options: argparse.Namespace, tell: Callable[[str], None]) -> None:
    """Within what the truth lies of each model's results."""
    from ..training import calibration

    measured = {}
    for model in models:
        measured[model] = calibration.calibrate(
            model,
            options.volumes,
            options.scale,
            options.protocol,
            options.same_subject,
            options.aside,
            options.crop,
            options.device,
            tell,
        )
        if options.save:
            zoo.write_intervals(zoo.card(model), measured[model])
        for table in measured[model]:
            print(f"{model}: {table.words()}")
    if options.json_file is not None:
        values = {model: [vars(table) for table in tables] for model, tables in measured.items()}
        options.json_file.write_text(json.dumps(values, indent=1, allow_nan=False))


def _stacks(models: Sequence[str], options: argparse.Namespace, tell: Callable[[str], None]) -> None:
    """What combining stacks is worth."""
    from ..training import stacks_evaluation

    paths = files.volumes_in(options.volumes)
    if options.leave_one_out:
        found = stacks_evaluation.leave_one_out(paths, tell, options.prior, options.device)
        print(stacks_evaluation.left_out_table(found))
        values: list[dict] = [one._asdict() for one in found]
    else:
        thickness, gap, alone = (*options.stacks, 0.0, 0.0)[:3]
        if thickness < 2 or not (0 <= gap <= 1 and 0 <= alone <= 1) or len(options.stacks) > 3:
            raise RefusalError(
                "Stacks are at least 2 voxels thick with gaps of 0 to 1 of that, and 0 to 1 of the slices moved alone; "
                "give for example 4,0.2."
            )
        if options.keep is not None:
            outputs.make_folder(options.keep)
        scores = stacks_evaluation.evaluate(
            paths, thickness, gap, models, options.crop, options.device, tell, options.keep, options.prior, alone
        )
        print(stacks_evaluation.table(scores))
        values = stacks_evaluation.to_json(scores)
        if options.save:
            card = zoo.card(options.prior)
            entry = f"stacks {','.join(f'{value:g}' for value in options.stacks)}"
            zoo.write_card(replace(card, gains={**card.gains, entry: stacks_evaluation.gains(scores)}))
    if options.json_file is not None:
        options.json_file.write_text(json.dumps(values, indent=1, allow_nan=False))


def _check(options: argparse.Namespace, models: list[str]) -> None:
    """Refuse what could not be written at the end."""
    if options.json_file is not None:
        outputs.check_file(options.json_file, files.volumes_in(options.volumes))
    if options.prior and not (options.stacks or options.leave_one_out):
        raise RefusalError("A prior is for stacks; give --stacks or --leave-one-out, too, or leave it out.")
    if options.intervals and (options.scale is None or not models):
        raise RefusalError("Intervals are measured of a model at a factor; give --model and --scale.")
    if options.save and (options.stacks or options.leave_one_out):
        if not (options.stacks and options.prior and zoo.card(options.prior).several):
            raise RefusalError("Of stacks what is saved is what a model for several scans adds; name it by --prior.")
        outputs.check_file(zoo.card(options.prior).folder / zoo.CARD_FILE)  # type: ignore[operator]  # it is learned
        return
    for card in map(zoo.card, models if options.save else ()):
        if card.folder is None and options.intervals:
            outputs.check_file(zoo.INTERVALS_FILE)
        elif card.folder is None:
            raise RefusalError(f"{card.title} has no card to write gains into; leave --save out, or name a model.")
        else:
            outputs.check_file(card.folder / zoo.CARD_FILE)
