"""A network of a user's own, with a card: registered by hand or by a module that the user names, never by the card."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from sample_models import model
from torch import nn
from VolumeSuperResolutionLib.engine import networks
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.request import Request
from VolumeSuperResolutionLib.engine.upscale import upscale
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

SCAN = Volume(np.random.default_rng(0).uniform(0, 1000, (20, 21, 22)).astype(np.float32), Grid((22, 21, 20)))


class Normalized(nn.Module):
    """What no stream can do, and buffers that are in no file of weights."""

    dimensions, factor, on_interpolated = 3, (2, 2, 2), False

    def __init__(self, features=2):
        super().__init__()
        self.widen = nn.Conv3d(1, features, 3, padding=1)
        self.norm = nn.InstanceNorm3d(features)
        self.narrow = nn.Conv3d(features, 1, 1)
        self.register_buffer("offset", torch.tensor(0.25), persistent=False)
        self.register_buffer("order", torch.arange(features))

    def forward(self, x):
        x = self.norm(self.widen(x))[:, self.order] + self.offset
        return nn.functional.interpolate(self.narrow(x), scale_factor=2, mode="trilinear")


def stored(folder, name, make, **values):
    """A model folder of a module of one's own; returns its network."""
    torch.manual_seed(5)
    network = make().eval()
    floats = {f"0.{key}": t.numpy() for key, t in network.state_dict().items() if t.is_floating_point()}
    model(folder, save(floats), (zoo.Stage(name, {}, values.pop("views", ())),), **values)
    return network


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(networks, "NETWORKS", dict(networks.NETWORKS))


def expected(network, scan):
    low, high = np.percentile(scan, (0.1, 99.9))
    with torch.inference_mode():
        x = torch.from_numpy((scan - np.float32(low)) / np.float32(high - low))
        return network(x[None, None])[0, 0].numpy() * np.float32(high - low) + np.float32(low)


def test_a_registered_module_with_a_card_upscales(tmp_path):
    networks.register("normalized", Normalized)
    network = stored(tmp_path / "mine", "normalized", Normalized)
    request = Request(str(tmp_path / "mine"), scale=(2, 2, 2), modality="MR")
    result = upscale(SCAN, request)
    assert np.abs(result.volume.array - expected(network, SCAN.array)).max() < 1e-5 * 2000
    assert not any("windows" in warning for warning in result.report.warnings)
    # With less memory in windows, which the report says, and near the same.
    tiled = upscale(SCAN, replace(request, memory_mb=1))
    assert any("windows" in w and "InstanceNorm3d" in w for w in tiled.report.warnings)
    assert np.corrcoef(tiled.volume.array.ravel(), result.volume.array.ravel())[0, 1] > 0.98


def test_slices_of_a_module_that_cannot_be_streamed(tmp_path):
    class Flat(nn.Module):
        dimensions, factor, on_interpolated = 2, (1, 1), True

        def __init__(self):
            super().__init__()
            self.widen = nn.Conv2d(1, 3, 3, padding=1)

        def forward(self, x):
            return x + self.widen(x).softmax(1)[:, :1]

    networks.register("flat", Flat)
    stored(tmp_path / "mine", "flat", Flat, views=("k", "j", "i"))
    # A bounded neighborhood: in windows of any size the same.
    whole, tiled = (
        upscale(SCAN, Request(str(tmp_path / "mine"), scale=(2, 2, 2), memory_mb=memory)) for memory in (None, 1)
    )
    assert np.abs(tiled.volume.array - whole.volume.array).max() < 1e-5 * 1000
    assert any("windows of 16 x 16" in warning for warning in tiled.report.warnings)


def test_a_module_named_in_the_environment_registers(tmp_path, monkeypatch):
    (tmp_path / "my_networks.py").write_text(
        "from VolumeSuperResolutionLib.engine import networks\n"
        "networks.register('srcnn_of_mine', lambda: networks.build('srcnn3d', features=(3, 2)))\n"
    )
    stored(tmp_path / "mine", "srcnn_of_mine", lambda: networks.build("srcnn3d", features=(3, 2)))
    request = Request(str(tmp_path / "mine"), scale=(2, 2, 2))
    # The card alone brings no code, wherever it lies.
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusalError, match="No network is called 'srcnn_of_mine'"):
        upscale(SCAN, request)
    monkeypatch.setenv(zoo.MODULES_VARIABLE, "my_networks")
    assert upscale(SCAN, request).volume.array.shape == (40, 42, 44)
    networks.NETWORKS.pop("srcnn_of_mine")
    monkeypatch.setenv(zoo.MODULES_VARIABLE, "not_there")
    with pytest.raises(RefusalError, match=r"not_there.* cannot be imported"):
        upscale(SCAN, request)


def test_the_librarys_own_names_cannot_be_taken():
    with pytest.raises(ValueError, match="choose another name"):
        networks.register("edsr3d", Normalized)
    networks.register("mine", Normalized)
    networks.register("mine", lambda: Normalized(3))  # as when a notebook's cell is run again
    assert networks.build("mine").widen.out_channels == 3


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("dimensions", 2), ("factor", 2), ("factor", (2, 2.0, 2)), ("factor", (2, 0, 2)), ("on_interpolated", None)],
)
def test_a_module_that_does_not_say_how_it_is_applied_is_refused(attribute, value):
    def make():
        network = Normalized()
        setattr(network, attribute, value)
        return network

    networks.register("mine", make)
    with pytest.raises(RefusalError, match="give it the attribute"):
        networks.build("mine")
