"""The panel in other languages, fonts, colors and directions: every string is translated, and nothing is clipped."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import PySide6
import pytest
import scenes
import slicer
import translations
from conftest import app
from PySide6 import QtCore, QtGui, QtWidgets
from standins import application

FILES = sorted(translations.FOLDER.glob("*.ts"))
PLACEHOLDER = re.compile(r"(?<!{){([^{}]+)}(?!})")
NARROW = 300
pytestmark = pytest.mark.usefixtures("warmed")


def test_there_are_german_and_chinese():
    assert [path.stem for path in FILES] == ["VolumeSuperResolution_de-DE", "VolumeSuperResolution_zh-CN"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_string_is_translated_and_no_other(path):
    """Where this fails: python Testing/translations.py, then translate what it marks as unfinished."""
    known = translations.translations(path)
    assert set(known) == {(c, text) for c, texts in translations.strings().items() for text in texts}
    assert not [key for key, translation in known.items() if not translation]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_placeholders_keys_and_marks_are_kept(path):
    for (_context, source), translation in translations.translations(path).items():
        assert sorted(PLACEHOLDER.findall(source)) == sorted(PLACEHOLDER.findall(translation)), source
        assert ("&" in source) == ("&" in translation), source
        assert re.findall("</?[a-z]+", source) == re.findall("</?[a-z]+", translation), source


def test_updating_keeps_translations_and_drops_what_is_gone(tmp_path):
    path = tmp_path / "VolumeSuperResolution_de-DE.ts"
    text = FILES[0].read_text(encoding="utf-8")
    text = text.replace("<source>Upscale</source>", "<source>Gone</source>", 1)
    path.write_text(text, encoding="utf-8")
    translations.update(path)
    known = translations.translations(path)
    assert ("VolumeSuperResolution", "Gone") not in known
    assert known["VolumeSuperResolution", "Upscale"] == ""
    assert known["VolumeSuperResolution", "Models"] == "Modelle"
    assert path.read_text(encoding="utf-8").count("unfinished") == 1


class Longer(QtCore.QTranslator):
    """Every text as much longer as German makes many, and recognizable."""

    def translate(self, context, text, disambiguation=None, n=-1):
        own = context == "VolumeSuperResolution" or context.startswith("application.")
        return f"{text}{'~' * (len(text) * 4 // 10)}" if own and text.strip(" m") else ""

    def isEmpty(self):
        return False


@pytest.fixture
def language(tmp_path):
    """language(name): the application in that language from now on, to the end of the test."""
    installed = []

    def use(name):
        translator = Longer() if name == "pseudo" else QtCore.QTranslator()
        if name not in ("pseudo", "English"):
            source = translations.FOLDER / f"VolumeSuperResolution_{name}.ts"
            target = tmp_path / f"{name}.qm"
            lrelease = Path(PySide6.__file__).parent / ("lrelease.exe" if sys.platform == "win32" else "lrelease")
            subprocess.run([lrelease, source, "-qm", target], check=True, capture_output=True)
            assert translator.load(str(target))
        installed.append(translator)
        if name != "English":
            assert app.installTranslator(translator)

    yield use
    for translator in installed:
        app.removeTranslator(translator)


@pytest.fixture
def looks():
    """looks(percent, dark, rightToLeft): how the application looks, to the end of the test."""
    font, palette, direction, style = app.font(), app.palette(), app.layoutDirection, app.style().objectName()

    def change(percent=100, dark=False, rightToLeft=False):
        app.setStyle("Fusion")
        larger = QtGui.QFont(font)
        larger.setPointSizeF(font.pointSizeF() * percent / 100)
        app.setFont(larger)
        if dark:
            app.setPalette(QtGui.QPalette(QtGui.QColor(53, 53, 53)))
        if rightToLeft:
            app.setLayoutDirection(QtCore.Qt.LayoutDirection.RightToLeft)

    yield change
    app.setFont(font)
    app.setPalette(palette)
    app.setLayoutDirection(direction)
    app.setStyle(style)


@pytest.fixture
def shown(scene, module, models):
    """shown(): the panel with a thick scan in a narrow dock, all folds open, as in Slicer's scroll area."""
    opened = []

    def show(width=NARROW):
        array = np.random.default_rng(1).integers(0, 900, (10, 12, 14)).astype(np.int16)
        scenes.addVolume(scene, array, np.diag([0.9, 0.9, 4.0]), "T1")
        widget = application.openModule(module)
        area = QtWidgets.QScrollArea()
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(module.widgetRepresentation())
        area.resize(width, 700)
        area.show()
        opened.append((widget, area))
        parameters = widget.panel.choosing.parameters
        parameters.model, parameters.target = "quick", "spacing"
        widget.ui.advancedCollapsibleButton.collapsed = False
        widget.ui.modelsCollapsibleButton.collapsed = False
        for name in ("resultRow", "detailsLabel", "resultLabel"):
            getattr(widget.ui, name).setVisible(True)
        settle()
        return widget

    yield show
    for widget, area in opened:
        widget.cleanup()
        area.takeWidget()
        area.deleteLater()
    app.processEvents()


def settle():
    for _ in range(30):
        app.processEvents()


def clipped(widget):
    """The names of the visible widgets that are too small for their text, or lie over a neighbor."""
    found, ui = [], widget.ui
    root = ui.VolumeSuperResolution
    for child in QtWidgets.QWidget.findChildren(root, QtWidgets.QWidget):
        if not QtWidgets.QWidget.isVisible(child) or not QtCore.QObject.objectName(child):
            continue
        name, size = QtCore.QObject.objectName(child), QtWidgets.QWidget.size(child)
        if name.startswith("qt_"):
            continue
        if isinstance(child, QtWidgets.QLabel) and child.hasHeightForWidth():
            if size.height() < QtWidgets.QLabel.heightForWidth(child, size.width()):
                found.append(name)
        elif isinstance(child, (QtWidgets.QLabel, QtWidgets.QPushButton, QtWidgets.QAbstractSpinBox)):
            hint = type(child).__mro__[2].sizeHint(child)
            if size.width() < hint.width() - 4 or size.height() < hint.height() - 4:
                found.append(f"{name}: {size.width()}x{size.height()} of {hint.width()}x{hint.height()}")
    folds = (ui.upscaleCollapsibleButton, ui.compareCollapsibleButton, ui.advancedCollapsibleButton)
    for form in (*folds, ui.stacksBox):
        children = [c for c in form.children() if c.isWidgetType() and c.visible]
        for a, b in combinations(children, 2):
            if a.geometry.intersects(b.geometry):
                found.append(f"{a.name} over {b.name}")
    if QtWidgets.QWidget.width(root) > NARROW:
        found.append(f"wider than the dock: {QtWidgets.QWidget.width(root)}")
    return found


@pytest.mark.parametrize(
    ("name", "percent"),
    [("English", 200), ("de-DE", 100), ("de-DE", 200), ("zh-CN", 150), ("pseudo", 125)],
)
def test_nothing_is_clipped_in_a_narrow_dock(shown, language, looks, name, percent):
    language(name)
    looks(percent)
    assert clipped(shown()) == []


@pytest.mark.parametrize(("name", "percent"), [("de-DE", 100), ("zh-CN", 200), ("pseudo", 125)])
def test_nothing_of_several_stacks_is_clipped_either(shown, scene, language, looks, name, percent):
    language(name)
    looks(percent)
    widget = shown()
    for n in range(9):
        scenes.addVolume(scene, np.zeros((8, 9, 9), np.int16), np.diag([1.0, 1.0, 4.0]), f"Stack {n} of a long name")
    widget.panel.choosing.parameters.severalStacks = True
    settle()
    assert not widget.ui.stacksBox.isHidden() and not widget.ui.stackSearchEdit.isHidden()
    assert clipped(widget) == []


def test_nothing_is_clipped_from_right_to_left_in_the_dark(shown, language, looks):
    language("pseudo")
    looks(dark=True, rightToLeft=True)
    assert clipped(shown()) == []


def test_own_voxel_size_and_realism_do_not_widen_the_panel(shown):
    widget = shown()
    frame = slicer.modules.volumesuperresolution.widgetRepresentation()
    widths = []
    for visible in (True, False):
        for row in (widget.ui.spacingRow, widget.ui.realismRow):
            row.setVisible(visible)
        settle()
        widths.append(QtWidgets.QWidget.minimumSizeHint(frame).width())
    assert max(widths) <= NARROW


def test_the_panel_speaks_the_language(shown, language):
    language("de-DE")
    ui = shown().ui
    assert (ui.targetLabel.text, ui.applyButton.text) == ("&Ziel:", "&Anwenden")
    assert ui.targetSelector.itemText(0) == "Isotrop: 0.9 mm"
    assert ui.modelTree.topLevelItem(0).text(0) == "Automatisch"
    assert ui.scanLabel.text.startswith("Schichten 4 mm dick alle 4 mm (angenommen), Pixel 0.9 mm. Rauschen ")


def test_every_text_of_the_panel_can_be_translated(shown, language):
    """What a pseudo-translation leaves as it is was written without asking for one."""
    language("pseudo")
    widget = shown()
    widget.panel.choosing.parameters.severalStacks = True
    settle()
    plain = []
    for child in QtWidgets.QWidget.findChildren(widget.ui.VolumeSuperResolution, QtWidgets.QWidget):
        isText = isinstance(child, (QtWidgets.QLabel, QtWidgets.QPushButton, QtWidgets.QCheckBox))
        text = type(child).__mro__[2].text(child) if isText else ""
        if re.search("[A-Za-z]{3}", text) and "~" not in text:
            plain.append((QtCore.QObject.objectName(child), text))
    # What the engine says of a volume or a run is in its own language.
    assert {name for name, _text in plain} <= {"estimateLabel", "detailsLabel", "warningLabel"}, plain
