"""A request as the call of VolumeSuperResolutionLogic that does the same."""

from __future__ import annotations

from collections.abc import Sequence

from ..engine.request import CombineRequest, Request, options

# What the logic calls differently than the request.
NAMES = {"memory_mb": "memory"}


IMPORT = "from VolumeSuperResolution import VolumeSuperResolutionLogic"


def callFor(inputName: str, request: Request) -> str:
    """Lines for Slicer's Python console."""
    given = []
    for name in options():  # what the scan's DICOM tells is found again
        value = getattr(request, name)
        if name == "model" or value != getattr(Request, name):
            given.append(f"{NAMES.get(name, name)}={value!r}")
    return (
        "\n".join(
            [
                IMPORT,
                f"scan = slicer.util.getNode({inputName!r})",
                f"result = VolumeSuperResolutionLogic().upscale(scan, {', '.join(given)})",
            ]
        )
        + "\n"
    )


def combineCallFor(names: Sequence[str], request: CombineRequest, maps: bool) -> str:
    """The same for a volume that was made of several, the reference first."""
    asked = [name for name in ("spacing", "fov", "aligned", "model") if _isSet(request, name)]
    options = [f"{name}={getattr(request, name)!r}" for name in asked]
    widths = [next((a.width for a in scanner.axes if a.told == "user"), None) for scanner in request.scanners]
    if any(widths):
        options.append(f"thickness={widths!r}")
    if request.left_out:
        options.append(f"leftOut={request.left_out!r}")
    if maps:
        options.append("maps=True")
    scans = ", ".join(f"slicer.util.getNode({name!r})" for name in names)
    call = ", ".join([f"[{scans}]", *options])
    return f"{IMPORT}\nresult = VolumeSuperResolutionLogic().combine({call})\n"


def _isSet(request: CombineRequest, name: str) -> bool:
    return getattr(request, name) != getattr(CombineRequest(), name)
