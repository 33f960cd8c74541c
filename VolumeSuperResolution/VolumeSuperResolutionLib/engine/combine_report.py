"""What is told of several scans that became one volume: plain data, JSON both ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .request import NOTICE, Json, describe_grid
from .volumes import MAKER
from .volumes.derived import Derivation
from .volumes.grid import Size, Triple


@dataclass(frozen=True)
class StackReport(Json):
    """What was found out about one of several scans. Its pose takes the reference's space to the scan's (LPS, mm)."""

    rotation: tuple[float, ...]
    shift: Triple
    # How far it moves the middle of the volume, and by how much it turns it.
    moved_mm: float
    turned_degrees: float
    # Correlation in tissue with what the other scans predict for it, and how much of its structure is inverted there.
    alike: float
    inverted: float
    gain: float
    offset: float
    # In parts of the range of the reference: white noise, and what the result does not explain (root mean square).
    noise: float
    residual: float
    slices: int
    # Those left out, and those that moved alone and were followed; counted from 0 in the scan's own order.
    dropped: tuple[int, ...]
    scanner: str
    followed: tuple[int, ...] = ()


@dataclass(frozen=True)
class CombineReport(Json):
    """What several scans were made into."""

    reference: int
    output_size: Size
    output_spacing: Triple
    scalar_type: str
    fov: str
    # By how many mm points come home wrong after a way through all scans; None where they were taken where they lie.
    loop_error_mm: float | None
    # The part of the result that so many scans saw: none, one, two, ...
    coverage: tuple[float, ...]
    stacks: tuple[StackReport, ...]
    seconds: float
    peak_memory_mb: float
    # For detail: the titles of the models that upscaled each scan by itself, and of that which improved all together.
    models: tuple[str, ...] = ()
    together: str = ""
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CombineReport:
        """From what to_dict gave, or from JSON made of it; unknown names are left out."""
        stacks = tuple(StackReport.from_dict(stack) for stack in values["stacks"])
        return replace(super().from_dict({**values, "stacks": ()}), stacks=stacks)

    def __str__(self) -> str:
        loop = "" if self.loop_error_mm is None else f", loop error {self.loop_error_mm:.2f} mm"
        lines = [
            f"{len(self.stacks)} scans -> {describe_grid(self.output_size, self.output_spacing)}, {self.scalar_type}",
            f"{self.seconds:.1f} s, peak memory {self.peak_memory_mb:.0f} MB{loop}",
        ]
        for number, stack in enumerate(self.stacks, start=1):
            place = f"moved {stack.moved_mm:.2f} mm, turned {stack.turned_degrees:.2f} degrees, alike {stack.alike:.2f}"
            place = "the reference" if number == self.reference else place
            dropped = f", {len(stack.dropped)} of {stack.slices} slices dropped" if stack.dropped else ""
            if stack.followed:
                dropped = f", {len(stack.followed)} of {stack.slices} slices moved alone" + dropped
            lines.append(f"scan {number}: {stack.scanner}; {place}, residual {100 * stack.residual:.1f}%{dropped}")
        if self.models:
            lines.append(f"what the scans leave open is as in their mean, each upscaled by: {'; '.join(self.models)}")
        if self.together:
            lines.append(f"what all of them together leave open is as made by {self.together}")
        return "\n".join(lines + [f"note: {warning}" for warning in self.warnings])

    def derivation(self, version: str) -> Derivation:
        """What a DICOM series of the result says of it."""
        made = f"Combined from {len(self.stacks)} scans by {MAKER} {version}"
        models = [*self.models, *filter(None, [self.together])]
        detail = f", with detail from {' and '.join(models)}" if models else ""
        sentence = f"{made}{detail}: {describe_grid(self.output_size, self.output_spacing)}. {NOTICE}"
        return Derivation(f"combined from {len(self.stacks)} scans", sentence, version)
