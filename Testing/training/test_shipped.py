"""Every shipped model gains what it gained when it was measured: on one crop of the sample brain, degraded.

The gains in the cards are means over volumes that are not in this repository. These are of the same models and the same
road, on a crop that is: what damages weights, networks, degradation or plan moves them.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from VolumeSuperResolutionLib.engine import improving, quality
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.physics import simulation
from VolumeSuperResolutionLib.engine.request import Request
from VolumeSuperResolutionLib.engine.upscale import upscale
from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Volume
from VolumeSuperResolutionLib.training import evaluation, several

ROOT = Path(__file__).resolve().parents[2]
REGION = ((50, 90), (16, 56), (60, 100))
# PSNR over that of Lanczos in dB under "profile", measured with the weights of the cards' checksums.
GAINS = {
    "anygrid3d": 3.051,
    "cnnil-depth-x2": 1.848,
    "cnnil-depth-x4": 1.317,
    "edsr3d-depth-x4": 1.427,
    "cnnil-x2": 2.514,
    "edsr3d-x2": 3.122,
    "edsr3d-x2-narrow": 2.897,
    "edsr3d-x2-perceptual": 3.021,
    "fsrcnn3d-x2": 2.401,
    "srcnn2d-x2": 1.531,
    "srcnn3d-x2": 1.359,
    "cnnil-x4": 1.304,
    "dcsrn3d-x4": 1.610,
    "edsr3d-x4": 1.536,
    "mdcsrn3d-x4": 1.621,
    "rcan3d-x4": 1.466,
    "rrdb3d-x4": 1.296,
    "rrdbgan3d-x4": 1.297,
    "srresnet3d-x4": 1.710,
}
# What the model for several scans adds to three stacks of the crop, combined.
SEVERAL, GAIN_TOGETHER = "combined3d", 1.187
TOLERANCE = 0.1


@pytest.fixture(scope="module")
def psnr(tmp_path_factory):
    """The PSNR of a model on the crop, degraded by its factor; each computed once."""
    volume = files.read(ROOT / "Resources" / "SampleData" / "MRBrain.nrrd").volume
    array = volume.array[tuple(slice(*bounds) for bounds in REGION[::-1])]
    path = tmp_path_factory.mktemp("crop") / "MRBrain.nrrd"
    files.write(Volume(array, volume.grid.cropped(REGION)), path)
    case = functools.cache(lambda factor: evaluation.make_case(path, factor, "profile"))

    @functools.cache
    def measure(model, factor):
        truth = case(factor).truth
        request = Request(model, scale=tuple(map(float, factor)), device="cpu", modality="MR")
        result = upscale(case(factor).low, request).volume.array
        return quality.psnr(result, truth, quality.foreground(truth, "MR"), quality.data_range(truth))

    return measure


def shipped():
    return {path.parent.name for path in (ROOT / "weights").glob(f"*/{zoo.CARD_FILE}")}


def test_every_shipped_model_was_measured():
    assert {*GAINS, SEVERAL} == shipped()


@pytest.mark.parametrize("model", sorted(shipped() - {SEVERAL}))
def test_a_shipped_model_gains_what_it_did(psnr, model):
    factor = zoo.card(model).typical
    gain = psnr(model, factor) - psnr("lanczos", factor)
    assert gain == pytest.approx(GAINS[model], abs=TOLERANCE), f"{model} gains {gain:.3f} dB"


def test_the_shipped_model_for_several_scans_gains_what_it_did():
    volume = simulation.cube(files.read(ROOT / "Resources" / "SampleData" / "MRBrain.nrrd").volume)
    stacks = [(axis, 4.0, 0.0) for axis in simulation.SLICE_AXES]
    pair = several.pair_of(volume, volume.grid.cropped(REGION), stacks, 0.01, np.random.default_rng(0))
    assert zoo.for_several() == zoo.card(SEVERAL)
    made = improving.improve(zoo.for_several(), pair.traits, pair.combined, "cpu")
    before, after = (np.square((side - pair.truth)[pair.covered]).mean() for side in (pair.combined, made))
    assert 10 * np.log10(before / after) == pytest.approx(GAIN_TOGETHER, abs=TOLERANCE)
