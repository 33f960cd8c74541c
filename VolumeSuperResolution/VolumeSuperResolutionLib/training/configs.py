"""What is trained and how: one small JSON file a model, beside this module or anywhere else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..engine.errors import RefusalError
from ..engine.networks import Network, build
from .optimizers import OPTIMIZERS
from .patches import Cut

FOLDER = Path(__file__).with_name("configs")


@dataclass(frozen=True)
class StageConfig:
    """One network of a model. `patch`, `degraded`, `target` and the rest of its cut are explained in patches.Cut.

    Training ends after `steps` or `minutes`, whichever comes first; that one also drives the cosine schedule of the
    learning rate.
    """

    network: str
    patch: tuple[int, int, int]
    degraded: tuple[int, int, int]
    losses: Mapping[str, float]
    steps: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    views: tuple[str, ...] = ()
    target: tuple[int, int, int] = (1, 1, 1)
    flat_share: float = 0.0
    step: int = 1
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

    def build(self) -> Network:
        """The network, freshly initialized."""
        return build(self.network, **self.arguments)

    def cut(self, network: Network) -> Cut:
        """What its patches look like."""
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
        values = json.loads(path.read_text(encoding="utf-8"))
        stages = tuple(StageConfig(**_tuples(stage)) for stage in values.pop("stages"))
        return Config(stages=stages, **values)
    except (ValueError, TypeError, KeyError) as error:
        names = ", ".join(f.name for f in fields(StageConfig))
        raise RefusalError(f"{path.name} is no training config ({error}); a stage may hold {names}.") from error


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
