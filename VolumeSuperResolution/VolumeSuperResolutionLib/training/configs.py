"""What is trained and how: one small JSON file a model, beside this module or anywhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..engine.errors import RefusalError
from ..engine.models import card, schema, zoo
from ..engine.networks import Network, build
from ..engine.physics.degradation import EXPECTED, PROTOCOLS
from .optimizers import OPTIMIZERS
from .patches import Cut

FOLDER = Path(__file__).with_name("configs")
# What a config says of the card itself; the rest of a card follows from the training.
OF_THE_CARD = (
    *("title", "summary", "factor", "kernel", "consistency", "group", "paper", "convention", "ensemble", "data_step"),
    *("license", "caution", "partner", "limits", "several"),
)
NEEDED_OF_THE_CARD = ("title", "summary", "factor")
# Networks of one factor are not told how a scan was taken.
UNTOLD = [name for name, protocol in PROTOCOLS.items() if not protocol.told]
_SHARE, _THREE = schema.number(0, 1), schema.several(schema.whole(1, 4096), 3, 3)
CHECKS = {
    "patch": _THREE,
    "degraded": _THREE,
    "target": _THREE,
    "losses": schema.table(schema.number(0, 1e6)),
    "steps": schema.whole(1, 10**12),
    "views": schema.several(schema.one_of("k", "j", "i"), 0, 3),
    "turns": schema.whole(1, card.MOST_TURNS),
    "flat_share": _SHARE,
    "step": schema.whole(1, 64),
    "protocol": schema.one_of(EXPECTED, *UNTOLD),
    "clean_share": schema.number(0, 0.99),
    "tissue_share": _SHARE,
    "batch": schema.whole(1, 4096),
    "learning_rate": schema.number(0, 10),
    "weight_decay": schema.number(0, 1e3),
    "warmup": schema.whole(0, 10**12),
    "ema": _SHARE,
    "clip": schema.number(0, 1e9),
    "minutes": schema.number(0, 1e6),
    "consistency": schema.whole(0, card.MOST_ROUNDS),
    "slices": schema.whole(1, 64),
    "discriminator": schema.whole(1, 1024),
    "half_share": _SHARE,
}


@dataclass(frozen=True)
class StageConfig:
    """One network of a model. `patch`, `degraded`, `target` and the rest of its cut are explained in patches.Cut.

    For a network for every grid `patch` is that of three equal factors, in coarse voxels, and there is no `degraded`
    (training/grids.py).

    Training ends after `steps` or `minutes`, whichever comes first; that one also drives the cosine schedule of the
    learning rate.
    """

    network: str
    patch: tuple[int, int, int]
    losses: Mapping[str, float]
    steps: int
    degraded: tuple[int, int, int] = (1, 1, 1)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    views: tuple[str, ...] = ()
    turns: int = 1
    target: tuple[int, int, int] = (1, 1, 1)
    flat_share: float = 0.0
    step: int = 1
    protocol: str = Cut.protocol
    clean_share: float = Cut.clean_share
    tissue_share: float = Cut.tissue_share
    batch: int = 8
    # One of optimizers.OPTIMIZERS.
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup: int = 100
    ema: float = 0.999
    clip: float = 10.0
    minutes: float = 0.0
    # Rounds of data consistency applied to the output before the losses, as many as the card applies.
    consistency: int = 0
    # How many slices of each view of a patch the perceptual losses look at in one step.
    slices: int = 4
    # Features of the discriminator that an adversarial loss needs.
    discriminator: int = 64
    # The fraction of the training in bfloat16, on devices that are faster with it; the rest is in full precision.
    half_share: float = 0.85

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"no optimizer is called {self.optimizer}; known are {', '.join(OPTIMIZERS)}")
        for name, check in CHECKS.items():
            try:
                check(getattr(self, name))
            except ValueError as error:
                raise ValueError(f"{name} {error}") from error
        if not self.losses:
            raise ValueError("losses is empty")
        if any(d % t for d, t in zip(self.degraded, self.target)):
            raise ValueError("degraded is no multiple of target")

    def build(self) -> Network:
        """The network, freshly initialized."""
        zoo.register_own()
        return build(self.network, **self.arguments)

    def cut(self, network: Network) -> Cut:
        """What its patches look like."""
        if network.on_interpolated and any(n < d for n, d in zip(self.patch, self.degraded)):
            raise RefusalError("A patch of the config is smaller than one degraded voxel; make it larger.")
        shared = {f.name: getattr(self, f.name) for f in fields(Cut) if hasattr(self, f.name)}
        return Cut(size=self.patch, interpolated=network.on_interpolated, **shared)


@dataclass(frozen=True)
class Config:
    """A model to train; `card` holds the entries of its card that are not measured."""

    id: str
    card: Mapping[str, Any]
    stages: tuple[StageConfig, ...]
    seed: int = 1


def read(config: str | Path) -> Config:
    """A config by the id of a model that comes with one, or by the path of its file."""
    path = Path(config)
    if path.suffix != ".json":
        path = FOLDER / f"{config}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.json")))
        raise RefusalError(f"There is no training config {config}; give the path of a JSON file, or one of {known}.")
    try:
        values = schema.read_json(path)
        stages = tuple(StageConfig(**_tuples(stage)) for stage in values.pop("stages"))
        found = Config(stages=stages, **values)
        _check(found)
        return found
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        names = ", ".join(f.name for f in fields(StageConfig))
        raise RefusalError(f"{path.name} is no training config ({error}); a stage may hold {names}.") from error


def _check(config: Config) -> None:
    """Whether the card that stands at the end of the training will be a sound one."""
    schema.name(config.id)
    schema.whole(0, 2**31)(config.seed)
    unknown = sorted(set(config.card) - set(OF_THE_CARD))
    if unknown or not config.stages:
        raise ValueError(f"its card cannot hold {unknown[0]}" if unknown else "it has no stages")
    card.checked(config.card, NEEDED_OF_THE_CARD)


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
