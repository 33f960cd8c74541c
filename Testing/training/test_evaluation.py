"""Evaluation, and the page and picture made of it."""

import json

import numpy as np
import pytest
from sample_models import model
from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.physics import degradation, separable
from VolumeSuperResolutionLib.engine.physics.scanner import Axis, Scanner
from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume
from VolumeSuperResolutionLib.training import evaluation, gallery, listing


@pytest.fixture
def folder(tmp_path):
    """Two volumes a model never saw: a "CT" and an "MR"."""
    place = tmp_path / "volumes"
    place.mkdir()
    k, j, i = np.meshgrid(*[np.linspace(0, 12, 33)] * 3, indexing="ij")
    waves = np.sin(i + j) * np.cos(1.5 * k)
    files.write(Volume((500 * waves).astype(np.int16) - 600, Grid((33, 33, 33))), place / "ct.nrrd")
    files.write(Volume((500 + 400 * waves).astype(np.int16), Grid((33, 33, 33))), place / "mr.nrrd")
    return place


@pytest.fixture
def card(tmp_path, monkeypatch):
    monkeypatch.setenv(zoo.FOLDERS_VARIABLE, str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return model(tmp_path / "models" / "mine", seconds_per_megavoxel=1.0, parameters=1, limits=("Noise.",))


def test_every_method_gets_the_same_volume_and_gains_are_against_it(folder, card):
    scores = evaluation.evaluate(["mine"], folder, (2, 2, 2), "scanner", aside=["mr*"])
    assert [s.model for s in scores if s.volume == "ct.nrrd"] == [*evaluation.BASELINES, "mine"]
    assert {s.volume: s.modality for s in scores} == {"ct.nrrd": "CT", "mr.nrrd": "MR"}
    gains = evaluation.gains(scores, "mine")
    assert set(gains) == {"CT"}  # the other was put aside
    by_model = {s.model: s for s in scores if s.volume == "ct.nrrd"}
    best = max(by_model["lanczos"].psnr, by_model["rounds"].psnr)
    assert np.isclose(gains["CT"]["over_best_classical"][0], by_model["mine"].psnr - best, atol=1e-3)
    # Where Lanczos is right within 1%, its own mean error is under 1%.
    assert 0 < by_model["lanczos"].harm < 1
    assert "(aside)" in evaluation.table(scores)


def test_thick_slices_are_told_of_or_not(folder):
    untold, told = (evaluation.make_case(folder / "mr.nrrd", (1, 1, 3), name) for name in ("thick", "thick-told"))
    assert np.array_equal(untold.low.array, told.low.array)
    assert untold.scanner == Scanner()
    blur = degradation.drawn("thick", "mr.nrrd")
    assert told.scanner.axes[2] == Axis(blur.profile, 3 * blur.width, "user", "user")
    assert told.scanner.noise == blur.noise
    # It is what was done: without its noise, the truth seen so is the scan.
    seen = told.scanner.matrices(told.truth.shape, told.low.array.shape, told.low.grid.spacing)
    left = separable.apply(told.truth, seen) - told.low.array
    low, high = np.percentile(told.truth, (0.1, 99.9))
    assert np.isclose(np.std(left), blur.noise * (high - low), rtol=0.05)


def test_the_protocol_of_thick_slices_draws_all_that_it_says():
    blurs = [degradation.drawn("thick", f"{n}.nrrd") for n in range(60)]
    assert {b.profile for b in blurs} == set(degradation.PROFILES)
    assert min(b.width for b in blurs) < 0.75 and max(b.width for b in blurs) > 1.25
    assert min(b.noise for b in blurs) < 0.002 and 0.018 < max(b.noise for b in blurs) <= 0.02


def test_who_is_told_of_thick_slices_comes_nearer_to_the_truth(folder):
    psnr = {
        protocol: {
            s.volume: s.psnr
            for s in evaluation.evaluate(["backprojection"], folder, (2, 2, 2), protocol)
            if s.model == "backprojection"
        }
        for protocol in ("thick", "thick-told")
    }
    assert sum(psnr["thick-told"].values()) > sum(psnr["thick"].values()) + 1


def test_volumes_are_cut_to_the_factor_and_stay_in_place(folder):
    case = evaluation.make_case(folder / "mr.nrrd", (4, 1, 2), "profile")
    assert case.truth.shape == (32, 33, 32)
    assert case.low.array.shape == (16, 33, 8)
    assert np.allclose(case.low.grid.to_physical((-0.5,) * 3), (-0.5,) * 3)
    assert case.low.grid.spacing == (4, 1, 2)
    case = evaluation.make_case(folder / "mr.nrrd", (1.5, 1, 2.5), "profile")
    assert case.truth.shape == (30, 33, 33) and case.low.array.shape == (12, 33, 22)
    assert case.low.grid.spacing == (1.5, 1, 2.5)


def test_gains_are_saved_in_the_card_and_shown(folder, card, tmp_path, capsys):
    arguments = ["evaluate", "--model", "mine", "--volumes", str(folder), "--scale", "2", "--save", "--quiet"]
    assert main(arguments) == 0
    assert main([*arguments, "--protocol", "scanner", "--crop", "24"]) == 0
    arguments[arguments.index("2")] = "1.5,2,2"
    assert main(arguments) == 0
    saved = json.loads((card.folder / zoo.CARD_FILE).read_text())["gains"]
    assert set(saved) == {"profile", "scanner", "profile 1.5 x 2 x 2"}
    assert "crop" not in saved["profile"]["MR"] and saved["scanner"]["MR"]["crop"] == [24]
    capsys.readouterr()
    assert main(["models", "--markdown"]) == 0
    page = capsys.readouterr().out
    assert f"{saved['scanner']['MR']['over_best_classical'][0]:+.2f}" in page
    assert "volumes, 24³ voxels of each)" in page
    assert "Noise." in page and "| 2.1 |" in page
    assert page == listing.markdown([*zoo.cards().values(), *filter(None, [zoo.for_several()])])


def test_a_card_admits_where_something_classical_was_better(folder, card):
    # Random weights are worse than everything, everywhere.
    assert main(["evaluate", "--model", "mine", "--volumes", str(folder), "--scale", "2", "--save", "--quiet"]) == 0
    limits = zoo.card("mine").limits
    assert limits[0] == "Noise."
    gains = zoo.card("mine").gains["profile"]["CT"]
    assert f'Worse than Lanczos under "profile", CT: {-gains["over_lanczos"][0]:.2f} dB.' in limits
    assert len(limits) == 5


def test_the_gallery_draws_every_model(folder, card, tmp_path):
    gallery.draw([card], [folder / "mr.nrrd"], tmp_path / "gallery.png")
    assert (tmp_path / "gallery.png").read_bytes().startswith(b"\x89PNG")
