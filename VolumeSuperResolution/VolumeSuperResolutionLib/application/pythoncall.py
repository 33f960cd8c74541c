"""A request as the call of VolumeSuperResolutionLogic.upscale that does the same."""

from __future__ import annotations

from ..engine.request import Request, options

# What the logic calls differently than the request.
NAMES = {"memory_mb": "memory"}


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
                "from VolumeSuperResolution import VolumeSuperResolutionLogic",
                f"scan = slicer.util.getNode({inputName!r})",
                f"result = VolumeSuperResolutionLogic().upscale(scan, {', '.join(given)})",
            ]
        )
        + "\n"
    )
