"""Torch, which the learned models need and Slicer does not bring."""

from __future__ import annotations

import importlib
import importlib.util
import sys

from slicer.i18n import tr as _

from ..engine.errors import RefusalError
from .engine_process import HALF_INSTALLED, NOT_INSTALLED, torch_problem

EXTENSION_MISSING = _(
    "The learned models need PyTorch; install the extension PyTorch in the Extensions Manager and restart Slicer, or "
    "choose an interpolation."
)
RESTART = _("PyTorch was installed but cannot be used yet; restart Slicer and try again.")

# What the worker's trial of torch found, so that it need not be imported here: None before the first trial.
_workersVerdict = None


def torchState() -> tuple[bool, str]:
    """Whether torch can be used, and a sentence about it. Quick: imports nothing that is not imported already."""
    problem = _absence() or (torch_problem() if "torch" in sys.modules else _workersVerdict)
    return (False, problem) if problem else (True, _("PyTorch is installed."))


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
    if _absence() is None:
        return True  # whether it works is seen where it is used: trying it here would hold up the application
    try:
        import PyTorchUtils
    except ModuleNotFoundError as error:
        raise RefusalError(EXTENSION_MISSING) from error
    try:
        if PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=askFirst) is None:
            return False
    except Exception as error:
        sentence = _("PyTorch could not be installed ({error}); see the module PyTorch Util.")
        raise RefusalError(sentence.format(error=error)) from error
    if _absence() is not None:
        raise RefusalError(RESTART)
    return True


def _absence() -> str | None:
    """What to say where no torch is installed; None where one is, working or not."""
    importlib.invalidate_caches()
    try:
        specification = importlib.util.find_spec("torch")
    except (ImportError, ValueError):
        specification = None
    if specification is None:
        return NOT_INSTALLED
    if specification.origin is None:
        return HALF_INSTALLED.format(reason=_("only an empty folder of it is left"))
    return None
