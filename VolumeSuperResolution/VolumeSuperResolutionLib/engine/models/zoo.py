"""The models: one card each, and the verified networks behind it.

A learned model is a folder with card.json and weights.safetensors. The interpolations have cards too, so that
everything that can upscale is listed, described and reported in the same way.
"""

from __future__ import annotations

import difflib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..errors import RefusalError
from . import weights

if TYPE_CHECKING:
    from torch import nn

CARD_FILE = "card.json"
WEIGHTS_FILE = "weights.safetensors"
# Additional folders with models, separated as in PATH.
FOLDERS_VARIABLE = "VSR_WEIGHTS"
Described = TypeVar("Described")


@dataclass(frozen=True)
class Stage:
    """One network, and how it is applied: on the whole volume, or on the slices of each view, averaged.

    A view is named by the axis its slices are perpendicular to: "k", "j" or "i".
    """

    network: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    views: tuple[str, ...] = ()


@dataclass(frozen=True)
class Card:
    """What a model is, what it was made from, and how good it was measured to be."""

    id: str
    title: str
    summary: str
    # The network's own factor along i, j, k; a model with (1, 1, s) works along any one axis. Zeros: any factor.
    factor: tuple[int, int, int] = (0, 0, 0)
    stages: tuple[Stage, ...] = ()
    kernel: str = "lanczos"
    consistency: int = 0
    # The rounds that it was trained with: with fewer, the output of the network is not an image yet.
    least_consistency: int = 0
    group: str = "Classical"
    paper: str = ""
    convention: str = "field of view"
    ensemble: str = "mean"
    modalities: tuple[str, ...] = ("MR", "CT")
    spacing_mm: tuple[float, float] = (0.0, 1000.0)
    # The strongest noise it was trained with, as a fraction of the intensity range.
    noise: float = 1.0
    half_allowed: bool = False
    seconds_per_megavoxel: float = 0.0
    parameters: int = 0
    license: str = "Apache-2.0"
    caution: str = ""
    # The id of a faithful model of the same networks, whose weights this one's can be mixed with.
    partner: str = ""
    limits: tuple[str, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    degradation: str = ""
    gains: Mapping[str, Any] = field(default_factory=dict)
    # Of weights.safetensors: {"bytes": ..., "sha256": ...}.
    weights: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def learned(self) -> bool:
        """Whether a network does the work."""
        return bool(self.stages)

    @property
    def through_plane(self) -> bool:
        """Whether it scales one axis only: for thick slices."""
        return self.factor[:2] == (1, 1)

    def to_dict(self) -> dict[str, Any]:
        """What card.json holds."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "folder"}
        values["stages"] = [vars(stage) for stage in self.stages]
        return values


CLASSICAL = (
    Card("nearest", "Nearest neighbor", "Repeats voxels; the only method for label maps.", kernel="nearest"),
    Card("linear", "Linear", "Fast and smooth; blurs edges.", kernel="linear"),
    Card("bspline", "Cubic B-spline", "Smooth third-order interpolation.", kernel="bspline"),
    Card("lanczos", "Lanczos", "Windowed sinc interpolation, the sharpest of the plain ones."),
    Card(
        "backprojection",
        "Back-projection",
        "Lanczos, then five rounds that make the result agree with the scan: sharper, but amplifies noise.",
        consistency=5,
    ),
)


def folders() -> list[Path]:
    """Where models are looked for: the user's folders, then the extension's or package's, then the repository's."""
    own = [Path(p) for p in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep) if p]
    here = Path(__file__).resolve()
    return [*own, here.parents[2] / "weights", here.parents[4] / "weights"]


def cards() -> dict[str, Card]:
    """Every installed model by its id, the interpolations first.

    A model whose card cannot be read is logged and skipped; `card` of its id says what is wrong with it.
    """
    found = {card.id: card for card in CLASSICAL}
    for folder in folders():
        for path in sorted(folder.glob(f"*/{CARD_FILE}")):
            try:
                card = read_card(path)
            except RefusalError as refusal:
                _log_once(str(refusal))
            else:
                found.setdefault(card.id, card)
    return found


@cache
def _log_once(sentence: str) -> None:
    logging.warning(sentence)


def card(model_id: str) -> Card:
    """The card of a model, named by its id or by a folder that holds it."""
    known = cards()
    if model_id in known:
        return known[model_id]
    for folder in (Path(), *folders()):
        path = folder / model_id / CARD_FILE
        if path.is_file():
            return read_card(path)
    close = difflib.get_close_matches(model_id, known, n=1, cutoff=0.0)
    raise RefusalError(f"There is no model called {model_id}; did you mean {close[0]}?")


def read_card(path: Path) -> Card:
    """A card from its file, which is read again only where it has changed."""
    try:
        status = path.stat()
    except OSError as error:
        raise RefusalError(f"The card {path} cannot be read ({error}); install the model again.") from error
    return _read_card(path, (status.st_mtime_ns, status.st_size, status.st_ino))


@lru_cache(maxsize=1000)
def _read_card(path: Path, _version: tuple[int, int, int]) -> Card:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["stages"] = tuple(Stage(s["network"], s["arguments"], tuple(s["views"])) for s in values["stages"])
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return Card(**values, folder=path.parent)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RefusalError(f"The card {path} cannot be read ({error}); install the model again.") from error


def write_card(card: Card) -> None:
    """The card into its folder."""
    text = json.dumps(card.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    (card.folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")


def partner(model: Card) -> Card:
    """The faithful model that another can be mixed with; refused unless it is installed and has the same networks.

    It need not have the noise that the other adds to its result.
    """
    other = cards().get(model.partner)
    if other is None:
        raise RefusalError(
            f"{model.title} is mixed with the model {model.partner}, which is not installed; install that, or choose "
            "a realism of 1."
        )
    if other.stages not in (model.stages, tuple(map(noiseless, model.stages))):
        raise RefusalError(
            f"{model.title} cannot be mixed with {other.title}, which has other networks; install both models again, "
            "or choose a realism of 1."
        )
    return other


def noiseless(stage: Described) -> Described:
    """The same network without noise of its own; `stage` is anything that has its arguments."""
    return replace(stage, arguments={name: value for name, value in stage.arguments.items() if name != "noise"})


def load(card: Card, realism: float | None = None) -> list[nn.Module]:
    """A card's networks, one a stage, with verified weights, in float32 on the CPU, ready to infer.

    Below 1, realism is the share of the card's own weights; the rest are those of its partner.
    """
    import torch

    networks, tensors = _networks(card)
    if realism is not None and realism < 1:
        (_, faithful), share, rest = _networks(partner(card)), np.float32(realism), np.float32(1 - realism)
        none = np.float32(0)
        tensors = {name: rest * faithful.get(name, none) + share * own for name, own in tensors.items()}
    for n, network in enumerate(networks):
        network.to_empty(device="cpu")
        state = network.state_dict()
        for name in _floats(network):
            state[name].copy_(torch.from_numpy(tensors[f"{n}.{name}"]))
        network.eval().requires_grad_(False)
    return networks


def _networks(card: Card) -> tuple[list[nn.Module], dict[str, np.ndarray]]:
    """A card's networks without weights, and its verified weights in float32."""
    import torch

    from ..networks import build

    with torch.device("meta"):
        networks = [build(stage.network, **stage.arguments) for stage in card.stages]
    shapes = {f"{n}.{name}": t.shape for n, network in enumerate(networks) for name, t in _floats(network).items()}
    path = card.folder / WEIGHTS_FILE
    tensors = weights.read_tensors(path, card.weights["bytes"], card.weights["sha256"])
    weights.check(tensors, shapes, path)
    return networks, {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def _floats(network: nn.Module) -> dict[str, Any]:
    """A network's floating-point state, all that inference needs (batch counters are integers)."""
    return {name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
