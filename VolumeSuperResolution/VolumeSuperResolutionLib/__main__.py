"""The command line: `vsr upscale`, `batch`, `models`, `evaluate`, `pretrained` and `train`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .engine.errors import RefusalError
from .engine.models import zoo
from .engine.physics import degradation
from .engine.request import Request
from .engine.upscale import Result, upscale
from .engine.volumes import files
from .progress import Bar

REFUSED = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what was asked, 2 when it was refused."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options) or 0
    except RefusalError as refusal:
        print(f"vsr: {refusal}", file=sys.stderr)
        return REFUSED
    except MemoryError:
        print("vsr: The memory did not suffice; choose smaller factors, or a region.", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("vsr: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED


def _upscale(options: argparse.Namespace) -> None:
    if options.output.resolve() == options.input.resolve():
        raise RefusalError("The output would overwrite the input; give another name.")
    files.check_writable(options.output)
    result = _run(options.input, options)
    _save(result, options.output)
    if options.json:
        print(json.dumps(result.report.to_dict()))
    elif not options.quiet:
        print(result.report)


def _batch(options: argparse.Namespace) -> int:
    """Every volume of a folder; one that is refused does not stop the others."""
    from .training.evaluation import volumes_in

    if options.output.resolve() == options.input.resolve():
        raise RefusalError("The output folder is the input folder; give another one.")
    options.output.mkdir(parents=True, exist_ok=True)
    refused = 0
    for path in volumes_in(options.input):
        try:
            result = _run(path, options)
            _save(result, options.output / path.name)
        except RefusalError as refusal:
            refused += 1
            print(f"{path.name}: {refusal}", file=sys.stderr)
        else:
            if options.json:
                print(json.dumps({"file": path.name, **result.report.to_dict()}))
            elif not options.quiet:
                print(f"{path.name}: {result.report}\n")
    return REFUSED if refused else 0


def _run(path: Path, options: argparse.Namespace) -> Result:
    volume, labels = files.read(path)
    request = Request(
        model=options.model,
        scale=options.scale,
        spacing=options.spacing,
        isotropic=options.isotropic,
        device=options.device,
        precision=options.precision,
        memory_mb=options.memory_mb,
        consistency=options.consistency,
        realism=options.realism,
        ensemble=options.ensemble,
        uncertainty=options.uncertainty,
        region=options.region,
        modality=options.modality,
        fill_nonfinite=options.fill_nonfinite,
        label_map=labels,
    )
    with Bar(path.name, hidden=options.quiet or options.json) as bar:
        return upscale(volume, request, progress=bar)


def _save(result: Result, path: Path) -> None:
    files.write(result.volume, path)
    if result.uncertainty is not None:
        files.write(result.uncertainty, _beside(path, "uncertainty"))


def _models(options: argparse.Namespace) -> None:
    cards = zoo.cards().values()
    if options.json:
        print(json.dumps([card.to_dict() for card in cards]))
    elif options.markdown:
        from .training.listing import markdown

        print(markdown(cards), end="")
    elif options.gallery:
        from .training import evaluation, gallery

        learned = [card for card in cards if card.learned]
        gallery.draw(learned, evaluation.volumes_in(options.gallery[0]), Path(options.gallery[1]))
    else:
        for card in cards:
            factor = "any" if not card.learned else " x ".join(map(str, card.factor))
            print(f"{card.id:24} {factor:10} {card.summary}")


def _evaluate(options: argparse.Namespace) -> None:
    from .training import evaluation

    models = [model for model in options.model.split(",") if model]
    for model in models:
        zoo.card(model)

    perception = None
    if options.perceptual:
        from .training.perception import Perception

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


def _pretrained(options: argparse.Namespace) -> None:
    from .training import pretrained

    for path in pretrained.fetch():
        print(path)


def _train(options: argparse.Namespace) -> None:
    from .training.loop import train

    train(
        options.config,
        options.volumes,
        options.output,
        minutes=options.minutes,
        resume=options.resume,
        device=options.device,
        start_from=options.start_from,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vsr", description="Super-resolution of medical volumes. Research use only.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("upscale", help="upscale a volume")
    one.add_argument("input", type=Path, metavar="IN", help="a volume file, or a folder with one DICOM series")
    one.add_argument("output", type=Path, metavar="OUT", help="NRRD, NIfTI or MetaImage")
    _add_request(one)
    one.set_defaults(command=_upscale)

    many = commands.add_parser("batch", help="upscale every volume of a folder")
    many.add_argument("input", type=Path, metavar="IN_FOLDER")
    many.add_argument("output", type=Path, metavar="OUT_FOLDER")
    _add_request(many)
    many.set_defaults(command=_batch)

    models = commands.add_parser("models", help="list the models")
    models.add_argument("--json", action="store_true", help="the whole cards")
    models.add_argument("--markdown", action="store_true", help="the table of weights/README.md")
    models.add_argument("--gallery", nargs=2, type=Path, metavar=("FOLDER", "PNG"), help="a picture of every model")
    models.set_defaults(command=_models)

    test = commands.add_parser("evaluate", help="degrade volumes, restore them, and score the result")
    test.add_argument("--model", default="", metavar="ID[,ID...]", help="beside the baselines")
    test.add_argument("--volumes", type=Path, required=True, metavar="FOLDER")
    test.add_argument("--scale", type=_triple, required=True, metavar="2|1,1,4")
    test.add_argument("--protocol", choices=tuple(degradation.PROTOCOLS), default="profile")
    test.add_argument("--aside", action="append", default=[], metavar="PATTERN", help="list, but leave out of means")
    test.add_argument("--consistency", type=int, metavar="N", help="rounds for the models, instead of the card's")
    test.add_argument("--perceptual", action="store_true", help="LPIPS and FID too (see `vsr pretrained`)")
    test.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    test.add_argument("--json", type=Path, dest="json_file", metavar="FILE")
    test.add_argument("--save", action="store_true", help="write the gains into the models' cards")
    test.add_argument("--quiet", action="store_true")
    test.set_defaults(command=_evaluate)

    fetch = commands.add_parser("pretrained", help="fetch the networks behind perceptual losses and metrics (150 MB)")
    fetch.set_defaults(command=_pretrained)

    train = commands.add_parser("train", help="fit weights")
    train.add_argument("config", metavar="CONFIG", help="a shipped model's id, or a file")
    train.add_argument("--volumes", type=Path, required=True, metavar="FOLDER")
    train.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    train.add_argument("--minutes", type=float, metavar="N")
    train.add_argument("--resume", action="store_true")
    train.add_argument("--start-from", metavar="ID", help="start from a model of this kind, as wide or narrower")
    train.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    train.set_defaults(command=_train)
    return parser


def _add_request(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="ID", help="see `vsr models`; or a folder with a card")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--scale", type=_triple, metavar="2|1,1,4", help="factor, or one for each axis i,j,k")
    target.add_argument("--spacing", type=_triple, metavar="MM[,MM,MM]")
    target.add_argument("--isotropic", action="store_true", help="the finest spacing of the input on every axis")
    parser.add_argument("--region", type=_region, metavar="I0:I1,J0:J1,K0:K1", help="only these voxels")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--precision", choices=("auto", "fp32", "fp16", "bf16"), default="auto")
    parser.add_argument("--memory-mb", type=int, metavar="N", help="working memory; never changes the result")
    parser.add_argument("--consistency", type=int, metavar="N", help="rounds that make the result agree with the scan")
    parser.add_argument("--realism", type=float, metavar="0..1", help="from a model's faithful partner to itself")
    parser.add_argument("--ensemble", action="store_true", help="average over flips: slower, a little better")
    parser.add_argument("--uncertainty", action="store_true", help="also write the standard deviation over flips")
    parser.add_argument("--modality", choices=("auto", "MR", "CT"), default="auto")
    parser.add_argument("--fill-nonfinite", action="store_true", help="replace NaN and infinity with the minimum")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no report")


def _triple(text: str) -> tuple[float, ...]:
    values = [float(part) for part in text.split(",")]
    return tuple(values * 3 if len(values) == 1 else values)


def _region(text: str) -> tuple[tuple[int, int], ...]:
    bounds = [tuple(int(n) for n in part.split(":")) for part in text.split(",")]
    if len(bounds) != 3 or any(len(pair) != 2 for pair in bounds):
        raise ValueError
    return tuple(bounds)  # type: ignore[return-value]


def _beside(path: Path, word: str) -> Path:
    """scan.nii.gz -> scan-uncertainty.nii.gz"""
    stem, dot, suffixes = path.name.partition(".")
    return path.with_name(f"{stem}-{word}{dot}{suffixes}")


if __name__ == "__main__":
    sys.exit(main())
