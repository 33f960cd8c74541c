"""Which model serves a target best, for whoever does not want to choose one."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any, Callable

import numpy as np

from . import zoo
from .zoo import Card

AUTOMATIC = "auto"
# How scans were degraded to measure the gain that counts: with an unknown blur and noise, as a user's are.
PROTOCOL = "scanner"
# What is left where no network gains: measured, the best of the classical methods on noisy scans.
CLASSICAL = "backprojection"


def choose(distance: Callable[[Card], float | None], modality: str, factors: Sequence[float] = ()) -> Card:
    """The card for a target: of the models that gain on noisy scans one for every grid, else the one nearest to it.

    Of equally near ones it is the best. Gains are not compared further than that, as each model's were measured on
    whatever scans there were. `distance` tells how far a target is from what a card's networks give by themselves;
    None if it is out of reach. A network for every grid counts with what it gained by factors like these (i, j, k).
    Where the modality is not known a model counts as much as on the one where it gains least. Without torch, or where
    no model reaches the target or gains, it is the best classical method.
    """
    suited = []
    for card in zoo.cards().values() if networks_at_hand() else ():
        far, gained = distance(card) if card.learned else None, gain(card, modality, factors)
        # Models for looks, which may draw what is not there, are for those who choose them.
        if far is not None and gained > 0 and not card.caution and not card.partner:
            suited.append((not card.every_grid, round(far, 3), -gained, card.id, card))
    return min(suited)[-1] if suited else classical()


def classical() -> Card:
    """The method where no network is."""
    return zoo.card(CLASSICAL)


def gain(card: Card, modality: str, factors: Sequence[float] = ()) -> float:
    """The measured gain in dB over the best interpolation on noisy scans; 0 where it was not measured."""
    found = measured(card, PROTOCOL, factors)
    gained = {name: values["over_best_classical"][0] for name, values in found.items()}
    if modality in gained:
        return gained[modality]
    return min(gained.values(), default=0.0) if modality == "auto" else 0.0


def measured(card: Card, protocol: str, factors: Sequence[float] = ()) -> Mapping[str, Any]:
    """What a card holds of a protocol by modality: of the factors most like these, where there are several."""
    known = {key: _factors(key, card) for key in card.gains if key.split(" ", 1)[0] == protocol}
    if not known:
        return {}
    wanted = np.log(sorted(factors or card.typical))
    return card.gains[min(known, key=lambda key: float(np.abs(np.log(known[key]) - wanted).sum()))]


def entry(card: Card, protocol: str, factor: Sequence[float]) -> str:
    """Under what a card keeps what was measured by a factor: its own, on whatever axis, or another."""
    own = sorted(factor) == sorted(card.typical)
    return protocol if own else f"{protocol} {' x '.join(f'{f:g}' for f in factor)}"


def _factors(key: str, card: Card) -> list[float]:
    _, _, words = key.partition(" ")
    return sorted(map(float, words.split(" x ") if words else card.typical))


def networks_at_hand() -> bool:
    """Whether there is a torch to run networks with. Quick: does not import it."""
    try:
        specification = importlib.util.find_spec("torch")
    except (ImportError, ValueError):
        return False
    return specification is not None and specification.origin is not None
