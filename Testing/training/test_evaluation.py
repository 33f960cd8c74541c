"""Evaluation, and the page and picture made of it."""

import json

import numpy as np
import pytest
from sample_models import model
from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.engine.models import zoo
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
    best = max(by_model["lanczos"].psnr, by_model["backprojection"].psnr)
    assert np.isclose(gains["CT"]["over_best_classical"][0], by_model["mine"].psnr - best, atol=1e-3)
    # Where Lanczos is right within 1%, its own mean error is under 1%.
    assert 0 < by_model["lanczos"].harm < 1
    assert "(aside)" in evaluation.table(scores)


def test_volumes_are_cut_to_the_factor_and_stay_in_place(folder):
    case = evaluation.make_case(folder / "mr.nrrd", (4, 1, 2), "profile")
    assert case.truth.shape == (32, 33, 32)
    assert case.low.array.shape == (16, 33, 8)
    assert np.allclose(case.low.grid.to_physical((-0.5,) * 3), (-0.5,) * 3)
    assert case.low.grid.spacing == (4, 1, 2)


def test_gains_are_saved_in_the_card_and_shown(folder, card, tmp_path, capsys):
    arguments = ["evaluate", "--model", "mine", "--volumes", str(folder), "--scale", "2", "--save", "--quiet"]
    assert main(arguments) == 0
    assert main([*arguments, "--protocol", "scanner"]) == 0
    saved = json.loads((card.folder / zoo.CARD_FILE).read_text())["gains"]
    assert set(saved) == {"profile", "scanner"}
    capsys.readouterr()
    assert main(["models", "--markdown"]) == 0
    page = capsys.readouterr().out
    assert f"{saved['scanner']['MR']['over_best_classical'][0]:+.2f}" in page
    assert "Noise." in page and "| 2.1 |" in page
    assert page == listing.markdown(zoo.cards().values())


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
