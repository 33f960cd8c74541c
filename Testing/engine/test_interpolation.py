"""Classical upscaling: the same numbers as SimpleITK, on the same grid, without holding more than it must."""

import itertools
import tracemalloc

import numpy as np
import SimpleITK as sitk
from hypothesis import example, given, settings
from hypothesis import strategies as st
from VolumeSuperResolutionLib.engine.physics import degradation, interpolation, separable
from VolumeSuperResolutionLib.engine.upscale import Request, upscale
from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

INTERPOLATORS = {
    "nearest": sitk.sitkNearestNeighbor,
    "linear": sitk.sitkLinear,
    "bspline": sitk.sitkBSpline,
    "lanczos": sitk.sitkLanczosWindowedSinc,
}
OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, -1.0)


def resampled_by_itk(volume, grid, interpolator):
    reference = sitk.Image(grid.size, sitk.sitkFloat32)
    reference.SetSpacing(grid.spacing)
    reference.SetOrigin(grid.origin)
    reference.SetDirection(grid.direction)
    image = sitk.Cast(files.to_image(volume), sitk.sitkFloat32)
    return sitk.GetArrayFromImage(sitk.Resample(image, reference, sitk.Transform(), interpolator, 0.0))


def nearest_candidates(shape, size):
    """For each axis the input voxels that may be nearest to each output voxel: two where it lies halfway."""
    positions = [(np.arange(m) + 0.5) * n / m - 0.5 for n, m in zip(shape, size)]
    rounded = [[np.floor(p + 0.5 + tie).astype(int) for tie in (-1e-6, 1e-6)] for p in positions]
    return [[np.clip(index, 0, n - 1) for index in pair] for pair, n in zip(rounded, shape)]


@settings(max_examples=15, deadline=None)
@example((4, 4, 4), (1.5, 1.0, 1.0), "nearest", 0)  # a quarter of the voxels lie halfway between two
@given(
    # ITK reads past the coefficients of a B-spline fewer than four voxels long.
    st.tuples(*[st.integers(4, 14)] * 3),
    st.tuples(*[st.floats(1.0, 2.4)] * 3),
    st.sampled_from(sorted(INTERPOLATORS)),
    st.integers(0, 99),
)
def test_agrees_with_simpleitk_on_the_same_grid(shape, factors, kernel, seed):
    array = np.random.default_rng(seed).uniform(-1000, 1000, shape).astype(np.float32)
    volume = Volume(array, Grid(shape[::-1], (0.7, 0.7, 2.0), (10.0, -20.0, 30.0), OBLIQUE))
    result = upscale(volume, Request(kernel, scale=factors)).volume
    expected = resampled_by_itk(volume, result.grid, INTERPOLATORS[kernel])
    if kernel == "lanczos":
        # ITK's window does not sum to one; divided by what it makes of ones, it is ours.
        expected /= resampled_by_itk(Volume(np.ones_like(array), volume.grid), result.grid, INTERPOLATORS[kernel])
    if kernel == "nearest":
        pairs = nearest_candidates(shape, result.array.shape)
        candidates = np.stack([array[np.ix_(*choice)] for choice in itertools.product(*pairs)])
        for found in (result.array, expected):
            assert (found == candidates).any(axis=0).all()
        halfway = (candidates != candidates[0]).any(axis=0)
        assert np.array_equal(result.array[~halfway], expected[~halfway])
    else:
        assert np.abs(result.array - expected).max() < 1e-5 * 2000


def test_memory_is_input_and_output_and_little_more():
    volume = Volume(np.random.default_rng(0).integers(0, 4000, (90, 256, 256), np.int16), Grid((256, 256, 90)))
    upscale(volume, Request("lanczos", scale=(1.1, 1, 1)))
    tracemalloc.start()
    try:
        result = upscale(volume, Request("lanczos", scale=(2, 2, 2))).volume
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result.array.dtype == np.int16
    assert peak < 1.2 * result.array.nbytes + 0.2 * volume.array.nbytes


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["linear", "bspline", "lanczos", "backprojection"]), st.tuples(*[st.sampled_from((2, 3))] * 3))
def test_upscaling_then_degrading_gives_a_smooth_field_back(model, factors):
    k, j, i = np.meshgrid(*[(np.arange(n) + 0.5) / n for n in (18, 20, 22)], indexing="ij")
    field = (np.sin(3 * i) + np.cos(2 * j) * k).astype(np.float32)
    high = upscale(Volume(field, Grid((22, 20, 18))), Request(model, scale=factors)).volume.array
    again = degradation.degrade(high, factors[::-1])
    inner = (slice(3, -3),) * 3
    assert np.abs(again - field)[inner].max() < 0.01 * np.ptp(field)


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(["nearest", "linear", "bspline", "lanczos", "backprojection"]),
    st.tuples(*[st.sampled_from((1, 2, 3))] * 3),
    st.tuples(*[st.booleans()] * 3),
)
def test_flipping_the_input_flips_the_output(model, factors, flips):
    array = np.random.default_rng(1).normal(size=(7, 8, 9)).astype(np.float32)
    turn = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    plain = upscale(Volume(array, Grid((9, 8, 7))), Request(model, scale=factors)).volume.array
    turned = upscale(Volume(array[turn], Grid((9, 8, 7))), Request(model, scale=factors)).volume.array
    assert np.allclose(plain[turn], turned, atol=1e-4)


def test_back_projection_brings_the_result_closer_to_the_scan_each_round():
    low = np.random.default_rng(2).normal(size=(10, 10, 10)).astype(np.float32)
    volume = Volume(low, Grid((10, 10, 10)))
    residuals = [
        upscale(volume, Request("lanczos", scale=(2, 2, 2), consistency=n)).report.consistency_residual
        for n in (0, 1, 3, 8)
    ]
    assert residuals == sorted(residuals, reverse=True)
    assert residuals[-1] < 0.25 * residuals[0]


def test_coarsening_does_not_alias():
    stripes = np.zeros((4, 4, 64), np.float32)
    stripes[:, :, ::2] = 1.0
    coarse = interpolation.resample(stripes, (4, 4, 27), "lanczos")
    assert np.abs(coarse[:, :, 4:-4] - 0.5).max() < 0.05


def test_degradation_is_the_forward_model_of_the_specification():
    array = np.random.default_rng(3).normal(size=(3, 3, 24))
    for factor, profile, width in cases():
        low = degradation.degrade(array, (1, 1, factor), profile, width)
        for i in range(24 // factor):
            center = (i + 0.5) * factor - 0.5
            distance = np.arange(24) - center
            if profile == "box":
                weights = (np.abs(distance) < factor / 2).astype(float)
            else:
                weights = np.exp(-(distance**2) / 2 / (width * factor / 2.355) ** 2) * (np.abs(distance) <= 2 * factor)
            assert np.allclose(low[:, :, i], array @ weights / weights.sum(), atol=1e-5)


def cases():
    return [(2, "gaussian", 1.0), (4, "gaussian", 0.7), (3, "gaussian", 1.2), (2, "box", 1.0), (4, "box", 1.0)]


def test_scanner_is_the_same_for_the_same_name_only():
    array = np.random.default_rng(4).normal(size=(8, 8, 8)).astype(np.float32)
    first = degradation.observe(array, (2, 2, 2), "scanner", "a.nii.gz")
    assert np.array_equal(first, degradation.observe(array, (2, 2, 2), "scanner", "a.nii.gz"))
    assert not np.allclose(first, degradation.observe(array, (2, 2, 2), "scanner", "b.nii.gz"))


@given(st.data())
@settings(max_examples=12, deadline=None)
def test_a_block_of_an_operator_is_that_part_of_the_whole(data):
    array = np.random.default_rng(5).normal(size=(9, 10, 11)).astype(np.float32)
    matrices = interpolation.matrices(array.shape, (18, 10, 25), "lanczos")
    whole = separable.apply(array, matrices)
    region = []
    for n in whole.shape:
        start = data.draw(st.integers(0, n - 1))
        region.append(slice(start, data.draw(st.integers(start + 1, n))))
    assert np.allclose(separable.block(array, matrices, region), whole[tuple(region)], atol=1e-5)
