"""Which model serves a target best, for whoever does not want to choose one."""

from __future__ import annotations

import importlib.util
from typing import Callable

from . import zoo
from .zoo import Card

AUTOMATIC = "auto"
# How scans were degraded to measure the gain that counts: with an unknown blur and noise, as a user's are.
PROTOCOL = "scanner"
# Back-projection gained on noisy MR and lost on noisy CT against plain Lanczos, where both were measured.
CLASSICAL = {"MR": "backprojection"}
PLAIN = "lanczos"


def choose(distance: Callable[[Card], float | None], modality: str) -> Card:
    """The card for a target: of the models that gain on noisy scans, the one nearest to it, then the best.

    `distance` tells how far a target is from what a card's networks give by themselves; None if it is out of reach.
    Where the modality is not known a model counts as much as on the one where it gains least. Without torch, or where
    no model reaches the target or gains, it is the better of the classical methods.
    """
    suited = []
    for card in zoo.cards().values() if networks_at_hand() else ():
        far, gained = distance(card) if card.learned else None, gain(card, modality)
        # Models for looks, which may draw what is not there, are for those who choose them.
        if far is not None and gained > 0 and not card.caution and not card.partner:
            suited.append((round(far, 3), -gained, card.id, card))
    if suited:
        return min(suited)[-1]
    return classical(modality)


def classical(modality: str) -> Card:
    """The better interpolation for a modality."""
    return zoo.card(CLASSICAL.get(modality, PLAIN))


def gain(card: Card, modality: str) -> float:
    """The measured gain in dB over the best interpolation on noisy scans; 0 where it was not measured."""
    measured = {name: values["over_best_classical"][0] for name, values in card.gains.get(PROTOCOL, {}).items()}
    if modality in measured:
        return measured[modality]
    return min(measured.values(), default=0.0) if modality == "auto" else 0.0


def networks_at_hand() -> bool:
    """Whether there is a torch to run networks with. Quick: does not import it."""
    try:
        specification = importlib.util.find_spec("torch")
    except (ImportError, ValueError):
        return False
    return specification is not None and specification.origin is not None
