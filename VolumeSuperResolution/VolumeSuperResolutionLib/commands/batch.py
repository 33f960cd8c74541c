"""upscale every volume of a folder"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..engine import checks
from ..engine.errors import RefusalError
from ..engine.models import zoo
from ..engine.request import Request
from ..engine.volumes import files
from . import ending, outputs
from .channels import say
from .options import add_request, request_from
from .upscale import save, upscale_file


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, metavar="IN_FOLDER", help="a folder of NIfTI, NRRD or MetaImage files")
    parser.add_argument("output", type=Path, metavar="OUT_FOLDER", help="where the results go, by the same names")
    add_request(parser)


def run(options: argparse.Namespace) -> int:
    """One that is refused, or in which the program fails, does not stop the others."""
    request = request_from(options)
    _check(request)
    targets = {
        path: outputs.targets_of(options.output / path.name, request.maps) for path in files.volumes_in(options.input)
    }
    outputs.make_folder(options.output)
    _check_names(targets)
    failed: dict[str, int] = {}
    done = 0
    try:
        for path in targets:
            try:
                result, loaded = upscale_file(path, request, options.quiet or options.json)
                save(result, targets[path], loaded.metadata)
            except BrokenPipeError:
                raise
            except Exception as error:
                status, sentence = ending.told(error)
                failed[path.name] = status
                say(sentence if path.name in sentence else f"{path.name}: {sentence}")
                continue
            done += 1
            if options.json:
                print(json.dumps({"file": path.name, **result.report.to_dict()}), flush=True)
            elif not options.quiet:
                print(f"{path.name}: {result.report}\n", flush=True)
    except KeyboardInterrupt as interrupt:
        done += bool(interrupt.args)  # it waited until one more was written
        interrupt.args = (f"interrupted; {done} of {len(targets)} volumes are in {options.output}",)
        raise
    if failed:
        say(f"{len(failed)} of {len(targets)} volumes were not upscaled: {', '.join(failed)}.")
    return min(failed.values(), default=ending.DONE)


def _check(request: Request) -> None:
    """Refuse once what would be refused of every volume."""
    card = checks.check_request(request)
    if card is not None and card.learned:
        zoo.load(card, request.realism)
        checks.check_device(request)


def _check_names(targets: dict[Path, list[Path]]) -> None:
    """Refuse what would overwrite an input, or the result of another one."""
    sources = set()
    for path in targets:
        try:
            sources |= files.read_by(path)
        except RefusalError:  # told when its turn comes
            sources.add(path)
    outputs.check_volumes([target for names in targets.values() for target in names], sources)
