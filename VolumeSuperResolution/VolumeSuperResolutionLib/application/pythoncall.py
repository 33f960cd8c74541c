"""A request as the call of VolumeSuperResolutionLogic.upscale that does the same."""

from __future__ import annotations

from dataclasses import fields

from ..engine.request import Request

# What the logic calls differently than the request.
NAMES = {"memory_mb": "memory"}


def callFor(inputName: str, request: Request) -> str:
    """Lines for Slicer's Python console."""
    options = []
    for field in fields(Request):
        value = getattr(request, field.name)
        if field.name == "model" or value != field.default:
            options.append(f"{NAMES.get(field.name, field.name)}={value!r}")
    return (
        "\n".join(
            [
                "from VolumeSuperResolution import VolumeSuperResolutionLogic",
                f"scan = slicer.util.getNode({inputName!r})",
                f"result = VolumeSuperResolutionLogic().upscale(scan, {', '.join(options)})",
            ]
        )
        + "\n"
    )
