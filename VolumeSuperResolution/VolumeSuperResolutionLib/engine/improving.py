"""What a network makes of the volume that several scans were solved for: what all of them together leave open."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .callbacks import Block, Cancel, Progress
from .detail import Detail, Seen
from .models import automatic, zoo
from .models.automatic import AUTOMATIC
from .models.zoo import Card
from .physics.scanner import slice_axis
from .request import MEGA
from .streaming import memory
from .volumes.grid import Volume

# Voxels of a block that the network takes as one, along each axis.
BLOCK = 2
# Slices that lie so many voxels apart, and noise as a part of the intensity range, count 1.
SPACING_UNIT, NOISE_UNIT = 3.0, 0.02
# The part of what it changes that is believed: on CT, whose truth is noisy, all of it gained up to 1.2 dB more in lungs
# and lost 0.2 to 0.3 dB elsewhere. Chosen on three scans.
SHARES = {"MR": 1.0, "CT": 0.5}
# What it adds to what is combined without it, mean and deviation over volumes, and at the least, as its card has them.
GAINED, LEAST = "over_combined", "over_combined_at_least"
MOST_LOST = 0.1
# Slices further apart, in voxels, were never seen by it.
FURTHEST = 8.0


def card(model: str, modality: str = "") -> Card | None:
    """The model of all scans together that is meant; None where there is none.

    What is automatic takes it for a modality only where it lost next to nothing on any scan that it was measured on.
    """
    if model == AUTOMATIC:
        found = zoo.for_several() if automatic.networks_at_hand() else None
        return None if found is None or least_gain(found, modality) < -MOST_LOST else found
    found = zoo.card(model) if model else None
    return found if found is not None and found.several else None


def least_gain(model: Card, modality: str) -> float:
    """The least that it gained over what was combined without it, in dB; infinite where it was not measured."""
    measured = (protocol[modality][LEAST][0] for protocol in model.gains.values() if modality in protocol)
    return min(measured, default=np.inf)


def traits(scans: Sequence[Seen], step: float) -> np.ndarray:
    """What the network is told: for each axis (k, j, i) of voxels of `step` mm, how far apart slices across it lie and
    how thick they are, nothing where there are none; and the noise."""
    spacings, widths, noise = np.zeros(3), np.zeros(3), []
    for scan, stack, _ in scans:
        spacing = scan.volume.grid.spacing
        axis = slice_axis(spacing)
        place, width = stack.slice_axis, scan.scanner.axes[axis].width_at(spacing[axis])
        spacings[place] = max(spacings[place], spacing[axis] / step)
        widths[place] = max(widths[place], width / step)
        noise.append(scan.noise / abs(scan.brightness[0]))
    return np.array([*spacings / SPACING_UNIT, *widths / SPACING_UNIT, np.mean(noise) / NOISE_UNIT])


def improved(
    scans: Sequence[Seen],
    first: Volume,
    progress: Progress,
    cancel: Cancel | None,
    *,
    model: Card,
    modality: str,
    dark: float,
    device: str,
) -> Detail:
    """The first volume as the model makes it; without models where slices lie further apart than it has seen.

    `dark` is that of the reference.
    """
    told = traits(scans, min(first.grid.spacing))
    if told[:3].max() * SPACING_UNIT > FURTHEST:
        return Detail(first.array)
    values = improve(model, told, first.array - np.float32(dark), device, progress, cancel)
    values += np.float32(dark)
    values += np.float32(1 - SHARES[modality]) * (first.array - values)
    return Detail(values, (model.title,), memory.peak_bytes() / MEGA, True)


def improve(
    model: Card,
    told: np.ndarray,
    array: np.ndarray,
    device: str,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> np.ndarray:
    """What the model makes of a volume, whose values are about 0 to 1, if it is told this."""
    from .streaming.inference import Compute, apply  # brings torch

    odd = [(0, -n % BLOCK) for n in array.shape]
    values = np.pad(array, odd, "edge") if np.any(odd) else array
    result = np.empty(values.shape, np.float32)

    def read(block: Block) -> np.ndarray:
        part = values[tuple(slice(BLOCK * s.start, BLOCK * s.stop) for s in block)]
        return blocks(part)

    def write(block: Block, made: np.ndarray) -> None:
        result[block] = made

    (network,) = zoo.load(model, traits=told)
    shape = tuple(n // BLOCK for n in values.shape)
    apply(network, read, shape, write, Compute(device), progress, cancel, model.precisions)
    k, j, i = (slice(n) for n in array.shape)
    return np.ascontiguousarray(result[k, j, i])


def blocks(values: np.ndarray) -> np.ndarray:
    """Voxels joined to blocks, the voxels of each along the last axis."""
    k, j, i = (n // BLOCK for n in values.shape)
    split = values.reshape(k, BLOCK, j, BLOCK, i, BLOCK).transpose(0, 2, 4, 1, 3, 5)
    return np.ascontiguousarray(split.reshape(k, j, i, BLOCK**3))
