"""What is asked of the engine, and what it answers: plain data, JSON both ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from .volumes.grid import Region, Size, Triple

MEGA = 1e6


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples they were."""
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else value


class _Json:
    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]):
        """From what to_dict gave, or from JSON made of it; unknown names are left out."""
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        return cls(**{name: _tuples(value) for name, value in values.items() if name in known})


@dataclass(frozen=True)
class Request(_Json):
    """A model, one target (scale per axis, spacing in mm, or isotropic), and how to compute.

    The model "auto" is the one that serves the target best (models/automatic.py). All triples are in (i, j, k) order. A
    region is in voxels of the input, ends excluded. `consistency` None means the rounds that the model's card names.
    `realism` leads from the faithful partner of a model (0) to the model as it is (1, or None).
    """

    model: str = "lanczos"
    scale: Triple | None = None
    spacing: Triple | None = None
    isotropic: bool = False
    device: str = "auto"
    precision: str = "auto"
    memory_mb: int | None = None
    consistency: int | None = None
    realism: float | None = None
    ensemble: bool = False
    uncertainty: bool = False
    region: Region | None = None
    modality: str = "auto"
    fill_nonfinite: bool = False
    label_map: bool = False


@dataclass(frozen=True)
class Report(_Json):
    """What was done, on what, how long it took, and what the user should know."""

    model: str
    title: str
    device: str
    precision: str
    input_size: Size
    input_spacing: Triple
    output_size: Size
    output_spacing: Triple
    factor: Triple
    scalar_type: str
    tiles: str
    seconds: float
    peak_memory_mb: float
    consistency_rounds: int
    # Mean |degraded result - scan| in the scan's units: how far the result is from explaining the scan.
    consistency_residual: float
    modality: str
    window: tuple[float, float]
    warnings: tuple[str, ...] = ()
    # Where one was asked for.
    realism: float | None = None
    # Whether the request left the choice of the model open.
    automatic: bool = False

    def __str__(self) -> str:
        chosen = ", chosen automatically" if self.automatic else ""
        lines = [
            f"{self.title} ({self.model}{describe_realism(self.realism)}{chosen}) on {self.device}, {self.precision}",
            f"{describe_grid(self.input_size, self.input_spacing)} -> "
            f"{describe_grid(self.output_size, self.output_spacing)}, {self.scalar_type}",
            f"{self.seconds:.1f} s, peak memory {self.peak_memory_mb:.0f} MB{', ' if self.tiles else ''}{self.tiles}",
            f"degraded again, it differs from the scan by {self.consistency_residual:.3g} on average "
            f"({self.consistency_rounds} consistency rounds)",
        ]
        return "\n".join(lines + [f"note: {warning}" for warning in self.warnings])


@dataclass(frozen=True)
class Estimate:
    """What a request would give and take. Seconds are for the CPU the card was measured on; 0 if unknown."""

    size: Size
    spacing: Triple
    output_bytes: int
    working_bytes: int
    seconds: float


def describe_grid(size: Size, spacing: Triple) -> str:
    """ "181x217x181 at 1 mm" or "... at 1 x 1 x 3 mm"."""
    same = max(spacing) - min(spacing) < 5e-4 * max(spacing)
    words = f"{spacing[0]:.4g}" if same else " x ".join(f"{s:.4g}" for s in spacing)
    return f"{'x'.join(str(n) for n in size)} at {words} mm"


def describe_realism(realism: float | None) -> str:
    """ ", realism 0.3" to be added to a model's name; nothing where none was asked for."""
    return "" if realism is None else f", realism {realism:.4g}"
