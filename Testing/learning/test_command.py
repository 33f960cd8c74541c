"""`vsr upscale --learn` as a person types it: how far it is, what is kept, and how it is interrupted."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import phantoms
import pytest
from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.commands.bar import Bar
from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume
from VolumeSuperResolutionLib.learning import thick

COMMAND = [
    "upscale",
    "thick.nrrd",
    "thin.nrrd",
    "--model",
    "backprojection",
    "--isotropic",
    "--learn-steps",
    "2",
    "--keep",
    "mine",
]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder with a thick scan, and few patches at a time, which need not gain much."""
    monkeypatch.setattr(thick, "BATCH", 2)
    monkeypatch.setattr("VolumeSuperResolutionLib.learning.upscale.MARGIN", 0.25)
    monkeypatch.chdir(tmp_path)
    array = phantoms.head(96).array[24:56:4].astype(np.int16)
    files.write(Volume(array, Grid((96, 96, 8), (1.0, 1.0, 4.0))), "thick.nrrd")
    return tmp_path


def test_it_tells_how_far_it_is_and_keeps_a_model(place, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(COMMAND) == 0
    told, said = capsys.readouterr()
    assert "thick.nrrd learning 0:0" in said and "dB on what was held out" in said
    assert "learned from the scan: 2 steps in" in told
    assert main([*["upscale", "thick.nrrd", "again.nrrd", "--isotropic", "--json", "--model", "mine"]]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "mine"
    first, again = (files.read(name).volume.array for name in ("thin.nrrd", "again.nrrd"))
    assert np.array_equal(first, again)
    assert main(COMMAND) == 2
    assert "mine is there already" in capsys.readouterr().err


def test_an_interruption_leaves_nothing(place, monkeypatch, capsys):
    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Bar, "learning", interrupted)
    assert main(COMMAND) == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err
    assert os.listdir(place) == ["thick.nrrd"]
