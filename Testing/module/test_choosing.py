"""What the panel proposes and offers: targets in words, Automatic, and the table of published models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scenes
import slicer
from conftest import app
from scenes import choose, chooseModel, itemOf
from VolumeSuperResolutionLib.application import dependencies, wording
from VolumeSuperResolutionLib.application.parameters import Parameters
from VolumeSuperResolutionLib.application.targets import TARGETS, proposed
from VolumeSuperResolutionLib.engine.models import automatic, zoo

pytestmark = pytest.mark.usefixtures("warmed")


def measured(**gains):
    """A card's gains in dB over the best interpolation on noisy scans."""
    return {"scanner": {modality: {"over_best_classical": [gain, 0.1]} for modality, gain in gains.items()}}


def rewrite(models, name, **values):
    """Change a model's card."""
    zoo.write_card(replace(zoo.read_card(models / name / zoo.CARD_FILE), **values))


@pytest.mark.parametrize(
    ("spacing", "words"),
    [
        (
            (0.9, 0.9, 4.0),
            [
                "Isotropic: 0.9 mm",
                "2x finer: 0.45 x 0.45 x 2 mm",
                "4x finer: 0.225 x 0.225 x 1 mm",
                "Thinner slices: 4 → 2 mm",
                "Thinner slices: 4 → 1 mm",
                "Own voxel size",
            ],
        ),
        ((1.0, 1.0, 1.0), ["Isotropic: 1 mm", "2x finer: 0.5 mm"]),
    ],
)
def test_targets_are_in_words_for_the_volume(opened, volume, spacing, words):
    volume.SetSpacing(spacing)
    app.processEvents()
    selector = opened.ui.targetSelector
    assert [selector.itemText(n) for n in range(selector.count)][: len(words)] == words


@pytest.mark.parametrize(("spacing", "target"), [((0.9, 0.9, 4.0), "isotropic"), ((1.0, 1.1, 1.2), "x2")])
def test_the_scan_itself_proposes_the_target_until_the_user_chooses(opened, volume, scene, spacing, target):
    opened.panel.choosing.parameters.target = ""
    volume.SetSpacing(spacing)
    app.processEvents()
    assert opened.ui.targetSelector.currentData == target == proposed(spacing)
    assert opened.panel.choosing.parameters.target == ""
    choose(opened.ui.targetSelector, "x4")
    opened.panel.choosing.parameters.inputVolume = scenes.addVolume(scene, name="other")
    app.processEvents()
    assert opened.ui.targetSelector.currentData == "x4"


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_leads_to_a_request(opened, target):
    choose(opened.ui.targetSelector, target)
    assert opened.ui.applyButton.enabled


class TestAutomatic:
    @pytest.fixture(autouse=True)
    def isAutomatic(self, models, opened, monkeypatch):
        monkeypatch.setattr(zoo, "folders", lambda: [models])
        rewrite(models, "quick", gains=measured(MR=1.0, CT=3.0))
        opened.panel.choosing.parameters.model = ""
        choose(opened.ui.targetSelector, "x2")

    def test_it_is_what_a_new_scene_begins_with(self, scene):
        assert Parameters(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")).model == ""

    def test_one_sentence_says_what_it_does_and_how_far_to_trust_it(self, opened):
        text = opened.ui.methodLabel.text
        assert "<b>Automatic</b> takes EDSR" in text
        assert "error was 11% smaller than that of the best interpolation, on noisy scans it never saw" in text
        assert "dB" not in text
        assert opened.ui.applyButton.enabled
        request = opened.panel.choosing.request()
        assert (request.model, opened.panel.choosing.card().id) == ("auto", "quick")

    @pytest.mark.parametrize("modality, both", [("MR", False), ("CT", True)])
    def test_it_names_what_a_result_is_averaged_with_only_where_it_is(self, modality, both):
        card = replace(zoo.card("quick"), averaged_with="backprojection", share=0.5, averaged_on=("CT",))
        text = wording.methodMarkup(card, True, modality, True)
        assert ("Back-projection" in text) == both

    def test_where_no_model_reaches_it_is_an_interpolation_and_says_so(self, opened):
        choose(opened.ui.targetSelector, "slices4")
        assert "takes Back-projection, as no network is made for this target" in opened.ui.methodLabel.text
        assert opened.ui.applyButton.enabled

    def test_without_torch_it_is_an_interpolation_too(self, opened, monkeypatch):
        monkeypatch.setattr(automatic, "networks_at_hand", lambda: False)
        monkeypatch.setattr(dependencies, "_absence", lambda: dependencies.ABSENT)
        monkeypatch.setattr("VolumeSuperResolutionLib.application.showing.networks_at_hand", lambda: False)
        opened.panel.update()
        assert "takes Back-projection, as the networks need PyTorch, which is not at hand" in opened.ui.methodLabel.text
        assert "install the extension PyTorch" in opened.ui.warningLabel.text
        assert opened.ui.applyButton.enabled

    def test_a_torch_that_is_broken_is_not_tried_by_the_worker(self, opened, monkeypatch):
        monkeypatch.setattr(dependencies, "torchState", lambda: (False, "PyTorch does not work."))
        assert opened.panel.choosing.request().model == "backprojection"
        opened.panel.update()
        assert "PyTorch does not work." in opened.ui.warningLabel.text

    def test_a_run_keeps_what_was_chosen_and_how(self, models, opened, volume, wait):
        rewrite(
            models, "quick", gains=measured(MR=99.0, CT=99.0)
        )  # the worker finds the network for every grid as well
        opened.ui.deviceSelector.currentIndex = opened.ui.deviceSelector.findData("cpu")
        opened.ui.applyButton.click()
        wait(scenes.results, 60)
        (result,) = scenes.results()
        report = wording.reportOf(result)
        assert (report.model, report.automatic) == ("anygrid3d", True)
        assert result.GetName() == "T1 x2 anygrid3d"
        wait(lambda: not opened.ui.resultLabel.isHidden())
        assert "EDSR for every grid, chosen automatically" in opened.ui.resultLabel.text


class TestCatalog:
    @pytest.fixture(autouse=True)
    def few(self, models, opened, monkeypatch):
        monkeypatch.setattr(zoo, "folders", lambda: [models])
        gains = measured(MR=1.0, CT=-0.2)
        values = {"group": "Networks, 2x", "gains": gains, "seconds_per_megavoxel": 40.0, "title": "Quick EDSR"}
        rewrite(models, "quick", **values)
        rewrite(models, "slow", group="Of our clinic", title="Slow EDSR")
        opened.panel.update()

    def test_automatic_is_on_top_and_the_rest_in_groups(self, opened):
        tree = opened.ui.modelTree
        tops = [tree.topLevelItem(n).text(0) for n in range(tree.topLevelItemCount)]
        assert tops == ["Automatic", "Interpolations", "Networks, 2x", "Of our clinic"]
        assert opened.ui.modelsCollapsibleButton.collapsed

    def test_a_row_tells_what_a_model_gains_takes_and_weighs(self, opened, volume):
        item = itemOf(opened.ui.modelTree, "quick")
        assert [item.text(n) for n in range(4)] == ["Quick EDSR", "▮▮▮ 11%", "-2%", "< 1 s"]
        assert item.text(4).endswith("MB")
        assert "dB" in item.toolTip(0)
        image = np.zeros((80, 90, 100), np.int16)
        slicer.util.updateVolumeFromArray(volume, image)
        app.processEvents()
        assert itemOf(opened.ui.modelTree, "quick").text(3) == "29 s"

    def test_headings_cannot_be_chosen(self, opened):
        heading = opened.ui.modelTree.topLevelItem(1)
        heading.setSelected(True)
        app.processEvents()
        assert opened.panel.choosing.model == "lanczos"

    def test_the_search_hides_what_has_not_all_its_words(self, opened):
        opened.ui.searchEdit.text = "edsr RANDOM"
        tree = opened.ui.modelTree
        shown = [m for m in ("auto", "lanczos", "quick", "slow") if not itemOf(tree, m).isHidden()]
        assert shown == ["auto", "quick", "slow"]
        assert tree.topLevelItem(1).isHidden()
        opened.ui.searchEdit.text = ""
        assert not itemOf(tree, "lanczos").isHidden()

    def test_a_click_chooses_and_automatic_can_be_chosen_again(self, opened):
        chooseModel(opened.ui.modelTree, "quick")
        assert opened.panel.choosing.parameters.model == "quick"
        assert "<b>Quick EDSR</b>: Random weights." in opened.ui.methodLabel.text
        chooseModel(opened.ui.modelTree, "auto")
        assert opened.panel.choosing.parameters.model == ""

    def test_it_is_filled_again_only_if_something_has_changed(self, opened, monkeypatch):
        filled = []
        monkeypatch.setattr(opened.panel.catalog, "_fill", lambda *arguments: filled.append(1))
        opened.panel.choosing.parameters.memory = 100
        app.processEvents()
        assert not filled
