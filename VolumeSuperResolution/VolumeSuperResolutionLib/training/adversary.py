"""The opponent in adversarial training: a discriminator that learns to tell results from truths, voxel by voxel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F

from ..engine.networks.rrdb import Discriminator3d
from .feed import Batch

BETAS = (0.9, 0.99)
# The discriminator's learning rate by the generator's: it has to hear what is missing before it can say so.
LEAD = 5.0
# What sets results and truths apart is fine: coarser contrast is left out. The noise of air must be seen beside the
# edges of bone: from this part of what is bright on, values are told apart by their logarithm.
WINDOW, FAINT = 3, 0.03


class Adversary:
    """Judges what the generator made, then learns from it and from the truth."""

    def __init__(self, features: int, rate: float, device: torch.device):
        self.network = Discriminator3d(features).to(device=device, memory_format=torch.channels_last_3d)
        self.network.requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=LEAD * rate, betas=BETAS, weight_decay=0.0)

    def judge(self, out: torch.Tensor, batch: Batch) -> torch.Tensor:
        """How surely each patch is taken for made; the discriminator itself does not change."""
        logits = self.network(_seen(out, batch))
        return F.softplus(-logits).flatten(1).mean(1)

    def learn(self, out: torch.Tensor, batch: Batch, rate: float) -> float:
        """One step on what the generator made; returns the part of voxels that were told rightly."""
        for group in self.optimizer.param_groups:
            group["lr"] = LEAD * rate
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
    """What each voxel adds to the mean around it, relative to what is bright in the whole volume.

    Without the edges, where zero padding and data consistency betray what was made; halved three times, all is whole.
    """
    edges = [4 * (size // 24) for size in volumes.shape[2:]]
    volumes = volumes[(..., *(slice(edge, size - edge) for edge, size in zip(edges, volumes.shape[2:])))]
    local = F.avg_pool3d(volumes, WINDOW, 1, WINDOW // 2, count_include_pad=False)
    return torch.asinh((volumes - local) / (FAINT * batch.spread.view(-1, 1, 1, 1, 1)))
