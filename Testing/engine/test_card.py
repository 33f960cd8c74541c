"""The card's schema: every field says what it means, and the shipped cards are what it asks for."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
from sample_models import model
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.models import card as subject
from VolumeSuperResolutionLib.engine.models import zoo

SHIPPED = sorted((Path(__file__).parents[2] / "weights").glob("*/card.json"))


def test_every_field_says_what_it_means_and_what_it_may_hold():
    for kind in (subject.Card, subject.Stage):
        for field in fields(kind):
            if field.name not in ("others", "folder"):
                assert len(field.metadata["means"]) > 8, field.name
                assert callable(field.metadata["check"]), field.name


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_a_shipped_card_is_read_as_it_is_written(path):
    card = subject.read_card(path)
    assert json.loads(json.dumps(card.to_dict())) == json.loads(path.read_text(encoding="utf-8"))
    assert not card.others
    some = {
        "averaged_with",
        "share",
        "averaged_on",
        "several",
    }  # which only cards of averages, or for several scans tell
    assert set(card.to_dict()) | some == {field.name for field in subject.described()}


def test_the_classical_methods_would_pass_but_for_their_networks():
    for card in zoo.CLASSICAL:
        values = card.to_dict()
        for name in ("factor", "stages", "weights"):
            del values[name]
        subject.checked(values)


def test_fields_of_later_versions_outlive_a_rewrite(tmp_path):
    written = model(tmp_path / "mine", others={"flavors": {"MR": ["bf16"]}})
    read = subject.read_card(tmp_path / "mine" / subject.CARD_FILE)
    assert read.others == written.others
    subject.write_card(read)
    assert json.loads((tmp_path / "mine" / subject.CARD_FILE).read_text())["flavors"] == {"MR": ["bf16"]}


def test_names_are_found_in_whatever_case_and_suggested_only_when_close():
    assert zoo.card("Lanczos").id == "lanczos"
    with pytest.raises(RefusalError, match=r"did you mean bspline\?"):
        zoo.card("B-spline")
    with pytest.raises(RefusalError) as refusal:
        zoo.card("esrgan")
    assert "did you mean" not in str(refusal.value)
