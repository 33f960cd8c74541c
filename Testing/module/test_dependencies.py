"""Torch that is there, absent, half installed, or installed by the PyTorch extension."""

from __future__ import annotations

import importlib.util
import sys
import types

import pytest
from VolumeSuperResolutionLib.application import dependencies as subject
from VolumeSuperResolutionLib.application import engine_process
from VolumeSuperResolutionLib.engine.errors import RefusalError

ABSENT = "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')"
WRONG_CONVOLUTION = """
class nn:
    class functional:
        conv3d = staticmethod(lambda a, b: 26.0)
def ones(*shape):
    return 1.0
"""


@pytest.fixture(autouse=True)
def noVerdict(monkeypatch):
    monkeypatch.setattr(subject, "_workersVerdict", None)


@pytest.fixture
def torch(monkeypatch, tmp_path):
    """torch(code): that code in place of torch; None for an empty folder."""

    def replace(code):
        for name in [name for name in sys.modules if name == "torch" or name.startswith("torch.")]:
            monkeypatch.delitem(sys.modules, name)
        (tmp_path / "torch").mkdir()
        if code is not None:
            (tmp_path / "torch" / "__init__.py").write_text(code)
            monkeypatch.syspath_prepend(str(tmp_path))
        else:
            monkeypatch.setattr(sys, "path", [str(tmp_path)])

    return replace


@pytest.fixture
def absent(monkeypatch):
    """No torch anywhere."""
    found = importlib.util.find_spec
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "torch" else found(name, *a))


@pytest.fixture
def extension(monkeypatch):
    """The PyTorch extension, whose installTorch gives what the test sets."""
    module = types.ModuleType("PyTorchUtils")
    module.asked, module.install = [], lambda: None

    class PyTorchUtilsLogic:
        def torchInstalled(self):
            raise TypeError("a half-installed torch")

        def installTorch(self, askConfirmation=False):
            module.asked.append(askConfirmation)
            return module.install()

    module.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    return module


def test_a_working_torch_is_used_as_it_is(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    assert subject.torchState()[0]
    assert subject.ensureTorch()
    subject.requireTorch()


def test_asking_does_not_import_torch(torch):
    torch("raise AssertionError('imported')")
    assert subject.torchState()[0]
    assert subject.ensureTorch()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (ABSENT, "not installed"),
        ("raise OSError('libcudart.so: cannot open')", "libcudart.so"),
        ("raise ImportError('undefined symbol: x')", "undefined symbol"),
        ("raise RuntimeError('')", "RuntimeError"),
        ("", "no attribute"),
        (WRONG_CONVOLUTION, "came out wrong"),
    ],
)
def test_a_torch_that_does_not_compute_is_explained(torch, code, words):
    torch(code)
    assert words in engine_process.torch_problem()
    with pytest.raises(RefusalError, match=words):
        subject.requireTorch()


@pytest.mark.parametrize("isEmptyFolder", [False, True])
def test_panel_and_dialog_say_the_same_of_a_torch_that_is_not_there(torch, monkeypatch, isEmptyFolder):
    torch(None)
    if not isEmptyFolder:
        monkeypatch.setattr(sys, "path", [])
    usable, sentence = subject.torchState()
    assert not usable
    assert "Extensions Manager" in sentence
    assert ("empty folder" in sentence) == isEmptyFolder
    with pytest.raises(RefusalError) as refusal:
        subject.ensureTorch()
    assert str(refusal.value) == sentence
    assert not subject.installable()


def test_an_empty_folder_is_no_torch(torch, extension, monkeypatch):
    torch(None)
    monkeypatch.setattr(subject, "_found", lambda name: importlib.util.find_spec("torch") if name == "torch" else 1)
    usable, sentence = subject.torchState()
    assert not usable
    assert "empty folder" in sentence
    assert "button below" in sentence
    assert subject.installable()
    assert not subject.ensureTorch()
    assert extension.asked == [True]


def test_what_the_worker_found_counts(extension, torch):
    torch("raise AssertionError('imported')")
    subject.noteTrial("It does not compute.")
    assert subject.torchState() == (False, "It does not compute.")
    assert subject.ensureTorch()  # the worker tries again, in a fresh process
    assert extension.asked == []
    subject.noteTrial(None)
    assert subject.torchState()[0]


def test_without_the_extension_the_user_learns_what_to_install(absent, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    assert "PyTorch" in subject.torchState()[1]
    with pytest.raises(RefusalError, match="Extensions Manager"):
        subject.ensureTorch()


@pytest.mark.parametrize("ask", [True, False])
def test_the_user_may_decline(absent, extension, ask):
    assert not subject.ensureTorch(askFirst=ask)
    assert extension.asked == [ask]


def test_the_extension_installs_torch(absent, extension, monkeypatch):
    def install():
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: types.SimpleNamespace(origin="torch.py"))
        return object()

    extension.install = install
    assert subject.ensureTorch()


def test_an_installation_that_fails_or_does_not_help_is_told(absent, extension):
    def fail():
        raise OSError("no network")

    extension.install = fail
    with pytest.raises(RefusalError, match="no network"):
        subject.ensureTorch()
    extension.install = object
    with pytest.raises(RefusalError, match="restart Slicer"):
        subject.ensureTorch()
