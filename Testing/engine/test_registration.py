"""Where the patient lay: poses are found, and it is known where they are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phantoms import head, three
from VolumeSuperResolutionLib.engine.physics import registration, simulation, stacks
from VolumeSuperResolutionLib.engine.physics.stacks import Pose
from VolumeSuperResolutionLib.engine.volumes.grid import Volume

numbers = st.tuples(*[st.floats(-20, 20)] * 3)


def error(found, expected, points):
    """Mean distance in mm."""
    return float(found.after(expected.inverse()).displacement(points).mean())


@given(st.integers(0, 999), numbers)
def test_poses_are_a_group(seed, point):
    random = np.random.default_rng(seed)
    first, second = (simulation.random_pose(random, 30, 20, (5, 6, 7)) for _ in range(2))
    p = np.array([point], float)
    once = second.rotation @ (first.rotation @ p[0] + first.shift) + second.shift
    both = second.after(first)
    assert np.allclose(both.rotation @ p[0] + both.shift, once)
    assert first.after(first.inverse()).displacement(p)[0] < 1e-9
    there = [first, second, first.after(second).inverse()]
    assert registration.loop_error([*there[:2], second.after(first).inverse()], p) < 1e-9


def test_a_pair_of_thick_stacks_is_laid_over_each_other():
    made = three(head(), 6, 5, seed=3)
    points = head().grid.corners(0.5)
    found = registration.match(made[0].volume, made[1].volume, (made[0].scanner, made[1].scanner), 1.0)
    assert error(stacks.STILL, made[1].pose, points) > 3
    assert error(found.pose, made[1].pose, points) < 1
    assert found.alike > 0.9


@pytest.mark.parametrize("gain, offset", [(1.0, 0.0), (0.4, 70.0)])
def test_the_rest_of_the_way_is_found_from_what_the_others_predict(gain, offset):
    volume = head()
    made = three(volume, 3, 3, noise=0.02, seed=1)[1]
    points = volume.grid.corners(0.5)
    near = made.pose.after(simulation.random_pose(np.random.default_rng(4), 1.5, 0.8, (24, 24, 24)))
    assert error(near, made.pose, points) > 0.5
    scan = Volume(gain * made.volume.array + offset, made.volume.grid)
    found = registration.refine(scan, made.scanner, volume, near)
    assert error(found.pose, made.pose, points) < 0.05
    coefficients, alike, sigma = registration.fit(found.stack, found.prediction)
    assert coefficients == pytest.approx([gain, offset], rel=0.03, abs=5)
    assert alike > 0.99
    assert sigma == pytest.approx(0.02 * gain * np.ptp(volume.array), rel=0.3)


def test_damaged_voxels_do_not_count_in_a_regression():
    volume = head()
    stack = stacks.observe(volume, three(volume, 0, 0)[0].scanner, volume.grid)
    prediction = stack.see(volume.array)
    stack.values = 2 * prediction + 5
    stack.values[10:16] = 0
    coefficients, _alike, _sigma = registration.fit(stack, prediction)
    assert coefficients == pytest.approx([2, 5], abs=0.1)


def test_what_is_not_there_is_not_found():
    noise = np.random.default_rng(0).normal(0, 1, (32, 32, 32)).astype(np.float32)
    made = three(head(), 0, 0)
    other = Volume(noise[:12], made[1].volume.grid.cropped(((0, 32), (0, 32), (0, 12))))
    assert registration.match(made[0].volume, other, (made[0].scanner, made[1].scanner), 1.0).alike < 0.6


def test_nothing_is_said_of_a_stack_that_is_elsewhere():
    made = three(head(), 0, 0)[1]
    far = Pose(np.eye(3), np.array([500.0, 0.0, 0.0]))
    found = registration.refine(made.volume, made.scanner, head(), far)
    assert found.stack is None and found.alike == 0
