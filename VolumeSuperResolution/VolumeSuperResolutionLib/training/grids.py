"""Training of the one network for every grid: any factors, profiles, widths and noise, told rightly and wrongly.

A batch has one pair of coarse and fine shapes; what else is drawn differs from patch to patch. The loss is of the fine
patch after the data step with what was told.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..engine.errors import RefusalError
from ..engine.models import grids
from ..engine.networks.anygrid import AnyGrid3d
from ..engine.physics import data_step, degradation, interpolation, separable
from ..engine.physics.data_step import DataStep
from ..engine.physics.scanner import Axis, Scanner
from .feed import Ahead
from .losses import Out, lanczos, resampled
from .patches import JITTER, Scan, kind_shares

Shape = tuple[int, int, int]

# How often one axis is refined alone, and all of them alike; else each by its own factor, or not at all.
ONE_AXIS, ALIKE, LEFT = 0.4, 0.4, 0.25
# Log-uniform: small factors are common, and have the most to gain.
ONE_FACTORS, ALIKE_FACTORS, OTHER_FACTORS = (1.2, 6.0), (1.2, 4.0), (1.1, 4.0)
# The extents of a patch in parts of the config's, for thick slices: also a flat one, which thick scans have room for.
THICK = ((0.625, 1.25, 1.25), (0.625, 2.5, 0.625))
# Spacings further apart than this: the coarse axis is no truth for finer ones.
MOST_ANISOTROPY = 2.5
BOX, WIDTHS = 0.35, (0.6, 1.3)
CLEAN, NOISES = 0.2, (0.002, 0.03)
# How often nothing is told of the profile; else its width, wrong by so much half of the time; and the noise's error.
UNTOLD, WRONG, NOISE_ERROR = 0.5, 0.15, 0.3
TISSUE = 0.9
# Coarse voxels at each side of a patch that are not part of the loss: the network and the step see nothing beyond.
BORDER = 1
# What an interpolation's error is at the least, in parts of the range: flat patches would drown all others.
LEAST_ERROR = 0.01
LEAST_EXTENT = 4
# Shapes that are drawn until some volume has room for one.
TRIALS = 100
LOSSES = ("l1", "mse")
# All widths are in coarse voxels.
UNIT = (1.0, 1.0, 1.0)


def words() -> str:
    """How scans are degraded for it, for a card."""
    return (
        f"Any factor from {ONE_FACTORS[0]:g} to {ONE_FACTORS[1]:g} along one axis, or from {OTHER_FACTORS[0]:g} to "
        f"{OTHER_FACTORS[1]:g} along several; slice profiles of {WIDTHS[0]:g} to {WIDTHS[1]:g} times the spacing, "
        f"Gaussian, or a box in {100 * BOX:g}% of the patches; white noise of {100 * NOISES[0]:g} to "
        f"{100 * NOISES[1]:g}% of the intensity range in {100 - 100 * CLEAN:g}% of them. Of half of the patches the "
        f"profile is told, of half of those with a width that is wrong by up to {100 * WRONG:g}%"
    )


@dataclass(frozen=True)
class Setting:
    """The shapes of a patch, axes by falling factor."""

    coarse: Shape
    fine: Shape

    @property
    def inner(self) -> tuple[slice, slice, slice]:
        """The fine voxels that count."""
        borders = [round(BORDER * m / n) for n, m in zip(self.coarse, self.fine)]
        return tuple(slice(b, m - b) for b, m in zip(borders, self.fine))  # type: ignore[return-value]


class Degraded(NamedTuple):
    """How a patch is degraded, and what is told of it."""

    true: Axis
    noise: float
    told: Scanner


class Sample(NamedTuple):
    """One pair in network units, and what belongs to it. `scale` is the error of the classical step on it."""

    input: np.ndarray
    target: np.ndarray
    traits: np.ndarray
    step: DataStep
    mu: float
    scale: float
    spread: float


@dataclass(frozen=True)
class GridBatch:
    """Samples of one setting."""

    setting: Setting
    input: torch.Tensor
    target: torch.Tensor
    traits: torch.Tensor
    scale: torch.Tensor
    spread: torch.Tensor
    steps: tuple[tuple[DataStep, float], ...]

    @classmethod
    def of(cls, setting: Setting, samples: Sequence[Sample]) -> GridBatch:
        """The samples' tensors."""

        def stacked(name: str) -> torch.Tensor:
            return torch.from_numpy(np.stack([getattr(sample, name) for sample in samples])).float()

        return cls(
            setting,
            input=stacked("input").unsqueeze(1),
            target=stacked("target").unsqueeze(1),
            traits=stacked("traits"),
            scale=stacked("scale"),
            spread=stacked("spread"),
            steps=tuple((sample.step, sample.mu) for sample in samples),
        )

    @property
    def given(self) -> tuple[GridBatch]:
        """What Trained sees."""
        return (self,)

    def to(self, device: torch.device) -> GridBatch:
        """The same on a device."""
        names = ("input", "target", "traits", "scale", "spread")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


class Trained(nn.Module):
    """The network as its losses see it: resampled to the fine grid, after the data step, without the border."""

    def __init__(self, network: AnyGrid3d, parts: Iterable[str]):
        super().__init__()
        if set(parts) - set(LOSSES):
            raise RefusalError(f"A network for every grid is trained with {' and '.join(LOSSES)} only.")
        self.network = network

    def forward(self, batch: GridBatch) -> Out:
        setting = batch.setting
        factor = grids.sub_voxels(setting.coarse, setting.fine)
        assert factor is not None
        y = self.network.unsettled(batch.input, batch.traits, factor)
        with torch.autocast(y.device.type, enabled=False):
            natural = tuple(n * f for n, f in zip(setting.coarse, factor))
            y = resampled(y.float(), lanczos, natural, setting.fine)
            y = torch.stack([step(each, x, mu) for each, x, (step, mu) in zip(y, batch.input, batch.steps)])
        k, j, i = setting.inner
        return y[..., k, j, i], None


class Feed(Ahead):
    """This process's share of each batch. Modalities alternate; within one, kinds count by the root of their number."""

    def __init__(self, scans: Sequence[Scan], patch: Shape, seed: int, batch: int, rank: int = 0, world: int = 1):
        super().__init__()
        self.patch, self.seed, self.batch = patch, seed, batch
        self.indices = range(rank, batch, world)
        self.groups = [[scan for scan in scans if scan.modality == m] for m in sorted({s.modality for s in scans})]
        self.shares = [kind_shares(group) for group in self.groups]

    def _draw(self, step: int) -> GridBatch:
        random = np.random.default_rng([self.seed, step])
        for _ in range(TRIALS):
            setting = draw_setting(self.patch, random)
            if any(orders(scan, setting) for group in self.groups for scan in group):
                return GridBatch.of(setting, [self._sample(setting, step, index) for index in self.indices])
        raise RefusalError(
            f"No training volume has room for patches of {' x '.join(map(str, self.patch))} voxels made finer; add "
            "larger volumes, or make the config's patch smaller."
        )

    def _sample(self, setting: Setting, step: int, index: int) -> Sample:
        random = np.random.default_rng([self.seed, step, index])
        roomy = [share * [bool(orders(s, setting)) for s in group] for group, share in zip(self.groups, self.shares)]
        possible = [n for n, weights in enumerate(roomy) if weights.any()]
        chosen = possible[(step * self.batch + index) % len(possible)]
        group, weights = self.groups[chosen], roomy[chosen]
        return random_sample(group[random.choice(len(group), p=weights / weights.sum())], setting, random)


def draw_setting(patch: Shape, random: np.random.Generator) -> Setting:
    """Factors, and the shapes of a patch that is about as much work for all of them."""

    def factor(lowest: float, highest: float) -> float:
        return float(np.exp(random.uniform(np.log(lowest), np.log(highest))))

    chance, parts = random.random(), np.ones(3)
    if chance < ONE_AXIS:
        factors = [factor(*ONE_FACTORS), 1.0, 1.0]
        parts = np.array(THICK[random.integers(len(THICK))])
    elif chance < ONE_AXIS + ALIKE:
        factors = [factor(*ALIKE_FACTORS)] * 3
    else:
        drawn = [1.0 if random.random() < LEFT else factor(*OTHER_FACTORS) for _ in range(2)]
        factors = sorted([factor(*OTHER_FACTORS), *drawn], reverse=True)
    coarse = [max(LEAST_EXTENT, round(n * part)) for n, part in zip(patch, parts)]
    fine = [round(n * f) for n, f in zip(coarse, factors)]
    fine[0] = max(fine[0], coarse[0] + 1)
    return Setting(tuple(coarse), tuple(fine))  # type: ignore[arg-type]


def draw_degraded(random: np.random.Generator) -> Degraded:
    """A profile, its width in coarse voxels and noise; and what is told of them."""
    box = random.random() < BOX
    width = random.uniform(*WIDTHS)
    width = 1.0 if box and random.random() < 0.5 else width
    true = Axis("box" if box else "gaussian", width, told="user", shape="user")
    noise = 0.0 if random.random() < CLEAN else float(np.exp(random.uniform(*np.log(NOISES))))
    told = Scanner(noise=noise * (1 + random.uniform(-NOISE_ERROR, NOISE_ERROR)))
    if random.random() >= UNTOLD:
        wrong = random.uniform(-WRONG, WRONG) if random.random() < 0.5 else 0.0
        told = replace(told, axes=(replace(true, width=width * (1 + wrong)),) * 3)
    return Degraded(true, noise, told)


def orders(scan: Scan, setting: Setting) -> list[Shape]:
    """The orders of axes in which a scan has room for a patch, and is fine enough where it is made coarse."""
    steps = scan.spacing[::-1]
    fine = [step <= MOST_ANISOTROPY * min(steps) for step in steps]
    return [
        (order[0], order[1], order[2])
        for order in itertools.permutations(range(3))
        if all(
            scan.array.shape[axis] >= m and (m == n or fine[axis])
            for axis, n, m in zip(order, setting.coarse, setting.fine)
        )
    ]


def random_sample(scan: Scan, setting: Setting, random: np.random.Generator) -> Sample:
    """A patch in random orientation, mostly in tissue, with a slightly jittered intensity window."""
    possible = orders(scan, setting)
    order = possible[random.integers(len(possible))]
    flips = random.integers(0, 2, 3).astype(bool)
    center = random.integers(0, scan.array.shape)
    if len(scan.tissue) and random.random() < TISSUE:
        center = scan.tissue[random.integers(len(scan.tissue))]
    shape = np.array([scan.array.shape[axis] for axis in order])
    center = np.where(flips, shape - 1 - center[list(order)], center[list(order)])
    start = np.clip(center - random.integers(0, setting.fine), 0, shape - setting.fine)
    gain, offset = 1 + random.uniform(-JITTER, JITTER), random.uniform(-JITTER, JITTER) / 3
    cut = cut_sample(scan, setting, start.tolist(), draw_degraded(random), random, order, flips.tolist())
    change = {name: np.float32(gain) * getattr(cut, name) + np.float32(offset) for name in ("input", "target")}
    return cut._replace(**change)


def cut_sample(
    scan: Scan,
    setting: Setting,
    start: Sequence[int],
    degraded: Degraded,
    random: np.random.Generator,
    order: Sequence[int] = (0, 1, 2),
    flips: Sequence[bool] = (False, False, False),
) -> Sample:
    """The patch whose first fine voxel is `start`, in the volume turned and flipped."""
    view = scan.array.transpose(order)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    fine = tuple(slice(s, s + m) for s, m in zip(start, setting.fine))
    seen = [_seen(*each, degraded.true) for each in zip(fine, setting.coarse, view.shape)]
    rows, used = [matrix for matrix, _ in seen], tuple(columns for _, columns in seen)
    low = scan.window.to_network(separable.product(view[used], rows))
    if degraded.noise:
        low += random.standard_normal(low.shape, np.float32) * np.float32(degraded.noise * scan.spread)
    target = scan.window.to_network(view[fine].astype(np.float32))[setting.inner]
    step = DataStep(degraded.told.matrices(setting.fine, setting.coarse, UNIT))
    known = degraded.told.told_shape([m > n for n, m in zip(setting.coarse, setting.fine)])
    mu = data_step.weight_of_network(known, degraded.told.noise or 0.0) * step.power
    classical = step(interpolation.resample(low, setting.fine), low, mu)[setting.inner]
    error = float(np.sqrt(np.mean((classical - target) ** 2)))
    told = grids.traits(setting.coarse, setting.fine, degraded.told, UNIT)
    return Sample(low, target, told, step, mu, error + LEAST_ERROR * scan.spread, scan.spread)


def _seen(fine: slice, n: int, length: int, axis: Axis) -> tuple[np.ndarray | None, slice]:
    """What n coarse voxels over some fine ones see of an axis, and of which part of it."""
    s = (fine.stop - fine.start) / n
    if s == 1:
        return None, fine
    assert isinstance(axis.profile, str) and axis.width is not None
    centers = fine.start + (np.arange(n) + 0.5) * s - 0.5
    return degradation.seen_near(centers, length, axis.profile, axis.width * s, s)
