"""Slices that moved alone: they are found, the others stay, and what they see is exact."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import head, three
from VolumeSuperResolutionLib.engine.errors import CancelledError
from VolumeSuperResolutionLib.engine.physics import simulation, slice_motion, stacks
from VolumeSuperResolutionLib.engine.physics.scanner import Scanner
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

MOVED = (3, 6, 8)


@lru_cache
def taken(number=1, moved=MOVED, noise=0.01, degrees=4.0, mm=3.0):
    """One of three stacks of a head that turned while some slices were taken, and where it lay then."""
    stack = three(head(), 3, 3, noise=noise, seed=1)[number]
    array, poses = stack.volume.array.copy(), {}
    random = np.random.default_rng(5)
    for n in moved:
        poses[n] = simulation.random_pose(random, degrees, mm, head().grid.center()).after(stack.pose)
        axis = simulation.SLICE_AXES[number]
        array[n] = simulation.simulate(head(), axis, 4, 0, random, noise, poses[n]).volume.array[n]
    return stack._replace(volume=Volume(array, stack.volume.grid)), poses


def error(found, expected, volume):
    """Mean distance in mm over a slice."""
    return float(found.after(expected.inverse()).displacement(volume.grid.corners(0.5)).mean())


@pytest.mark.parametrize("number", [2])
def test_slices_that_moved_are_found_and_no_others(number):
    stack, poses = taken(number)
    found = slice_motion.find(stack.volume, stack.scanner, head(), stack.pose)
    assert set(found) == set(MOVED)
    for n in MOVED:
        assert error(stack.pose, poses[n], stack.volume) > 0.5
        assert error(found[n], poses[n], stack.volume) < 0.3
    # Once more, from what is known, with the scan as dark as another may be.
    dark = Volume(0.3 * stack.volume.array + 20, stack.volume.grid)
    again = slice_motion.find(dark, stack.scanner, head(), stack.pose, known=found)
    assert all(error(again[n], poses[n], stack.volume) < 0.3 for n in MOVED)


def test_slices_that_lie_where_their_scan_does_stay():
    stack, _ = taken(moved=(), noise=0.03)
    told: list = []
    weights = np.zeros(len(stack.volume.array))  # so all of them are looked at
    found = slice_motion.find(
        *(stack.volume, stack.scanner, head(), stack.pose),
        weights=weights,
        progress=lambda *so_far: told.append(so_far),
    )
    assert found == {}
    assert told == [(8, 12), (12, 12)]


def test_a_slice_that_shows_something_else_is_not_laid_anywhere():
    stack, _ = taken(moved=())
    array = stack.volume.array.copy()
    array[5] = np.random.default_rng(0).normal(300, 100, array[5].shape)
    array[6] = 0
    assert slice_motion.find(Volume(array, stack.volume.grid), stack.scanner, head(), stack.pose) == {}


def test_where_nothing_is_known_nothing_is_compared():
    """The volume is wrong in one half, and says so."""
    stack, poses = taken()
    wrong, covered = head().array.copy(), np.ones(head().array.shape, np.float32)
    wrong[:, :, :20], covered[:, :, :20] = wrong[:, ::-1, :20], 0.0
    found = slice_motion.find(stack.volume, stack.scanner, Volume(wrong, head().grid), stack.pose, covered)
    assert found and set(found) <= set(MOVED)
    assert all(error(found[n], poses[n], stack.volume) < 0.3 for n in found)


def test_it_can_be_cancelled():
    stack, _ = taken()
    with pytest.raises(CancelledError):
        slice_motion.find(stack.volume, stack.scanner, head(), stack.pose, cancel=lambda: True)


@settings(max_examples=8)
@given(st.integers(0, 99), st.sets(st.integers(0, 7)), st.sampled_from([1.0, 2.0]), st.booleans())
def test_the_adjoint_is_exact_wherever_slices_lie(seed, moved, pixel, many):
    """Also where they are so many that how they see it is made anew each time."""
    random = np.random.default_rng(seed)
    grid, scan = Grid((26, 24, 28)), Grid((12, 11, 8), (pixel, pixel, 3.0), (1.0, 2.0, 2.5))
    pose = simulation.random_pose(random, 10, 3, grid.center())
    poses = {n: simulation.random_pose(random, 8, 3, grid.center()).after(pose) for n in moved}
    volume = Volume(np.zeros(scan.size[::-1], np.float32), scan)
    stack = stacks.observe(volume, Scanner(), grid, pose, poses)
    if stack is None:
        return
    if moved:
        stack.slices.keeps = not many
    x = random.normal(size=grid.size[::-1]).astype(np.float32)
    y = random.normal(size=stack.values.shape).astype(np.float32)
    seen = stack.see(x).astype(float)
    difference = abs(np.vdot(seen, y) - np.vdot(x.astype(float), stack.back(y)))
    assert difference < 1e-5 * np.linalg.norm(seen) * np.linalg.norm(y)
    # A slice sees what a scan that lies there sees.
    for n in moved:
        there = stacks.observe(volume, Scanner(), grid, poses[n])
        if there is None or there.values.shape != stack.values.shape or there.order != stack.order:
            continue
        one = stack.along_slices(stack.of_slices(np.arange(8) == n))
        both = stack.seen & there.seen & one
        assert np.abs(stack.see(head_like(grid)) - there.see(head_like(grid)))[both].max(initial=0) < 0.03


def head_like(grid):
    """Something smooth between 0 and 1."""
    k, j, i = np.meshgrid(*[np.arange(n) for n in grid.size[::-1]], indexing="ij")
    return (0.5 + 0.25 * np.sin(0.6 * k + 0.3 * i) + 0.25 * np.cos(0.5 * j - 0.4 * k)).astype(np.float32)
