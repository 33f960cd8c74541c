"""Learning from the scan itself, in the panel: whether it is possible, and how far it is."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from ..engine.errors import RefusalError
from ..learning.thick import why_not
from . import scene


def whyNotLearn(node: Any) -> str:
    """Why nothing can be learned from a volume, in a sentence; empty where it can."""
    if node is None or node.GetImageData() is None:
        return _("There is no volume to learn from.")
    try:
        return why_not(scene.gridFromNode(node))
    except RefusalError as refusal:
        return str(refusal)


def showLearning(checkBox: Any, tip: str, node: Any) -> None:
    """Let the box say what it does, or why that cannot be done."""
    reason = whyNotLearn(node)
    checkBox.enabled = not reason
    checkBox.toolTip = reason or tip


def learningWords(seconds: float, gain: float) -> str:
    """For example "learning 2:10, +0.6 dB on what was held out"."""
    time = f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
    return _("learning {time}, {gain} dB on what was held out").format(time=time, gain=f"{gain:+.1f}")
