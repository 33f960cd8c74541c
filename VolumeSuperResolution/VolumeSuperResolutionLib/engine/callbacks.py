"""The callables that pass through the rooms, and the blocks of voxels that they read and write."""

from __future__ import annotations

from typing import Callable

import numpy as np

# (done, total)
Progress = Callable[[int, int], None]
# True as soon as the work should end.
Cancel = Callable[[], bool]
# A part of an array, in its order of axes.
Block = tuple[slice, slice, slice]
ReadBlock = Callable[[Block], np.ndarray]
WriteBlock = Callable[[Block, np.ndarray], None]
