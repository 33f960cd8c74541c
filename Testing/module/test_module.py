"""The file that Slicer loads at its start: it is light, needs no torch, and says what the module is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from conftest import ROOT
from PySide6 import QtCore


def inAFreshPython(code):
    """Run a program where nothing is imported yet; it must succeed."""
    path = os.pathsep.join([str(ROOT / "VolumeSuperResolution"), str(ROOT / "Testing")])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path}, timeout=120)


class TestModuleFile:
    def test_import_brings_nothing_heavy_and_works_where_torch_is_not_installed(self):
        code = (
            "import sys; sys.modules['torch'] = None\n"
            "import standins; standins.install()\n"
            "from standins import application\n"
            "before = set(sys.modules)\n"
            "import VolumeSuperResolution\n"
            "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
            "assert new <= {'VolumeSuperResolution'}, new\n"
            f"module = application.loadModule({str(ROOT / 'VolumeSuperResolution' / 'VolumeSuperResolution.py')!r})\n"
            "import SampleData, slicer\n"
            "node = SampleData.SampleDataLogic().downloadSample('VolumeSuperResolution MR brain')\n"
            "widget = application.openModule(module)\n"
            "widget.panel.choosing.parameters.model = 'linear'\n"
            "slicer.app.processEvents()\n"
            "assert widget.ui.applyButton.enabled\n"
            "assert widget.logic.upscale(node, 'linear', region=((0, 9), (0, 9), (0, 9))) is not None\n"
            "widget.cleanup()\n"
        )
        inAFreshPython(code)

    def test_description(self, module):
        assert module.categories == ["Filtering"]
        assert "not for diagnosis" in module.helpText
        # The help is shown by a QTextBrowser, which loads no pictures from the web.
        picture = re.search('<img src="([^"]+)">', module.helpText).group(1)
        assert picture.startswith("file:///")
        assert Path(QtCore.QUrl(picture).toLocalFile()).is_file()
        assert (ROOT / re.search('main/(Resources/[^"]+)', module.helpText).group(1)).is_file()
        assert module.icon is not None

    def test_samples_are_registered(self, module):
        import SampleData

        node = SampleData.SampleDataLogic().downloadSample("VolumeSuperResolution CT chest")
        assert node.GetImageData().GetDimensions() == (160, 160, 44)
