"""What slices that lie turned in a volume see of it, with the exact adjoint.

A slice's voxel at g is read at R g (both from the middle of the volume on). With p the axis across the slices and q and
r in them, R is the product of three maps:

    1 0 0     k u v     1 0
    a 1 0  *  0 1 0  *  0 B
    b 0 1     0 0 1

Seen from the volume, each of its planes p is moved as a whole by p (a, b); then lines along p are seen through the
slice profile, from places that differ by u q + v r from line to line; and B turns every slice in its own plane. The
first two are products with small matrices, and what comes after them are only as many voxels as the slices have. What
lies between voxels is a windowed sinc of them (see lines); outside the volume there are zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Callable, NamedTuple

import numpy as np

from . import separable
from .lines import STILL, TAPS, Move, Pass, columns_moved, is_whole, rows_moved, weights_at

# Planes that are moved one after the other.
PLANES = 16
# A tile's lines along p are seen from places that lie so many voxels apart, and it has so many along q and r at most.
APART, TILE = 1.0, 32
# What is seen from between some nodes is known from what is seen from them, but for this part (root mean square).
ERROR, MOST_NODES = 2e-3, 40
# Voxels of the volume that a block of slices lies over.
BLOCK = 20

# Pixels of slices that moved alone for which it is kept how they see the volume: about 600 bytes each.
KEPT = 1_000_000

# For places on the p axis and its length, what is seen from each: (places, length).
Profile = Callable[[np.ndarray, int], np.ndarray]
# A lattice along an axis: where its voxels lie, from the middle of the volume on.
Places = np.ndarray


class Tile(NamedTuple):
    """Lines along p that are seen from about the same places, `away` voxels from those of the middle."""

    rows: slice
    columns: slice
    away: int


class Block(NamedTuple):
    """What some slices see, from all nodes (nodes * slices, voxels), of the voxels from `first` on."""

    slices: slice
    first: int
    matrix: np.ndarray


class Slices:
    """(T x)(s, q, r): what slices see of a volume of this shape, in its axes' order.

    Their voxels lie at `positions` along each of the turned axes; all coordinates are voxels of the volume in array
    order (k, j, i), and `rotation` is about its middle. Along the axis `across` they are seen through `profile`, which
    reaches so far (None: no further than the volume does), along the others they are points.
    """

    def __init__(
        self,
        rotation: np.ndarray,
        shape: Sequence[int],
        across: int,
        positions: Sequence[np.ndarray],
        profile: Profile,
        reach: float | None,
    ):
        self.order = (across, *(axis for axis in range(3) if axis != across))
        self.shape = tuple(int(shape[a]) for a in self.order)
        middle = (np.asarray(self.shape) - 1) / 2.0
        places = [np.asarray(positions[a], float) - c for a, c in zip(self.order, middle)]
        turn = np.asarray(rotation, float)[np.ix_(self.order, self.order)]
        self.tilt = turn[1:, 0] / turn[0, 0]
        self.tilt[np.abs(self.tilt) * middle[0] <= STILL] = 0.0
        plane = turn[1:, 1:] - np.outer(self.tilt, turn[0, 1:])
        content = middle[1:] + np.abs(self.tilt) * middle[0] + TAPS // 2 * (self.tilt != 0)
        self.passes, lattices = _passes(plane, middle[1:], content, places[1:])
        # The first row and column of the lines that are seen, counted from the volume's, and how many there are.
        self.first = [int(np.rint(p[0] + c)) for p, c in zip(lattices, middle[1:])]
        self.sizes = [len(p) for p in lattices]
        self.profile, self.reach = profile, reach
        # Whether the profile may be placed anywhere; one with corners is moved like what it sees.
        self.smooth = True
        self.centers = middle[0] + turn[0, 0] * places[0]
        slopes = turn[0, 1:] @ np.linalg.inv(plane)
        self.tiles, away = _tiles(slopes, lattices)
        self.nodes, self.basis = self._nodes(away)
        self.blocks = self._blocks()

    def apply(self, array: np.ndarray) -> np.ndarray:
        """T x, float32."""
        values = self._look(self._moved(array.transpose(self.order)))
        for one in self.passes:
            values = one.apply(values)
        return np.ascontiguousarray(values.transpose(np.argsort(self.order)))

    def adjoint(self, values: np.ndarray) -> np.ndarray:
        """T' y, on the grid of x."""
        values = np.ascontiguousarray(values.transpose(self.order))
        for one in self.passes[::-1]:
            values = one.adjoint(values)
        back = np.argsort(self.order)
        moved = self._look_back(values)
        if self._stays():
            return np.ascontiguousarray(moved.transpose(back))
        result = np.empty([self.shape[n] for n in back], np.float32)
        self._each_plane(moved, result.transpose(self.order), True)
        return result

    def matrix(self) -> np.ndarray:
        """What the slices see of the line through the middle of the volume."""
        return self._seen(self.centers, 0.0)

    def straight(self) -> bool:
        """Whether every voxel of the slices lies on one of the volume's lines along p, and every line has one."""
        return self._stays() and not self.passes and self.basis is None

    def _stays(self) -> bool:
        return not self.tilt.any() and self.first == [0, 0] and self.sizes == list(self.shape[1:])

    def _moved(self, planes: np.ndarray) -> np.ndarray:
        """Every plane moved within itself, as far as it is seen."""
        if self._stays():
            return planes
        result = np.empty((self.shape[0], *self.sizes), np.float32)
        self._each_plane(planes, result, False)
        return result

    def _each_plane(self, source: np.ndarray, target: np.ndarray, back: bool) -> None:
        def some(start: int) -> None:
            # Some at a time, as those along the last axis lie between each other.
            given = np.ascontiguousarray(source[start : start + PLANES], np.float32)
            done = np.empty((len(given), *target.shape[1:]), np.float32)
            for n, plane in enumerate(given):
                rows, columns = (self._move(axis, start + n, back) for axis in range(2))
                done[n] = columns_moved(rows_moved(plane, rows, done.shape[1]), columns, done.shape[2])
            target[start : start + PLANES] = done

        separable.for_all(some, range(0, self.shape[0], PLANES))

    def _move(self, axis: int, plane: int, back: bool) -> Move:
        """What happens to one plane along q or r."""
        tilt, low = self.tilt[axis], self.first[axis]
        if not tilt:
            return -low if back else low, None
        place = tilt * (plane - (self.shape[0] - 1) / 2.0)
        whole = int(np.floor(place))
        weights = weights_at(np.array(place - whole))
        first = low + whole - (TAPS // 2 - 1)
        return (-first - (TAPS - 1), weights[::-1]) if back else (first, weights)

    def _look(self, moved: np.ndarray) -> np.ndarray:
        """Lines along p through the profile: (slices, q, r)."""
        length = self.shape[0]
        result = np.zeros((len(self.centers), *moved.shape[1:]), np.float32)

        def one(tile: Tile) -> None:
            lines = np.ascontiguousarray(moved[:, tile.rows, tile.columns], np.float32).reshape(length, -1)
            for slices, voxels, matrix, basis in self._parts(tile):
                seen = _product(matrix, lines[voxels])
                if basis is not None:
                    seen = seen.reshape(len(self.nodes), -1, seen.shape[1])
                    seen *= basis
                    seen = seen.sum(axis=0)
                part = result[slices, tile.rows, tile.columns]
                part[...] = seen.reshape(part.shape)

        separable.for_all(one, self.tiles)
        return result

    def _look_back(self, values: np.ndarray) -> np.ndarray:
        length = self.shape[0]
        result = np.empty((length, *values.shape[1:]), np.float32)

        def one(tile: Tile) -> None:
            part = result[:, tile.rows, tile.columns]
            lines = np.zeros((length, part[0].size), np.float32)
            for slices, voxels, matrix, basis in self._parts(tile):
                given = np.ascontiguousarray(values[slices, tile.rows, tile.columns]).reshape(-1, lines.shape[1])
                if basis is not None:
                    given = (given * basis).reshape(-1, lines.shape[1])
                lines[voxels] += _product(matrix.T, given)
            part[...] = lines.reshape(part.shape)

        separable.for_all(one, self.tiles)
        return result

    def _parts(self, tile: Tile) -> Iterator[tuple[slice, slice, np.ndarray, np.ndarray | None]]:
        """For blocks of slices: which, the voxels of a tile's lines, what they see of them, and the nodes' weights."""
        basis = None
        if self.basis is not None:
            basis = self.basis[:, tile.rows, tile.columns].reshape(len(self.nodes), 1, -1)
        for block in self.blocks:
            first = block.first + tile.away
            low, high = max(0, first), min(self.shape[0], first + block.matrix.shape[1])
            if low < high:
                yield block.slices, slice(low, high), block.matrix[:, low - first : high - first], basis

    def _seen(self, centers: np.ndarray, away: float, longer: int = 0) -> np.ndarray:
        """What is seen from places `away` from these, on an axis longer at both ends: (places, length + 2 longer)."""
        if self.reach is None:
            return self.profile(centers, self.shape[0]).astype(np.float32)
        # Rows are complete, so that what is seen beyond the volume is not put into it.
        outside = max(0.0, -centers.min(), centers.max() - self.shape[0])
        beyond = int(np.ceil(outside + self.reach + abs(away))) + TAPS + longer
        length = self.shape[0] + 2 * beyond
        if self.smooth:
            rows = self.profile(centers + beyond + away, length)
        else:
            rows = self.profile(centers + beyond, length)
            whole = int(np.floor(away))
            weights = enumerate(weights_at(np.array(away - whole)), whole - (TAPS // 2 - 1))
            rows = np.sum([w * np.roll(rows, n, axis=1) for n, w in weights if w], axis=0)
        return rows[:, beyond - longer : beyond + self.shape[0] + longer].astype(np.float32)

    def _nodes(self, away: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Places from which what is seen from all others can be told, and by which weights (nodes, q, r)."""
        most = float(np.abs(away).max())
        if most <= STILL:
            return np.zeros(1), None
        middle = len(self.centers) // 2
        some = self.centers[middle : middle + 2]
        for count in range(3, MOST_NODES):
            nodes = most * np.cos(np.pi * (np.arange(count) + 0.5) / count)
            trial = most * np.cos(np.pi * np.arange(1, count) / count)
            weights = _lagrange(nodes, trial)
            for self.smooth in (True, False):
                seen, real = (np.stack([self._seen(some, t, TAPS) for t in ts]) for ts in (nodes, trial))
                error = np.tensordot(weights, seen, ((0,), (0,))) - real
                if np.square(error).mean() <= ERROR**2 * np.square(real).mean():
                    return nodes, _lagrange(nodes, away).astype(np.float32)
        return nodes, _lagrange(nodes, away).astype(np.float32)

    def _blocks(self) -> list[Block]:
        longer = max(abs(tile.away) for tile in self.tiles)
        seen = np.stack([self._seen(self.centers, node, longer) for node in self.nodes])
        count = len(self.centers)
        step = (self.centers[-1] - self.centers[0]) / max(count - 1, 1)
        many = max(1, round(BLOCK / max(step, 1.0)))
        blocks = []
        for start in range(0, count, many):
            part = slice(start, min(count, start + many))
            used = separable.band(seen[:, part].reshape(-1, seen.shape[2]))
            matrix = np.ascontiguousarray(seen[:, part, used])
            blocks.append(Block(part, used.start - longer, matrix.reshape(-1, matrix.shape[2])))
        return blocks


class Moved(NamedTuple):
    """One slice that lies elsewhere: its number, the part of the volume that it sees, and how it sees that."""

    number: int
    region: tuple[slice, slice, slice]
    pixels: int
    make: Callable[[], Slices]


class Moving:
    """Slices of one scan of which some lie elsewhere than most: `still` are the numbers of those that do not.

    Those that moved see a part of the volume, each its own; how is made when it is needed, and kept where they are few.
    """

    def __init__(
        self,
        across: int,
        shape: Sequence[int],
        count: int,
        still: np.ndarray,
        common: Slices | None,
        moved: Sequence[Moved],
    ):
        self.across, self.shape, self.count = across, tuple(int(n) for n in shape), count
        self.still, self.common, self.moved = still, common, list(moved)
        self.keeps = sum(one.pixels for one in moved) <= KEPT
        self.kept: dict[int, Slices] = {}

    def _alone(self) -> Iterator[tuple[int, tuple[slice, slice, slice], Slices]]:
        for one in self.moved:
            slices = self.kept.get(one.number) or one.make()
            if self.keeps:
                self.kept[one.number] = slices
            yield one.number, one.region, slices

    def apply(self, array: np.ndarray) -> np.ndarray:
        """T x, float32."""
        seen: list[np.ndarray] = [np.empty(0)] * self.count
        if self.common is not None:
            for n, values in zip(self.still, np.moveaxis(self.common.apply(array), self.across, 0)):
                seen[n] = values
        for n, region, slices in self._alone():
            seen[n] = np.moveaxis(slices.apply(array[region]), self.across, 0)[0]
        return np.stack(seen, axis=self.across)

    def adjoint(self, values: np.ndarray) -> np.ndarray:
        """T' y, on the grid of x."""
        if self.common is None:
            result = np.zeros(self.shape, np.float32)
        else:
            result = self.common.adjoint(np.take(values, self.still, axis=self.across))
        for n, region, slices in self._alone():
            result[region] += slices.adjoint(np.take(values, [n], axis=self.across))
        return result

    def matrix(self) -> np.ndarray:
        """What the slices see of lines across them through the middle of what each of them sees."""
        result = np.zeros((self.count, self.shape[self.across]), np.float32)
        if self.common is not None:
            result[self.still] = self.common.matrix()
        for n, region, slices in self._alone():
            result[n, region[self.across]] = slices.matrix()
        return result

    def straight(self) -> bool:
        return False


def _passes(
    plane: np.ndarray, middle: np.ndarray, content: np.ndarray, places: Sequence[Places]
) -> tuple[list[Pass], list[Places]]:
    """A map of slices in their planes, (q, r), as a pass along r and one along q, and the lattice that the first reads.

    `content` is how far from the middle there is something, `places` where the slices' voxels lie.
    """
    # q = scale * place + slope * (place on r), and then r = along * q + stretch * place.
    scale, slope = plane[0]
    along, stretch = plane[1, 0] / scale, float(np.linalg.det(plane)) / scale
    read_q = scale * places[0][:, None] + slope * places[1][None, :]
    rows = _lattice(read_q, middle[0], content[0])
    read_r = along * rows[:, None] + stretch * places[1][None, :]
    columns = _lattice(read_r, middle[1], content[1])
    first = Pass(1, read_r - columns[0], (len(rows), len(columns)))
    second = Pass(0, read_q - rows[0], (len(rows), len(places[1])))
    return [one for one in (first, second) if not one.nothing], [rows, columns]


def _lattice(read: np.ndarray, middle: float, content: float) -> Places:
    """The voxels of an axis that are read, as far as there is something."""
    beyond = 0 if is_whole(read + middle) else TAPS // 2
    low, high = np.rint(read.min() + middle) - beyond, np.rint(read.max() + middle) + beyond
    places = np.arange(low, high + 1) - middle
    inside = places[np.abs(places) <= content + STILL]
    return inside if len(inside) else places[:1]


def _tiles(slopes: np.ndarray, lattices: Sequence[Places]) -> tuple[list[Tile], np.ndarray]:
    """Tiles of lines along p, and how much further than its tile (q, r) each is seen from."""
    edges = []
    for slope, places in zip(slopes, lattices):
        size = int(np.clip(APART / max(abs(slope), 1e-9), 4, TILE))
        edges.append(np.linspace(0, len(places), max(1, round(len(places) / size)) + 1).astype(int))
    away = slopes[0] * lattices[0][:, None] + slopes[1] * lattices[1][None, :]
    tiles = []
    for top, bottom in zip(edges[0], edges[0][1:]):
        for left, right in zip(edges[1], edges[1][1:]):
            part = away[top:bottom, left:right]
            whole = int(np.rint((part.min() + part.max()) / 2))
            part -= whole
            tiles.append(Tile(slice(top, bottom), slice(left, right), whole))
    return tiles, away


def _lagrange(nodes: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The weights of values at nodes for those at places: (nodes, ...)."""
    result = np.ones((len(nodes), *places.shape))
    for n, node in enumerate(nodes):
        for other in np.delete(nodes, n):
            result[n] *= (places - other) / (node - other)
    return result


def _product(matrix: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Their product, in pieces that BLAS does in one thread."""
    result = np.empty((len(matrix), columns.shape[1]), np.float32)
    for some in separable.pieces(columns.shape[1], matrix.size):
        np.matmul(matrix, columns[:, some], out=result[:, some])
    return result
