"""In which precisions a model stays good is measured, said on its card, and asked of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sample_models import model
from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume
from VolumeSuperResolutionLib.training import precision

STAGE = zoo.Stage("edsr3d", {"factor": 2, "features": 8, "blocks": 1, "residual": True})


def waves(offset=600.0, shape=(30, 26, 28)):
    k, j, i = np.meshgrid(*[np.linspace(0, 9, n) for n in shape], indexing="ij")
    return (400 * np.sin(i + j) * np.cos(1.5 * k) + offset).astype(np.float32)


@pytest.fixture
def card(tmp_path, monkeypatch):
    monkeypatch.setenv(zoo.FOLDERS_VARIABLE, str(tmp_path / "models"))
    return model(tmp_path / "models" / "mine", stages=(STAGE,))


def test_the_loss_is_larger_with_fewer_bits(card):
    measured = precision.losses(card, [waves(), waves(500)])
    assert all(len(values) == 2 and np.isfinite(values).all() for values in measured.values())
    sizes = {name: np.abs(values).max() for name, values in measured.items()}
    assert 0 < sizes["fp16"] < sizes["bf16"] and 0 < sizes["tf32"] < sizes["bf16"]


def test_numbers_beyond_half_precision_are_not_allowed(tmp_path):
    from safetensors.numpy import save
    from sample_models import tensors_of

    tensors = {name: 1e8 * t if name == "0.head.weight" else t for name, t in tensors_of((STAGE,)).items()}
    card = model(tmp_path / "large", save(tensors), stages=(STAGE,))
    measured = precision.losses(card, [waves()])
    assert measured["fp16"] == [float("inf")] and "fp16" not in precision.kept(measured)
    assert np.isfinite(measured["bf16"]).all()


def test_every_crop_has_to_keep_its_quality():
    measured = {"tf32": [0.0, 0.019], "bf16": [-0.1, 0.021], "fp16": [0.001, float("inf")]}
    assert precision.kept(measured) == ("tf32",)


def test_crops_are_taken_from_each_modality_where_there_is_tissue():
    ct = waves(-400)
    ct[:10] = -1000
    crops = precision.crops([waves(), ct, *[waves(500)] * 5], ("MR", "CT"), edge=16)
    assert [crop.shape for crop in crops] == [(16, 16, 16)] * 4
    assert crops[-1].min() < 0 < crops[0].max()
    assert len(precision.crops([waves(), ct], ("CT",))) == 1


def test_evaluate_writes_them_into_the_card(card, tmp_path, capsys):
    (tmp_path / "volumes").mkdir()
    files.write(Volume(waves().astype(np.int16), Grid((28, 26, 30))), tmp_path / "volumes" / "mr.nrrd")
    arguments = ["evaluate", "--precision", "--model", "mine", "--volumes", str(tmp_path / "volumes"), "--quiet"]
    assert main(arguments) == 0
    assert zoo.card("mine").precisions == ()
    assert "| mine |" in capsys.readouterr().out
    assert main([*arguments, "--save"]) == 0
    saved = json.loads((card.folder / "card.json").read_text())
    assert tuple(saved["precisions"]) == zoo.card("mine").precisions
    assert "of 1 crops" in saved["training"]["precisions"] and "half_allowed" not in saved


def test_cards_of_earlier_versions_are_understood(card):
    path = card.folder / "card.json"
    values = json.loads(path.read_text())
    del values["precisions"]
    for half, expected in ((True, ("bf16", "fp16")), (False, ())):
        path.write_text(json.dumps({**values, "half_allowed": half}))
        read = zoo.card("mine")
        assert read.precisions == expected and not read.others
