"""The targets that the panel offers: what each asks of the engine, and what it is called for a volume.

To add one is to add it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, NamedTuple

from slicer.i18n import tr as _

# Slices that are thicker than the pixels by this factor are made isotropic, unless the user wants something else.
THICK = 1.5
OWN_SPACING = "spacing"


class Target(NamedTuple):
    """The options of VolumeSuperResolutionLogic.upscale, and the words for a volume of a spacing (mm)."""

    options: dict
    words: Callable[[Sequence[float]], str]


def _finer(factor: int) -> Target:
    def words(spacing: Sequence[float]) -> str:
        return _("{factor}x finer: {size} mm").format(factor=factor, size=size([s / factor for s in spacing]))

    return Target({"scale": factor}, words)


def _thinner(factor: int) -> Target:
    def words(spacing: Sequence[float]) -> str:
        before, after = max(spacing), max(spacing) / factor
        return _("Thinner slices: {before} → {after} mm").format(before=f"{before:.3g}", after=f"{after:.3g}")

    return Target({"slices": factor}, words)


def _isotropic(spacing: Sequence[float]) -> str:
    return _("Isotropic: {size} mm").format(size=f"{min(spacing):.3g}")


def _own(spacing: Sequence[float]) -> str:
    return _("Own voxel size")


TARGETS = {
    "isotropic": Target({"isotropic": True}, _isotropic),
    "x2": _finer(2),
    "x4": _finer(4),
    "slices2": _thinner(2),
    "slices4": _thinner(4),
    OWN_SPACING: Target({}, _own),
}


def proposed(spacing: Sequence[float]) -> str:
    """The target for a volume whose user has not chosen one."""
    return "isotropic" if max(spacing) > THICK * min(spacing) else "x2"


def size(spacing: Sequence[float]) -> str:
    """A voxel size: "0.5" where it is the same on all axes, else "0.5 x 0.5 x 1.5"."""
    values = [f"{s:.3g}" for s in spacing]
    return values[0] if len(set(values)) == 1 else " x ".join(values)


def optionsOf(target: str, parameters: Any) -> dict:
    """What a target asks of the engine; one's own voxel size is in the parameters."""
    if target == OWN_SPACING:
        return {"spacing": (parameters.spacingI, parameters.spacingJ, parameters.spacingK)}
    return dict(TARGETS[target].options)
