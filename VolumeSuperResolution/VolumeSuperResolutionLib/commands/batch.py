"""upscale every volume of a folder, a data set or a list"""

from __future__ import annotations

import argparse
import glob
import json
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..engine import checks
from ..engine.models import zoo
from ..engine.models.card import Card
from ..engine.request import Request
from . import ending, outputs
from .batches import bids, claims, finding, manifest, preview, work
from .batches.cluster import Cluster
from .batches.finding import Filter, Scan
from .batches.line import Line
from .batches.pool import Alone, Pool
from .batches.work import BUSY, DONE, KNOWN, Outcome, Place
from .channels import say
from .options import add_request, request_from
from .parser import reader

# How long what another process works on is left alone before it is asked about again.
PATIENCE_SECONDS = 2.0
MOST_NAMED = 20
# On Linux, of GPUs that torch computes on as "cuda": NVIDIA's, in small computers too, AMD's, and a Windows host's.
GPU_SIGNS = ("/dev/nvidia*", "/proc/driver/nvidia", "/dev/nvhost*", "/dev/nvgpu*", "/dev/kfd", "/dev/dxg")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input",
        metavar="IN",
        help="a folder with volumes, also in folders below it, a BIDS data set, a pattern in quotes, or a list (.txt)",
    )
    parser.add_argument("output", type=Path, metavar="OUT_FOLDER", help="where the results go, by the same names")
    parser.add_argument(
        "--include", action="append", default=[], metavar="PATTERN", help="only scans of such names; can be repeated"
    )
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="PATTERN", help="no scans or folders of such names"
    )
    parser.add_argument(
        "--segmentation",
        action="append",
        default=[],
        metavar="PATTERN",
        help="labels beside each scan, which go to the grid of its result, too: a name, perhaps with wildcards, in "
        "which {} stands for the scan's name without ending, in a BIDS data set for its entities ('{}_dseg.nii.gz'); "
        "can be repeated",
    )
    parser.add_argument(
        "--dicom",
        action="store_true",
        help="write a DICOM series, derived from the one that was read, of its study, into a folder of its own "
        "(SCAN-sr) for each scan that is a DICOM series; others are left out, which is told and counts as a failure",
    )
    parser.add_argument("--dry-run", action="store_true", help="only tell what would be done: sizes, time and disk")
    parser.add_argument("--retry", action="store_true", help="also what failed before and has not changed")
    parser.add_argument(
        "--workers",
        type=reader("workers", _count, "a whole number above zero"),
        default=1,
        metavar="N",
        help="processes that share this computer; on GPUs one for each is best",
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS|FILE", help="work on a Dask cluster: tcp://..., or the scheduler's file"
    )
    parser.add_argument(
        "--resources",
        type=reader("resources", _resources, "pairs as GPU=1,MEMORY=8e9"),
        default={},
        metavar="NAME=N[,...]",
        help="what a worker of the cluster has to offer for each scan at a time",
    )
    add_request(parser)


def run(options: argparse.Namespace) -> int:
    """One that is refused, or in which the program fails, does not stop the others."""
    request = request_from(options)
    card = checks.check_request(request)
    found = finding.find(options.input, options.output, Filter(options.include, options.exclude))
    found = finding.with_segmentations(found, options.segmentation)
    if options.dicom:
        found = finding.as_series(found, options.output)
    without = sum(not scan.segmentations for scan in found.scans) if options.segmentation else 0
    if without:
        say(f"{without} of {len(found.scans)} scans have no segmentation beside them.")
    place = Place(
        found.root.absolute(),
        options.output.absolute(),
        request if options.scheduler is None else _for_all(request, card),
        manifest.asked(request, card, options.dicom),
        found.described,
        options.retry,
        options.dicom,
    )
    before = _known(place, found.scans)
    if options.dry_run:
        return preview.tell(found.scans, before, place, options.workers, options.json)
    return _Batch(options, place, found.scans, before).run()


def _count(text: str) -> int:
    count = int(text) if text.isdigit() else 0
    if not count:
        raise ValueError("is no whole number above zero")
    return count


def _resources(text: str) -> dict[str, float]:
    try:
        return {name: float(count) for name, count in (pair.split("=") for pair in text.split(","))}
    except ValueError:
        raise ValueError("is no list of names and numbers") from None


def _for_all(request: Request, card: Card | None) -> Request:
    """The same request for processes that work in other folders: files that it names have their whole paths."""
    if card is not None and card.folder is not None and Path(request.model, zoo.CARD_FILE).is_file():
        request = replace(request, model=str(card.folder.absolute()))
    if request.profile is not None and Path(request.profile).is_file():
        request = replace(request, profile=str(Path(request.profile).absolute()))
    return request


def _check_names(scans: Iterable[Scan], place: Place) -> None:
    """Refuse what would overwrite an input, or the result of another one."""

    def sources() -> Iterable[Path]:
        for scan in scans:
            for path in (scan.path, *scan.segmentations):
                yield from work.read_from(path) if path.is_file() else [path]

    targets, series = [], []
    for scan in scans:
        if scan.derived or not place.dicom:
            each = [*scan.targets(place.output, place.request.maps), *scan.labels(place.output)]
            series += each[: scan.derived]
            targets += each[scan.derived :]
    outputs.check_many(targets, sources, series)


def _known(place: Place, scans: Iterable[Scan]) -> dict[str, Outcome]:
    """How scans ended in earlier runs, where nothing has changed since."""
    found = {}
    for scan in scans:
        outcome = work.known(place, scan)
        if outcome is not None and not (place.retry and outcome.status == work.GIVEN_UP):
            found[scan.name] = outcome
    damaged = work.manifest_of(place.output).damaged
    if damaged:
        lines = "1 line" if damaged == 1 else f"{damaged} lines"
        say(f"{lines} of {manifest.FILE} cannot be read; the scans that they told of are done again.")
    return found


class _Batch:
    """The scans of one run, and what became of them."""

    def __init__(self, options: argparse.Namespace, place: Place, scans: list[Scan], before: dict[str, Outcome]):
        self._options, self._place, self._scans = options, place, scans
        self._failed = {name: outcome for name, outcome in before.items() if outcome.status != KNOWN}
        self._again = len(self._failed)
        self._done = len(before) - self._again
        self._skipped = self._done
        self._todo = [scan for scan in scans if scan.name not in before]
        self._line = Line(len(self._todo), options.quiet or options.json)

    def run(self) -> int:
        """Until no scan is left that nobody has worked on."""
        hands = self._hands()
        whole = begun = False
        try:
            self._prepare(hands)
            begun, todo = True, self._todo
            while todo:
                busy = []
                with closing(hands.outcomes(todo)) as outcomes:
                    for outcome in outcomes:
                        if outcome.status == BUSY:
                            busy.append(outcome.scan)
                        else:
                            self._tell(outcome)
                        if outcome.full:
                            return self._stop_full(outcome)
                if busy:
                    time.sleep(PATIENCE_SECONDS)
                todo = busy
            whole = True
        except KeyboardInterrupt as interrupt:
            if not begun:
                raise
            # Else it waited until one more was written.
            self._done += bool(interrupt.args) and not isinstance(interrupt, outputs.UnfinishedError)
            place = self._options.output
            interrupt.args = (f"interrupted; {self._done} of {len(self._scans)} volumes are in {place}",)
            raise
        finally:
            self._line.hide()
            hands.close(at_once=not whole)
            if begun:
                claims.of(self._place.output).clear()
        self._sum_up()
        return min((outcome.code for outcome in self._failed.values()), default=ending.DONE)

    def _prepare(self, hands: Any) -> None:
        """Refuse what is not possible, while whoever works gets ready; then make the folder."""
        _check_names(self._scans, self._place)
        if self._todo:
            hands.check()
        outputs.make_folder(self._options.output)
        if self._place.described is not None:
            bids.prepare(self._place.root, self._place.described, self._place.output)

    def _hands(self) -> Any:
        """Whoever works; several begin with the largest scans, so that none is at such a one when all others end."""
        if self._options.workers > 1 or self._options.scheduler is not None:
            self._todo.sort(key=work.bytes_of, reverse=True)
        if self._options.scheduler is not None and self._todo:
            return Cluster(self._place, self._options.scheduler, self._options.resources)
        count = min(self._options.workers, len(self._todo))
        if count < 2:
            return Alone(self._place, self._line.part)
        return Pool(self._place, count, _gpus(self._place.request), self._line.part)

    def _tell(self, outcome: Outcome) -> None:
        name = outcome.scan.name
        self._line.hide()
        if outcome.status in (DONE, KNOWN):
            self._done += 1
            self._skipped += outcome.status == KNOWN
        else:
            self._failed[name] = outcome
            sentence = outcome.sentence
            named = outcome.scan.series is None and outcome.scan.path.name in sentence
            say(sentence if named else f"{name}: {sentence}")
        if outcome.report is not None and self._options.json:
            print(json.dumps({"file": name, **outcome.report.to_dict()}), flush=True)
        elif outcome.report is not None and not self._options.quiet:
            print(f"{name}: {outcome.report}\n", flush=True)
        self._line.ended(outcome.scan, outcome.status not in (DONE, KNOWN))

    def _stop_full(self, outcome: Outcome) -> int:
        left = len(self._scans) - self._done
        say(f"The batch ends here, as there is no room for its results; {left} volumes are left for the next run.")
        return outcome.code

    def _sum_up(self) -> None:
        if self._skipped and not (self._options.quiet or self._options.json):
            print(f"{self._skipped} of {len(self._scans)} volumes were done already.", flush=True)
        if not self._failed:
            return
        names = list(self._failed)
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        again = "; --retry tries again what failed before" if self._again else ""
        listed = f"{', '.join(names[:MOST_NAMED])}{more}"
        say(f"{len(names)} of {len(self._scans)} volumes were not upscaled: {listed}{again}.")


def _gpus(request: Request) -> int:
    """How many GPUs there are for a request."""
    card = None if request.model == checks.AUTOMATIC else zoo.card(request.model)
    if request.device not in ("auto", "cuda") or (card is not None and not card.learned) or _has_none():
        return 0
    try:
        import torch
    except ImportError:  # what needs it says so
        return 0
    return torch.cuda.device_count()


def _has_none() -> bool:
    """Whether the system shows that no GPU is there, without torch, which takes seconds to come."""
    if sys.platform == "darwin":
        return True
    return sys.platform.startswith("linux") and not any(map(glob.glob, GPU_SIGNS))
