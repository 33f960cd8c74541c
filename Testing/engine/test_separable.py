"""Products of banded matrices with volumes: right, in order, and never so large that BLAS shares one among threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from VolumeSuperResolutionLib.engine.errors import CancelledError
from VolumeSuperResolutionLib.engine.physics import degradation, interpolation, separable


def volume(shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@given(
    shape=st.tuples(*[st.integers(1, 40)] * 3),
    factors=st.tuples(*[st.sampled_from((0.5, 1, 1.7, 3))] * 3),
    order=st.permutations(range(3)),
)
@settings(max_examples=40, deadline=None)
def test_it_is_the_product_with_every_matrix(shape, factors, order):
    array = volume(shape).transpose(order)[::-1]
    size = [max(1, round(n * f)) for n, f in zip(array.shape, factors)]
    matrices = interpolation.matrices(array.shape, size, "lanczos")
    truth = array.astype(float)
    for axis, matrix in enumerate(matrices):
        if matrix is not None:
            truth = np.moveaxis(np.tensordot(matrix, truth, axes=(1, axis)), 0, axis)
    assert np.abs(separable.apply(array, matrices) - truth).max() < 1e-5


def test_threads_change_nothing_and_slabs_come_in_order(monkeypatch):
    monkeypatch.setattr(separable, "SLAB_VOXELS", 5000)
    array = volume((60, 50, 40))
    matrices = interpolation.matrices(array.shape, (90, 70, 80), "bspline")
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(separable, "_threads", lambda count=threads: count)
        parts, told = [], []

        def write(part, values, parts=parts):
            assert threading.current_thread() is threading.main_thread()
            parts.append((part, values))

        separable.apply(array, matrices, write, lambda *numbers, told=told: told.append(numbers))
        starts = [part.start for part, _ in parts]
        assert starts == sorted(starts) and len(starts) > 20
        assert told[-1] == (90, 90) and told == sorted(told)
        results.append(np.concatenate([values for _, values in parts]))
    assert (results[0] == results[1]).all() and (results[0] == results[2]).all()


@pytest.mark.parametrize("threads", [1, 3])
def test_it_stops_when_cancelled_and_passes_errors_on(threads, monkeypatch):
    monkeypatch.setattr(separable, "SLAB_VOXELS", 500)
    monkeypatch.setattr(separable, "_threads", lambda: threads)
    array = volume((40, 20, 20))
    matrices = interpolation.matrices(array.shape, (80, 40, 40), "linear")
    written = []
    with pytest.raises(CancelledError):
        separable.apply(array, matrices, lambda *_: written.append(1), cancel=lambda: len(written) == 3)
    assert len(written) == 3
    with pytest.raises(ZeroDivisionError):
        separable.apply(array, matrices, lambda *_: 1 / 0)


@pytest.mark.parametrize(("size", "factor"), [((40, 300, 280), 2.0), ((60, 500, 400), 0.25), ((64, 32, 2000), 0.5)])
def test_no_product_is_shared_among_threads(size, factor, monkeypatch):
    most = [0]
    plain = np.matmul

    def counting(a, b, out):
        most[0] = max(most[0], a.shape[-2] * a.shape[-1] * b.shape[-1])
        return plain(a, b, out=out)

    monkeypatch.setattr(np, "matmul", counting)
    array = np.ones(size, np.float32)
    separable.apply(array, interpolation.matrices(size, [int(n * factor) for n in size], "lanczos"))
    assert 0 < most[0] <= separable.ONE_THREAD


def test_as_many_threads_as_the_environment_allows(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert separable._threads() == 1
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert separable._threads() >= 1


@given(
    shape=st.tuples(*[st.integers(8, 30)] * 3),
    factors=st.tuples(*[st.sampled_from((1, 2, 4))] * 3),
    profile=st.sampled_from(list(degradation.PROFILES)),
    width=st.floats(0.3, 1.5),
    data=st.data(),
)
@settings(max_examples=40, deadline=None)
def test_the_rows_of_a_region_are_those_of_the_whole(shape, factors, profile, width, data):
    whole = degradation.matrices(shape, factors, profile, width)
    size = separable.output_shape(shape, whole)
    region = []
    for n in size:
        start = data.draw(st.integers(0, n - 1))
        region.append(slice(start, data.draw(st.integers(start + 1, n))))
    for n, matrix, part in zip(shape, whole, region):
        if matrix is not None:
            s = n / len(matrix)
            centers = (np.arange(part.start, part.stop) + 0.5) * s - 0.5
            rows, columns = degradation.seen_near(centers, n, profile, width * s, s)
            rest = matrix[part].copy()
            assert np.abs(rows - rest[:, columns]).max() < 1e-12
            rest[:, columns] = 0
            assert not rest.any()
    array = volume(shape)
    expected = separable.block(array, whole, region)
    assert np.abs(degradation.observed(array, factors, region, profile, width) - expected).max() < 1e-5
