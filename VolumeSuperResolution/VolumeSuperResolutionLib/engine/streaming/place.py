"""Where voxels are worked on around a network: on its device, in slabs, as long as there is room."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import torch

from .devices import Transfers, budget_bytes, give_back, is_out_of_memory, peak_of

# The largest slab, and how much memory one takes with all that is made of it.
MOST_VOXELS = 1 << 22
BYTES_A_VOXEL = 32


class Place(Transfers):
    """A device as `callbacks.Place`. Its name is that of a device which a network has run on."""

    def __init__(self, name: str):
        super().__init__(torch.device(name))
        self.voxels = min(MOST_VOXELS, budget_bytes(self.device) // BYTES_A_VOXEL)
        self.full = False

    def gives_up(self, error: Exception) -> bool:
        """Whether memory ran out; nothing more is done here then."""
        if not is_out_of_memory(error):
            return False
        self.full = True
        give_back(self.device)
        return True

    def change(self, array: np.ndarray, work: Callable[[Any], None]) -> bool:
        """Lets `work` change an array in place here; False, and nothing changed, where memory ran out."""
        if self.full:
            return False
        try:
            block = self.send(array)
            work(block)
            array[...] = self.fetch(block)()
        except Exception as error:
            if not self.gives_up(error):
                raise
            return False
        return True

    def peak_bytes(self) -> int:
        """The most memory held on the device since the last network began."""
        return peak_of(self.device)
