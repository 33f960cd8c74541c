"""Torch, which the learned models need and Slicer does not bring."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

from slicer.i18n import tr as _

from ..engine.errors import RefusalError
from .engine_process import torch_problem

# The same words in the panel and in the dialog: what is wrong, and what helps here.
ABSENT = _("The networks need PyTorch, which is not installed")
EMPTY_FOLDER = _("The networks need PyTorch, of which only an empty folder is left")
EXTENSION_MISSING = _(
    "{problem}; install the extension PyTorch in the Extensions Manager and restart Slicer, or choose an interpolation."
)
INSTALLABLE = _("{problem}; install it with the button below, or choose an interpolation.")
RESTART = _("PyTorch was installed but cannot be used yet; restart Slicer and try again.")

# What the worker's trial of torch found, so that it need not be imported here: None before the first trial.
_workersVerdict = None


def torchState() -> tuple[bool, str]:
    """Whether torch can be used, and a sentence about it. Quick: imports nothing that is not imported already."""
    absence = _absence()
    if absence is not None:
        sentence = INSTALLABLE if installable() else EXTENSION_MISSING
        return False, sentence.format(problem=absence)
    problem = torch_problem() if "torch" in sys.modules else _workersVerdict
    return (False, problem) if problem else (True, _("PyTorch is installed."))


def installable() -> bool:
    """Whether there is no torch, and an extension that installs it."""
    return _absence() is not None and _found("PyTorchUtils") is not None


def noteTrial(problem: str | None) -> None:
    """Take down what a trial of torch in the worker found; None if it works."""
    global _workersVerdict
    _workersVerdict = problem


def requireTorch() -> None:
    """Raise RefusalError unless torch computes in this process. Imports it: for runs in this process only."""
    problem = torch_problem()
    if problem is not None:
        raise RefusalError(problem)


def ensureTorch(askFirst: bool = True) -> bool:
    """Have torch installed by the PyTorch extension unless it can be used as it is; False if the user declines.

    Raises RefusalError, which says what to do, if it cannot be installed.
    """
    absence = _absence()
    if absence is None:
        return True  # whether it works is seen where it is used: trying it here would hold up the application
    try:
        import PyTorchUtils
    except ModuleNotFoundError as error:
        raise RefusalError(EXTENSION_MISSING.format(problem=absence)) from error
    try:
        if PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=askFirst) is None:
            return False
    except Exception as error:
        sentence = _("PyTorch could not be installed ({error}); see the module PyTorch Util.")
        raise RefusalError(sentence.format(error=error)) from error
    importlib.invalidate_caches()
    if _absence() is not None:
        raise RefusalError(RESTART)
    return True


def _absence() -> str | None:
    """What is wrong where no torch is installed; None where one is, working or not."""
    specification = _found("torch")
    if specification is None:
        return ABSENT
    return EMPTY_FOLDER if specification.origin is None else None


def _found(module: str) -> Any:
    """Where a module would be imported from; None if it is not there."""
    try:
        return importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
