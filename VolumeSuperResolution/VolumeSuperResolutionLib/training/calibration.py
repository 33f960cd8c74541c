"""Within what the truth lies of a model's results: tables for its card, from scans that no training saw.

Every subject counts the same. How well a table holds on a subject that it was not made from is measured by leaving
each one out in turn. That is a measurement with a range, on as many subjects as there are, and no guarantee.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..engine import intervals, quality
from ..engine.checks import check_request
from ..engine.errors import RefusalError, about
from ..engine.models import domain, zoo
from ..engine.models.interval_table import BINS, FEWEST_MEASURED, LEVEL, IntervalTable
from ..engine.upscale import Request, upscale
from ..engine.volumes import files
from .evaluation import check_factor, make_case

# Voxels that count of a subject; it would add nothing to have more.
VOXELS = 100_000
# An axis shorter than this is nearly all border, or belongs to a scan with thick slices, which is no truth.
SHORTEST = 32
# The quantile of the errors that the half widths are: the lowest of these that holds, or the first.
QUANTILES = (LEVEL, 0.91, 0.92, 0.93)
DIGITS = 4


class Errors(NamedTuple):
    """Of one scan's tissue: how steep the result is and how far from the truth, in parts of the intensity range."""

    file: str
    subject: str
    modality: str
    steepness: np.ndarray
    error: np.ndarray
    spacing: tuple[float, float, float]
    noise: float


def calibrate(
    model: str,
    volumes: Path,
    factor: Sequence[int],
    protocol: str,
    same_subject: Sequence[str] = (),
    aside: Sequence[str] = (),
    crop: int | None = None,
    device: str = "auto",
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[IntervalTable, ...]:
    """A table for each modality there are scans of. Files that match one pattern are of one subject.

    What the model's training saw, or another scan of the same subject, is left out.
    """
    check_factor(factor, most_parts=1)
    i, j, k = map(float, factor)
    card = check_request(Request(model, scale=(i, j, k), device=device)) or zoo.card(model)
    seen = {_subject(name, same_subject) for name in card.training.get("files", ())}
    found = []
    for path in files.volumes_in(volumes):
        subject = _subject(path.name, same_subject)
        if any(fnmatch.fnmatch(path.name, pattern) for pattern in aside):
            continue
        if subject in seen:
            tell(f"{path.name}  left out: the training of {model} saw this subject")
            continue
        with about(path.name):
            errors = measure(model, path, factor, protocol, subject, crop, device)
        if errors is None:
            tell(f"{path.name}  left out: fewer than {SHORTEST} voxels along an axis, or no tissue")
        elif errors.modality in card.modalities:
            found.append(errors)
            tell(f"{path.name}  {model}  {np.quantile(errors.error, LEVEL):.4f}")
    if not found:
        raise RefusalError(f"There is no scan in {volumes} to measure {model} on; give a folder with others.")
    shape = (int(factor[0]), int(factor[1]), int(factor[2]))
    return tuple(
        make_table([errors for errors in found if errors.modality == modality], shape, protocol, crop or 0)
        for modality in dict.fromkeys(errors.modality for errors in found)
    )


def measure(
    model: str, path: Path, factor: Sequence[int], protocol: str, subject: str, crop: int | None, device: str
) -> Errors | None:
    """The errors of a model on one scan, degraded and restored; None where there is too little of it."""
    case = make_case(path, [int(f) for f in factor], protocol, crop=crop)
    mask = quality.foreground(case.truth, case.modality)
    extent = intervals.intensity_range(case.low.array, case.modality)
    if min(case.truth.shape) < SHORTEST or not mask.any() or not extent > 0:
        return None
    i, j, k = map(float, factor)
    request = Request(model, scale=(i, j, k), device=device, modality=case.modality)
    result = upscale(case.low, request).volume.array
    traits = domain.traits(case.low, case.modality)
    return Errors(
        case.name,
        subject,
        case.modality,
        intervals.steepness(result)[mask] / np.float32(extent),
        np.abs(result - case.truth)[mask] / np.float32(extent),
        traits.spacing,
        traits.noise,
    )


def make_table(scans: Sequence[Errors], factor: tuple[int, int, int], protocol: str, crop: int) -> IntervalTable:
    """The table of scans of one modality, with what it covers of subjects left out."""
    subjects = list(_by_subject(scans).values())
    # The lowest quantile that holds is taken, so the coverage is a little flattered; of QUANTILES there are few.
    tables = (_table(scans, subjects, quantile, factor, protocol, crop) for quantile in QUANTILES)
    first = next(tables)
    return first if first.holds else next((table for table in tables if table.holds), first)


def fit(subjects: Sequence[tuple[np.ndarray, np.ndarray]], quantile: float) -> tuple[np.ndarray, np.ndarray]:
    """Edges of bins with as many voxels each, and the half width in each, from steepness and error of each subject."""
    steep, error = (np.concatenate([subject[n] for subject in subjects]) for n in range(2))
    edges = np.quantile(steep, np.arange(1, BINS) / BINS)
    bins = np.searchsorted(edges, steep, side="right")
    widths = [np.quantile(error[bins == n], quantile) if np.any(bins == n) else 0.0 for n in range(BINS)]
    return edges, np.maximum.accumulate(widths)


def left_out(subjects: Sequence[tuple[np.ndarray, np.ndarray]], quantile: float) -> tuple[list[float], list[float]]:
    """What the table of the others covers of each subject, and of each quarter of its gradients, mean over subjects."""
    coverage, quarters = [], []
    for n, (steep, error) in enumerate(subjects):
        edges, widths = fit([*subjects[:n], *subjects[n + 1 :]], quantile)
        covered = error <= widths[np.searchsorted(edges, steep, side="right")]
        coverage.append(float(covered.mean()))
        quarters.append([float(part.mean()) for part in np.array_split(covered[np.argsort(steep)], 4)])
    return coverage, [float(mean) for mean in np.mean(quarters, axis=0)]


def _table(
    scans: Sequence[Errors],
    subjects: Sequence[tuple[np.ndarray, np.ndarray]],
    quantile: float,
    factor: tuple[int, int, int],
    protocol: str,
    crop: int,
) -> IntervalTable:
    edges, widths = fit(subjects, quantile)
    enough = len(subjects) >= FEWEST_MEASURED
    coverage, quartiles = left_out(subjects, quantile) if enough else ([], [])
    return IntervalTable(
        modality=scans[0].modality,
        factor=factor,
        protocol=protocol,
        edges=_rounded(edges),
        half_widths=_rounded(widths),
        quantile=quantile,
        coverage=_rounded(coverage),
        quartiles=_rounded(quartiles),
        subjects=len(subjects),
        files=tuple(scan.file for scan in scans),
        crop=crop,
        spacing_mm=_rounded((min(min(s.spacing) for s in scans), max(max(s.spacing) for s in scans))),
        noise=_rounded([max(scan.noise for scan in scans)])[0],
    )


def _by_subject(scans: Iterable[Errors]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """As many voxels of each subject, drawn from all its scans."""
    together: dict[str, list[Errors]] = {}
    for scan in scans:
        together.setdefault(scan.subject, []).append(scan)
    drawn = {}
    for subject, own in together.items():
        steep, error = (np.concatenate([getattr(scan, name) for scan in own]) for name in ("steepness", "error"))
        which = np.random.default_rng(0).integers(len(steep), size=VOXELS)
        drawn[subject] = (steep[which], error[which])
    return drawn


def _subject(name: str, patterns: Sequence[str]) -> str:
    """Whom a file is of: the first pattern that it matches, else itself."""
    return next((pattern for pattern in patterns if fnmatch.fnmatch(name, pattern)), name)


def _rounded(values: Sequence[float] | np.ndarray) -> tuple:
    return tuple(float(f"{value:.{DIGITS}g}") for value in values)
