"""The front door: a volume and a request in, a sharper volume and a report out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import gcd
from typing import NamedTuple

import numpy as np

from . import doubts, quality
from .callbacks import Cancel, Progress
from .checks import FLIPS, estimate, orientation, prepare
from .errors import CancelledError, RefusalError
from .layout import Layout, Prepared
from .models import grids, plan, zoo
from .models.automatic import AUTOMATIC
from .models.work import Run
from .physics import data_step, interpolation
from .request import MAPS, MEGA, Estimate, Report, Request
from .storage import IN_MEMORY, Storage
from .streaming import memory
from .volumes import intensity
from .volumes.grid import Region, Volume, slices_of

__all__ = ["CancelledError", "Estimate", "RefusalError", "Report", "Request", "Result", "estimate", "upscale"]

# Factors that are fractions of larger numbers would need margins of as many voxels, to stay on their grid.
LARGEST_UNIT = 8
# The residual's share of the progress, in passes of a network.
NETWORKS_RESIDUAL = 0.05


class Result(NamedTuple):
    """The sharper volume, what was done, and, if asked for, maps on the same grid.

    Of those, `uncertainty` is the standard deviation over flips, `interval` the half width of the interval that holds
    the truth with 90%, and `invented` the part that the scan does not fix.
    """

    volume: Volume
    report: Report
    uncertainty: Volume | None = None
    interval: Volume | None = None
    invented: Volume | None = None

    @property
    def maps(self) -> dict[str, Volume]:
        """Those there are, by their names."""
        found = {name: getattr(self, name) for name in MAPS}
        return {name: volume for name, volume in found.items() if volume is not None}


def upscale(
    volume: Volume,
    request: Request,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    storage: Storage = IN_MEMORY,
) -> Result:
    """The volume on the finer grid that the request asks for; it and all that is held on the way lie in `storage`.

    Raises RefusalError, whose message is for the user, before anything is computed, and CancelledError as soon as
    cancel() answers True. progress(done, total) is called as the work goes on.
    """
    started = time.monotonic()
    memory.forget_peak()
    prepared = prepare(volume, request, storage)
    cancel = storage.watch(cancel)
    work = _work(prepared, request, progress, cancel)
    values, deviation = _compute(prepared, request, work)
    grid = prepared.layout.grid
    carry = partial(prepared.carrier.carry, empty=storage.empty)
    scan = prepared.array[slices_of(prepared.layout.region)]
    seen = prepared.scanner.matrices(values.shape, scan.shape, prepared.layout.source.spacing)
    with work.step(_residual_part(prepared)) as tell:
        carried, place = carry(values), work.place()
        residual = quality.consistency_residual(carried, carry(scan), seen, tell, cancel, place) * prepared.carrier.unit
    told, maps = doubts.of(prepared, request, carried, _residual_part(prepared), work)
    if deviation is not None:
        maps["uncertainty"] = deviation
    report = _report(prepared, request, work, values.dtype, residual, time.monotonic() - started)
    volumes = {name: Volume(array, grid) for name, array in maps.items()}
    return Result(Volume(values, grid), replace(report, **told), **volumes)


def _work(prepared: Prepared, request: Request, progress: Progress | None, cancel: Cancel | None) -> Run:
    """The account of what is done, shared by all passes."""
    flips, passes = len(_flips(prepared, request)), sum(map(_passes, prepared.layout.chain))
    if flips > 1:
        apart = passes if _turned_apart(prepared, request) else 0
        passes = apart + flips * sum(map(_passes, prepared.layout.unturned.chain))
    return Run(
        device=request.device,
        precision=request.precision,
        memory=None if request.memory_mb is None else int(request.memory_mb * MEGA),
        precisions=prepared.layout.card.precisions,
        progress=progress,
        cancel=cancel,
        empty=prepared.storage.room,
        another=prepared.storage.another,
        begin=prepared.storage.begin,
        passes=passes + _residual_part(prepared) * (1 + request.interval + request.invented),
    )


def _passes(layout: Layout) -> int:
    return max(1, plan.count_passes(layout.card)) + (layout.rounds > 0) + layout.step


def _residual_part(prepared: Prepared) -> float:
    """How long the residual takes, in passes: as an interpolation, or next to nothing beside a network."""
    return NETWORKS_RESIDUAL if prepared.layout.card.learned else 1.0


def _compute(prepared: Prepared, request: Request, work: Run) -> tuple[np.ndarray, np.ndarray | None]:
    """The voxels of the result, and their deviation over flips if asked for."""
    networks = [_networks(prepared, layout, request) for layout in prepared.layout.chain]
    region, added, fit = _with_margin(prepared, networks, work, request.margin)
    prepared = prepared._replace(fit=fit)
    storage, carrier, grid = prepared.storage, prepared.carrier, prepared.layout.grid
    low = carrier.carry(prepared.array[slices_of(region)], storage.empty)
    size = tuple(n + before + after for n, (before, after) in zip(grid.size[::-1], added))
    crop = tuple(slice(before, n - after) for n, (before, after) in zip(size, added))
    flips = _flips(prepared, request)
    if low.min() == low.max():
        value, constant = prepared.array[slices_of(region)].flat[0], storage.result(grid, prepared.dtype)
        for plane in constant:
            plane.fill(value)
            storage.relax()
        return constant, doubts.certain(prepared, work) if request.uncertainty else None
    direct = not (prepared.layout.rounds or prepared.layout.step or prepared.layout.other or len(flips) > 1)
    if direct:
        whole = size == grid.size[::-1]
        values = storage.result(grid, prepared.dtype) if whole else storage.room(size, prepared.dtype)
        _once(prepared, request, networks[0], low, values, work, carrier)
        return storage.kept(values[crop], grid), None
    room = storage.room(size, np.float32)
    if len(flips) == 1:
        return _stored(prepared, _restore(prepared, request, networks, low, room, work)[crop], work), None
    apart = _turned_apart(prepared, request)
    if apart:
        plain = _stored(prepared, _restore(prepared, request, networks, low, room, work)[crop], work, copy=True)
    prepared, length = prepared._replace(layout=prepared.layout.unturned), size[0]
    averaged = _ensemble_by_flips(prepared, request)
    totals = storage.room((length * (1 + request.uncertainty), *size[1:]), np.float32)
    for count, steps in enumerate(flips, start=1):
        with storage.again():
            values = _restore(prepared, request, networks, low, room, work, steps)
        if count == 1 and not (averaged or apart):
            plain = _stored(prepared, values[crop], work, copy=True)
        totals = work.changed(totals, partial(_accumulate, values, count))
    result = _stored(prepared, totals[:length][crop], work) if averaged else plain
    squares = totals[length:]
    return result, doubts.uncertainty(prepared, squares[crop], len(flips), work) if len(squares) else None


def _restore(
    prepared: Prepared,
    request: Request,
    networks: Sequence[list],
    low: np.ndarray,
    high: np.ndarray,
    work: Run,
    flips: tuple[int, ...] = FLIPS[0],
) -> np.ndarray:
    """`low` made fine in `high` or another, to explain the scan, turned on the way; averaged with the other model's."""
    turned = tuple(slice(None, None, step) for step in flips)
    fit = prepared.fit and prepared.fit.flipped(flips, low.shape, high.shape)
    flipped, source = prepared._replace(fit=fit), low[turned]
    _once(flipped, request, networks[0], source, high[turned], work)
    if prepared.layout.rounds:
        high = work.changed(high, lambda array: _agree(flipped, source, array[turned], work))
    if prepared.layout.step:
        high = work.changed(high, lambda array: _explain(prepared, low, array, work))
    if prepared.layout.other is None:
        return high
    share, given = np.float32(prepared.layout.card.share), prepared._replace(layout=prepared.layout.other)
    other = _restore(given, request, networks[1:], low, work.empty(high.shape, high.dtype), work, flips)

    def average(array: np.ndarray) -> None:
        for mine, theirs in zip(array, other):
            mine[...] = share * mine + (1 - share) * theirs
            prepared.storage.relax()

    return work.changed(high, average)


def _networks(prepared: Prepared, layout: Layout, request: Request) -> list:
    """The card's networks; one for every grid as it is for this grid and this scan."""
    traits = None
    if not layout.card.learned:
        return []
    if layout.card.every_grid:
        low, high = layout.source.size[::-1], layout.grid.size[::-1]
        traits = grids.traits(low, high, prepared.heard, layout.source.spacing)
    return zoo.load(layout.card, request.realism, traits)


def _once(
    prepared: Prepared,
    request: Request,
    networks: list,
    low: np.ndarray,
    high: np.ndarray,
    work: Run,
    carrier: intensity.Carrier = intensity.PLAIN,
) -> None:
    """One upscaling of `low` into `high`; `carrier` takes it to the scan's own units."""
    card = prepared.layout.card
    order = orientation(card, low.shape, high.shape)
    source, target, fit = low.transpose(order), high.transpose(order), prepared.fit and prepared.fit.along(order)
    if card.learned:
        conversion = intensity.Conversion(high.dtype, prepared.carrier.window(prepared.window), carrier)
        plan.run(source, conversion, card, networks, target.shape, target.__setitem__, work, request.ensemble, fit)
    elif card.kernel == "nearest" and target.dtype == source.dtype:
        with work.step() as tell, work.begin() as kept:
            if not kept.done:
                interpolation.repeat(source, target, tell, work.cancel, fit)
    else:
        matrices = interpolation.matrices(source.shape, target.shape, card.kernel, fit)
        with work.step() as tell:
            conversion = intensity.Conversion(high.dtype, carrier=carrier)
            work.resample(source, matrices, target.__setitem__, tell, conversion)


def _agree(prepared: Prepared, low: np.ndarray, high: np.ndarray, work: Run) -> None:
    """The rounds of data consistency, in place."""
    order = orientation(prepared.layout.card, low.shape, high.shape)
    source, target, fit = low.transpose(order), high.transpose(order), prepared.fit and prepared.fit.along(order)
    with work.step() as tell:
        rest = tell, work.cancel, work.place(), fit, prepared.storage.empty
        interpolation.back_project(target, source, prepared.layout.rounds, *rest)


def _explain(prepared: Prepared, low: np.ndarray, high: np.ndarray, work: Run) -> None:
    """The data step, in place, on a result that lies as the scan does."""
    layout, spacing = prepared.layout, prepared.layout.source.spacing
    with work.step() as tell:
        rest = tell, work.cancel, work.place(), prepared.fit
        if layout.card.every_grid:
            data_step.explain_as_trained(high, low, prepared.heard, spacing, *rest, empty=prepared.storage.empty)
        else:
            given = high, low, prepared.scanner, spacing, prepared.sigma, layout.card.learned
            data_step.explain(*given, *rest, empty=prepared.storage.empty)


def _flips(prepared: Prepared, request: Request) -> tuple[tuple[int, ...], ...]:
    """The flips of the whole volume that are run: all of them for an uncertainty map or a 3D self-ensemble."""
    return FLIPS if request.uncertainty or _ensemble_by_flips(prepared, request) else FLIPS[:1]


def _turned_apart(prepared: Prepared, request: Request) -> bool:
    """Whether the result is a mean over turns, and so none of the results whose deviation is asked for."""
    return request.uncertainty and not _ensemble_by_flips(prepared, request) and prepared.layout.turns > 1


def _ensemble_by_flips(prepared: Prepared, request: Request) -> bool:
    """Whether the self-ensemble is over flips of the volume; slice-wise stages have their own."""
    return request.ensemble and any(not stage.views for stage in prepared.layout.card.stages)


def _accumulate(values: np.ndarray, count: int, totals: np.ndarray) -> None:
    """Welford's running mean and, where there is room for it behind, sum of squared deviations, plane by plane."""
    mean, squares = totals[: len(values)], totals[len(values) :]
    for k in range(len(values)):
        if count == 1:
            mean[k], squares[k : k + 1] = 0, 0
        change = values[k] - mean[k]
        mean[k] += change / np.float32(count)
        if len(squares):
            squares[k] += change * (values[k] - mean[k])


def _stored(prepared: Prepared, values: np.ndarray, work: Run, copy: bool = False) -> np.ndarray:
    """The result in the scan's units and the final type; without a copy, unless asked for, where nothing changes."""
    storage, dtype, carrier, grid = prepared.storage, prepared.dtype, prepared.carrier, prepared.layout.grid
    if values.dtype == dtype and carrier.plain and not copy:
        for plane in values:
            intensity.check_finite(plane)
            storage.relax()
        return storage.kept(values, grid)
    result = storage.result(grid, dtype)
    conversion = intensity.Conversion(result.dtype, carrier=carrier)
    work.resample(values, (None,) * 3, result.__setitem__, convert=conversion)
    return result


def _with_margin(
    prepared: Prepared, networks: Sequence[list], work: Run, most: int | None
) -> tuple[Region, list[tuple[int, int]], interpolation.Fit | None]:
    """The region grown by what its result depends on, and the output voxels that adds before and after each axis.

    The latter along (k, j, i). Where it can, the region grows by numbers of voxels that are whole numbers of output
    voxels, so that both grids fill the same extent. Where those would be large, it is told how the grids fit.
    """
    layout, counts = prepared.layout, prepared.array.shape[::-1]
    if layout.region == tuple((0, n) for n in counts):
        return layout.region, [(0, 0)] * 3, None
    needed = [_margins(each, loaded, work) for each, loaded in zip(prepared.layout.chain, networks)]
    margins = [max(margin) for margin in zip(*needed)]
    if most is not None:
        margins = [min(margin, max(0, most)) for margin in margins]
    grown, added, starts, whole = [], [], [], True
    for (a, b), n, m, length, margin in zip(layout.region, layout.source.size, layout.grid.size, counts, margins[::-1]):
        unit = n // gcd(n, m)
        if unit > LARGEST_UNIT:
            margin, unit = margin + 1 if margin else 0, 1  # as the outermost voxels may be cut
        margin = -(-margin // unit) * unit
        before, after = (min(margin, room // unit * unit) for room in (a, length - b))
        grown.append((a - before, b + after))
        added.append((before * m // n, after * m // n))
        starts.append(before * m % n / m)
        whole = whole and before * m % n == after * m % n == 0
    steps = (n / m for n, m in zip(layout.source.size[::-1], layout.grid.size[::-1]))
    fit = None if whole else interpolation.Fit(tuple(starts[::-1]), tuple(steps))  # type: ignore[arg-type]
    return tuple(grown), added[::-1], fit  # type: ignore[return-value]


def _margins(layout: Layout, networks: list, work: Run) -> list[int]:
    """How many voxels around it a voxel of the result depends on, along (k, j, i)."""
    low, high = layout.source.size[::-1], layout.grid.size[::-1]
    factors = [m / n for n, m in zip(low, high)]
    order = orientation(layout.card, low, high)
    turned: Sequence[int]
    if layout.card.learned:
        turned = plan.reach(layout.card, networks, [factors[axis] for axis in order], work.streams)
    else:
        turned = tuple(interpolation.reach(layout.card.kernel, factors[axis]) for axis in order)
    margins = [turned[order.index(axis)] for axis in range(3)]
    margins = [margin + layout.rounds * interpolation.round_reach(f) for margin, f in zip(margins, factors)]
    if layout.step:
        stepped = data_step.reach(layout.scanner, high, low, layout.source.spacing)
        margins = [margin + more for margin, more in zip(margins, stepped)]
    return margins


def _report(
    prepared: Prepared, request: Request, work: Run, dtype: np.dtype, residual: float, seconds: float
) -> Report:
    layout, accounts = prepared.layout, work.accounts
    tiles = ""
    if accounts:
        last = accounts[-1]
        tiles = f"{last.slabs} slabs of {last.thickness} planes in {last.columns} column{'s' * (last.columns != 1)}"
    notes = [*prepared.notes, *work.notes()]
    return Report(
        model=layout.card.id,
        title=layout.card.title,
        device=accounts[-1].device if accounts else "cpu",
        precision=accounts[-1].precision if accounts else "fp32",
        input_size=layout.source.size,
        input_spacing=layout.source.spacing,
        output_size=layout.grid.size,
        output_spacing=layout.grid.spacing,
        factor=tuple(n / m for n, m in zip(layout.grid.size, layout.source.size)),  # type: ignore[arg-type]
        scalar_type=dtype.name,
        tiles=tiles,
        seconds=seconds,
        peak_memory_mb=memory.peak_bytes() / MEGA,
        gpu_memory_mb=work.device_bytes() / MEGA,
        consistency_rounds=layout.rounds,
        data_step=layout.step,
        consistency_residual=residual,
        modality=prepared.modality,
        window=(prepared.window.low, prepared.window.high),
        warnings=tuple(dict.fromkeys(notes)),
        realism=request.realism,
        automatic=request.model == AUTOMATIC,
        mean_of=tuple((each.card.title, share) for each, share in zip(layout.chain, layout.shares) if layout.other),
        scanner=None if prepared.scanner.noise is None else prepared.scanner,
    )
