"""The models: one card each, and the verified networks behind it.

A learned model is a folder with card.json and weights.safetensors. The interpolations have cards too, so that
everything that can upscale is listed, described and reported in the same way.
"""

from __future__ import annotations

import difflib
import importlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import RefusalError
from . import plan, schema, weights
from .card import CARD_FILE, Card, Stage, noiseless, read_card, write_card
from .interval_table import IntervalTable, read_tables

if TYPE_CHECKING:
    from torch import nn

    from ..networks import Network

__all__ = [
    "CARD_FILE",
    "INTERVALS_FILE",
    "Card",
    "Stage",
    "card",
    "cards",
    "for_several",
    "load",
    "noiseless",
    "partner",
    "read_card",
    "write_card",
    "write_intervals",
]

WEIGHTS_FILE = "weights.safetensors"
# Additional folders with models, separated as in PATH.
FOLDERS_VARIABLE = "VSR_WEIGHTS"
# Python modules, separated by commas, that register networks of the user's. A card alone never brings code.
MODULES_VARIABLE = "VSR_NETWORKS"
HERE = Path(__file__).resolve()
# The interval tables of the methods that have no card of their own in a file.
INTERVALS_FILE = HERE.with_name("intervals.json")
# By which names models were called once.
RENAMED = {"datastep": "backprojection"}
# How alike two names have to be for one to be taken for the other mistyped.
ALIKE = 0.6


CLASSICAL = (
    Card("nearest", "Nearest neighbor", "Repeats voxels; the only method for label maps.", kernel="nearest"),
    Card("linear", "Linear", "Fast and smooth; blurs edges.", kernel="linear"),
    Card("bspline", "Cubic B-spline", "Smooth third-order interpolation.", kernel="bspline"),
    Card("lanczos", "Lanczos", "Windowed sinc interpolation, the sharpest of the plain ones."),
    Card(
        "backprojection",
        "Back-projection",
        "Lanczos, then one exact step that makes the result agree with the scan as far as its noise allows: sharper.",
        data_step=True,
    ),
)


def folders() -> list[Path]:
    """Where models are looked for: the user's folders, then the extension's or package's, then the repository's."""
    own = [Path(p) for p in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep) if p]
    return [*own, HERE.parents[2] / "weights", HERE.parents[4] / "weights"]


def cards() -> dict[str, Card]:
    """Every installed model that upscales a scan by its id, the interpolations first.

    A model whose card cannot be read is logged and skipped; `card` of its id says what is wrong with it.
    """
    return {name: card for name, card in _sound().items() if not card.several}


def for_several() -> Card | None:
    """The model that improves what several scans were combined to, where one is installed."""
    return next((card for card in _sound().values() if card.several), None)


def _sound() -> dict[str, Card]:
    found, broken = _look()
    for refusal in broken:
        _log_once(str(refusal))
    return found


def card(model_id: str) -> Card:
    """The card of a model, named by its id (in whatever case) or by a folder that holds it."""
    known, _ = _look()
    model_id = RENAMED.get(model_id, model_id)
    if model_id in known:
        return known[model_id]
    for folder in (Path(), *folders()) if model_id else ():
        path = folder / model_id / CARD_FILE
        if os.path.lexists(path):
            return read_card(path)
    alike = {name.casefold(): name for name in known}
    if model_id.casefold() in alike:
        return known[alike[model_id.casefold()]]
    close = difflib.get_close_matches(model_id.casefold(), alike, n=1, cutoff=ALIKE)
    hint = f"did you mean {alike[close[0]]}?" if close else "choose one of those that `vsr models` lists."
    raise RefusalError(f"There is no model called {model_id}; {hint}")


def _look() -> tuple[dict[str, Card], list[RefusalError]]:
    """The cards that are sound, and what is wrong with the others. Quick, as the panel asks often."""
    broken = []
    try:
        found = dict(_classical(*_state(INTERVALS_FILE)))
    except RefusalError as refusal:
        broken.append(refusal)
        found = {card.id: card for card in CLASSICAL}
    for folder in folders():
        for path in _card_files(folder):
            try:
                card = _read_once(path, *_state(path))
            except RefusalError as refusal:
                broken.append(refusal)
            else:
                found.setdefault(card.id, card)
    return found, broken


def _card_files(folder: Path) -> list[str]:
    """Whatever is called a card in the folders of a folder, whether it can be read or not."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    paths = (os.path.join(folder, name, CARD_FILE) for name in names)
    return [path for path in paths if os.path.lexists(path)]


def _state(path: str | Path) -> tuple[int, ...]:
    """What tells whether a file is still the one that was read."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


@lru_cache(maxsize=256)
def _read_once(path: str, *state: int) -> Card:
    return read_card(Path(path))


@lru_cache(maxsize=4)
def _classical(*state: int) -> dict[str, Card]:
    """The cards of the methods without a network, with their intervals."""
    try:
        tables = read_tables(schema.read_json(INTERVALS_FILE))
        return {card.id: replace(card, intervals=tables.get(card.id, ())) for card in CLASSICAL}
    except (OSError, ValueError) as error:
        raise RefusalError(
            f"The intervals in {INTERVALS_FILE} cannot be read ({error}); install them again."
        ) from error


def write_intervals(model: Card, tables: Sequence[IntervalTable]) -> None:
    """What was measured into a model's card, in the place of what was measured there of the same scans and factor."""
    new = [(table.modality, table.factor, table.protocol) for table in tables]
    kept = [table for table in model.intervals if (table.modality, table.factor, table.protocol) not in new]
    changed = replace(model, intervals=(*kept, *tables))
    if model.folder is not None:
        write_card(changed)
        return
    every = {
        **{known.id: known.intervals for known in cards().values() if known.folder is None},
        model.id: changed.intervals,
    }
    values = {name: [vars(table) for table in found] for name, found in every.items() if found}
    partial = INTERVALS_FILE.with_suffix(".partial")
    partial.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(INTERVALS_FILE)


@cache
def _log_once(sentence: str) -> None:
    logging.warning(sentence)


def partner(model: Card) -> Card:
    """The faithful model that another can be mixed with; refused unless it is installed and has the same networks.

    It need not have the noise that the other adds to its result.
    """
    other = _look()[0].get(model.partner)
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


def load(card: Card, realism: float | None = None, traits: np.ndarray | None = None) -> list[Network]:
    """A card's networks, one a stage, with verified weights, in float32 on the CPU, ready to infer.

    Below 1, realism is the share of the card's own weights; the rest are those of its partner. A network for every grid
    becomes that for the card's factor and a scan's traits, where they are given.
    """
    import torch

    networks, tensors = _networks(card)
    if realism is not None and realism < 1:
        (_, faithful), share, rest = _networks(partner(card)), np.float32(realism), np.float32(1 - realism)
        none = np.float32(0)
        tensors = {name: rest * faithful.get(name, none) + share * own for name, own in tensors.items()}
    for n, network in enumerate(networks):
        state = network.state_dict()
        if any(tensor.is_meta for tensor in state.values()):
            # For to_empty(), torch would load its compiler.
            state = {name: torch.empty(tensor.shape, dtype=tensor.dtype) for name, tensor in state.items()}
            network.load_state_dict(state, assign=True)
        for name in _floats(network):
            state[name].copy_(torch.from_numpy(tensors[f"{n}.{name}"]))
        network.eval().requires_grad_(False)
        if traits is not None:
            network.settle(traits)  # type: ignore[operator]  # only networks for every grid are given any
    return networks


def register_own() -> None:
    """Imports the modules that the user named in the environment, which register networks."""
    for module in filter(None, os.environ.get(MODULES_VARIABLE, "").split(",")):
        try:
            importlib.import_module(module.strip())
        except ImportError as error:
            raise RefusalError(
                f"The module {module.strip()}, which {MODULES_VARIABLE} names, cannot be imported ({error}); correct "
                "the variable, or put the module on Python's path."
            ) from error


def _networks(card: Card) -> tuple[list[Network], dict[str, np.ndarray]]:
    """A card's networks without weights, and its verified weights in float32."""
    import torch

    from ..networks import SHIPPED, build

    register_own()
    networks = []
    try:
        for stage in card.stages:
            # A network of the user's own may hold what is in no file, as a table of positions.
            with torch.device("meta" if stage.network in SHIPPED else "cpu"):
                networks.append(build(stage.network, **stage.arguments))
        plan.check_fit(card, networks)
    except RefusalError as refusal:
        raise RefusalError(f"The card of the model {card.id} does not fit its networks: {refusal}") from refusal
    shapes = {f"{n}.{name}": t.shape for n, network in enumerate(networks) for name, t in _floats(network).items()}
    assert card.folder is not None
    path = card.folder / WEIGHTS_FILE
    tensors = _read_weights(path, card.weights["bytes"], card.weights["sha256"], *_state(path))
    weights.check(tensors, shapes, path)
    return networks, {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


@lru_cache(maxsize=2)
def _read_weights(path: Path, size: int, checksum: str, *state: int) -> dict[str, np.ndarray]:
    """The verified weights in a file, read once for all the scans of a batch."""
    return weights.read_tensors(path, size, checksum)


def _floats(network: nn.Module) -> dict[str, Any]:
    """A network's floating-point state, all that inference needs (batch counters are integers)."""
    return {name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
