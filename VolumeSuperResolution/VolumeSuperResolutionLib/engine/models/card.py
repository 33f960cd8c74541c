"""The card of a model: what it is, what it was made from, and how good it was measured to be.

Every field says what it means and what it may hold, and is checked by that when a card is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from ..errors import RefusalError
from . import grids, schema
from .interval_table import MODALITIES, IntervalTable, interval_table

CARD_FILE = "card.json"
PRECISIONS = ("tf32", "bf16", "fp16")
# Of networks; far above any published one.
LARGEST_SCALE = 16
LARGEST_ARGUMENT = 4096
MOST_STAGES = 8
MOST_TURNS = 4  # none, and about three axes
MOST_ROUNDS = 10
MOST_WEIGHT_BYTES = 2**30
ANY_FACTOR = (0, 0, 0)


class _Described(Protocol):
    """Any dataclass that has a network's arguments."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def arguments(self) -> Mapping[str, Any]: ...


Described = TypeVar("Described", bound=_Described)


def _argument(value: Any) -> Any:
    """What a network may be built with."""
    if isinstance(value, bool):
        return value
    if isinstance(value, list):
        return list(schema.several(schema.whole(1, LARGEST_ARGUMENT), 1, 8)(value))
    if isinstance(value, int):
        return schema.whole(1, LARGEST_ARGUMENT)(value)
    return schema.number(-1000, 1000)(value)


def _figures(value: Any) -> Any:
    """A mean and a deviation, or tables of them."""
    if isinstance(value, Mapping):
        return schema.table(_figures)(value)
    return list(schema.several(schema.number(-1e9, 1e9), 1, 2)(value))


@dataclass(frozen=True)
class Stage:
    """One network, and how it is applied: on the whole volume, or on the slices of each view, averaged."""

    network: str = schema.entry("the name of the architecture", schema.name)
    arguments: Mapping[str, Any] = schema.entry(
        "what it is built with, where that is not the default", schema.table(_argument, 32), default_factory=dict
    )
    views: tuple[str, ...] = schema.entry(
        "of a 2D network: the axes its slices are perpendicular to",
        schema.several(schema.one_of("k", "j", "i"), 0, 3),
        default=(),
    )
    turns: int = schema.entry(
        "of a 3D network: over how many turns of the volume its results are averaged, each half a circle about an axis",
        schema.whole(1, MOST_TURNS),
        default=1,
    )

    def to_dict(self) -> dict[str, Any]:
        """What a card says of it."""
        values = dict(vars(self))
        if self.turns == 1:
            del values["turns"]
        return values


def _stage(value: Any) -> Stage:
    values = schema.record(schema.checks_of(Stage), ("network",))(value)
    return Stage(**{f.name: values[f.name] for f in fields(Stage) if f.name in values})


@dataclass(frozen=True)
class Card:
    """What a model is, what it was made from, and how good it was measured to be."""

    id: str = schema.entry("what the model is called by, and its folder", schema.name)
    title: str = schema.entry("what it is called in a list", schema.text(1, 200))
    summary: str = schema.entry("what it is good for, in a sentence", schema.text(1, 1000))
    factor: tuple[int, int, int] = schema.entry(
        "the networks' own factor along i, j, k; with 1, 1, s it works along any one axis; zeros: any factor",
        schema.several(schema.whole(0, LARGEST_SCALE), 3, 3),
        default=ANY_FACTOR,
    )
    stages: tuple[Stage, ...] = schema.entry(
        "the networks, each applied to what the one before gives", schema.several(_stage, 1, MOST_STAGES), default=()
    )
    kernel: str = schema.entry(
        "of a method without a network: the interpolation",
        schema.one_of("nearest", "linear", "bspline", "lanczos"),
        default="lanczos",
    )
    consistency: int = schema.entry(
        "rounds that make the result agree with the scan", schema.whole(0, MOST_ROUNDS), default=0
    )
    least_consistency: int = schema.entry(
        "the rounds it was trained through: with fewer, what the network gives is not an image yet",
        schema.whole(0, MOST_ROUNDS),
        default=0,
    )
    data_step: bool = schema.entry(
        "whether one data step makes the result agree with the scan where no rounds are asked for",
        schema.flag,
        default=False,
    )
    group: str = schema.entry("under what it is listed", schema.text(0, 200), default="Classical")
    paper: str = schema.entry("where it was published", schema.text(), default="")
    convention: str = schema.entry(
        "where fine voxels lie on coarse ones", schema.one_of("field of view"), default="field of view"
    )
    ensemble: str = schema.entry(
        "how slice-wise networks join flips and rotations", schema.one_of("mean", "median"), default="mean"
    )
    modalities: tuple[str, ...] = schema.entry(
        "what it was trained on", schema.several(schema.one_of(*MODALITIES), 1, 2), default=MODALITIES
    )
    spacing_mm: tuple[float, float] = schema.entry(
        "the finest and the coarsest voxels of the scans that it is for",
        schema.several(schema.number(0, 1e4), 2, 2),
        default=(0.0, 1000.0),
    )
    noise: float = schema.entry(
        "the most noise it was trained with, as a part of the intensity range", schema.number(0, 1), default=1.0
    )
    precisions: tuple[str, ...] = schema.entry(
        "those beside fp32 whose results were found to be as good: within 0.02 dB of PSNR",
        schema.several(schema.one_of(*PRECISIONS), 0, len(PRECISIONS)),
        default=(),
    )
    seconds_per_megavoxel: float = schema.entry(
        "time for a million voxels of the scan on the CPU that it was measured on; 0: not measured",
        schema.number(0, 1e7),
        default=0.0,
    )
    parameters: int = schema.entry("how many numbers it learned", schema.whole(0, 10**9), default=0)
    several: bool = schema.entry(
        "whether it improves what several scans were combined to, and upscales nothing", schema.flag, default=False
    )
    license: str = schema.entry("of the weights", schema.text(0, 200), default="Apache-2.0")
    caution: str = schema.entry("what a user is told with every result", schema.text(), default="")
    partner: str = schema.entry(
        "the id of a faithful model of the same networks, whose weights this one's can be mixed with",
        schema.text(0, 200),
        default="",
    )
    averaged_with: str = schema.entry(
        "the id of another model: the result is the mean of both, each weighed by its share", schema.text(), default=""
    )
    share: float = schema.entry("this model's own share of such a mean", schema.number(0, 1), default=1.0)
    averaged_on: tuple[str, ...] = schema.entry(
        "of what the result is such a mean; of others it is this model's alone",
        schema.several(schema.one_of(*MODALITIES), 1, 2),
        default=MODALITIES,
    )
    limits: tuple[str, ...] = schema.entry("what is known to go wrong", schema.several(schema.text()), default=())
    training: Mapping[str, Any] = schema.entry(
        "volumes, licenses, steps and settings", schema.table(schema.document), default_factory=dict
    )
    degradation: str = schema.entry("how scans were made coarse for the training", schema.text(), default="")
    gains: Mapping[str, Any] = schema.entry(
        "by protocol and modality: what was measured, mean and deviation over volumes",
        schema.table(schema.table(schema.table(_figures))),
        default_factory=dict,
    )
    intervals: tuple[IntervalTable, ...] = schema.entry(
        "within what the truth lies with 90%, by modality and factor, as measured on scans that no training saw",
        schema.several(interval_table),
        default=(),
    )
    weights: Mapping[str, Any] = schema.entry(
        "the size in bytes and the checksum (sha256) of the weights' file",
        schema.record(
            {"bytes": schema.whole(9, MOST_WEIGHT_BYTES), "sha256": schema.text(64, 64)}, ("bytes", "sha256")
        ),
        default_factory=dict,
    )
    # Not of the card itself: fields of later versions, which are kept but not used; and where the card lies.
    others: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def learned(self) -> bool:
        """Whether a network does the work."""
        return bool(self.stages)

    @property
    def every_grid(self) -> bool:
        """Whether its network is one for every grid: its factor is only known with a target's."""
        return [stage.network for stage in self.stages] == [grids.NETWORK]

    @property
    def typical(self) -> tuple[int, int, int]:
        """Its factor; of a network for every grid, the one that it is shown and measured with."""
        return self.factor if any(self.factor) else (2, 2, 2)

    @property
    def factor_words(self) -> str:
        """ "2 x 2 x 2" or "any"."""
        return " x ".join(map(str, self.factor)) if any(self.factor) else "any"

    def on(self, factor: Sequence[int]) -> Card:
        """Of a network for every grid: the card for one, by its factor in array order (k, j, i)."""
        stage = replace(self.stages[0], arguments={**self.stages[0].arguments, "factor": list(factor)})
        return replace(self, factor=tuple(factor[::-1]), stages=(stage,))  # type: ignore[arg-type]

    def averaged_for(self, modality: str) -> bool:
        """Whether its result is a mean with another model's on scans of a modality, or may be while that is unknown."""
        return bool(self.averaged_with) and (modality in self.averaged_on or modality not in MODALITIES)

    @property
    def turns(self) -> int:
        """The most turns of the volume that one of its networks is averaged over."""
        return max((stage.turns for stage in self.stages), default=1)

    @property
    def unturned(self) -> Card:
        """The same without such averages."""
        return replace(self, stages=tuple(replace(stage, turns=1) for stage in self.stages))

    @property
    def through_plane(self) -> bool:
        """Whether it scales one axis only: for thick slices."""
        return self.factor[:2] == (1, 1)

    def to_dict(self) -> dict[str, Any]:
        """What card.json holds."""
        values = {f.name: getattr(self, f.name) for f in described()}
        values["stages"] = [stage.to_dict() for stage in self.stages]
        values["intervals"] = [vars(table) for table in self.intervals]
        if not self.averaged_with:
            del values["averaged_with"], values["share"], values["averaged_on"]
        if not self.several:
            del values["several"]
        return {**values, **self.others}


def described() -> list[Field]:
    """The fields that a card's file may hold."""
    return [f for f in fields(Card) if f.metadata]


def checked(values: Any, needed: tuple[str, ...] = ()) -> dict[str, Any]:
    """Values of a card, each as its field wants it; raises ValueError where one is not what the field may hold."""
    return schema.record(schema.checks_of(Card), needed)(values)


def read_card(path: Path) -> Card:
    """The card of a learned model from its file."""
    try:
        values = checked(_renewed(schema.read_json(path)), NEEDED)
        known = {f.name: values.pop(f.name) for f in described() if f.name in values}
        card = Card(**known, others=values, folder=path.parent)
        _check_agreement(card)
        return card
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RefusalError(f"The card {path} cannot be read ({reason}); install the model again.") from error


def _renewed(values: Any) -> Any:
    """A card as it is written today: early ones said only whether half precision was allowed."""
    if not isinstance(values, dict) or "half_allowed" not in values:
        return values
    allowed = ["bf16", "fp16"] if schema.flag(values["half_allowed"]) else []
    return {"precisions": allowed, **{name: value for name, value in values.items() if name != "half_allowed"}}


def write_card(card: Card) -> None:
    """The card into its folder, complete or not at all."""
    text = json.dumps(card.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    assert card.folder is not None
    partial = card.folder / f"{CARD_FILE}.partial"
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(card.folder / CARD_FILE)


def noiseless(stage: Described) -> Described:
    """The same network without noise of its own; `stage` is anything that has its arguments."""
    return replace(stage, arguments={name: value for name, value in stage.arguments.items() if name != "noise"})


def _check_agreement(card: Card) -> None:
    """What no field can tell by itself."""
    if card.least_consistency > card.consistency:
        raise ValueError(f"consistency is {card.consistency}, but has to be {card.least_consistency} at the least")
    if (card.factor == ANY_FACTOR) != card.every_grid or (0 in card.factor and any(card.factor)):
        wrong, wanted = (max, "0: it is known with a target only") if card.every_grid else (min, "1 or more")
        raise ValueError(f"factor is {wrong(card.factor)}, but has to be {wanted}")
    if any(stage.views and stage.turns > 1 for stage in card.stages):
        raise ValueError("turns are of networks that see the whole volume, not of those with views")
    if card.spacing_mm[0] > card.spacing_mm[1]:
        raise ValueError("spacing_mm names the coarsest voxels first")
    if card.partner == card.id:
        raise ValueError("it is its own partner")


# What a learned model's card cannot do without.
NEEDED = (
    *(f.name for f in described() if f.default is MISSING and f.default_factory is MISSING),
    *("factor", "stages", "weights"),
)
