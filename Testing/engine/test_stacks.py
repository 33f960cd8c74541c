"""Several stacks as one linear system: exact adjoints, the right places, and the dense solution."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import head, three
from VolumeSuperResolutionLib.engine import quality
from VolumeSuperResolutionLib.engine.errors import CancelledError
from VolumeSuperResolutionLib.engine.physics import interpolation, stacks
from VolumeSuperResolutionLib.engine.physics.rigid import Slices
from VolumeSuperResolutionLib.engine.physics.scanner import Scanner
from VolumeSuperResolutionLib.engine.physics.stacks import Pose
from VolumeSuperResolutionLib.engine.physics.system import System
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

ORIENTATIONS = [(p, s) for p in permutations(range(3)) for s in product((1, -1), repeat=3)]
angles = st.tuples(*[st.floats(-30, 30)] * 3)


def rotation(degrees):
    """About each axis in turn."""
    result = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[u, u] = turn[v, v] = np.cos(angle)
        turn[u, v], turn[v, u] = -np.sin(angle), np.sin(angle)
        result = result @ turn
    return result


def adjoint_error(forward, backward, x, y):
    """|<Tx, y> - <x, T'y>| in parts of |Tx| |y|."""
    seen = forward(x).astype(float)
    return abs(np.vdot(seen, y) - np.vdot(x.astype(float), backward(y))) / (np.linalg.norm(seen) * np.linalg.norm(y))


def smooth(points):
    """A function of space that a grid of 1 mm holds: waves of 4.5 mm and longer."""
    x, y, z = np.moveaxis(np.asarray(points, float), -1, 0)
    return np.sin(0.9 * x + 0.5 * y) + np.cos(0.6 * y - 0.8 * z) + np.sin(1.3 * z + 0.3) + np.cos(1.4 * x)


def sampled(grid):
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.size[::-1]], indexing="ij")[::-1], axis=-1)
    axes = np.asarray(grid.direction).reshape(3, 3)
    return smooth(np.asarray(grid.origin) + (index * grid.spacing) @ axes.T).astype(np.float32)


def points(turn, shape, across, shift, step=1.0):
    """Voxels of a turned scan that are points, every `step` voxels across its slices."""
    places = [np.arange(n) + s for n, s in zip(shape, shift)]
    places[across] = np.arange(0, shape[across], step) + shift[across]

    def profile(centers, length):
        return interpolation.at_positions(length, centers)

    return Slices(turn, shape, across, places, profile, interpolation.LANCZOS_RADIUS), places


def read_at(turn, shape, places):
    """Where those voxels are read, (..., 3)."""
    center = (np.asarray(shape) - 1) / 2
    return (np.stack(np.meshgrid(*places, indexing="ij"), axis=-1) - center) @ turn.T + center


@settings(max_examples=30)
@given(
    st.tuples(*[st.integers(4, 14)] * 3),
    angles,
    st.tuples(*[st.floats(-3, 3)] * 3),
    st.integers(0, 2),
    st.sampled_from([1.0, 2.5]),
)
def test_the_adjoint_of_rigid_motions_is_exact(shape, degrees, shift, across, step):
    random = np.random.default_rng(0)
    slices, places = points(rotation(degrees), shape, across, shift, step)
    x = random.normal(size=shape).astype(np.float32)
    y = random.normal(size=[len(p) for p in places]).astype(np.float32)
    assert adjoint_error(slices.apply, slices.adjoint, x, y) < 1e-5


@settings(max_examples=20)
@given(angles, st.tuples(*[st.floats(-2, 2)] * 3), st.integers(0, 2))
def test_voxels_are_read_where_they_lie(degrees, shift, across):
    """Values are places here."""
    shape, turn = (36, 40, 38), rotation(degrees)
    slices, places = points(turn, shape, across, shift)
    read = read_at(turn, shape, places)
    inner = np.all((read > 9) & (read < 26), axis=-1)
    for axis in range(3):
        along = np.arange(shape[axis], dtype=np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        found = slices.apply(np.broadcast_to(along, shape))
        assert np.abs(found[inner] - read[inner][:, axis]).max() < 0.1


@pytest.mark.parametrize("across", range(3))
@pytest.mark.parametrize("degrees", [(0, 0, 0), (2, -3, 1), (10, 5, -10), (30, -20, 25), (0, 45, 0)])
def test_little_is_lost_where_linear_interpolation_loses_much(degrees, across):
    shape, turn = (44, 44, 44), rotation(degrees)
    x = sampled(Grid(shape))
    slices, places = points(turn, shape, across, (0.5, -0.3, 0.4))
    read = read_at(turn, shape, places)
    inner = np.all((read > 8) & (read < 35), axis=-1)
    error = np.abs(slices.apply(x)[inner] - smooth(read[inner][:, ::-1]))
    corner = np.floor(read[inner]).astype(int)
    part = read[inner] - corner
    linear = sum(
        np.prod(np.where(np.array(side) == 1, part, 1 - part), axis=1) * x[tuple((corner + side).T)]
        for side in product((0, 1), repeat=3)
    )
    worse = np.abs(linear - smooth(read[inner][:, ::-1]))
    assert np.sqrt(np.mean(error**2)) < np.sqrt(np.mean(worse**2)) / 6


@settings(max_examples=25)
@given(st.sampled_from(ORIENTATIONS), angles, st.tuples(*[st.floats(-4, 4)] * 3), st.sampled_from([1.0, 1.12, 1.6]))
def test_a_scan_sees_what_lies_at_its_voxels(orientation, degrees, shift, pixel):
    """Whatever the order and sense of its axes, its pixels and where the patient lay; its profile is a point here."""
    order, sense = orientation
    grid = Grid((30, 32, 34), (1.0, 1.0, 1.0), (-15.0, -16.0, -17.0))
    axes = np.zeros((3, 3))
    axes[order, range(3)] = sense
    axes = rotation(np.asarray(degrees) / 6) @ axes
    size, spacing = np.array((14, 12, 5)), np.array((pixel, pixel, 3.0))
    origin = -axes @ (spacing * (size - 1) / 2)
    scan = Grid(tuple(map(int, size)), tuple(map(float, spacing)), tuple(origin), tuple(axes.ravel()))
    pose = Pose(rotation(np.asarray(degrees) / 6), np.asarray(shift, float))
    narrow = Scanner()
    for axis in range(3):
        narrow = narrow.along(axis, width=0.05)
    stack = stacks.observe(Volume(np.zeros(scan.size[::-1], np.float32), scan), narrow, grid, pose)
    assert stack is not None
    back = pose.inverse()
    at = stack.points(scan) @ back.rotation.T + back.shift
    inner = stack.seen & np.all(np.abs(at) < 8.5, axis=-1)
    assert inner.sum() > 30
    seen = stack.see(sampled(grid))
    # Where pixels are wider than the grid's, a narrow profile is linear interpolation.
    assert np.abs(seen[inner] - smooth(at[inner])).mean() < (0.25 if pixel > stacks.SAME_WIDTH else 0.12)
    assert np.corrcoef(seen[inner], smooth(at[inner]))[0, 1] > 0.97
    random = np.random.default_rng(0)
    x = random.normal(size=grid.size[::-1]).astype(np.float32)
    y = random.normal(size=stack.values.shape).astype(np.float32)
    assert adjoint_error(stack.see, stack.back, x, y) < 1e-5


def dense(system):
    """The normal matrix in float64, column by column."""
    count = int(np.prod(system.shape))
    units = np.eye(count, dtype=np.float32).reshape(count, *system.shape)
    return np.stack([system.normal(unit).ravel().astype(float) for unit in units], axis=1)


def wanted(system):
    return sum(s.back(s.weighted(s.values.copy())).ravel().astype(float) for s in system.stacks)


def system_of(size, degrees, mm, smoothness=1e-3, noise=0.01, gap=0.0, thickness=3):
    volume = head(size)
    seen = []
    for stack in three(volume, degrees, mm, thickness, gap, noise):
        found = stacks.observe(stack.volume, stack.scanner, volume.grid, stack.pose)
        assert found is not None
        seen.append(found)
    return System(seen, volume.array.shape, smoothness)


def test_aligned_stacks_have_the_dense_solution_in_closed_form():
    system = system_of(9, 0, 0)
    for n, stack in enumerate(system.stacks):
        stack.tau = 1.0 + n
        stack.slice_weights = np.linspace(0.3, 1.0, len(stack.slice_weights))
    system = System(system.stacks, system.shape, 0.02)
    assert system.exact
    expected = np.linalg.solve(dense(system), wanted(system)).reshape(system.shape)
    result = system.solve(iterations=0)
    assert np.abs(result - expected).max() < 1e-3 * np.abs(expected).max()


def test_turned_stacks_come_close_to_the_dense_optimum():
    system = system_of(6, 4, 0.4, smoothness=0.02, thickness=2)
    assert not system.exact and len(system.stacks) == 3
    truth = head(6).array
    expected = np.linalg.solve(dense(system), wanted(system)).reshape(system.shape)
    mask, peak = np.ones(truth.shape, bool), quality.data_range(truth)
    best, ours = (quality.psnr(x, truth, mask, peak) for x in (expected, system.solve()))
    assert ours > best - 0.3


def test_a_few_steps_are_as_good_as_many():
    system = system_of(32, 3, 3, smoothness=0.02, thickness=4)
    truth = head(32).array
    mask, peak = quality.foreground(truth, "MR"), quality.data_range(truth)
    ours, best = (quality.psnr(system.solve(iterations=n, tolerance=0), truth, mask, peak) for n in (8, 30))
    assert ours > best - 0.3


def test_a_prior_gives_its_differences_where_the_stacks_say_nothing():
    volume = head(24)
    stack = three(volume, 0, 0)[0]
    found = stacks.observe(stack.volume, stack.scanner, volume.grid)
    system = System([found], volume.array.shape, 0.05)
    lanczos = interpolation.resample(stack.volume.array, volume.array.shape)
    error = [np.abs(system.solve(prior=p) - volume.array).mean() for p in (None, lanczos, volume.array)]
    assert error[2] < 0.5 * min(error[:2])


@pytest.mark.parametrize("bending", [0.0, 0.03])
def test_edges_that_are_kept_solve_their_own_dense_system(bending):
    system = system_of(8, 0, 0, smoothness=0.05, thickness=2)
    system = System(system.stacks, system.shape, 0.05, bending)
    system.keep_edges(head(8).array, 50.0)
    matrix = dense(system)
    assert np.allclose(matrix, matrix.T, atol=1e-5 * np.abs(matrix).max())
    expected = np.linalg.solve(matrix, wanted(system)).reshape(system.shape)
    result = system.solve(iterations=40, tolerance=0)
    assert np.abs(result - expected).max() < 1e-2 * np.abs(expected).max()


def test_edges_that_are_kept_let_the_rest_be_smoother():
    """Two intensities with a sharp border, and noise."""
    truth = head(32)
    truth = truth._replace(array=np.where(truth.array > 400, 900, 100).astype(np.float32))
    seen = [stacks.observe(s.volume, s.scanner, truth.grid) for s in three(truth, 0, 0, noise=0.03)]

    def error(system, start=None, **more):
        x = system.solve(start, **more)
        return float(np.sqrt(np.square(x - truth.array).mean())), x

    costs = [1e-3, 3e-3, 1e-2, 3e-2, 1e-1]
    plain, x = min((error(System(seen, truth.array.shape, cost)) for cost in costs), key=lambda found: found[0])
    system = System(seen, truth.array.shape, 1e-1)
    system.keep_edges(x, 30.0)
    assert error(system, x, iterations=10, tolerance=1e-4)[0] < 0.9 * plain


def test_bends_cost_and_slopes_do_not():
    """A volume that slopes is met by a cost of bends as well as by none, one that bends is flattened."""
    slope = np.broadcast_to(np.arange(12.0, dtype=np.float32), (12, 12, 12))
    system = System([], (12, 12, 12), 1e-9, 1.0)
    assert np.abs(system.normal(slope)).max() < 1e-4
    bent = np.square(slope)
    found = system.normal(bent)
    second = np.diff(np.eye(12), 2, axis=0)
    assert np.allclose(found, bent @ (second.T @ second).T, atol=1e-3)


def test_work_ends_when_it_is_told_to_and_says_how_far_it_is():
    system = system_of(18, 3, 1)
    told = []
    system.solve(iterations=3, tolerance=0, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(CancelledError):
        system.solve(cancel=lambda: True)


def test_a_scan_elsewhere_is_not_seen():
    volume = head(16)
    far = Pose(np.eye(3), np.array([100.0, 0.0, 0.0]))
    assert stacks.observe(volume, Scanner(), volume.grid, far) is None
