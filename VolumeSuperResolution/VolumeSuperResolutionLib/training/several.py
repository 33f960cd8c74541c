"""Training of the network for several scans: what simulated stacks were combined to, beside the sharp volume.

To combine stacks takes seconds, so each such pair is kept in a file, and patches are cut from a growing number of them.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..engine import combine, detail, improving
from ..engine.errors import RefusalError
from ..engine.models import automatic
from ..engine.models.automatic import AUTOMATIC
from ..engine.networks.combined import Combined3d
from ..engine.physics import reconstruction, simulation, stack_maps
from ..engine.physics.scan import Scan as SeenScan
from ..engine.physics.scan import scan_of, smoothness
from ..engine.physics.stacks import STILL
from ..engine.request import CombineRequest
from ..engine.volumes import intensity
from ..engine.volumes.grid import Grid, Volume
from .feed import Ahead
from .grids_validation import chosen
from .losses import Out
from .patches import Scan, kind_shares

Shape = tuple[int, int, int]

# Voxels of a pair along each axis, and so many around them for what moves into view.
EXTENT, BEYOND = 72, 12
# Volumes with fewer voxels along an axis are not taken.
SHORTEST = 48
# In voxels, in parts of that, and in parts of the intensity range; what stands there twice is drawn twice as often.
THICKNESSES, GAPS = (2.0, 2.5, 3.0, 3.0, 3.0, 4.0, 4.0, 4.0, 4.0, 5.0, 6.0), (0.0, 0.0, 0.1, 0.2, 0.2, 0.3)
NOISES = (0.0, 0.005, 0.01, 0.01, 0.01, 0.02, 0.03)
# How often there are two stacks only, and how often they differ in thickness.
TWO, UNLIKE = 0.15, 0.2
# How often what is combined has the detail that networks see in each stack by itself.
DETAILED = 0.6
# Motions between stacks, and how well they are known.
DEGREES, MM = 4.0, 3.0
ERROR_DEGREES, ERROR_MM = 0.1, 0.05
# A part of a volume has structure if its deviation is this part of the whole's, a patch with this much of the range.
STRUCTURE, PATCH_STRUCTURE = 0.25, 0.03
TRIALS = 20
# Pairs at the beginning, steps after which there is another one, and the most.
FIRST, EVERY, MOST = 24, 40, 400
# Voxels at each side of a patch that are not part of the loss: the network sees nothing beyond.
BORDER = 2
# The least error of what was combined, in parts of the range: flat patches would drown all others.
LEAST_ERROR = 0.002
GAIN = 0.05
LOSSES = ("l1", "mse")
# What is measured during training: thickness, gap, and whether with detail. The name has a space, as gains have.
WATCHED = {"4 voxels": (4.0, 0.0, False), "4.8 voxels": (4.0, 0.2, False), "4.8 voxels, detailed": (4.0, 0.2, True)}


def words() -> str:
    """How volumes are degraded for it, for a card."""
    return (
        f"Two or three orthogonal stacks with slices {min(THICKNESSES):g} to {max(THICKNESSES):g} voxels thick, gaps "
        f"of up to {100 * max(GAPS):g}%, white noise of up to {100 * max(NOISES):g}% of the intensity range, and "
        f"motions of up to {DEGREES:g} degrees and {MM:g} voxels between them, known but for {ERROR_DEGREES:g} degrees "
        f"and {ERROR_MM:g} voxels, combined, in {100 * DETAILED:g}% of them with the detail that networks see in each"
    )


def _silent(done: float, total: float) -> None:
    """Nobody waits for a pair."""


class Pair(NamedTuple):
    """What stacks were combined to and the truth, in parts of the reference's range; where all stacks saw them; what
    the network is told."""

    combined: np.ndarray
    truth: np.ndarray
    covered: np.ndarray
    traits: np.ndarray


def pair_of(
    volume: Volume,
    field: Grid,
    stacks: Sequence[tuple[int, float, float]],
    noise: float,
    random: np.random.Generator,
    detailed: bool = False,
) -> Pair:
    """Stacks of a volume, each along an axis with a thickness and a gap, combined; `detailed` with what the shipped
    networks see in each."""
    modality, center = intensity.guess_modality(volume.array), field.center()
    made: list[simulation.Simulated] = []
    scans: list[SeenScan] = []
    for number, (axis, thickness, gap) in enumerate(stacks):
        pose = STILL if number == 0 else simulation.random_pose(random, DEGREES, MM, center)
        made.append(simulation.simulate(volume, axis, thickness, gap, random, noise, pose, field))
        units = scans[0].units if scans else None
        scans.append(scan_of(made[-1].volume, made[-1].scanner, modality, units=units))
        if number:
            scans[-1].pose = simulation.random_pose(random, ERROR_DEGREES, ERROR_MM, center).after(pose)
    grid = combine.target_grid([stack.volume.grid for stack in made], CombineRequest())
    wide, inner = combine.with_margin(grid, scans)
    cost, bending = smoothness(scans[0]), reconstruction.BENDING[modality]
    values, seen, residuals = reconstruction.solve(scans, wide, cost, bending, _silent, None)
    known = detail.seen_of(scans, seen, residuals)
    if detailed:
        asked, first = CombineRequest(model=AUTOMATIC, device="cpu"), Volume(values, wide)
        units = detail.units_for(modality, scans[0].units)
        prior = detail.prior(known, first, _silent, None, request=asked, modality=modality, units=units)
        if prior.models:
            given = values, prior.values, scans, seen, residuals, cost, prior.together, _silent, None
            values, _ = reconstruction.detailed(*given)
    covered = stack_maps.coverage([scan.place for scan in scans], grid) == len(scans)
    sides = values[inner], scans[0].units.carry(made[0].truth.array)
    values, truth = (side - np.float32(scans[0].dark) for side in sides)
    return Pair(values, truth, covered, improving.traits(known, grid.spacing[0]))


def random_pair(scan: Scan, patch: Shape, random: np.random.Generator) -> Pair | None:
    """Stacks of a part of a scan, turned and flipped; None where they have no room in it."""
    order = random.permutation(3)
    array = scan.array.transpose(order)[tuple(slice(None, None, int(s)) for s in random.choice((1, -1), 3))]
    size = [min(n, EXTENT + BEYOND) for n in array.shape]
    for _ in range(TRIALS):
        start = [int(random.integers(0, n - m + 1)) for n, m in zip(array.shape, size)]
        part = array[tuple(slice(a, a + m) for a, m in zip(start, size))].astype(np.float32)
        if part.std() > STRUCTURE * scan.array.std():
            break
    low, high = intensity.percentiles(part)
    if high <= low:
        return None
    k, j, i = part.shape
    grid = Grid((i, j, k))
    whole = np.subtract(*intensity.percentiles(scan.array)[::-1])
    noise = float(random.choice(NOISES)) * whole / (high - low)

    def slices() -> tuple[float, float]:
        return float(random.choice(THICKNESSES)), float(random.choice(GAPS))

    alike, count = slices(), 2 if random.random() < TWO else 3
    axes = random.permutation(simulation.SLICE_AXES)[:count]
    stacks = [(int(axis), *(slices() if random.random() < UNLIKE else alike)) for axis in axes]
    detailed = random.random() < DETAILED and automatic.networks_at_hand()
    try:
        made = pair_of(Volume(part, grid), simulation.middle(grid, EXTENT), stacks, noise, random, detailed)
    except RefusalError:  # of slices so thick there are too few
        return None
    fits = made.combined.shape == made.truth.shape and all(n >= m for n, m in zip(made.truth.shape, patch))
    return made if fits else None


def large_enough(scans: Sequence[Scan]) -> list[Scan]:
    """Those that stacks can be made of."""
    return [scan for scan in scans if min(scan.array.shape) >= SHORTEST]


class Bank:
    """Pairs by number in files of a folder, each made when it is first wanted."""

    def __init__(self, scans: Sequence[Scan], patch: Shape, folder: Path, seed: int):
        self.scans = large_enough(scans)
        if not self.scans:
            raise RefusalError(
                f"No training volume has {SHORTEST} voxels along each axis, so that stacks could be made of it; add "
                "larger ones."
            )
        self.shares, self.patch, self.folder, self.seed = kind_shares(self.scans), patch, folder, seed

    def __call__(self, number: int) -> Pair:
        path = self.folder / f"pair-{number}.npz"
        if not path.is_file():
            random = np.random.default_rng([self.seed, number])
            for _ in range(TRIALS):
                made = random_pair(self.scans[random.choice(len(self.scans), p=self.shares)], self.patch, random)
                if made is not None:
                    break
            else:
                raise RefusalError(
                    f"Patches of {' x '.join(map(str, self.patch))} voxels have no room in what stacks of the training "
                    "volumes are combined to; make the config's patch smaller."
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{path.stem}-{os.getpid()}.partial.npz")
            halves = {name: getattr(made, name).astype(np.float16) for name in ("combined", "truth")}
            np.savez(partial, covered=made.covered, traits=made.traits, **halves)
            partial.replace(path)
        with np.load(path) as kept:
            return Pair(*(kept[name] for name in Pair._fields))


@dataclass(frozen=True)
class PairBatch:
    """Patches of pairs. `scale` is the error of what was combined."""

    input: torch.Tensor
    target: torch.Tensor
    covered: torch.Tensor
    traits: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> PairBatch:
        """The patches' tensors, without the border where they are compared."""
        inner = (slice(BORDER, -BORDER),) * 3
        covered = np.stack([pair.covered[inner] for pair in pairs])
        sides = [np.stack([side[inner] for side in each]) * covered for each in list(zip(*pairs))[:2]]
        error = np.abs(sides[0] - sides[1]).mean(axis=(1, 2, 3)) + LEAST_ERROR
        blocks = [np.moveaxis(improving.blocks(pair.combined), -1, 0) for pair in pairs]
        given = np.stack(blocks), sides[1][:, None], covered[:, None], [pair.traits for pair in pairs], error
        return cls(*(torch.from_numpy(np.asarray(each, np.float32)) for each in given))

    @property
    def given(self) -> tuple[PairBatch]:
        """What Trained sees."""
        return (self,)

    def to(self, device: torch.device) -> PairBatch:
        """The same on a device."""
        return replace(self, **{name: value.to(device) for name, value in vars(self).items()})


class Trained(nn.Module):
    """The network as its losses see it: where all stacks saw the voxels, without the border."""

    def __init__(self, network: Combined3d, parts: Iterable[str]):
        super().__init__()
        if set(parts) - set(LOSSES):
            raise RefusalError(f"A network for several scans is trained with {' and '.join(LOSSES)} only.")
        self.network = network

    def forward(self, batch: PairBatch) -> Out:
        given = batch.input.contiguous(memory_format=torch.channels_last_3d)
        out = self.network.unsettled(given, batch.traits).float()
        inner = slice(BORDER, -BORDER)
        return out[..., inner, inner, inner] * batch.covered, None


class Feed(Ahead):
    """This process's share of each batch, of pairs that become more while the training goes on."""

    # Two could make the same pair.
    one_by_one = True

    def __init__(self, bank: Bank, seed: int, batch: int, rank: int = 0, world: int = 1):
        super().__init__()
        self.bank, self.seed, self.indices = bank, seed, range(rank, batch, world)

    def _draw(self, step: int) -> PairBatch:
        count = min(MOST, FIRST + step // EVERY)
        patches = []
        for index in self.indices:
            random = np.random.default_rng([self.seed, step, index])
            patches.append(random_patch(self.bank(int(random.integers(count))), self.bank.patch, random))
        return PairBatch.of(patches)


def random_patch(pair: Pair, patch: Shape, random: np.random.Generator) -> Pair:
    """A patch with structure, if one is found, turned and flipped, a little brighter or darker."""
    for _ in range(TRIALS):
        start = [int(random.integers(0, n - m + 1)) for n, m in zip(pair.truth.shape, patch)]
        part = tuple(slice(a, a + m) for a, m in zip(start, patch))
        if pair.truth[part].astype(np.float32).std() > PATCH_STRUCTURE:
            break
    order, flips = random.permutation(3), tuple(slice(None, None, int(s)) for s in random.choice((1, -1), 3))
    gain = np.float32(random.uniform(1 - GAIN, 1 + GAIN))
    combined, truth, covered = (side[part].transpose(order)[flips] for side in pair[:3])
    told = [*pair.traits[:3][order], *pair.traits[3:6][order], *pair.traits[6:]]
    return Pair(gain * combined.astype(np.float32), gain * truth.astype(np.float32), covered, np.array(told))


class SeveralValidation:
    """Mean gains in dB over what was combined, by what is watched and modality."""

    def __init__(self, scans: Sequence[Scan]):
        self.items = []
        for scan in chosen(large_enough(scans)):
            volume = simulation.cube(Volume(scan.array.astype(np.float32), Grid(scan.array.shape[::-1])))
            field = simulation.middle(volume.grid, EXTENT)
            for name, (thickness, gap, detailed) in WATCHED.items():
                random = np.random.default_rng(zlib.crc32(f"{scan.name} {name}".encode()))
                stacks = [(axis, thickness, gap) for axis in simulation.SLICE_AXES]
                pair = pair_of(volume, field, stacks, NOISES[2], random, detailed and automatic.networks_at_hand())
                even = tuple(slice(n // 2 * 2) for n in pair.truth.shape)
                pair = Pair(pair.combined[even], pair.truth[even], pair.covered[even], pair.traits)
                self.items.append((f"{name} {scan.modality}", pair))

    def gains(self, upscale: Callable[[PairBatch], torch.Tensor], device: torch.device) -> dict[str, float]:
        """By name; `upscale` is called with one batch at a time."""
        found: dict[str, list[float]] = {}
        for name, pair in self.items:
            batch = PairBatch.of([pair])
            out = upscale(batch.to(device)).float().cpu()
            inner = (slice(BORDER, -BORDER),) * 3
            given = torch.from_numpy(pair.combined[inner] * pair.covered[inner])
            errors = [float((side - batch.target).square().mean()) for side in (given, out)]
            found.setdefault(name, []).append(10 * np.log10(max(errors[0], 1e-12) / max(errors[1], 1e-12)))
        return {name: float(np.mean(values)) for name, values in found.items()}
