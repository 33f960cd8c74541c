"""The data step is what a dense solve in float64 gives, whatever the grids, profiles and gaps."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from VolumeSuperResolutionLib.engine import quality
from VolumeSuperResolutionLib.engine.errors import CancelledError
from VolumeSuperResolutionLib.engine.physics import degradation, interpolation, separable
from VolumeSuperResolutionLib.engine.physics.data_step import DataStep, explain
from VolumeSuperResolutionLib.engine.physics.scanner import Axis, Measured, Scanner, of_blur
from VolumeSuperResolutionLib.engine.upscale import Request, upscale
from VolumeSuperResolutionLib.engine.volumes import files, intensity
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

SAMPLES = Path(__file__).parents[2] / "Resources" / "SampleData"
TRAPEZOID = Measured((-2.0, -1.0, 1.5, 2.0), (0.0, 1.0, 1.0, 0.0))
RANGE = 1000.0


def forward(low_shape, factors, profiles, widths):
    """A scan's matrices, and the shape of the fine grid."""
    high_shape = tuple(max(n, round(n * f)) for n, f in zip(low_shape, factors))
    scanner = Scanner(tuple(Axis(p, w) for p, w in zip(profiles, widths)))
    return scanner.matrices(high_shape, low_shape, (1.0, 1.0, 1.0)), high_shape


def dense(matrices, high_shape):
    """A as one matrix."""
    result = np.ones((1, 1))
    for matrix, n in zip(matrices, high_shape):
        result = np.kron(result, np.eye(n) if matrix is None else matrix)
    return result


def solved(matrices, high, low, mu):
    """The minimum of |A x - y|^2 + mu |x - z|^2 by a dense solve; of |x - z| on A x = y where mu is 0."""
    a = dense(matrices, high.shape)
    residual = low.ravel().astype(float) - a @ high.ravel().astype(float)
    step = np.linalg.solve(a @ a.T + mu * np.eye(len(a)), residual)
    return high + (a.T @ step).reshape(high.shape)


def pair(high_shape, low_shape, seed=0):
    random = np.random.default_rng(seed)
    return tuple(random.uniform(0, RANGE, shape).astype(np.float32) for shape in (high_shape, low_shape))


@settings(max_examples=60, deadline=None)
@example((6, 5, 4), (3.0, 1.0, 2.0), ("box",) * 3, (0.5, 1.0, 1.3), 0.0, 0)
@example((6, 5, 4), (2.5, 2.0, 1.0), ("gaussian",) * 3, (1.3, 0.5, 1.0), 0.03, 0)
@given(
    st.tuples(*[st.integers(1, 7)] * 3),
    st.tuples(*[st.one_of(st.just(1.0), st.floats(1.0, 4.5))] * 3),
    st.tuples(*[st.sampled_from(["gaussian", "box", TRAPEZOID])] * 3),
    # Spacing 1: gaps of 0.5 to overlaps of 0.3.
    st.tuples(*[st.floats(0.5, 1.3)] * 3),
    st.sampled_from([0.0, 1e-4, 0.03, 2.0]),
    st.integers(0, 99),
)
def test_it_is_the_dense_solution(low_shape, factors, profiles, widths, mu, seed):
    matrices, high_shape = forward(low_shape, factors, profiles, widths)
    high, low = pair(high_shape, low_shape, seed)
    expected = solved(matrices, high, low, mu)
    step = DataStep(matrices)
    assert np.abs(step(high.astype(float), low.astype(float), mu) - expected).max() < 1e-6 * RANGE
    step.apply(high, low, mu)
    assert np.abs(high - expected).max() < 1e-5 * RANGE


@pytest.mark.parametrize("width", [0.5, 1.0, 1.3])
@pytest.mark.parametrize("profile", ["gaussian", "box"])
@pytest.mark.parametrize("factors", [(2.5, 1, 1), (2, 1.7, 3)])
def test_the_exact_step_explains_the_scan_and_changes_nothing_more(profile, width, factors):
    matrices, high_shape = forward((20, 24, 22), factors, (profile,) * 3, (width,) * 3)
    high, low = pair(high_shape, (20, 24, 22))
    step = DataStep(matrices)
    step.apply(high, low)
    assert np.abs(separable.apply(high, matrices) - low).max() < 1e-5 * RANGE
    once = high.copy()
    step.apply(high, low)
    assert np.abs(high - once).max() < 2e-5 * RANGE


@pytest.mark.parametrize("mu", [0.0, 0.1])
@pytest.mark.parametrize("factors", [(2, 1, 1), (1, 2, 3), (2.3, 1.4, 2), (1, 1, 1)])
def test_torch_and_numpy_and_the_stream_agree(factors, mu):
    matrices, high_shape = forward((6, 7, 8), factors, ("gaussian", "box", "gaussian"), (1.0, 0.6, 1.2))
    high, low = pair(high_shape, (6, 7, 8))
    step = DataStep(matrices)
    expected = step(high.astype(float), low.astype(float), mu)
    assert np.abs(step(high, low, mu) - expected).max() < 1e-5 * RANGE
    for wanted in (mu, torch.tensor(mu)):  # as a tensor it takes the general road
        ours = step(torch.from_numpy(high)[None, None], torch.from_numpy(low)[None, None], wanted)
        assert ours.dtype == torch.float32
        assert np.abs(ours[0, 0].numpy() - expected).max() < 1e-5 * RANGE
    step.apply(high, low, mu)
    assert np.abs(high - expected).max() < 1e-5 * RANGE


@pytest.mark.parametrize("factors", [(2, 1, 1), (1.5, 2, 1)])
def test_gradients(factors):
    matrices, high_shape = forward((2, 3, 2), factors, ("gaussian", "box", "box"), (1.2, 0.7, 1.0))
    step = DataStep(matrices)
    high = torch.rand(2, 1, *high_shape, dtype=torch.float64, requires_grad=True)
    low = torch.rand(2, 1, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    mu = torch.tensor([0.1, 0.5], dtype=torch.float64).view(2, 1, 1, 1, 1).requires_grad_()
    assert torch.autograd.gradcheck(step, (high, low, mu))
    assert torch.autograd.gradcheck(step, (high, low, 0.0))
    assert torch.autograd.gradcheck(step, (high, low, 0.2))


@pytest.mark.parametrize("mu", [0.0, 0.1])
@pytest.mark.parametrize("factors", [(2.5, 1, 1), (2, 1.7, 3)])
def test_it_flips_with_its_input_and_keeps_a_constant(factors, mu):
    matrices, high_shape = forward((9, 8, 7), factors, ("gaussian", "box", "gaussian"), (0.5, 1.3, 0.7))
    high, low = pair(high_shape, (9, 8, 7))
    step = DataStep(matrices)
    plain = step(high, low, mu)
    for turn in ((slice(None, None, -1),), (slice(None), slice(None, None, -1)), (Ellipsis, slice(None, None, -1))):
        assert np.abs(step(high[turn], low[turn], mu) - plain[turn]).max() < 1e-5 * RANGE
    same = np.full(high_shape, 700.0, np.float32)
    step.apply(same, np.full((9, 8, 7), 700, np.int16), mu)
    assert np.abs(same - 700).max() < 1e-3


@pytest.mark.parametrize("mu", [0.0, 0.1])
def test_it_holds_one_coarse_volume_beside_its_input_and_output(mu):
    peaks = []
    for planes in (120, 240):
        low = np.random.default_rng(0).integers(0, 1000, (planes, 120, 120)).astype(np.int16)
        high = np.zeros((2 * planes, 240, 240), np.float32)
        step = DataStep(Scanner().matrices(high.shape, low.shape, (1.0,) * 3))
        _ = step.spectra
        tracemalloc.start()
        try:
            step.apply(high, low, mu)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    grown = np.dtype(np.float32).itemsize * low.size / 2
    # The rest are slabs and the matrices, of which only the latter grow, with one axis.
    assert peaks[1] - peaks[0] < 1.2 * grown
    assert peaks[1] < 2 * grown + 30e6


@pytest.mark.parametrize("mu", [0.0, 0.1])
def test_progress_rises_to_the_end_and_cancel_ends_it(mu):
    matrices, high_shape = forward((80, 90, 100), (2, 1.5, 1), ("gaussian",) * 3, (1.0,) * 3)
    high, low = pair(high_shape, (80, 90, 100))
    told = []
    DataStep(matrices).apply(high, low, mu, 1.0, lambda done, total: told.append(done / total))
    assert told == sorted(told) and told[-1] == 1 and len(told) > 4
    for calls in range(len(told)):
        asked = []

        def cancel(calls=calls, asked=asked):
            asked.append(True)
            return len(asked) > calls

        with pytest.raises(CancelledError):
            DataStep(matrices).apply(high, low, mu, 1.0, cancel=cancel)
        assert len(asked) == calls + 1


def test_noise_alone_leaves_the_guess_alone_and_an_edge_is_corrected():
    random = np.random.default_rng(0)
    truth = np.zeros((64, 64, 64), np.float32)
    truth[:, :, 33:] = RANGE
    low = degradation.degrade(truth, (2, 2, 2)) + random.normal(0, 3, (32, 32, 32)).astype(np.float32)
    guess = interpolation.resample(low, truth.shape)
    step = DataStep(Scanner().matrices(truth.shape, low.shape, (1.0,) * 3))
    change = []
    for noise in (0.0, 3.0):
        high = guess.copy()
        step.apply(high, low, noise=noise)
        change.append(high - guess)
    flat, edge = (slice(8, -8), slice(8, -8), slice(8, 24)), (slice(8, -8), slice(8, -8), slice(31, 35))
    assert np.std(change[1][flat]) < 0.15 * np.std(change[0][flat])
    # The edge is along i: across the planes of it, the mean is the correction.
    plain, careful = (part[edge].mean(axis=(0, 1)) for part in change)
    assert np.allclose(careful, plain, atol=0.15 * np.abs(plain).max())


def test_a_profile_that_is_told_is_believed_and_one_that_is_assumed_is_doubted():
    low = pair((1, 1, 1), (12, 12, 12))[1]
    left = {}
    for told in ("assumed", "dicom", "user"):
        scanner = Scanner((Axis(told=told, shape="user" if told == "user" else "assumed"),) * 3)
        high = interpolation.resample(low, (24, 24, 24))
        explain(high, low, scanner, (1.0, 1.0, 1.0), 0.0)
        left[told] = np.abs(separable.apply(high, scanner.matrices(high.shape, low.shape, (1.0,) * 3)) - low).max()
    assert left["user"] < 1e-5 * RANGE
    assert left["assumed"] == left["dicom"] > 0.01 * RANGE


@pytest.mark.parametrize("name", ["MRBrain.nrrd", "CTChest.nrrd"])
@pytest.mark.parametrize("factor", [(2, 2, 2), (4, 4, 4), (1, 1, 2), (1, 1, 4)])
def test_the_classical_step_gains_and_never_falls_below_lanczos(name, factor):
    array = files.read(SAMPLES / name)[0].array.astype(np.float32)
    middle = tuple(slice((n - min(n, 80)) // 2, (n - min(n, 80)) // 2 + min(n, 80) // 4 * 4) for n in array.shape)
    truth, modality = np.ascontiguousarray(array[middle]), intensity.guess_modality(array)
    mask, peak = quality.foreground(truth, modality), quality.data_range(truth)
    gains = {}
    for protocol, how in degradation.PROTOCOLS.items():
        low = degradation.observe(truth, factor[::-1], protocol, name)
        volume = Volume(low, Grid(low.shape[::-1]))
        known = of_blur(degradation.drawn(protocol, name), volume.grid.spacing) if how.told else Scanner()
        plain, stepped = (
            quality.psnr(
                upscale(volume, Request(model, scale=factor, modality=modality, scanner=known)).volume.array,
                truth,
                mask,
                peak,
            )
            for model in ("lanczos", "backprojection")
        )
        gains[protocol] = stepped - plain
    # Where the profile is another than is assumed a little is lost, and nothing where it is told.
    assert gains.pop("thick") > -0.3
    assert min(gains.values()) > -0.1
    assert gains["thick-told"] > -0.01
    assert gains["profile"] > 0.3


def test_rounds_that_are_asked_for_are_made_as_before():
    low = pair((1, 1, 1), (9, 10, 11))[1]
    volume = Volume(low, Grid(low.shape[::-1]))
    expected = interpolation.resample(low, (18, 20, 22))
    interpolation.back_project(expected, low, 5)
    result = upscale(volume, Request("backprojection", scale=(2, 2, 2), consistency=5))
    assert np.array_equal(result.volume.array, expected)
    assert (result.report.consistency_rounds, result.report.data_step) == (5, False)
    assert upscale(volume, Request("backprojection", scale=(2, 2, 2))).report.data_step


@pytest.mark.parametrize("scale", [(2, 3, 2), (1, 1, 4)])
def test_a_region_of_the_classical_step_is_that_part_of_the_whole(scale):
    random = np.random.default_rng(0)
    low = (RANGE * (random.random((90, 12, 10)) > 0.5) + random.normal(0, 9, (90, 12, 10))).astype(np.float32)
    volume = Volume(low, Grid(low.shape[::-1], (1.0, 1.0, 2.0)))
    whole = upscale(volume, Request("backprojection", scale=scale)).volume.array
    part = upscale(volume, Request("backprojection", scale=scale, region=((0, 10), (2, 9), (40, 47)))).volume.array
    expected = whole[40 * scale[2] : 47 * scale[2], 2 * scale[1] : 9 * scale[1]]
    assert np.abs(part - expected).max() < 1e-5 * RANGE
