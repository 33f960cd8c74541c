"""Learning from a thick scan itself: what it learns from, what it is judged by, and when what it learned is used."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import phantoms
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from sample_models import model, tensors_of
from VolumeSuperResolutionLib.engine import checks
from VolumeSuperResolutionLib.engine import upscale as engine
from VolumeSuperResolutionLib.engine.errors import CancelledError, RefusalError
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.physics import degradation, interpolation, separable
from VolumeSuperResolutionLib.engine.physics.scanner import Axis
from VolumeSuperResolutionLib.engine.request import Report, Request
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume
from VolumeSuperResolutionLib.learning import limit, thick
from VolumeSuperResolutionLib.learning import upscale as subject
from VolumeSuperResolutionLib.learning.held_out import HeldOut

REQUEST = Request(model="backprojection", isotropic=True, modality="MR", label_map=False, device="cpu", learn_steps=4)


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """Few patches at a time, which need not gain much, and temporary folders where it is seen whether they stay."""
    monkeypatch.setattr(thick, "BATCH", 2)
    monkeypatch.setattr(subject, "MARGIN", 0.25)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    yield
    assert os.listdir(tmp_path / "temporary") == []


@pytest.fixture(scope="module")
def truth():
    return phantoms.head(96).array[24:72]


@pytest.fixture(scope="module")
def scan(truth):
    """Its slices four voxels thick."""
    low = separable.apply(truth, (degradation.axis_matrix(48, 12), None, None))
    return Volume(low, Grid((96, 96, 12), (1.0, 1.0, 4.0)))


@pytest.fixture(scope="module")
def plain(scan):
    """What would run without learning."""
    return engine.upscale(scan, replace(REQUEST, learn_steps=None)).volume.array


def error(result, truth):
    return float(np.mean((result.astype(float) - truth) ** 2))


def ramps(spacing):
    """A scan whose values are millimeters along both axes of its slices, those along the second a thousand times."""
    y, x = np.arange(100) * spacing[1], np.arange(110) * spacing[2]
    plane = (y[:, None] + 1000 * x).astype(np.float32)
    return thick.ThickScan(np.stack([plane] * 4), spacing, Axis(), 0.0)


@settings(max_examples=15)
@given(
    st.tuples(st.floats(2.5, 7.0), st.floats(0.5, 1.6), st.floats(0.5, 1.6)),
    st.integers(0, 20),
)
def test_pairs_show_the_same_place_coarse_and_fine(spacing, step):
    scan = ramps(spacing)
    axes = scan.fine_axes
    coarse, fine = thick.Pairs(scan, range(4), 0)(step)
    n, m = scan.patch(axes[step % len(axes)])
    assert (coarse.shape[-1], fine.shape[-1]) == (n, m)
    assert abs(m / n * spacing[axes[step % len(axes)]] / spacing[0] - 1) < 0.2
    # A ramp seen through any profile is a ramp: interpolated it is the fine one, but where the image ends.
    inner = slice(m // n + 1, -(m // n + 1))
    seen = coarse @ interpolation.axis_matrix(n, m, "linear").T
    assert np.abs(seen - fine)[..., inner].max() < 2e-2 * np.ptp(fine)


def test_noise_that_is_averaged_out_is_added_again():
    flat = np.zeros((4, 128, 128), np.float32)
    flat[:, ::16] = 1e-6
    scan = thick.ThickScan(
        flat + np.random.default_rng(0).normal(0, 0.1, flat.shape).astype(np.float32), (4.0, 1.0, 1.0), Axis(), 0.1
    )
    coarse = np.concatenate([thick.Pairs(scan, range(4), 0)(step)[0].ravel() for step in range(8)])
    assert 0.09 < coarse.std() < 0.11


def test_what_is_held_out_is_turned_and_not_learned_from(scan, truth):
    planes = np.ascontiguousarray(scan.array / 1000)
    held_out = HeldOut(thick.ThickScan(planes, (4.0, 1.0, 1.0), Axis(), 0.0), 0)
    assert 0 < len(held_out.numbers) <= 12 // 8 and held_out.truth.shape[1] == 4 * len(held_out.numbers)
    for coarse in held_out.scans:
        guess = interpolation.resample(coarse, held_out.truth.shape)
        assert error(guess, held_out.truth) < 0.25 * held_out.truth.var()
    turned = HeldOut(ramps((4.0, 1.0, 1.0)), 0).truth
    slopes = [float(np.gradient(turned, axis=axis)[10:-10, :, 10:-10].mean()) for axis in (0, 2)]
    assert np.allclose(np.abs(slopes), 1000 / 2**0.5, rtol=5e-3)


def test_what_was_learned_is_used_where_it_is_better_and_can_be_kept(scan, truth, plain, tmp_path):
    told = []
    result = subject.upscale(scan, REQUEST, learning=told.append, keep=tmp_path / "mine")
    report = result.report
    assert result.volume.array.shape == truth.shape
    assert error(result.volume.array, truth) < 0.97 * error(plain, truth)
    assert report.learning_gain > 0.25 and 0 < report.learned_share <= 1
    assert (report.learning_steps, report.learning_beside, report.model) == (4, "Back-projection", "mine")
    assert "learned from the scan: 4 steps" in str(report)
    assert Report.from_dict(report.to_dict()) == report
    assert len(told) == 4 and told[-1].done == 1 and told[-1].gain == pytest.approx(report.learning_gain, abs=0.01)
    again = engine.upscale(scan, replace(REQUEST, model=str(tmp_path / "mine"), learn_steps=None)).volume.array
    assert np.array_equal(again, result.volume.array)
    card = zoo.read_card(tmp_path / "mine" / zoo.CARD_FILE)
    assert card.id == "mine" and card.averaged_with in ("backprojection", "") and "one scan" in card.training["from"]


def test_the_same_steps_give_the_same_result_whichever_axis_is_thick(scan):
    first = subject.upscale(scan, REQUEST).volume.array
    turned = Volume(np.ascontiguousarray(scan.array.transpose(1, 2, 0)), Grid((12, 96, 96), (4.0, 1.0, 1.0)))
    second = subject.upscale(turned, REQUEST).volume.array
    assert np.abs(second - first.transpose(1, 2, 0)).max() < 1e-3 * np.ptp(first)


def test_a_card_can_average_its_result_with_another_models(tmp_path):
    scan = Volume(phantoms.head(24, 1).array[:6], Grid((24, 24, 6), (1.0, 1.0, 2.0)))
    stages = (zoo.Stage("cnnil_depth", {"factor": 2}, ("j", "i")),)
    model(tmp_path / "alone", save(tensors_of(stages)), stages, factor=(1, 1, 2))
    mean = model(
        tmp_path / "mean", save(tensors_of(stages)), stages, factor=(1, 1, 2), averaged_with="linear", share=0.25
    )
    assert zoo.read_card(tmp_path / "mean" / zoo.CARD_FILE) == mean
    request = Request(isotropic=True, modality="MR", label_map=False, device="cpu")
    models = ("linear", str(tmp_path / "alone"), str(tmp_path / "mean"))
    plain, alone, both = (engine.upscale(scan, replace(request, model=m)).volume.array for m in models)
    assert np.allclose(both, 0.75 * plain + 0.25 * alone, atol=1e-4 * np.ptp(plain))
    region = ((4, 20), (4, 20), (1, 5))
    part = engine.upscale(scan, replace(request, model=models[-1], region=region)).volume.array
    assert np.allclose(part, both[2:10, 4:20, 4:20], atol=1e-3 * np.ptp(plain))
    chain = model(
        tmp_path / "chain", save(tensors_of(stages)), stages, factor=(1, 1, 2), averaged_with=models[-1], share=0.5
    )
    result = engine.upscale(scan, replace(request, model=str(tmp_path / "chain")))
    assert np.allclose(result.volume.array, 0.5 * both + 0.5 * alone, atol=1e-4 * np.ptp(plain))
    assert [share for _, share in result.report.mean_of] == [0.5, 0.125, 0.375]
    assert "(50%)" in str(result.report) and "(38%)" in str(result.report)
    zoo.write_card(replace(mean, averaged_on=("CT",)))  # and this scan is an MR
    lone = engine.upscale(scan, replace(request, model=models[-1]))
    assert np.array_equal(lone.volume.array, alone) and not lone.report.mean_of
    zoo.write_card(replace(chain, averaged_with=str(tmp_path / "chain")))
    with pytest.raises(RefusalError, match="more than 4 in all"):
        engine.upscale(scan, replace(request, model=str(tmp_path / "chain")))


@pytest.mark.parametrize("beside, taken", [("linear", True), ("auto", False)])
def test_automatic_does_not_take_what_is_averaged_with_itself(tmp_path, monkeypatch, beside, taken):
    gains = {"scanner": {"MR": {"over_best_classical": [9.0, 0.0]}}}
    stages = (zoo.Stage("cnnil_depth", {"factor": 2}, ("j", "i")),)
    data = save(tensors_of(stages))
    model(tmp_path / "mine", data, stages, factor=(1, 1, 2), averaged_with=beside, share=0.5, gains=gains)
    monkeypatch.setattr(zoo, "folders", lambda: [tmp_path])
    request = Request(model="auto", isotropic=True, modality="MR", label_map=False)
    assert (checks.lay_out(Grid((24, 24, 6), (1.0, 1.0, 2.0)), request).card.id == "mine") == taken


def test_where_it_is_not_better_the_result_is_what_it_would_have_been(scan, plain, tmp_path, monkeypatch):
    monkeypatch.setattr(subject, "MARGIN", 100.0)
    result = subject.upscale(scan, REQUEST, keep=tmp_path / "mine")
    assert np.array_equal(result.volume.array, plain)
    assert result.report.model == "backprojection" and result.report.learned_share == 0
    assert "too little to be used" in str(result.report)
    assert any("Nothing was kept" in note for note in result.report.warnings)
    assert not (tmp_path / "mine").exists()


def test_what_is_learned_stands_beside_the_mean_that_automatic_takes(scan, tmp_path, monkeypatch):
    monkeypatch.setattr(subject, "MARGIN", -100.0)
    judged = []
    monkeypatch.setattr(
        HeldOut, "beat", lambda self, *given, beat=HeldOut.beat: judged.append(given[0]) or beat(self, *given)
    )
    gains = {"scanner": {"MR": {"over_best_classical": [1.0, 0.0]}}}
    stages = (zoo.Stage("anygrid3d", {"features": 3}, turns=2),)
    told = {"factor": (0, 0, 0), "gains": gains, "averaged_with": "backprojection", "share": 0.7}
    model(tmp_path / "models" / "any", save(tensors_of(stages)), stages, **told)
    monkeypatch.setattr(zoo, "folders", lambda: [tmp_path / "models"])
    request = replace(REQUEST, model="auto", learn_steps=2)
    plain = engine.upscale(scan, replace(request, learn_steps=None))
    result = subject.upscale(scan, request, keep=tmp_path / "mine")
    titles = [title for title, _ in plain.report.mean_of]
    assert len(titles) > 1 and result.report.learning_beside == " + ".join(titles) and judged == ["auto"]
    assert [title for title, _ in result.report.mean_of] == ["Learned from the scan", *titles]
    folder = tmp_path / "mine"
    assert zoo.read_card(folder / zoo.CARD_FILE).averaged_with == "auto"
    again = engine.upscale(scan, replace(request, model=str(folder), learn_steps=None)).volume.array
    assert np.array_equal(again, result.volume.array)


def test_a_model_that_does_not_reach_the_pixels_is_judged_as_far_as_it_goes(scan, tmp_path, monkeypatch):
    stages = (zoo.Stage("anygrid3d", {"features": 3}),)
    model(tmp_path / "models" / "any", save(tensors_of(stages)), stages, factor=(0, 0, 0))
    monkeypatch.setattr(zoo, "folders", lambda: [tmp_path / "models"])
    thin = Volume(scan.array, Grid((96, 96, 12), (0.6, 0.6, 4.0)))  # slices 6.7 times as far apart: it reaches 6
    request = replace(REQUEST, model="any", isotropic=False, scale=(1.0, 1.0, 5.0), learn_steps=2)
    result = subject.upscale(thin, request)
    assert result.volume.array.shape == (60, 96, 96)
    assert result.report.learning_steps == 2 and np.isfinite(result.report.learning_gain)


def test_without_learning_it_is_the_engine(scan, plain):
    result = subject.upscale(scan, replace(REQUEST, learn_steps=None))
    assert np.array_equal(result.volume.array, plain) and result.report.learning_gain is None


def test_it_can_be_cancelled_and_ended_early(scan, tmp_path):
    asked = []
    with pytest.raises(CancelledError):
        subject.upscale(scan, REQUEST, cancel=lambda: asked.append(1) or len(asked) > 60, keep=tmp_path / "mine")
    told = []
    result = subject.upscale(
        scan, replace(REQUEST, learn_steps=10_000), learning=told.append, enough=lambda: len(told) > 2
    )
    assert result.report.learning_steps == len(told) == 3
    assert os.listdir(tmp_path) == ["temporary"]


def test_slices_few_uneven_and_a_number_of_times_that_is_not_whole(truth):
    low = separable.apply(truth[:, :, ::2], (degradation.axis_matrix(48, 12), None, None))
    low = np.concatenate([low, low], axis=2)
    uneven = Volume(np.ascontiguousarray(low), Grid((96, 96, 12), (0.8, 1.1, 2.75)))
    result = subject.upscale(uneven, replace(REQUEST, learn_steps=2))
    assert result.volume.array.shape == (41, 132, 96)
    assert np.isfinite(result.volume.array).all()


def test_a_few_slices_with_gaps_that_are_fine_along_one_axis_only(truth):
    """Pixels of 2.2 mm are too wide to teach slices every 3 mm; those of 1 mm do it alone."""
    few = Volume(np.ascontiguousarray(truth[::12]), Grid((96, 96, 4), (1.0, 2.2, 3.0)))
    request = replace(REQUEST, slice_thickness=2.4, profile="box", isotropic=False, scale=(1.0, 1.0, 3.0))
    result = subject.upscale(few, replace(request, learn_steps=2))
    assert result.volume.array.shape == (12, 96, 96)
    assert np.isfinite(result.volume.array).all() and result.report.learning_steps == 2
    assert result.report.scanner.axes[2].width == 2.4


def test_it_ends_by_itself_only_when_measured_to_get_no_better():
    rising, flat = [(20.0 * n, 0.2 * n) for n in range(1, 11)], [(20.0 * n, 0.8) for n in range(4, 11)]
    assert not limit.settled(rising, 200.0)
    assert limit.settled(rising[:4] + flat, 200.0)
    assert not limit.settled(flat[:1], 50.0) and not limit.settled([], 200.0)
    # On a slow machine nothing, or little, was measured lately.
    assert not limit.settled([(40.0, 0.8)], 60.0) and not limit.settled([(40.0, 0.8), (80.0, 0.8)], 90.0)


REFUSALS = {
    "not thick": (Grid((96, 96, 96), (1.0, 1.0, 1.4)), {}, "at least 1.5 times"),
    "small": (Grid((96, 95, 20), (1.0, 1.0, 3.0)), {}, "96 x 95 pixels are too small"),
    "few": (Grid((96, 96, 3), (1.0, 1.0, 3.0)), {}, "3 slices are too few"),
    "another axis": (Grid((96, 96, 20), (1.0, 1.0, 3.0)), {"isotropic": False, "scale": (4.0, 1.0, 1.0)}, "thinner"),
    "coarser": (Grid((96, 96, 20), (1.0, 1.0, 6.0)), {"isotropic": False, "scale": (1.0, 1.0, 2.0)}, "one axis by 6"),
    "bounds": (Grid((96, 96, 20), (1.0, 1.0, 3.0)), {"interval": True}, "measured|not known"),
    "labels": (Grid((96, 96, 20), (1.0, 1.0, 3.0)), {"label_map": True, "model": "nearest"}, "label map"),
    "no time": (Grid((96, 96, 20), (1.0, 1.0, 3.0)), {"learn_steps": None, "learn": 0.0}, "for 0 minutes"),
    "words": (Grid((96, 96, 20), (1.0, 1.0, 3.0)), {"learn_steps": None, "learn": "long"}, "for long minutes"),
    "time and steps": (Grid((96, 96, 20), (1.0, 1.0, 3.0)), {"learn": 1.0}, "not both"),
    "no steps": (Grid((96, 96, 20), (1.0, 1.0, 3.0)), {"learn_steps": 0}, "at least 1"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_learned_from_is_refused_before_any_work(name):
    grid, changes, words = REFUSALS[name]
    volume = Volume(np.zeros(grid.size[::-1], np.float32), grid)
    with pytest.raises(RefusalError, match=words):
        subject.upscale(volume, replace(REQUEST, **changes))


def test_a_scan_without_structure_is_refused():
    volume = Volume(np.full((20, 96, 96), 7.0, np.float32), Grid((96, 96, 20), (1.0, 1.0, 3.0)))
    with pytest.raises(RefusalError, match="no structure"):
        subject.upscale(volume, REQUEST)
