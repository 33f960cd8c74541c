"""Voxels stay where they are in space, whatever the grid."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, check_region, target_size

sizes = st.tuples(*[st.integers(1, 40)] * 3)
spacings = st.tuples(*[st.floats(0.05, 8)] * 3)
origins = st.tuples(*[st.floats(-500, 500)] * 3)
angles = st.tuples(*[st.floats(-3.1, 3.1)] * 3)
signs = st.tuples(*[st.sampled_from((1.0, -1.0))] * 3)


@st.composite
def grids(draw):
    """Any rectangular grid: oblique, flipped, left-handed."""
    a, b, c = draw(angles)
    turns = [
        [[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]],
        [[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]],
        [[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]],
    ]
    direction = np.linalg.multi_dot([np.array(t, float) for t in turns]) * np.array(draw(signs))
    return Grid(draw(sizes), draw(spacings), draw(origins), tuple(direction.ravel()))


def corners(grid):
    """The outer corners of the corner voxels."""
    return np.array([grid.to_physical(c) for c in itertools.product(*[(-0.5, n - 0.5) for n in grid.size])])


@given(grids(), sizes)
def test_refining_keeps_corners(grid, size):
    assert np.allclose(corners(grid.refined(size)), corners(grid), rtol=0, atol=1e-6)


@given(grids(), sizes, st.tuples(*[st.floats(0, 1)] * 3))
def test_refining_keeps_landmarks(grid, size, part):
    refined = grid.refined(size)
    before = [p * n - 0.5 for p, n in zip(part, grid.size)]
    after = [p * n - 0.5 for p, n in zip(part, size)]
    assert np.allclose(refined.to_physical(after), grid.to_physical(before), rtol=0, atol=1e-6)


@given(grids(), st.data())
def test_cropping_keeps_voxels(grid, data):
    starts = [data.draw(st.integers(0, n - 1)) for n in grid.size]
    part = grid.cropped(tuple((s, n) for s, n in zip(starts, grid.size)))
    assert np.allclose(part.to_physical((0, 0, 0)), grid.to_physical(starts), rtol=0, atol=1e-6)
    assert part.size == tuple(n - s for s, n in zip(starts, grid.size))


def test_targets():
    grid = Grid((100, 100, 20), (0.5, 0.5, 2.5))
    assert target_size(grid, scale=(2, 2, 2)) == (200, 200, 40)
    assert target_size(grid, scale=(1, 1, 2.5)) == (100, 100, 50)
    assert target_size(grid, spacing=(1, 1, 1)) == (50, 50, 50)
    assert target_size(grid, isotropic=True) == (100, 100, 100)


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"scale": (2, 2, 2), "isotropic": True},
        {"scale": (0, 2, 2)},
        {"scale": (-1, 2, 2)},
        {"scale": (float("nan"), 2, 2)},
        {"scale": (2, 2)},
        {"scale": (1000, 1, 1)},
        {"spacing": (0, 1, 1)},
        {"spacing": (1e-6, 1, 1)},
        {"spacing": (float("inf"), 1, 1)},
    ],
)
def test_impossible_targets_are_refused(target):
    with pytest.raises(RefusalError):
        target_size(Grid((10, 10, 10)), **target)


def test_sheared_and_broken_grids_are_refused():
    Grid((4, 4, 4), direction=(-1, 0, 0, 0, 1, 0, 0, 0, 1)).check()
    Grid((4, 4, 4), direction=(1, 5e-4, 0, 0, 1, 0, 0, 0, 1)).check()  # as single precision may write it
    for grid in (
        Grid((4, 4, 4), direction=(1, 2e-3, 0, 0, 1, 0, 0, 0, 1)),
        Grid((4, 4, 4), direction=(0,) * 9),
        Grid((4, 4, 4), spacing=(0, 1, 1)),
        Grid((4, 4, 4), origin=(float("nan"), 0, 0)),
    ):
        with pytest.raises(RefusalError):
            grid.check()


@pytest.mark.parametrize("bounds", [(3, 3), (-1, 2), (0, 11), (5, 2)])
def test_regions_outside_are_refused(bounds):
    with pytest.raises(RefusalError, match="region"):
        check_region((bounds, (0, 10), (0, 10)), (10, 10, 10))
