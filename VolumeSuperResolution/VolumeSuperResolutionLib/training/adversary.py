"""Adversarial training: a discriminator that learns to tell results from ground truth, voxel by voxel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F

from ..engine.networks.rrdb import Discriminator3d
from .feed import Batch

BETAS = (0.9, 0.99)
# The discriminator's learning rate over the generator's: its feedback is only as good as what it has learned.
LEAD = 5.0
# The discriminator sees fine detail only: the mean of a neighborhood of WINDOW voxels is subtracted. Details stronger
# than FAINT, relative to the volume's range, are compressed logarithmically: noise in air counts beside edges of bone.
WINDOW, FAINT = 3, 0.03


class Adversary:
    """The discriminator, its optimizer, and both sides of the adversarial loss."""

    def __init__(self, features: int, rate: float, device: torch.device):
        self.network = Discriminator3d(features).to(device)
        self.network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch does not declare memory_format
        self.network.requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=LEAD * rate, betas=BETAS, weight_decay=0.0)

    def judge(self, out: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The generator's adversarial loss, one value a patch; the discriminator itself does not change."""
        logits = self.network(_seen(out, batch))
        return F.softplus(-logits).flatten(1).mean(1)

    def learn(self, out: torch.Tensor, batch: Batch, rate: float) -> torch.Tensor:
        """One step of the discriminator; returns its accuracy, the fraction of voxels that it classified correctly."""
        for group in self.optimizer.param_groups:
            group["lr"] = LEAD * rate
        self.network.requires_grad_(True)
        made, true = (self.network(_seen(side, batch)) for side in (out.detach(), batch.target))
        loss = (F.softplus(made).mean() + F.softplus(-true).mean()) / 2
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.network.requires_grad_(False)
        return ((made < 0).float().mean() + (true > 0).float().mean()) / 2

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def _seen(volumes: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The input of the discriminator: each voxel minus its local mean, relative to the range of the whole volume.

    Cropped, because zero padding and data consistency leave traces at the border of a generated patch; the size stays a
    multiple of 8, as the discriminator halves it three times.
    """
    edges = [4 * (size // 24) for size in volumes.shape[2:]]
    for axis, edge in enumerate(edges, 2):
        volumes = volumes.narrow(axis, edge, volumes.shape[axis] - 2 * edge)
    local = F.avg_pool3d(volumes, WINDOW, 1, WINDOW // 2, count_include_pad=False)
    return torch.asinh((volumes - local) / (FAINT * batch.spread.view(-1, 1, 1, 1, 1)))
