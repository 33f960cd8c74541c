"""How a card's stages are applied to a volume: views, orders of axes, averaging, self-ensemble, last resampling.

Arrays are in (k, j, i) order. Everything is read from the scan in pieces and in network units, and handed over in
pieces in the scan's units, so that nothing is held that the plan does not need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from ..callbacks import Block, Convert, ReadBlock, Way, WriteBlock
from ..errors import RefusalError
from ..physics import interpolation, separable
from ..volumes.intensity import Conversion, Window
from .card import ANY_FACTOR
from .work import Run, converting

if TYPE_CHECKING:
    from ..networks import Network
    from ..streaming import inference
    from .card import Card, Stage

Shape = tuple[int, int, int]

# The order of axes in which a network sees the slices of each view: the one across, then rows and columns. Views that
# contain the through-plane axis k have it last, where the depth networks scale.
VIEW_ORDERS = {"k": (0, 1, 2), "j": (1, 2, 0), "i": (2, 1, 0)}
WHOLE = (0, 1, 2)
# The volume as it is, and half a circle about each axis: the errors of a 3D network differ and average out.
FORWARD = (1, 1, 1)
TURNS = (FORWARD, (1, -1, -1), (-1, 1, -1), (-1, -1, 1))
# The order of axes in which a pass sees a volume, and the direction of each of the volume's own.
Aspect = tuple[Shape, Shape]
AS_IT_IS: Aspect = (WHOLE, FORWARD)
ENSEMBLE_SLICES = 16


def natural_shape(card: Card, shape: Sequence[int]) -> Shape:
    """The shape (k, j, i) that the card's networks give before any last resampling."""
    return tuple(n * f for n, f in zip(shape, card.factor[::-1]))  # type: ignore[return-value]


def check_fit(card: Card, networks: Sequence[Network]) -> None:
    """Refuse networks that do not give, one after the other, what the card says of them."""
    if card.factor == ANY_FACTOR:
        return  # that is said for a target
    reached = natural_shape(card, (1, 1, 1)) if networks[0].on_interpolated else (1, 1, 1)
    for stage, network in zip(card.stages, networks):
        if bool(stage.views) != (network.dimensions == 2):
            raise RefusalError(
                f"{stage.network} works in {network.dimensions} dimensions; mend the views of its stage."
            )
        shapes = {_stage_shape(replace(stage, views=(view,)), network, reached) for view in stage.views}
        if len(shapes) > 1:
            raise RefusalError(f"the views of {stage.network} scale different axes; mend the views of its stage.")
        reached = shapes.pop() if shapes else _stage_shape(stage, network, reached)
    if reached != natural_shape(card, (1, 1, 1)):
        words = " x ".join(map(str, reached[::-1]))
        raise RefusalError(f"together they scale by {words}; mend the factor of the card or of its stages.")


def reach(card: Card, networks: Sequence[Network], factors: Sequence[float], streams: inference.Streams) -> Shape:
    """How many voxels of the scan around it a result depends on along each axis, for factors along them.

    Derived from the networks, which are made ready for that; all in the card's own order of axes (k, j, i).
    """
    natural = natural_shape(card, (1, 1, 1))
    need = [interpolation.reach("lanczos", f / n) for f, n in zip(factors, natural)]
    for stage, network in zip(reversed(card.stages), reversed(networks)):
        scaled = _stage_shape(stage, network, (1, 1, 1))
        need = [-(-n // f) + h for n, f, h in zip(need, scaled, _stage_reach(stage, network, streams))]
    if networks[0].on_interpolated:
        need = [-(-n // f) + interpolation.reach("lanczos", f) for n, f in zip(need, natural)]
    return tuple(need)  # type: ignore[return-value]


def _stage_reach(stage: Stage, network: Network, streams: inference.Streams) -> list[int]:
    from ..streaming import inference, windows
    from ..streaming.build import UnstreamableError

    try:
        halo = inference.halo(network, streams)
    except UnstreamableError:  # there is no halo that would be enough: one as wide as windows overlap
        halo = (0 if network.dimensions == 2 else windows.WIDEST_OVERLAP, *(windows.WIDEST_OVERLAP,) * 2)
    found = [0, 0, 0]
    for view in stage.views or ("",):
        for axis, n in zip(VIEW_ORDERS.get(view, WHOLE), halo):
            found[axis] = max(found[axis], n)
    return found


def count_passes(card: Card) -> int:
    """How many times networks go over the volume."""
    return sum(len(_ways(stage)) for stage in card.stages)


def run(
    array: np.ndarray,
    conversion: Conversion,
    card: Card,
    networks: Sequence[Network],
    size: Sequence[int],
    write: WriteBlock,
    work: Run,
    ensemble: bool = False,
    fit: interpolation.Fit | None = None,
) -> None:
    """Every stage in turn on an array (k, j, i), the result handed to `write` as the conversion makes it.

    Its window is that in which the networks see the scan. With `ensemble`, the slice-wise stages average (or take the
    median of) their flips and rotations.
    """
    natural = natural_shape(card, array.shape)
    held = None if natural == tuple(size) and fit is None else work.empty(natural, np.float32)
    assert conversion.window is not None
    read, shape = _scan(array, conversion.window, networks[0], natural)
    for stage, network in zip(card.stages, networks):
        out_shape = _stage_shape(stage, network, shape)
        between = held if network is networks[-1] else work.empty(out_shape, np.float32)
        given = stage, network, read, shape
        reduction = card.ensemble if ensemble else ""
        if between is None:
            _apply_stage(*given, write, work, reduction, conversion)
        else:
            _apply_stage(*given, between.__setitem__, work, reduction)
            read, shape = between.__getitem__, out_shape
    if held is not None:
        finer = fit and fit.of_finer(natural_shape(card, (1, 1, 1)))
        work.resample(held, interpolation.matrices(natural, size, "lanczos", finer), write, convert=conversion)


def _scan(array: np.ndarray, window: Window, network: Network, natural: Shape) -> tuple[ReadBlock, Shape]:
    """What the first network reads: the scan in network units, interpolated first where the network wants it."""
    if not network.on_interpolated:
        return lambda region: window.to_network(np.ascontiguousarray(array[region])), array.shape
    return _Interpolated(array, interpolation.matrices(array.shape, natural, "lanczos"), window), natural


class _Interpolated:
    """What a network reads of an interpolated scan: made by numpy, or where the network runs (callbacks.ReadThere)."""

    def __init__(self, array: np.ndarray, matrices: separable.Matrices, window: Window):
        self.array, self.matrices, self.window = array, matrices, window
        self.kept: dict[Any, Any] = {}

    def __call__(self, region: Block) -> np.ndarray:
        return self.window.to_network(separable.block(self.array, self.matrices, region))

    def there(self, place: Way, region: Block) -> Any:
        """The same, as an array of that place."""
        return self.window.to_network(separable.block_there(place, self.array, self.matrices, region, self.kept))


def _stage_shape(stage: Stage, network: Network, shape: Shape) -> Shape:
    result = list(shape)
    order = VIEW_ORDERS[stage.views[0]] if stage.views else WHOLE
    for axis, factor in zip(order[-len(network.factor) :], network.factor):
        result[axis] *= factor
    return tuple(result)  # type: ignore[return-value]


def _apply_stage(
    stage: Stage,
    network: Network,
    read: ReadBlock,
    shape: Shape,
    write: WriteBlock,
    work: Run,
    reduction: str,
    convert: Convert | None = None,
) -> None:
    """One network over the volume; with several views or turns, their mean. What is written is converted."""
    ways, out_shape = _ways(stage), _stage_shape(stage, network, shape)
    total = work.empty(out_shape, np.float32) if len(ways) > 1 else None
    before: np.ndarray | None = None

    def add(region: Block, values: np.ndarray) -> None:
        assert total is not None
        part = values * np.float32(1 / len(ways))
        total[region] = part if before is None else before[region] + part

    slicewise = bool(reduction and stage.views)
    for number, way in enumerate(ways):
        if total is not None and number:
            before, total = total, work.another(total)
        alone = total is None and not slicewise  # so that it is converted where it is computed
        sink = add if total is not None else write if alone else converting(write, convert)
        view_read, view_write = _turned(read, sink, way, shape, out_shape)
        k, j, i = way[0]
        view_shape = (shape[k], shape[j], shape[i])
        if slicewise:
            _apply_ensemble(network, view_read, view_shape, view_write, work, reduction)
        else:
            work.apply(network, view_read, view_shape, view_write, convert=convert if alone else None)
    if total is not None:
        work.resample(total, (None, None, None), write, convert=convert)


def _ways(stage: Stage) -> list[Aspect]:
    """How each pass of a stage's network sees the volume."""
    if stage.views:
        return [(VIEW_ORDERS[view], FORWARD) for view in stage.views]
    return [(WHOLE, steps) for steps in TURNS[: stage.turns]]


def _turned(
    read: ReadBlock, write: WriteBlock, way: Aspect, shape: Shape, out_shape: Shape
) -> tuple[ReadBlock, WriteBlock]:
    """Reading and writing volumes of these shapes with the axes in another order, or the other way round."""
    if way == AS_IT_IS:
        return read, write
    order, steps = way
    back, turn = np.argsort(order), tuple(slice(None, None, step) for step in steps)

    def original(region: Block, lengths: Shape) -> Block:
        parts = zip((region[axis] for axis in back), steps, lengths)
        return tuple(part if step > 0 else _mirrored(part, n) for part, step, n in parts)  # type: ignore[return-value]

    def turned_read(region: Block) -> np.ndarray:
        return np.ascontiguousarray(read(original(region, shape))[turn].transpose(order))

    def turned_write(region: Block, values: np.ndarray) -> None:
        write(original(region, out_shape), values.transpose(back)[turn])

    return turned_read, turned_write


def _mirrored(part: slice, length: int) -> slice:
    start, stop, _ = part.indices(length)
    return slice(length - stop, length - start)


def _apply_ensemble(
    network: Network, read: ReadBlock, shape: Shape, write: WriteBlock, work: Run, reduction: str
) -> None:
    """A 2D network over the flips (and, where rows and columns scale alike, the rotations) of every slice."""
    swaps = (False, True) if network.factor[0] == network.factor[1] else (False,)
    turns = list(product((1, -1), (1, -1), swaps))
    out = tuple(n * f for n, f in zip(shape[1:], network.factor))

    def run_some(start: int, stop: int) -> None:
        slices = read((slice(start, stop), slice(0, shape[1]), slice(0, shape[2])))
        results = np.empty((len(turns), stop - start, *out), np.float32)
        for result, (rows, columns, swap) in zip(results, turns):
            turned, target = slices[:, ::rows, ::columns], result[:, ::rows, ::columns]
            if swap:
                turned, target = turned.swapaxes(1, 2), target.swapaxes(1, 2)
            given = network, np.ascontiguousarray(turned).__getitem__, turned.shape, target.__setitem__
            work.apply(*given, (stop - start) / shape[0] / len(turns), alone=False)
        reduced = np.median(results, axis=0) if reduction == "median" else results.mean(axis=0)
        write((slice(start, stop), slice(0, out[0]), slice(0, out[1])), reduced)

    with work.begin() as kept:
        if kept.done:
            work.pass_done(kept.state)
            return
        first = kept.state.get("written", 0)
        work.finished += first / shape[0]
        for start in range(first, shape[0], ENSEMBLE_SLICES):
            stop = min(start + ENSEMBLE_SLICES, shape[0])
            run_some(start, stop)
            kept.reached(partial(dict, written=stop, planes=shape[0]))
        kept.tell(asdict(work.accounts[-1]))
