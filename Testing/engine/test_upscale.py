"""The front door: intensities survive, types are kept, regions fit, and what cannot be done is refused in words."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from VolumeSuperResolutionLib.engine.request import Report
from VolumeSuperResolutionLib.engine.streaming import memory
from VolumeSuperResolutionLib.engine.upscale import CancelledError, RefusalError, Request, estimate, upscale
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

CLASSICAL = ("nearest", "linear", "bspline", "lanczos", "backprojection")


def noise(shape=(6, 7, 8), dtype=np.float32, low=-1000, high=1000):
    return np.random.default_rng(0).uniform(low, high, shape).astype(dtype)


def on_grid(array, **geometry):
    return Volume(array, Grid(array.shape[::-1], **geometry))


@pytest.mark.parametrize("model", CLASSICAL)
@pytest.mark.parametrize("value", [-1000, 0, 40, 3000])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_hounsfield_units_survive(model, value, dtype):
    array = np.full((6, 7, 8), value, dtype)
    result = upscale(on_grid(array), Request(model, scale=(2, 1.5, 3))).volume.array
    assert result.shape == (18, 10, 16) or result.shape == (18, 11, 16)
    assert result.dtype == dtype
    assert np.abs(result - value).max() <= 0.5
    # Not only where the whole volume is constant.
    array = np.full((24, 24, 24), value, dtype)
    array[0, 0, 0] += 500
    flat = upscale(on_grid(array), Request(model, scale=(2, 2, 2))).volume.array[36:, 36:, 36:]
    assert np.abs(flat - value).max() <= 0.5


@given(st.sampled_from([np.int16, np.uint16, np.int32, np.uint8, np.float32, np.float64]), st.sampled_from(CLASSICAL))
@settings(max_examples=20, deadline=None)
def test_types_are_kept_when_nothing_clips(dtype, model):
    array = noise(dtype=dtype, low=80, high=170)
    result = upscale(on_grid(array), Request(model, scale=(2, 2, 2)))
    assert result.volume.array.dtype == dtype
    assert not result.report.warnings


def test_rounding_is_to_nearest():
    array = noise(dtype=np.int16)
    as_integer = upscale(on_grid(array), Request("lanczos", scale=(2, 2, 2))).volume.array
    as_float = upscale(on_grid(array.astype(np.float32)), Request("lanczos", scale=(2, 2, 2))).volume.array
    assert np.array_equal(as_integer, np.rint(as_float))


@pytest.mark.parametrize(
    "array",
    [
        noise(dtype=np.uint8, low=10, high=200),  # would clip just below zero
        noise(dtype=np.int16, low=20000, high=32500),
        noise(dtype=np.int16, low=0, high=20),  # would round to few levels
    ],
)
def test_float_is_stored_and_told_where_integers_would_lose(array):
    result = upscale(on_grid(array), Request("lanczos", scale=(2, 2, 2)))
    assert result.volume.array.dtype == np.float32
    assert "float32" in " ".join(result.report.warnings)


def test_a_limit_the_scan_touches_is_its_own():
    array = noise(dtype=np.uint16, low=0, high=4000)
    array[0] = 0
    result = upscale(on_grid(array), Request("lanczos", scale=(2, 2, 2))).volume.array
    assert result.dtype == np.uint16
    assert result.max() < 8000


@given(st.data(), st.sampled_from(["linear", "bspline", "lanczos"]))
@settings(max_examples=20, deadline=None)
def test_a_region_is_that_part_of_the_whole(data, model):
    array = noise((60, 12, 10))
    volume = on_grid(array, spacing=(1, 2, 3), origin=(5, 6, 7))
    region = []
    for n in volume.grid.size:
        start = data.draw(st.integers(0, n - 1))
        region.append((start, data.draw(st.integers(start + 1, n))))
    whole = upscale(volume, Request(model, scale=(2, 3, 2))).volume
    part = upscale(volume, Request(model, scale=(2, 3, 2), region=tuple(region))).volume
    (i0, i1), (j0, j1), (k0, k1) = region
    assert np.allclose(part.array, whole.array[2 * k0 : 2 * k1, 3 * j0 : 3 * j1, 2 * i0 : 2 * i1], atol=0.02)
    assert np.allclose(part.grid.to_physical((0, 0, 0)), whole.grid.to_physical((2 * i0, 3 * j0, 2 * k0)))


def test_isotropic_and_spacing_keep_the_field_of_view():
    volume = on_grid(noise((9, 40, 40)), spacing=(0.8, 0.8, 2.5))
    for request in (Request("lanczos", isotropic=True), Request("lanczos", spacing=(0.8, 0.8, 0.8))):
        result = upscale(volume, request)
        assert result.report.output_size == (40, 40, 28)
        assert np.isclose(result.volume.grid.spacing[2] * 28, 22.5)
        assert "adjusted" in " ".join(result.report.warnings)


def test_one_slice_is_upscaled_in_plane_only():
    result = upscale(on_grid(noise((1, 8, 9))), Request("lanczos", scale=(2, 2, 2)))
    assert result.volume.array.shape == (1, 16, 18)
    assert "in plane only" in " ".join(result.report.warnings)


def test_the_estimate_is_what_comes_out():
    volume = on_grid(noise(dtype=np.int16), spacing=(1, 1, 3))
    for request in (Request("linear", scale=(2, 2, 2)), Request("backprojection", isotropic=True)):
        foreseen = estimate(volume.grid, volume.array.dtype, request)
        result = upscale(volume, request).volume
        assert foreseen.size == result.grid.size
        assert foreseen.spacing == result.grid.spacing
        assert foreseen.output_bytes == result.array.nbytes


def test_the_estimate_counts_maps_as_they_are():
    volume = on_grid(noise(dtype=np.uint8))
    request = Request("linear", scale=(2, 2, 2), invented=True)
    foreseen = estimate(volume.grid, volume.array.dtype, request)
    assert foreseen.map_bytes == upscale(volume, request).invented.array.nbytes


def test_requests_and_reports_survive_json():
    import json

    request = Request("lanczos", scale=(2, 2, 2), region=((0, 4), (0, 4), (0, 4)))
    assert Request.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    report = upscale(on_grid(noise()), request).report
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    assert "Lanczos" in str(report)


def test_same_input_same_output():
    volume = on_grid(noise())
    first, second = (upscale(volume, Request("backprojection", scale=(2, 2, 2))).volume.array for _ in range(2))
    assert np.array_equal(first, second)


def test_a_region_reads_the_margin_that_is_asked_for():
    """With a wide one it is as in the whole volume, with none as if it were all there is."""
    volume = on_grid(noise((24, 25, 26)))
    region, inside = ((8, 18), (8, 18), (8, 18)), (slice(16, 36),) * 3
    whole = upscale(volume, Request("lanczos", scale=(2, 2, 2))).volume.array[inside]
    results = {
        margin: upscale(volume, Request("lanczos", scale=(2, 2, 2), region=region, margin=margin)).volume.array
        for margin in (None, 5, 0)
    }
    assert np.allclose(results[None], whole, atol=1e-3)
    assert np.allclose(results[5], whole, atol=1e-3)
    alone = on_grid(volume.array[8:18, 8:18, 8:18].copy())
    assert np.allclose(results[0], upscale(alone, Request("lanczos", scale=(2, 2, 2))).volume.array, atol=1e-3)
    assert not np.allclose(results[0], whole, atol=1e-3)


def test_progress_goes_on_and_cancel_is_heard_while_the_residual_is_computed():
    """Of an interpolation that is half of the time."""
    volume, shares = on_grid(noise((6, 600, 600), np.int16)), []

    def progress(done, total):
        shares.append(done / total)

    upscale(volume, Request("linear", scale=(1.0, 1.0, 2.0)), progress)
    late = [share for share in shares if 0.5 < share < 1]
    assert shares == sorted(shares) and shares[-1] == 1
    assert len(late) > 1
    with pytest.raises(CancelledError):
        upscale(volume, Request("linear", scale=(1.0, 1.0, 2.0)), progress, lambda: shares[-1] == late[0])


def test_cancel_stops_and_progress_ends_at_the_total():
    volume, told = on_grid(noise((40, 90, 90))), []
    upscale(volume, Request("backprojection", scale=(2, 2, 2)), progress=lambda *p: told.append(p))
    assert told[-1][0] == told[-1][1]
    assert [p[0] for p in told] == sorted(p[0] for p in told)
    calls = iter(range(1000))
    with pytest.raises(CancelledError):
        upscale(volume, Request("lanczos", scale=(2, 2, 2)), cancel=lambda: next(calls) > 1)
    assert next(calls) == 3


BAD = np.array([[[1.0, np.nan], [2.0, 3.0]]], np.float32).repeat(3, 0)


@pytest.mark.parametrize(
    ("array", "request_", "words"),
    [
        (np.zeros((0, 4, 4), np.int16), {"scale": (2, 2, 2)}, "empty"),
        (np.zeros((1, 1, 1), np.int16), {"scale": (2, 2, 2)}, "single voxel"),
        (noise().astype(np.complex64), {"scale": (2, 2, 2)}, "real number"),
        (BAD, {"scale": (2, 2, 2)}, "not numbers"),
        (noise(), {"scale": (2, 2, 2), "label_map": True}, "label map"),
        (noise(), {"scale": (2, 2, 2), "model": "lanzcos"}, "did you mean lanczos"),
        (noise(), {"scale": (2, 2, 2), "consistency": 99}, "rounds"),
        (noise(), {"scale": (2, 2, 2), "memory_mb": 0}, "memory"),
        (noise(), {"scale": (2, 2, 2), "uncertainty": True}, "uncertainty"),
        (noise(), {"scale": (2, 2, 2), "region": ((0, 99), (0, 4), (0, 4))}, "region"),
        (noise(), {}, "target"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(array, request_, words):
    with pytest.raises(RefusalError, match=words) as refusal:
        upscale(on_grid(array), Request(**{"model": "lanczos", **request_}))
    assert "\n" not in str(refusal.value)


def test_not_numbers_are_replaced_when_asked():
    result = upscale(on_grid(BAD), Request("linear", scale=(2, 2, 1), fill_nonfinite=True))
    assert np.isfinite(result.volume.array).all()
    assert result.volume.array.min() == 1.0


def test_more_than_the_memory_is_refused_with_what_would_fit(monkeypatch):
    volume, request = on_grid(noise((20, 20, 20))), Request("lanczos", scale=(2, 2, 2))
    foreseen = estimate(volume.grid, volume.array.dtype, request)
    needed = foreseen.output_bytes + foreseen.working_bytes
    monkeypatch.setattr(memory, "free_bytes", lambda: needed)
    upscale(volume, request)
    monkeypatch.setattr(memory, "free_bytes", lambda: needed - 1)
    with pytest.raises(RefusalError, match=r"would need .* MB are free; .* 1\.00 times"):
        upscale(volume, request)
    monkeypatch.setattr(memory, "free_bytes", lambda: needed // 8)  # half along each axis
    with pytest.raises(RefusalError, match=r"0\.50 times"):
        upscale(volume, request)


def test_label_maps_keep_their_labels():
    labels = np.random.default_rng(0).integers(0, 5, (5, 6, 7)).astype(np.uint8)
    result = upscale(on_grid(labels), Request("nearest", scale=(3, 3, 3), label_map=True)).volume.array
    assert result.dtype == np.uint8
    assert np.array_equal(result, labels.repeat(3, 0).repeat(3, 1).repeat(3, 2))
