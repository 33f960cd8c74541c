"""Everything about a request that can be refused, or foretold, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Callable

import numpy as np

from . import intervals
from .errors import RefusalError
from .layout import Layout, Prepared
from .models import automatic, grids, plan, zoo
from .models.automatic import AUTOMATIC
from .models.card import ANY_FACTOR, MOST_ROUNDS, Card
from .models.domain import Traits, beyond, traits
from .models.interval_table import IntervalTable
from .physics.noise import white_noise, white_part
from .physics.scanner import Scanner, named_profile, slice_axis
from .readers import AUTO
from .request import MEGA, Estimate, Request
from .storage import IN_MEMORY, Storage
from .volumes import intensity
from .volumes.grid import Grid, Volume, check_region, check_target, target_size

# The last resampling may stretch what the networks give by this much, and shrink it to more than half.
FURTHEST_STRETCH = grids.FURTHEST_STRETCH
# What a network needs at the least beside input and output.
SLAB_BYTES = 100 * 2**20
# A result is the mean of so many models at the most.
MOST_AVERAGED = 4
FLIPS = tuple(product((1, -1), repeat=3))


def check_request(request: Request) -> Card | None:
    """Refuse what no volume could make possible; gives the card of the model that is asked for, if one is."""
    card = None if request.model == AUTOMATIC else zoo.card(request.model)
    check_target(request.scale, request.spacing, request.isotropic)
    if card is not None:
        _check_settings(card, request)
    if request.memory_mb is not None and request.memory_mb <= 0:
        raise RefusalError(f"A memory budget of {request.memory_mb} MB is not possible; give a number above zero.")
    _check_scan(request)
    _check_learning(request)
    return card


def _check_scan(request: Request) -> None:
    """Refuse what no scan can be like."""
    thickness, noise = request.slice_thickness, request.noise
    if thickness is not None and not 0 < thickness < np.inf:
        raise RefusalError(f"A slice thickness of {thickness:g} mm is not possible; give a number above zero.")
    if noise is not None and not 0 <= noise < 100:
        raise RefusalError(
            f"A noise of {noise:g}% of the range of intensities is not possible; give 0 to less than 100."
        )
    if request.profile is not None:
        named_profile(request.profile)


def _check_learning(request: Request) -> None:
    """Refuse times and steps in which nothing can be learned."""
    minutes = request.learn
    if minutes is not None and minutes != AUTO and (isinstance(minutes, str) or not 0 < minutes < np.inf):
        words = minutes if isinstance(minutes, str) else f"{minutes:g}"
        raise RefusalError(f"Learning for {words} minutes is not possible; give a number above zero, or auto.")
    if request.learn_steps is not None and request.learn_steps < 1:
        raise RefusalError(f"Learning in {request.learn_steps} steps is not possible; give at least 1.")
    if request.learn is not None and request.learn_steps is not None:
        raise RefusalError("Give minutes to learn for, or steps, not both.")


def _check_settings(card: Card, request: Request) -> None:
    """Refuse what the model does not take."""
    if card.several:
        raise RefusalError(f"{card.title} improves what several scans were combined to; choose a model for one scan.")
    if not card.learned and (request.uncertainty or request.ensemble):
        raise RefusalError("Interpolations have no uncertainty map and no self-ensemble; choose a learned model.")
    rounds = rounds_of(card, request)
    if not card.least_consistency <= rounds <= MOST_ROUNDS:
        raise RefusalError(
            f"{rounds} consistency rounds are not possible with {card.title}; choose {card.least_consistency} to "
            f"{MOST_ROUNDS}."
        )
    if request.realism is not None:
        _check_realism(card, request.realism)


def check_device(device: str) -> None:
    """Refuse a device that a network cannot run on here."""
    from .streaming.devices import choose_device  # brings torch

    choose_device(device)


def invents_labels(request: Request) -> bool:
    """Whether labels that are upscaled as asked would become others."""
    if request.model == AUTOMATIC and not request.label_map:
        return True  # of what is known to be a label map it would take care
    card = zoo.card("nearest" if request.model == AUTOMATIC else request.model)
    return card.id != "nearest" or rounds_of(card, request) > 0


def rounds_of(card: Card, request: Request) -> int:
    """The rounds of data consistency that a request makes."""
    return card.consistency if request.consistency is None else request.consistency


def scanner_of(grid: Grid, request: Request) -> Scanner:
    """How a scan was taken, as its file and the user say; refuses what cannot be."""
    told = request.scanner.told(grid.spacing, request.slice_thickness, request.profile, request.noise)
    told.check(grid.spacing)
    return told


def steps(card: Card, request: Request, scanner: Scanner, refined: Sequence[bool]) -> bool:
    """Whether a data step makes the result agree with the scan, along the axes (i, j, k) that are refined.

    Rounds that are asked for take its place. Where the profile is known it takes the place of rounds and is made after
    every network, which knows a profile of the training only: measured, that gains 0 to 2 dB. Where it is assumed it
    would lose up to 3.
    """
    if request.consistency is not None:
        return False
    return card.data_step or (card.learned and scanner.told_shape(refined))


def lay_out(grid: Grid, request: Request) -> Layout:
    """The geometry of a request; refuses targets that cannot be reached."""
    card = check_request(request)
    grid.check()
    whole = ((0, grid.size[0]), (0, grid.size[1]), (0, grid.size[2]))
    region = whole if request.region is None else request.region
    check_region(region, grid.size)
    source = grid.cropped(region)
    size = target_size(source, request.scale, request.spacing, request.isotropic)
    # Across a single slice there is nothing to tell apart.
    i, j, k = (1 if n == 1 else m for n, m in zip(grid.size, size))
    size = (i, j, k)
    if card is None:
        card = _automatic(source.size, size, request)
        _check_settings(card, request)
    if card.learned:
        given, wanted = oriented(card, source.size, size)
        check_reach(card, given, wanted)
        factor = grids.sub_voxels(given, wanted) if card.every_grid else None
        card = card if factor is None else card.on(factor)
    scanner = scanner_of(grid, request)
    step = steps(card, request, scanner, [m > n for n, m in zip(source.size, size)])
    rounds = card.least_consistency if step else rounds_of(card, request)
    other = lay_out(grid, _of_other(card, request)) if card.averaged_with else None
    layout = Layout(card, region, source, source.refined(size), scanner, rounds, step, other)
    if request.interval:
        _interval(layout, request, request.modality)
    return layout


def averaged(card: Card) -> list[Card]:
    """A card, and those of the models that its result is averaged with by name; refuses what would have no end."""
    chain = [card]
    while chain[-1].averaged_with not in ("", AUTOMATIC):
        chain.append(zoo.card(chain[-1].averaged_with))
        if len(chain) > MOST_AVERAGED:
            raise RefusalError(
                f"{card.title} is averaged with {card.averaged_with}, and that with others, more than "
                f"{MOST_AVERAGED} in all; name another one in its card."
            )
    return chain


def _of_other(card: Card, request: Request) -> Request:
    """The request for the model that this one's result is averaged with."""
    averaged(card)
    return replace(request, model=card.averaged_with, realism=None, uncertainty=False, ensemble=False, interval=False)


def estimate(grid: Grid, dtype: np.dtype, request: Request) -> Estimate:
    """What a request would give and take, without looking at a voxel; refuses what `upscale` would refuse of it.

    `dtype` is that of the result.
    """
    layout = lay_out(grid, request).on(request.modality)
    card, size = layout.card, layout.grid.size
    voxels, read, floats, kept = int(np.prod(size)), int(np.prod(layout.source.size)), 0, 0
    flips = card.learned and (request.uncertainty or request.ensemble)
    if card.learned:
        natural = read * int(np.prod(card.factor))
        means = [len(stage.views) > 1 or stage.turns > 1 for stage in card.stages]
        several = len(card.stages) > 1 or means[-1]
        floats += natural * (several + (natural != voxels))
        kept += natural * any(means)
    agrees = layout.rounds > 0 or layout.step
    seconds = card.seconds_per_megavoxel * read / MEGA * (len(FLIPS) / card.turns if flips else 1)
    if layout.other is not None:
        other = estimate(grid, dtype, _of_other(card, request))
        floats, seconds = floats + 2 * voxels + other.working_bytes // 4, seconds + other.seconds
        kept += voxels + other.kept_bytes // 4
    if agrees or flips:
        floats += voxels * (1 + 2 * flips + request.uncertainty) + read * agrees
        kept += voxels * (agrees + 2 * request.uncertainty)
    floats += voxels * (request.interval + request.invented) + read * request.invented
    return Estimate(
        size=size,
        spacing=layout.grid.spacing,
        output_bytes=voxels * np.dtype(dtype).itemsize,
        working_bytes=4 * floats + (SLAB_BYTES if card.learned else 0),
        seconds=seconds,
        map_bytes=4 * voxels * len(request.maps),
        kept_bytes=4 * kept,
    )


def result_type(array: np.ndarray, model: str, extremes: tuple[float, float] | None = None) -> np.dtype:
    """The scalar type of what a model makes of a volume, whose lowest and highest value may be known."""
    return array.dtype if model == "nearest" else intensity.output_type(array, extremes)


def prepare(volume: Volume, request: Request, storage: Storage = IN_MEMORY) -> Prepared:
    """Check a request against its volume and the storage that it is computed in, before anything is computed."""
    array, notes = volume.array, []
    if array.ndim != 3 or array.size < 2:
        raise RefusalError("The volume is empty or has a single voxel; choose a volume with at least one slice.")
    if array.dtype.kind not in "biuf":
        raise RefusalError("Only volumes with one real number a voxel can be upscaled; extract one component first.")
    layout = lay_out(volume.grid, request)
    if request.label_map and invents_labels(request):
        raise RefusalError("A label map can only be upscaled with the model nearest; others would invent labels.")
    if request.label_map and request.invented:
        raise RefusalError("Of a label map nothing is invented; leave that map out.")
    if array.dtype.kind == "b":
        array = array.view(np.uint8)
    dtype = result_type(array, layout.card.id)
    storage.check(estimate(volume.grid, dtype, request), request)
    if not all_numbers(array):
        array = filled(array, request.fill_nonfinite, storage.empty)
        notes.append("Values that are not numbers were replaced with the lowest value.")
    if min(volume.grid.size) == 1:
        notes.append("The volume is one slice thick, so it was upscaled in plane only.")
    notes += stored_otherwise(array.dtype, dtype)
    wanted = (min(volume.grid.spacing),) * 3 if request.isotropic else request.spacing
    if wanted is not None and not np.allclose(layout.grid.spacing, wanted, rtol=1e-4):
        mm = " x ".join(f"{s:.4g}" for s in layout.grid.spacing)
        notes.append(f"The spacing was adjusted to {mm} mm so that the field of view stays as it is.")
    modality = intensity.guess_modality(array) if request.modality == "auto" else request.modality
    layout = layout.on(modality)
    found = traits(Volume(array, volume.grid), modality) if layout.card.learned or layout.card.intervals else None
    notes += beyond(layout.card, found) if found is not None else ()
    carrier = intensity.PLAIN if layout.card.id == "nearest" else intensity.carrier_for(array)
    window = intensity.window_for(array, modality)
    scanner = layout.scanner
    if scanner.noise is None and layout.card.id != "nearest":
        scanner = replace(scanner, noise=white_noise(array, modality), noise_told="estimated")
    heard, sigma = scanner, 0.0
    noise = scanner.noise if modality == "CT" and scanner.noise_told == "estimated" else None
    if noise and any(each.card.every_grid for each in layout.chain):
        # Much of what looks like noise is texture there, of lungs and bone, and true.
        across = 2 - slice_axis(volume.grid.spacing)
        heard = replace(scanner, noise=noise * white_part(array, noise, modality, across))
    if any(each.step for each in layout.chain):
        low, high = intensity.percentiles(array)
        sigma = (scanner.noise or 0.0) * (high - low) / carrier.unit
    table, missing = _interval(layout, request, modality, found)
    told = table, missing, tuple(notes)
    return Prepared(layout, array, dtype, modality, window, carrier, scanner, heard, sigma, *told, storage)


def stored_otherwise(given: np.dtype, dtype: np.dtype) -> list[str]:
    """What is said where a result has another scalar type than its scan."""
    if dtype == given:
        return []
    return [f"The result is stored as {dtype.name}, since {given.name} would round or clip it visibly."]


def _interval(
    layout: Layout, request: Request, modality: str, found: Traits | None = None
) -> tuple[IntervalTable | None, str]:
    """The table of intervals that a result can be told by, or why there is none, which a request for one is told."""
    factor = [m / n for n, m in zip(layout.source.size, layout.grid.size)]
    table, missing = intervals.find(layout.card, request, factor, modality, found)
    if table is None and request.interval:
        raise RefusalError(missing)
    return table, missing


def orientation(card: Card, shape: Sequence[int], size: Sequence[int]) -> tuple[int, int, int]:
    """The order of axes in which the card works: its one scaled axis first, where it scales one.

    For a network for every grid, which scales each as it has to, by falling factor.
    """
    if card.every_grid:
        return grids.order(shape, size)
    if not card.through_plane:
        return plan.WHOLE
    scaled = int(np.argmax([m / n for n, m in zip(shape, size)]))
    return (scaled, *(axis for axis in range(3) if axis != scaled))  # type: ignore[return-value]


def oriented(card: Card, size: Sequence[int], target: Sequence[int]) -> tuple[list[int], list[int]]:
    """Two sizes (i, j, k) in the card's own order of axes."""
    order = orientation(card, size[::-1], target[::-1])
    given, wanted = ([sizes[::-1][axis] for axis in order] for sizes in (size, target))
    return given, wanted


def check_reach(card: Card, shape: Sequence[int], size: Sequence[int]) -> None:
    """Refuse targets that would be interpolation more than super-resolution, or would throw detail away."""
    if card.factor == ANY_FACTOR:
        if grids.sub_voxels(shape, size) is None:
            raise RefusalError(_out_of_reach(card))
        return
    natural = plan.natural_shape(card, shape)
    for n, natural_n, target_n in zip(shape, natural, size):
        if n > 1 and not 0.5 * natural_n < target_n <= FURTHEST_STRETCH * natural_n:
            raise RefusalError(_out_of_reach(card))


def _automatic(size: Sequence[int], target: Sequence[int], request: Request) -> Card:
    """The model for whoever has not chosen one; label maps take the only one that invents no labels."""
    if request.label_map:
        return zoo.card("nearest")

    def distance(card: Card) -> float | None:
        if card.averaged_with == AUTOMATIC:  # with what is chosen here
            return None
        given, wanted = oriented(card, size, target)
        try:
            check_reach(card, given, wanted)
        except RefusalError:
            return None
        if card.every_grid:
            return 0.0
        natural = plan.natural_shape(card, given)
        return max(abs(float(np.log(m / n))) for g, n, m in zip(given, natural, wanted) if g > 1)

    # An axis that gets coarser has no detail to gain.
    factors = [max(1.0, m / n) for n, m in zip(size, target)]
    return automatic.choose(distance, request.modality, factors)


def _out_of_reach(card: Card) -> str:
    if card.through_plane:
        s = card.factor[2]
        return (
            f"{card.title} scales one axis by {s} and can be stretched to {FURTHEST_STRETCH * s:g}; choose a target "
            "that refines the slice axis by about that and keeps the others."
        )
    if card.every_grid:
        return (
            f"{card.title} makes voxels up to {grids.FINEST * FURTHEST_STRETCH:g} times finer along each axis; choose "
            "a target within that, or an interpolation."
        )
    return (
        f"{card.title} scales by {card.factor_words}, which can be stretched to {FURTHEST_STRETCH:g} times that; "
        "choose a target near it, a through-plane model for thick slices, or an interpolation."
    )


def _check_realism(card: Card, realism: float) -> None:
    if not card.partner:
        raise RefusalError(
            f"The realism of {card.title} cannot be chosen, as it has no faithful counterpart; leave the realism out."
        )
    if not 0 <= realism <= 1:  # which a NaN is not, either
        raise RefusalError(f"A realism of {realism:g} is not possible; choose 0 (faithful) to 1 (realistic).")
    if realism < 1:
        zoo.partner(card)


# The command line adds the name of its option.
REPLACED = "ask for them to be replaced"


def all_numbers(array: np.ndarray) -> bool:
    """Whether no voxel is NaN or infinite."""
    return array.dtype.kind != "f" or all(bool(np.isfinite(plane).all()) for plane in array)


def filled(array: np.ndarray, allowed: bool, empty: Callable[..., np.ndarray] = np.empty) -> np.ndarray:
    """The lowest value where there is none; refused where that was not asked for, or there is no number at all."""
    counts = [int(np.isfinite(plane).sum()) for plane in array]
    if not any(counts):
        raise RefusalError("The volume holds nothing but values that are not numbers; choose another one.")
    if not allowed:
        raise RefusalError(
            f"The volume holds {array.size - sum(counts)} values that are not numbers; {REPLACED}, or mend the volume."
        )
    lowest = min(plane[np.isfinite(plane)].min() for plane, count in zip(array, counts) if count)
    mended = empty(array.shape, array.dtype)
    for part, plane in zip(mended, array):
        part[...] = np.where(np.isfinite(plane), plane, lowest)
    return mended
