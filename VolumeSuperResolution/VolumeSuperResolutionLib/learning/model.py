"""What was learned as a model like any other: a card and weights in a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..engine.layout import Prepared
from ..engine.models import domain, weights, zoo
from ..engine.models.automatic import AUTOMATIC
from ..engine.models.card import Card, Stage
from ..engine.physics import degradation
from ..engine.request import Request
from ..engine.volumes.grid import Grid
from .thick import DOUBT, factor_of

if TYPE_CHECKING:
    from .loop import Learned

NETWORK = "cnnil_depth"
# The id of a model that is not kept.
ID = "learned"
TITLE = "Learned from the scan"


def card_for(grid: Grid, modality: str, name: str = ID) -> Card:
    """The card of what would be learned from a scan on this grid, as far as it is known before."""
    fine, coarse = min(grid.spacing), max(grid.spacing)
    return Card(
        id=name,
        title=TITLE,
        summary=f"Learned from one scan with slices every {coarse:.3g} mm and pixels of {fine:.3g} mm, for such scans.",
        factor=(1, 1, factor_of(grid)),
        stages=(Stage(NETWORK, {"factor": factor_of(grid)}, ("j", "i")),),
        group="Learned from a scan",
        paper="Network: CNN-IL (Georgescu et al. 2020); learned as in SMORE (Zhao et al. 2021)",
        modalities=(modality,) if modality in ("MR", "CT") else ("MR", "CT"),
        spacing_mm=(fine, coarse),
        license="of who learned it",
    )


def beside(prepared: Prepared, request: Request) -> str:
    """What the model that would run without learning is found by: its id, where that is installed, or its folder.

    A mean that was made for this request has neither: that is what automatic takes.
    """
    card = prepared.layout.card
    if request.model == AUTOMATIC and prepared.layout.other is not None:
        return AUTOMATIC
    return card.id if card.id in zoo.cards() else str(card.folder)


def write(folder: Path, grid: Grid, prepared: Prepared, learned: Learned, other: str) -> Card:
    """The model into a folder, whose name is its id; `other` is the model that it is averaged with."""
    tensors = {f"0.{name}": tensor.astype(np.float32) for name, tensor in learned.weights.items()}
    data = weights.safetensors(tensors)
    (folder / zoo.WEIGHTS_FILE).write_bytes(data)
    noise = domain.noise_level(prepared.array)
    card = replace(
        card_for(grid, prepared.modality, folder.name),
        averaged_with=other if learned.worth.share < 1 else "",
        share=learned.worth.share,
        noise=round(max(1.2 * noise, degradation.SCANNER_NOISE), 4),
        parameters=sum(tensor.size for tensor in tensors.values()),
        training={
            "from": "one scan, of which it learned from the slices as they are, made coarse along their own axes",
            "held_out": f"{learned.worth.gain:+.2f} dB over {other} on other slices of it, turned by 45 degrees",
            "started_from": learned.start,
            "steps": [learned.steps],
            "minutes": [round(learned.seconds / 60, 1)],
        },
        degradation=f"{prepared.scanner.words(grid.spacing)}; up to {100 * DOUBT:.0f}% wider or narrower",
        weights={"bytes": len(data), "sha256": weights.sha256(data)},
        folder=folder,
    )
    zoo.write_card(card)
    return card
