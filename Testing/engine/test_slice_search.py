"""What a scan's voxels would see wherever they lay, and where a slice that moved is found by it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import head
from VolumeSuperResolutionLib.engine.physics import simulation, slice_search, stacks
from VolumeSuperResolutionLib.engine.physics.scanner import Scanner
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume


def scan_grid(pixel, view, thickness=4.0):
    """The grid of a scan of the head."""
    order = [[0, 1, 2], [1, 2, 0], [2, 0, 1]][view]
    directions = np.eye(3)[:, order].ravel()
    sizes = (round(40 / pixel), round(36 / pixel), 8)
    return Grid(sizes, (pixel, pixel, thickness), (5.0, 6.0, 4.0), tuple(directions))


def one_slice(grid, array, n):
    return Volume(array[n : n + 1], grid.cropped(((0, grid.size[0]), (0, grid.size[1]), (n, n + 1))))


@settings(max_examples=6)
@given(st.integers(0, 99), st.sampled_from([1.0, 2.0]), st.integers(0, 2))
def test_a_landscape_foretells_what_the_scan_sees(seed, pixel, view):
    grid, scanner = scan_grid(pixel, view), Scanner()
    pose = simulation.random_pose(np.random.default_rng(seed), 30, 3, head().grid.center())
    fine = Volume(slice_search.blurred(head(), [1.0] * 3), head().grid)
    scan = Volume(np.zeros(grid.size[::-1], np.float32), grid)
    stack = stacks.observe(scan, scanner, fine.grid, pose)
    expected = stack.as_scanned(stack.see(fine.array))
    covered = np.ones(fine.array.shape, np.float32)
    (landscape,) = slice_search.landscapes(grid, scanner, head(), pose, covered, [1.0])
    for n in (2, 5):
        _soft, seen = slice_search.foretold(one_slice(grid, scan.array, n), landscape, [stacks.STILL])
        both = np.isfinite(seen[0]) & np.isfinite(expected[n])
        assert both.sum() > 0.8 * np.isfinite(expected[n]).sum()
        assert np.abs(seen[0] - expected[n])[both].mean() < 0.03 * np.ptp(fine.array)


def test_where_nothing_is_known_nothing_is_foretold():
    grid, covered = scan_grid(1.0, 0), np.ones(head().array.shape, np.float32)
    covered[:, :, :24] = 0.0
    (landscape,) = slice_search.landscapes(grid, Scanner(), head(), stacks.STILL, covered, [1.0])
    away = stacks.Pose(np.eye(3), np.array([-8.0, 0.0, 0.0]))
    own = one_slice(grid, np.zeros(grid.size[::-1], np.float32), 4)
    _soft, here, there = slice_search.foretold(own, landscape, [stacks.STILL, away])
    # The first column lies at 5 mm, and what moved by -8 mm is read 8 mm further on.
    assert np.isnan(here[..., :18]).all() and np.isfinite(here[..., 20:]).all()
    assert np.isnan(there[..., :10]).all() and np.isfinite(there[..., 12:34]).all() and np.isnan(there[..., 36:]).all()


@pytest.mark.parametrize("pixel", [1.0, 2.0])
def test_a_slice_that_moved_is_found_nearby(pixel):
    grid, scanner, random = scan_grid(pixel, 1), Scanner(), np.random.default_rng(3)
    pose = simulation.random_pose(random, 20, 2, head().grid.center())
    covered = np.ones(head().array.shape, np.float32)
    levels = slice_search.landscapes(grid, scanner, head(), pose, covered, (3.0, 1.0))
    for n in (3, 4):
        moved = simulation.random_pose(random, 5, 3, head().grid.center())
        scan = Volume(np.zeros(grid.size[::-1], np.float32), grid)
        stack = stacks.observe(scan, scanner, head().grid, moved.after(pose))
        own = one_slice(grid, np.nan_to_num(stack.as_scanned(stack.see(head().array))), n)
        found = stacks.STILL
        for level in levels:
            found = slice_search.search(own, level, found)
        before, after = (
            motion.after(moved.inverse()).displacement(own.grid.corners(0.5)).mean() for motion in (stacks.STILL, found)
        )
        assert before > 2 and after < 0.5
