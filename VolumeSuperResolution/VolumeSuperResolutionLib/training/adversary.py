"""The opponent in adversarial training: a discriminator that learns to tell results from truths, voxel by voxel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F

from ..engine.networks.rrdb import Discriminator3d
from .feed import Batch

BETAS = (0.9, 0.99)


class Adversary:
    """Judges what the generator made, then learns from it and from the truth."""

    def __init__(self, features: int, rate: float, device: torch.device):
        self.network = Discriminator3d(features).to(device=device, memory_format=torch.channels_last_3d)
        self.network.requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=rate, betas=BETAS, weight_decay=0.0)

    def judge(self, out: torch.Tensor, batch: Batch) -> torch.Tensor:
        """How surely each patch is taken for made; the discriminator itself does not change."""
        logits = self.network(_seen(out, batch))
        return F.softplus(-logits).flatten(1).mean(1)

    def learn(self, out: torch.Tensor, batch: Batch, rate: float) -> float:
        """One step on what the generator made; returns the part of voxels that were told rightly."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.network.requires_grad_(True)
        made, true = (self.network(_seen(side, batch)) for side in (out.detach(), batch.target))
        loss = (F.softplus(made).mean() + F.softplus(-true).mean()) / 2
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.network.requires_grad_(False)
        return float(((made < 0).float().mean() + (true > 0).float().mean()) / 2)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def _seen(volumes: torch.Tensor, batch: Batch) -> torch.Tensor:
    """What is bright in the whole volume is 1, whatever the modality."""
    return volumes / batch.spread.view(-1, 1, 1, 1, 1)
