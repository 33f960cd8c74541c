"""Within what the truth lies, and what the scan does not fix: slab by slab, in the right units, or refused."""

import json

import numpy as np
import phantoms
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_models import interval_table, model
from VolumeSuperResolutionLib.engine import intervals
from VolumeSuperResolutionLib.engine.errors import CancelledError, RefusalError
from VolumeSuperResolutionLib.engine.models import interval_table as tables
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.models.interval_table import BINS, HELD
from VolumeSuperResolutionLib.engine.physics import interpolation, separable
from VolumeSuperResolutionLib.engine.physics.scanner import Scanner
from VolumeSuperResolutionLib.engine.upscale import Report, Request, upscale
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume


@pytest.fixture
def calibrated(tmp_path, monkeypatch):
    """Lanczos has a table for MR at twice the matrix, and one for CT that did not hold."""
    path = tmp_path / "intervals.json"
    failed = interval_table(modality="CT", coverage=(0.6, 0.9, 0.99))
    path.write_text(json.dumps({"lanczos": [vars(interval_table()), vars(failed)]}))
    monkeypatch.setattr(zoo, "INTERVALS_FILE", path)
    return path


def head(size=24):
    return phantoms.head(size)


def asked(**options):
    return Request("lanczos", **{"scale": (2, 2, 2), "modality": "MR", "interval": True, **options})


@given(st.lists(st.integers(1, 12), min_size=3, max_size=3), st.integers(1, 12), st.integers(0, 9))
@settings(max_examples=20)
def test_steepness_of_some_planes_is_that_of_the_whole(shape, count, seed):
    values = np.random.default_rng(seed).normal(0, 100, shape).astype(np.float32)
    whole = intervals.steepness(values)
    assert whole.shape == values.shape
    for start in range(0, shape[0], count):
        part = slice(start, start + count)
        assert np.allclose(intervals.steepness(values, part), whole[part], rtol=1e-4, atol=1e-3)


@given(st.permutations(range(3)), st.lists(st.sampled_from([1, -1]), min_size=3, max_size=3), st.floats(0.1, 100))
@settings(max_examples=20)
def test_steepness_knows_no_direction_and_scales_with_the_values(order, flips, times):
    values = np.random.default_rng(1).normal(0, 1, (7, 9, 8)).astype(np.float32)
    turned = tuple(slice(None, None, step) for step in flips)
    expected = intervals.steepness(values).transpose(order)[turned] * times
    found = intervals.steepness(np.ascontiguousarray((values * np.float32(times)).transpose(order)[turned]))
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-4 * times)


def test_steepness_of_a_ramp_is_its_slope():
    k, j, i = np.indices((20, 22, 24)).astype(np.float32)
    found = intervals.steepness(1000 + 3 * k + 4 * j + 12 * i)
    assert np.allclose(found[6:-6, 6:-6, 6:-6], 13, atol=1e-2)


@given(st.integers(0, 5), st.floats(0.5, 5000))
@settings(max_examples=15)
def test_half_widths_are_the_tables_rise_with_steepness_and_are_typical_in_tissue(seed, extent):
    values = extent * head(16).array / 1000 + np.random.default_rng(seed).normal(0, 0.02 * extent, (16,) * 3)
    values, table = values.astype(np.float32), interval_table()
    found = intervals.half_widths(values, table, extent)
    assert set(np.unique(found)) <= set((np.array(table.half_widths) * extent).astype(np.float32))
    steep = intervals.steepness(values).reshape(-1)
    assert np.all(np.diff(found.reshape(-1)[np.argsort(steep, kind="stable")]) >= 0)
    tissue = 0.2 * extent
    middle = intervals.typical(values, table, extent, tissue)
    inside = found[values > tissue]
    assert (inside <= middle * 1.0001).mean() >= 0.5 and (inside >= middle * 0.9999).mean() >= 0.5


def test_slabs_give_what_the_whole_gives(monkeypatch):
    values, table, done = head(20).array, interval_table(), []
    whole = intervals.half_widths(values, table, 1000.0)
    monkeypatch.setattr(separable, "SLAB_VOXELS", 3 * 20 * 20)
    assert np.array_equal(intervals.half_widths(values, table, 1000.0, lambda *told: done.append(told)), whole)
    assert done[-1] == (20, 20) and len(done) == 7
    with pytest.raises(CancelledError):
        intervals.half_widths(values, table, 1000.0, cancel=lambda: len(done) > 0)


@given(st.sampled_from([(2, 2, 2), (1, 1, 4), (1, 3, 1)]), st.sampled_from(["gaussian", "box"]), st.integers(0, 9))
@settings(max_examples=8)
def test_what_was_invented_is_what_the_scan_does_not_see(factor, profile, seed):
    shape = (8, 9, 8)
    low = tuple(n // f for n, f in zip(shape, factor[::-1]))
    scanner = Scanner().along(2, profile=profile)
    x = np.random.default_rng(seed).normal(100, 10, shape).astype(np.float32)
    spacing = tuple(n / m for n, m in zip(shape[::-1], low[::-1]))
    forward = scanner.matrices(x.shape, low, spacing)
    dense = np.ones((1, 1))
    for matrix, n in zip(forward, x.shape):
        dense = np.kron(dense, np.eye(n) if matrix is None else matrix)
    seen = (dense @ x.reshape(-1)).reshape(low)
    added = x.reshape(-1) - interpolation.resample(seen, shape).reshape(-1)
    expected = added - np.linalg.pinv(dense, rcond=1e-3) @ (dense @ added)
    found = intervals.invent(x, low, scanner, spacing)
    assert np.allclose(found.reshape(-1), np.abs(expected), atol=2e-3)
    # Without it the scan would be the same, and nothing would be invented.
    assert np.abs(dense @ expected).max() < 1e-3
    rest = (x.reshape(-1) - expected).reshape(shape).astype(np.float32)
    assert intervals.invent(rest, low, scanner, spacing).max() < 2e-3
    assert intervals.invent(np.full(shape, 1000, np.float32), low, scanner, spacing).max() < 2e-3


def test_a_result_tells_its_interval_and_gives_both_maps(calibrated):
    volume = head()
    plain = upscale(volume, asked(interval=False))
    result = upscale(volume, asked(invented=True))
    assert np.array_equal(result.volume.array, plain.volume.array)
    assert set(result.maps) == {"interval", "invented"} and plain.maps == {}
    for found in result.maps.values():
        assert found.grid == result.volume.grid and found.array.dtype == np.float32
    extent = float(np.subtract(*np.percentile(volume.array, (99.5, 0.5))))
    shares = result.interval.array / extent
    assert shares.min() > 0.0099
    assert shares.max() < 0.1201
    report = result.report
    assert report.interval == plain.report.interval
    assert np.isclose(np.array(interval_table().half_widths) * extent, report.interval, rtol=1e-4).any()
    assert f"within ± {report.interval:.3g} with 90% (86 to 93% measured on 3 subjects)" in str(report)
    assert report.invented > 0 and "not determined by the scan" in str(report)
    assert plain.report.invented is None and "not determined" not in str(plain.report)
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_maps_are_in_the_scans_units_whatever_its_values_are(calibrated):
    volume = head()
    plain = upscale(volume, asked(invented=True))
    tiny = Volume(volume.array.astype(np.float64) * 1e-33, volume.grid)
    small = upscale(tiny, asked(invented=True))
    for name, found in small.maps.items():
        assert np.allclose(found.array * 1e33, plain.maps[name].array, rtol=0.05, atol=1.0)
    assert np.isclose(small.report.interval * 1e33, plain.report.interval, rtol=1e-3)


def test_a_volume_all_alike_has_maps_of_nothing_and_no_interval(calibrated):
    volume = Volume(np.full((8, 8, 8), 7, np.int16), Grid((8, 8, 8)))
    result = upscale(volume, asked(invented=True))
    assert set(result.maps) == {"interval", "invented"}
    for found in result.maps.values():
        assert found.array.shape == (16, 16, 16) and np.abs(found.array).max() < 1e-3
    assert result.report.interval is None


def test_progress_reaches_the_end_with_maps(calibrated):
    told = []
    upscale(head(), asked(invented=True), lambda *step: told.append(step))
    assert told[-1] == (1000, 1000)
    assert told == sorted(told)


REFUSED = {
    "of another factor": ({"scale": (1, 1, 2)}, r"at 2 x 2 x 2, and this is 1 x 1 x 2"),
    "of a modality whose table did not hold": ({"modality": "CT"}, r"of CT left out it covered 60 to 99%"),
    "of a model without a table": ({"model": "linear"}, "No interval was measured for Linear"),
    "with a profile that was told": ({"profile": "box"}, "leave the profile or the interval out"),
    "with other rounds": ({"consistency": 2}, "leave the consistency or the interval out"),
}


@pytest.mark.parametrize(("options", "words"), REFUSED.values(), ids=REFUSED)
def test_no_interval(options, words, calibrated):
    volume = head()
    request = Request(**{"model": "lanczos", "scale": (2, 2, 2), "modality": "MR", **options})
    with pytest.raises(RefusalError, match=words) as refusal:
        upscale(volume, Request.from_dict({**request.to_dict(), "interval": True}))
    assert "\n" not in str(refusal.value)
    report = upscale(volume, request).report
    assert report.interval is None and report.interval_missing == str(refusal.value)
    assert "with 90%" not in str(report)


def test_no_interval_of_scans_unlike_those_that_were_measured(calibrated):
    array, grid = head().array, head().grid
    noisy = array + np.random.default_rng(0).normal(0, 800, array.shape).astype(np.float32)
    cases = (
        (Volume(noisy, grid), "with noise up to 5% of their range"),
        (Volume(array, Grid(grid.size, (0.3,) * 3)), "voxels of 1 to 4 mm, and these are 0.3 x 0.3 x 0.3 mm"),
        (Volume(array, Grid(grid.size, (1, 1, 9))), "and these are 1 x 1 x 9 mm"),
    )
    for volume, words in cases:
        with pytest.raises(RefusalError, match=words):
            upscale(volume, asked())
        assert upscale(volume, asked(interval=False)).report.interval is None


def test_one_axis_stands_for_any(calibrated):
    calibrated.write_text(json.dumps({"lanczos": [vars(interval_table(factor=(1, 1, 4)))]}))
    assert upscale(head(12), asked(scale=(1, 4, 1))).interval is not None
    with pytest.raises(RefusalError, match="at 1 x 1 x 4"):
        upscale(head(12), asked(scale=(1, 3, 1)))


def test_nothing_is_invented_of_labels():
    labels = Volume(np.ones((4, 4, 4), np.uint8), Grid((4, 4, 4)))
    with pytest.raises(RefusalError, match="nothing is invented"):
        upscale(labels, Request("nearest", scale=(2, 2, 2), label_map=True, invented=True))


def test_a_file_of_intervals_that_cannot_be_read_takes_no_method_away(calibrated):
    calibrated.write_text('{"lanczos": [{"modality": "PET"}]}')
    assert zoo.card("lanczos").intervals == ()
    calibrated.unlink()
    assert zoo.card("lanczos").intervals == ()


def test_what_was_measured_takes_the_place_of_what_was_there(calibrated, tmp_path):
    mine = model(tmp_path / "mine", intervals=(interval_table(), interval_table(protocol="box")))
    for card in (zoo.card("lanczos"), mine):
        zoo.write_intervals(card, [interval_table(noise=0.1), interval_table(factor=(4, 4, 4))])
    for card, others in (
        (zoo.card("lanczos"), ("CT", "scanner")),
        (zoo.read_card(mine.folder / "card.json"), ("MR", "box")),
    ):
        found = {(t.modality, t.factor, t.protocol): t.noise for t in card.intervals}
        assert found == {
            ("MR", (2, 2, 2), "scanner"): 0.1,
            ("MR", (4, 4, 4), "scanner"): 0.05,
            (others[0], (2, 2, 2), others[1]): 0.05,
        }


BROKEN = {
    "falling": ({"half_widths": tuple(range(BINS, 0, -1))}, "must not fall"),
    "edges upside down": ({"edges": tuple(range(BINS - 1, 0, -1))}, "edges have to rise"),
    "a bin too few": ({"half_widths": (0.1,) * (BINS - 1)}, "list of 12"),
    "coverage above all": ({"coverage": (0.9, 0.9, 1.2)}, "coverage"),
    "coverage of others": ({"coverage": (0.9,)}, "one number a subject"),
    "no quarters": ({"quartiles": ()}, "quartiles are four"),
    "another modality": ({"modality": "PET"}, "one of MR"),
    "spacings upside down": ({"spacing_mm": (4.0, 1.0)}, "coarsest voxels first"),
}


@pytest.mark.parametrize(("changes", "words"), BROKEN.values(), ids=BROKEN)
def test_a_table_that_cannot_be_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        tables.interval_table({**vars(interval_table()), **changes})
    with pytest.raises(ValueError, match="has no quantile"):
        tables.interval_table({name: v for name, v in vars(interval_table()).items() if name != "quantile"})


@given(st.lists(st.floats(0.8, 1), min_size=7, max_size=7))
@settings(max_examples=40)
def test_a_table_holds_only_where_every_subject_and_every_quarter_was_covered(parts):
    table = interval_table(coverage=tuple(parts[:3]), quartiles=tuple(parts[3:]))
    assert table.holds == (min(parts) >= HELD[0] and max(parts) <= HELD[1])
    assert ("not stated" in table.words()) != table.holds
    assert not interval_table(coverage=(), quartiles=(), subjects=2).holds
