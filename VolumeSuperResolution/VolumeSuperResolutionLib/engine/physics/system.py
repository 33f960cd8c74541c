"""Several scans of one thing as one linear system, and the volume that explains them all.

Scan k is y_k = A_k T_k x + noise (see stacks). With tau_k = 1 / sigma_k^2, slices weighted by W_k and D the differences
between neighbors (D2 those of differences), the volume is

    argmin sum_k tau_k |A_k T_k x - y_k|^2_Wk + smoothness |D x|^2 + bending |D2 x|^2.

Where no scan is turned and each is coarse along one axis, the normal matrix is a Kronecker sum, M0 + M1 + M2 with one
small matrix an axis: x = V [Vt b / (l0[k] + l1[j] + l2[i])] in closed form. In every other case it is solved by
conjugate gradients, and the same inverse of every small box of the grid is their preconditioner.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import comb
from typing import NamedTuple

import numpy as np

from ..callbacks import Cancel, Progress, end_if
from . import separable
from .stacks import Stack

# Of the preconditioner, relative to its largest entry, as it would weigh wrongly what turned stacks hardly see; and of
# the closed form.
FLOOR, LEAST = 0.15, 1e-6
# The boxes that it is made of: what a voxel is depends little on those further away.
BOX = 32
# A bend is an edge from so many times the size on that a difference is one.
BEND = 1.5
ITERATIONS = 6
TOLERANCE = 2e-3


class Part(NamedTuple):
    """Some voxels of an axis, with eigenvalues and vectors of their part of its matrix in the Kronecker sum."""

    voxels: slice
    powers: np.ndarray
    vectors: np.ndarray


class System:
    """The normal equations of several stacks on a fine grid of this shape (k, j, i)."""

    def __init__(self, stacks: Sequence[Stack], shape: Sequence[int], smoothness: float, bending: float = 0.0):
        self.stacks, self.shape = list(stacks), tuple(shape)
        self.costs = [smoothness, bending] if bending else [smoothness]
        self._edges: tuple[np.ndarray, float] | None = None
        self.exact = all(s.only_slices() for s in self.stacks)
        self.boxes = [_decomposed(m, BOX) for m in self._axes(FLOOR)]

    def solve(
        self,
        start: np.ndarray | None = None,
        prior: np.ndarray | None = None,
        iterations: int = ITERATIONS,
        tolerance: float = TOLERANCE,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        left: Sequence[np.ndarray] | None = None,
    ) -> np.ndarray:
        """The volume by conjugate gradients; float32. Its differences are to be those of `prior`.

        With a start, `left` is what of each stack's values that does not explain, if it is known, and the tolerance is
        in parts of the first residual; without one, of what the stacks say.
        """
        if start is None:
            wanted = self._said([stack.values for stack in self.stacks], prior)
            x, scale = self._first(wanted), _dot(wanted, wanted)
            residual = wanted
            residual -= self.normal(x)
        else:
            x = start.astype(np.float32)
            left = left or [stack.values - stack.see(x) for stack in self.stacks]
            residual = self._said(left, -x if prior is None else prior - x)
            scale = _dot(residual, residual)
        direction, old = None, 0.0
        for done in range(iterations):
            end_if(cancel)
            if progress is not None:
                progress(done + 1, iterations)
            if _dot(residual, residual) <= tolerance**2 * scale:
                break
            step = self.precondition(residual)
            new = _dot(residual, step)
            if direction is None:
                direction = step
            else:
                direction *= np.float32(new / old)
                direction += step
            old = new
            image = self.normal(direction)
            length = np.float32(new / _dot(direction, image))
            image *= length
            residual -= image
            np.multiply(direction, length, out=image)
            x += image
        return x

    def _said(self, values: Sequence[np.ndarray], prior: np.ndarray | None) -> np.ndarray:
        """The right side of the normal equations, where stacks have these values."""
        result = np.zeros(self.shape, np.float32)
        for stack, given in zip(self.stacks, values):
            result += stack.back(stack.weighted(given.copy()))
        if prior is not None:
            self._add_smoothness(prior, result)
        return result

    def keep_edges(self, x: np.ndarray, size: float) -> None:
        """From now on differences cost the less, the larger they are in x: half as much at about twice this size.

        That is one step toward the volume whose differences cost in proportion to them, not to their squares.
        """
        self._edges = x, size

    def _first(self, wanted: np.ndarray) -> np.ndarray:
        """Where to start: the solution where it has a closed form, else the mean of what all stacks say."""
        if self.exact:
            return _inverse(wanted, [_decomposed(m, len(m)) for m in self._axes(LEAST)])
        weight = np.zeros(self.shape, np.float32)
        for stack in self.stacks:
            weight += stack.back(stack.weighted(np.ones(stack.values.shape, np.float32)))
        return wanted / np.maximum(weight, FLOOR * weight.max())

    def normal(self, x: np.ndarray) -> np.ndarray:
        """The normal matrix times x."""
        result = np.zeros(self.shape, np.float32)
        for stack in self.stacks:
            result += stack.back(stack.weighted(stack.see(x)))
        self._add_smoothness(x, result)
        return result

    def precondition(self, x: np.ndarray) -> np.ndarray:
        """The inverse of the Kronecker sum times x, of each box as if there were no others."""
        return _inverse(x, self.boxes)

    def _axes(self, floor: float) -> list[np.ndarray]:
        """The three matrices of the Kronecker sum: what every stack's slices see, as if none were turned.

        No eigenvalue is less than the largest entry times `floor`.
        """
        result = []
        for n in self.shape:
            differences = [np.diff(np.eye(n), order, axis=0) for order in range(1, len(self.costs) + 1)]
            result.append(np.sum([cost * d.T @ d for cost, d in zip(self.costs, differences)], axis=0))
        for stack in self.stacks:
            axis = stack.slice_axis
            matrix = stack.slices.matrix()
            weight = stack.tau * float(stack.seen.mean())
            result[axis] += matrix.T @ (matrix * (weight * stack.slice_weights)[:, None])
        floor *= max(float(np.abs(m).max()) for m in result)
        result[0] += floor * np.eye(self.shape[0])
        return result

    def _add_smoothness(self, x: np.ndarray, result: np.ndarray) -> None:
        """smoothness D'E D x + bending D2'E2 D2 x, added to what is there; E is 1 where no edges are to be kept."""

        def one(k: int) -> None:
            for order, cost in enumerate(self.costs, start=1):
                signs = [np.float32((-1) ** (order - n) * comb(order, n)) for n in range(order + 1)]
                for first in range(max(0, k - order), min(len(x) - order - 1, k) + 1):
                    change = self._change(x, [(first + n,) for n in range(order + 1)], cost)
                    change *= signs[k - first]
                    result[k] += change
                for axis in (0, 1):
                    places = _neighbors(k, axis, order)
                    change = self._change(x, places, cost)
                    for sign, place in zip(signs, places):
                        result[place] += sign * change

        separable.for_all(one, range(len(x)))

    def _change(self, x: np.ndarray, places: Sequence[tuple], cost: float) -> np.ndarray:
        """What it costs more if the difference of two parts of a volume grows, or that between two such differences."""
        change = _difference(x, places)
        change *= np.float32(cost)
        if self._edges is not None:
            edge = _difference(self._edges[0], places)
            edge *= np.float32(1 / (self._edges[1] * BEND ** (len(places) - 2)))
            np.square(edge, out=edge)
            edge += np.float32(1)
            change /= np.sqrt(edge, out=edge)
        return change


def _difference(x: np.ndarray, places: Sequence[tuple]) -> np.ndarray:
    parts = [x[place] for place in places]
    while len(parts) > 1:
        parts = [b - a for a, b in zip(parts, parts[1:])]
    return parts[0]


def _neighbors(k: int, axis: int, order: int) -> list[tuple[int, slice, slice]]:
    """Where the first of every neighbors along an axis of a plane are, the second, and so on."""
    parts = [slice(n, n - order or None) for n in range(order + 1)]
    return [(k, part, slice(None)) if axis == 0 else (k, slice(None), part) for part in parts]


def _decomposed(matrix: np.ndarray, longest: int) -> list[Part]:
    """Parts of an axis no longer than that."""
    edges = np.linspace(0, len(matrix), -(-len(matrix) // longest) + 1).astype(int)
    parts = [slice(int(a), int(b)) for a, b in zip(edges, edges[1:])]
    return [Part(part, *(v.astype(np.float32) for v in np.linalg.eigh(matrix[part, part]))) for part in parts]


def _inverse(x: np.ndarray, axes: Sequence[Sequence[Part]]) -> np.ndarray:
    """The inverse of the Kronecker sum times x, box by box."""
    result = np.empty(x.shape, np.float32)

    def one(box: tuple[Part, Part, Part]) -> None:
        where = tuple(part.voxels for part in box)
        values = _along_each(x[where], [part.vectors.T for part in box])
        values /= box[0].powers[:, None, None] + np.add.outer(box[1].powers, box[2].powers)
        result[where] = _along_each(values, [part.vectors for part in box])

    separable.for_all(one, list(product(*axes)))
    return result


def _along_each(values: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
    """A matrix along each of the three axes, by products of planes."""
    count = len(values)
    values = np.matmul(matrices[0], values.reshape(count, -1)).reshape(values.shape)
    return np.matmul(np.matmul(matrices[1], values), matrices[2].T)


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(sum(float(np.vdot(p, q)) for p, q in zip(a, b)))
