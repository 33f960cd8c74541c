"""Small volumes to train on, and stand-ins for the networks that judge images."""

import io

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from small_runs import checkpoint_of_vgg16
from VolumeSuperResolutionLib.training import export, features, pretrained, rounding

NARROW = tuple(tuple(width // 16 for width in widths) for widths in features.BLOCKS)


@pytest.fixture(autouse=True, scope="session")
def narrow_vgg16():
    """A sixteenth of the channels: as much to test, in a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "BLOCKS", NARROW)
        yield


@pytest.fixture(autouse=True, scope="session")
def small_speed_trial():
    """What every export measures its model's speed on: it is not the figure that is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "SPEED_SIZE", 16)
        yield


@pytest.fixture
def unrounded(monkeypatch):
    """No file is small enough to lose a single bit for."""
    monkeypatch.setattr(rounding, "TOLERANCE", -np.inf)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Two MR and one CT volume of blobs; the last by name, an MR, is held out."""
    folder = tmp_path_factory.mktemp("volumes")
    for n, name in enumerate(["a_ct", "b_mr", "c_mr"]):
        random = np.random.default_rng(n)
        image = sitk.GetImageFromArray(random.normal(size=(34, 36, 40)).astype(np.float32))
        array = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, 1.5))
        array = (array - array.min()) / np.ptp(array)
        array = array * 2000 - 1000 if "ct" in name else array * 4000
        image = sitk.GetImageFromArray(array.astype(np.int16))
        image.SetSpacing((0.5, 0.5, 1.5))
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))
    return folder


class Means(torch.nn.Module):
    """Stands in for InceptionV3: a few features of an image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x.mean((1, 2, 3)), x.std((1, 2, 3)), x.amax((1, 2, 3))], 1)


@pytest.fixture(scope="module")
def tensors():
    return pretrained.vgg16_tensors(checkpoint_of_vgg16())


@pytest.fixture
def networks(monkeypatch, tensors):
    script = io.BytesIO()
    torch.jit.save(torch.jit.script(Means()), script)
    monkeypatch.setattr(pretrained, "read_vgg16", lambda: tensors)
    monkeypatch.setattr(pretrained, "read_inception", script.getvalue)
