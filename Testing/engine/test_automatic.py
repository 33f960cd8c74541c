"""The model "auto": the nearest model that gains on noisy scans, else the data step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sample_models import model
from VolumeSuperResolutionLib.engine.checks import lay_out
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.models import automatic, zoo
from VolumeSuperResolutionLib.engine.request import Report, Request
from VolumeSuperResolutionLib.engine.upscale import upscale
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

GRID = Grid((20, 21, 10), (0.9, 0.9, 3.6))


@pytest.fixture
def cards(monkeypatch):
    """cards(name=(factor, gains, other fields)): the only learned models there are, without weights."""

    def only(**models):
        stage = zoo.Stage("edsr3d")
        known = {card.id: card for card in zoo.CLASSICAL}
        for name, (factor, gains, *rest) in models.items():
            measured = {"scanner": {m: {"over_best_classical": [gain, 0.1]} for m, gain in gains.items()}}
            card = zoo.Card(name, name, "For a test.", factor=factor, stages=(stage,), gains=measured)
            known[name] = replace(card, **rest[0]) if rest else card
        monkeypatch.setattr(zoo, "_look", lambda: (known, []))

    return only


def chosen(grid=GRID, modality="MR", **target):
    return lay_out(grid, Request("auto", modality=modality, **target)).card.id


def test_the_nearest_that_reaches_the_target_wins_whatever_it_gains(cards):
    cards(two=((2, 2, 2), {"MR": 0.1}), four=((4, 4, 4), {"MR": 9.0}), slices=((1, 1, 4), {"MR": 0.2}))
    assert chosen(scale=(2, 2, 2)) == "two"
    assert chosen(scale=(2.5, 2.5, 2.5)) == "two"
    assert chosen(scale=(3, 3, 3)) == "four"
    assert chosen(isotropic=True) == "slices"
    assert chosen(scale=(4, 1, 1)) == "slices"


def test_of_equally_near_ones_the_better_for_the_modality(cards):
    cards(a=((2, 2, 2), {"MR": 0.3, "CT": 2.0}), b=((2, 2, 2), {"MR": 0.5, "CT": 0.1}))
    assert [chosen(modality=m, scale=(2, 2, 2)) for m in ("MR", "CT", "auto")] == ["b", "a", "a"]


def test_what_does_not_gain_or_draws_for_looks_is_left_out(cards):
    cards(
        worse=((2, 2, 2), {"MR": -0.1}),
        unmeasured=((2, 2, 2), {"CT": 1.0}),
        looks=((2, 2, 2), {"MR": 5.0}, {"caution": "It draws what may not be there."}),
        mixed=((2, 2, 2), {"MR": 5.0}, {"partner": "worse"}),
    )
    assert chosen(scale=(2, 2, 2)) == "backprojection"
    assert chosen(modality="CT", scale=(2, 2, 2)) == "unmeasured"


def test_out_of_reach_and_without_torch_it_is_classical(cards, monkeypatch):
    cards(two=((2, 2, 2), {"MR": 1.0, "CT": 1.0}))
    assert chosen(scale=(9, 9, 9)) == "backprojection"
    monkeypatch.setattr(automatic, "networks_at_hand", lambda: False)
    assert chosen(scale=(2, 2, 2)) == "backprojection"


def test_a_network_for_every_grid_comes_first_where_it_gained_by_such_factors(cards):
    figures = {"scanner": 1.2, "scanner 3 x 3 x 3": 0.5, "scanner 1 x 1 x 4": -0.1}
    gains = {key: {"MR": {"over_best_classical": [gain, 0.0]}} for key, gain in figures.items()}
    cards(
        every=((0, 0, 0), {}, {"stages": (zoo.Stage("anygrid3d"),), "gains": gains}),
        two=((2, 2, 2), {"MR": 0.9}),
        better=((3, 3, 3), {"MR": 5.0}),
        slices=((1, 1, 4), {"MR": 0.2}),
    )
    assert [chosen(scale=(s, s, s)) for s in (2, 2.2, 3, 3.2)] == ["every"] * 4
    assert [chosen(scale=scale) for scale in ((1, 1, 4), (5, 1, 1), (1, 6.0, 1))] == ["slices"] * 3
    assert chosen(scale=(1.0, 1.0, 6.5)) == "backprojection"


def test_a_single_slice_has_no_say(cards):
    cards(two=((2, 2, 2), {"MR": 1.0}))
    assert chosen(Grid((20, 21, 1)), scale=(2, 2, 2)) == "two"


def test_label_maps_take_the_model_that_invents_none(cards):
    cards(two=((2, 2, 2), {"MR": 1.0}))
    assert lay_out(GRID, Request("auto", scale=(2.0, 2.0, 2.0), label_map=True)).card.id == "nearest"


def test_targets_that_no_one_reaches_are_refused_as_ever():
    with pytest.raises(RefusalError, match="out of reach"):
        chosen(scale=(99, 1, 1))


def test_as_shipped_it_is_the_network_for_every_grid():
    for modality, others in (("MR", []), ("CT", ["backprojection"])):
        for target in ({"scale": (2, 2, 2)}, {"scale": (4, 4, 4)}, {"isotropic": True}, {"scale": (1, 1, 2.3)}):
            layout = lay_out(GRID, Request("auto", modality=modality, **target)).on(modality)
            assert [each.card.id for each in layout.chain] == ["anygrid3d", *others]
            assert sum(layout.shares) == pytest.approx(1)


def test_the_report_names_the_model_that_ran_and_that_it_was_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "folders", lambda: [tmp_path])
    gains = {"scanner": {"MR": {"over_best_classical": [1.0, 0.0]}}}
    model(tmp_path / "best", gains=gains)
    volume = Volume(np.random.default_rng(0).uniform(0, 900, (6, 7, 8)).astype(np.float32), Grid((8, 7, 6)))
    result = upscale(volume, Request("auto", scale=(2.0, 2.0, 2.0), device="cpu", modality="MR"))
    assert (result.report.model, result.report.automatic) == ("best", True)
    assert "(best, chosen automatically)" in str(result.report)
    named = upscale(volume, Request("best", scale=(2.0, 2.0, 2.0), device="cpu", modality="MR"))
    assert not named.report.automatic and "chosen" not in str(named.report)
    assert np.array_equal(named.volume.array, result.volume.array)
    assert Report.from_dict(result.report.to_dict()) == result.report


def test_what_was_measured_is_kept_by_factor_for_a_network_for_every_grid():
    every = zoo.Card("every", "Every", "For a test.", stages=(zoo.Stage("anygrid3d"),))
    two = zoo.Card("two", "Two", "For a test.", factor=(2, 2, 2), stages=(zoo.Stage("edsr3d"),))
    assert automatic.entry(every, "box", (2, 2, 2)) == automatic.entry(two, "box", (2, 2, 2)) == "box"
    assert automatic.entry(every, "box", (1, 1, 3)) == "box 1 x 1 x 3"
    held = replace(every, gains={"thick": {}, "box": {"MR": {}}, "box 1 x 1 x 3": {"CT": {}}})
    assert set(automatic.measured(held, "box", (4.0, 1.0, 1.0))) == {"CT"}
    assert set(automatic.measured(held, "box")) == {"MR"}
    assert automatic.measured(held, "scanner") == {}
