"""What is asked of the engine, and what it answers: plain data, JSON both ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar

from .models.interval_table import percent
from .physics.scanner import Scanner
from .readers import (
    Option,
    read_answer,
    read_minutes,
    read_number,
    read_numbers,
    read_percent,
    read_region,
    read_slices,
    read_triple,
    read_whole,
)
from .volumes import MAKER
from .volumes.derived import Derivation
from .volumes.grid import Region, Size, Triple

MEGA = 1e6
# What can be asked for beside a result, on its grid.
MAPS = ("uncertainty", "interval", "invented")
NOT_TOLD = Scanner()
DEVICES = ("auto", "cpu", "cuda", "mps")
NOTICE = "Research use only - not for diagnosis."


def _restored(value: Any) -> Any:
    """JSON's lists as the tuples they were, and its object as the scanner it was."""
    if isinstance(value, Mapping):
        return Scanner.from_dict(value)
    return tuple(_restored(v) for v in value) if isinstance(value, (list, tuple)) else value


_Made = TypeVar("_Made", bound="Json")


class Json:
    """Plain data that goes to JSON and back."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls: type[_Made], values: Mapping[str, Any]) -> _Made:
        """From what to_dict gave, or from JSON made of it; unknown names are left out."""
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        return cls(**{name: _restored(value) for name, value in values.items() if name in known})


def _option(*values: Any, **more: Any) -> dict[str, Option]:
    return {"option": Option(*values, **more)}


@dataclass(frozen=True)
class Request(Json):
    """A model, one target (scale per axis, spacing in mm, or isotropic), and how to compute.

    The model "auto" is the one that serves the target best (models/automatic.py). All triples are in (i, j, k) order. A
    region is in voxels of the input, ends excluded. A field becomes an option of the command line by what it says of
    itself here, and is one nowhere else.
    """

    model: str = field(
        default="lanczos",
        metadata=_option(
            "an id from `vsr models`, a folder with a model of your own, or `auto`: the best for the target", "ID", str
        ),
    )
    scale: Triple | None = field(
        default=None,
        metadata=_option("a factor, or one for each axis i,j,k (whole or not)", "2|1,1,4", read_triple, target=True),
    )
    spacing: Triple | None = field(
        default=None, metadata=_option("the voxel size wanted", "MM[,MM,MM]", read_triple, target=True)
    )
    isotropic: bool = field(
        default=False, metadata=_option("the finest spacing of the input on every axis", target=True)
    )
    region: Region | None = field(default=None, metadata=_option("only these voxels", "I0:I1,J0:J1,K0:K1", read_region))
    margin: int | None = field(
        default=None,
        metadata=_option("voxels around a region that are read with it; default: as many as leave no trace", "N", int),
    )
    device: str = field(default="auto", metadata=_option("where a network runs", choices=DEVICES))
    precision: str = field(
        default="auto",
        metadata=_option(
            "half precision is faster on a GPU, and on a CPU with instructions for bfloat16; `auto` takes it where a "
            "model's card allows",
            choices=("auto", "fp32", "tf32", "fp16", "bf16"),
        ),
    )
    memory_mb: int | None = field(
        default=None,
        metadata=_option("working memory of the network; less is slower, the result is the same", "N", read_whole),
    )
    consistency: int | None = field(
        default=None,
        metadata=_option(
            "rounds that make the result agree with the scan; default: as the model's card says",
            "N",
            read_whole,
        ),
    )
    realism: float | None = field(
        default=None,
        metadata=_option(
            "for a model trained for looks: from its faithful counterpart (0) to itself (1, the default)",
            "0..1",
            read_number,
        ),
    )
    ensemble: bool = field(default=False, metadata=_option("average over flips: eight times as long, a little better"))
    uncertainty: bool = field(default=False, metadata=_option("also write the standard deviation over flips"))
    interval: bool = field(
        default=False,
        metadata=_option("also write error bounds that hold in nine of ten voxels, where these were measured"),
    )
    invented: bool = field(
        default=False,
        metadata=_option("also write what in the result the scan does not determine, and the model filled in"),
    )
    modality: str = field(default="auto", metadata=_option("how intensities are read", choices=("auto", "MR", "CT")))
    fill_nonfinite: bool = field(
        default=False, metadata=_option("replace NaN and infinity with the minimum instead of refusing")
    )
    label_map: bool | None = field(
        default=None,
        metadata=_option(
            "whether the voxels are labels, which only `nearest` keeps; `auto` looks at the file",
            "auto|yes|no",
            read_answer,
        ),
    )
    slice_thickness: float | None = field(
        default=None,
        metadata=_option("of the slices, where DICOM does not tell; default: their spacing", "MM", read_number),
    )
    profile: str | None = field(
        default=None,
        metadata=_option(
            "how the scanner weighed what lies in a voxel: gaussian, box, or a file with positions in mm and weights "
            "across a slice; what is said is relied on, by default a Gaussian is assumed",
            "gaussian|box|FILE",
            str,
        ),
    )
    noise: float | None = field(
        default=None,
        metadata=_option(
            "its standard deviation in percent of the scan's range of intensities (0.1 to 99.9 percentile); default: "
            "as estimated",
            "PERCENT",
            read_percent,
        ),
    )
    learn: float | str | None = field(
        default=None,
        metadata=_option(
            "of thick slices: learn from the scan itself first, for so long or until it gets no better (at most 10); "
            "what was learned joins the model's result if that gets better by it",
            "MINUTES|auto",
            read_minutes,
        ),
    )
    learn_steps: int | None = field(
        default=None,
        metadata=_option("the same for so many steps, which gives the same result each time", "N", read_whole),
    )
    # What the scan's file tells of it; the fields about the scan go over that.
    scanner: Scanner = NOT_TOLD

    @property
    def learns(self) -> bool:
        """Whether it is to learn from the scan itself."""
        return self.learn is not None or self.learn_steps is not None

    @property
    def maps(self) -> tuple[str, ...]:
        """The names of the maps that are asked for."""
        return tuple(name for name in MAPS if getattr(self, name))


@dataclass(frozen=True)
class CombineRequest(Json):
    """How several scans of one thing become one volume. `reference` counts the scans from 1.

    `scanners` says how each was scanned; where it is empty, a profile as wide as the spacing (or the thickness given)
    is assumed.
    """

    reference: int = field(
        default=1, metadata=_option("the scan whose place, axes and brightness the result has", "N", read_whole)
    )
    spacing: float | None = field(
        default=None, metadata=_option("the voxel size wanted; default: the finest pixels", "MM", read_number)
    )
    fov: str = field(
        default="reference",
        metadata=_option(
            "the field of view: the reference's, what all scans share, or what any has",
            choices=("reference", "intersection", "union"),
        ),
    )
    aligned: bool = field(default=False, metadata=_option("the patient did not move: take the scans where they lie"))
    slice_thickness: tuple[float, ...] = field(
        default=(),
        metadata=_option("of all scans, or of each, where it is not the slice spacing", "MM[,MM...]", read_numbers),
    )
    left_out: tuple[tuple[int, int], ...] = field(
        default=(),
        metadata=_option(
            "slices not to use, each as the scan's number (from 1) and its own (from 0)", "SCAN:K[,...]", read_slices
        ),
    )
    scanners: tuple[Scanner, ...] = ()
    model: str = field(
        default="",
        metadata=_option(
            "detail by networks where all scans leave it open: a model that upscales each by itself, too, "
            "`combined3d`, which improves all of them together, or `auto`: both; default: none",
            "ID",
            str,
        ),
    )
    device: str = field(default="auto", metadata=_option("where networks run", choices=DEVICES))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CombineRequest:
        """From what to_dict gave, or from JSON made of it; unknown names are left out."""
        scanners = tuple(Scanner.from_dict(scanner) for scanner in values.get("scanners", ()))
        return replace(super().from_dict({**values, "scanners": ()}), scanners=scanners)


@dataclass(frozen=True)
class RefineRequest(Json):
    """Labels on a grid of so many voxels (i, j, k) over their field of view."""

    size: tuple[int, int, int]


def options(kind: type = Request) -> dict[str, Option]:
    """The fields of a kind of request that a user may set, in their order."""
    return {f.name: f.metadata["option"] for f in fields(kind) if "option" in f.metadata}


@dataclass(frozen=True)
class Report(Json):
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
    # Whether one data step made the result agree with the scan, instead of rounds.
    data_step: bool = False
    # The most held on a GPU, where one was used.
    gpu_memory_mb: float = 0.0
    # Whether the request left the choice of the model open.
    automatic: bool = False
    # Where it is the mean of several models' results: their titles and shares.
    mean_of: tuple[tuple[str, float], ...] = ()
    # Within what the truth lies with 90%: the median half width in tissue, in the scan's units; what such an interval
    # was measured to cover of single subjects, at the least and the most, and on how many; or why there is none.
    interval: float | None = None
    interval_coverage: tuple[float, ...] = ()
    interval_subjects: int = 0
    interval_missing: str = ""
    # Mean of what the scan does not fix in tissue, in its units, where a map of that was asked for.
    invented: float | None = None
    # How the scan was taken, as far as it is known; None in reports of earlier versions, and for label maps.
    scanner: Scanner | None = None
    # Where it learned from the scan: the share of that in the result (0: it was not used), by how many dB it was better
    # on what was held out, and than which model, and how long it learned.
    learned_share: float = 0.0
    learning_gain: float | None = None
    learning_beside: str = ""
    learning_steps: int = 0
    learning_seconds: float = 0.0

    def __str__(self) -> str:
        chosen = ", chosen automatically" if self.automatic else ""
        scan = [] if self.scanner is None else [f"the scan: {self.scanner.words(self.input_spacing)}"]
        agreed = f"{self.consistency_rounds} consistency rounds"
        if self.data_step:
            agreed = f"{agreed}, then one data step" if self.consistency_rounds else "one data step"
        on_gpu = f", {self.gpu_memory_mb:.0f} MB on the GPU" if self.gpu_memory_mb else ""
        lines = [
            f"{self.title} ({self.model}{describe_realism(self.realism)}{chosen}) on {self.device}, {self.precision}",
            f"{describe_grid(self.input_size, self.input_spacing)} -> "
            f"{describe_grid(self.output_size, self.output_spacing)}, {self.scalar_type}",
            *scan,
            *([f"the mean of {self.shares}"] if self.mean_of else []),
            *self._learning(),
            f"{self.seconds:.1f} s, peak memory {self.peak_memory_mb:.0f} MB{on_gpu}{', ' if self.tiles else ''}"
            f"{self.tiles}",
            f"degraded again, it differs from the scan by {self.consistency_residual:.3g} on average ({agreed})",
            *self._doubts(),
        ]
        return "\n".join(lines + [f"note: {warning}" for warning in self.warnings])

    @property
    def shares(self) -> str:
        """ "Network (65%), Back-projection (35%)": of what it is the mean."""
        return ", ".join(f"{title} ({100 * share:.0f}%)" for title, share in self.mean_of)

    def _learning(self) -> list[str]:
        """What learning from the scan came to, where that was asked for."""
        if self.learning_gain is None:
            return []
        better = f"{self.learning_gain:+.2f} dB over {self.learning_beside} on what was held out"
        share = f"share in the result {self.learned_share:.2g}" if self.learned_share else "too little to be used"
        return [
            f"learned from the scan: {self.learning_steps} steps in {self.learning_seconds:.0f} s, {better}; {share}"
        ]

    def _doubts(self) -> list[str]:
        """How far to trust it, where that is known."""
        unit, lines = " HU" if self.modality == "CT" else "", []
        if self.interval is not None:
            lines.append(
                f"in tissue the truth typically lies within ± {self.interval:.3g}{unit} with 90% "
                f"({percent(self.interval_coverage)} measured on {self.interval_subjects} subjects)"
            )
        if self.invented is not None:
            lines.append(
                f"in tissue {self.invented:.3g}{unit} on average is not determined by the scan: the model filled it in "
                "(the scan would be the same without it)"
            )
        return lines

    def derivation(self, version: str) -> Derivation:
        """What a DICOM series of the result says of it."""
        mean = f", the mean of {self.shares}," if self.mean_of else ""
        sentence = (
            f"{self.title} ({self.model}{describe_realism(self.realism)}){mean} of {MAKER} {version}: "
            f"{describe_grid(self.input_size, self.input_spacing)} to "
            f"{describe_grid(self.output_size, self.output_spacing)}. {NOTICE}"
        )
        return Derivation(f"super-resolution ({self.model})", sentence, version)


@dataclass(frozen=True)
class Estimate:
    """What a request would give and take. Seconds are for the CPU the card was measured on; 0 if unknown.

    `map_bytes` are those of the maps beside the result, and are part of the working bytes, too. `kept_bytes` is what it
    takes beside that where another process could go on with it.
    """

    size: Size
    spacing: Triple
    output_bytes: int
    working_bytes: int
    seconds: float
    map_bytes: int = 0
    kept_bytes: int = 0


def describe_grid(size: Size, spacing: Triple) -> str:
    """ "181x217x181 at 1 mm" or "... at 1 x 1 x 3 mm"."""
    same = max(spacing) - min(spacing) < 5e-4 * max(spacing)
    words = f"{spacing[0]:.4g}" if same else " x ".join(f"{s:.4g}" for s in spacing)
    return f"{'x'.join(str(n) for n in size)} at {words} mm"


def describe_realism(realism: float | None) -> str:
    """ ", realism 0.3" to be added to a model's name; nothing where none was asked for."""
    return "" if realism is None else f", realism {realism:.4g}"
