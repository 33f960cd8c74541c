"""Where the patient lay in each scan: rigid motions between stacks of one thing, and how sure they are.

Two thick stacks look different because each is blurred along its own slice axis. So each is blurred by the other's
profile first, and then they are compared (Mattes' mutual information, SimpleITK). That comes close; the rest of the way
a stack is compared with what the volume made of the other stacks predicts for it, by least squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from ..volumes import files
from ..volumes.grid import Grid, Volume
from ..volumes.intensity import MR_FOREGROUND, percentiles
from . import stacks
from .degradation import FWHM
from .scanner import Scanner, slice_axis
from .stacks import Pose, Stack

# Voxels of the images that are registered: beyond that they are coarser than the finest pixels.
ENOUGH_VOXELS = 400_000
SAMPLES = 30_000
BINS = 32
SHRINK = (4, 2, 1)
SMOOTH = (2.0, 1.0, 0.0)
ROUNDS = 60
# A pair that is less alike than this is tried from other starts.
ALIKE = 0.8
START_DEGREES = 12.0
# The part of the tissue of one that has to lie within the other.
LEAST_SHARED = 0.25
# Least squares: the largest step in voxels, when it has arrived, and the residuals that do not count (in sigmas).
LARGEST_STEP = 2.0
ARRIVED = 0.01
STEPS = 5
OUTSIDE = 4.7
# What is compared of two scans is this part of the range above the darkest.
TISSUE = 0.25
FEWEST = 100
# Pixels of the squares in which the structure of two scans is compared.
BLOCK = 16


class Match(NamedTuple):
    """A motion from one scan's space to another's, and the correlation of the two after it (matched profiles)."""

    pose: Pose
    alike: float


class Fit(NamedTuple):
    """A stack beside what is predicted for it: its pose, their correlation, and both; None where nothing is seen."""

    pose: Pose
    alike: float
    stack: Stack | None = None
    prediction: np.ndarray | None = None


def match(
    fixed: Volume, moving: Volume, scanners: tuple[Scanner, Scanner], spacing: float, guess: Pose = stacks.STILL
) -> Match:
    """The motion that takes what is at p in `fixed` to where it is in `moving`; near a guess, or anywhere."""
    images = [
        _blurred(fixed, scanners[1], moving.grid, spacing),
        _blurred(moving, scanners[0], fixed.grid, spacing),
    ]
    mask = _tissue(images[0])
    center = _center_of_mass(images[0])
    shift = _center_of_mass(images[1]) - center
    found = _best(images, mask, [_transform(guess, center), _turned(center, np.zeros(3), shift)])
    if found.alike < ALIKE:
        turns = [np.deg2rad(START_DEGREES) * np.array(t) for t in product((-1.0, 0.0, 1.0), repeat=3) if any(t)]
        others = _best(images, mask, [_turned(center, turn, shift) for turn in turns])
        found = max(found, others, key=lambda m: m.alike)
    return found


def loop_error(poses: Sequence[Pose], points: np.ndarray) -> float:
    """By how many mm points are off, on average, after they went around through all scans and came home."""
    whole = stacks.STILL
    for pose in poses:
        whole = pose.after(whole)
    return float(whole.displacement(points).mean())


def fit(stack: Stack, prediction: np.ndarray, slopes: Sequence[np.ndarray] = ()) -> tuple[np.ndarray, float, float]:
    """Robust regression of the stack's values on the prediction, 1 and slopes: coefficients, correlation, sigma."""
    weights = np.broadcast_to(stack.along_slices(stack.slice_weights), stack.values.shape)
    seen = stack.seen
    return regress(stack.values[seen], prediction[seen], [s[seen] for s in slopes], weights[seen])


def regress(
    values: np.ndarray, prediction: np.ndarray, slopes: Sequence[np.ndarray], given: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """The same of values as they come, with the weights given."""
    chosen = prediction > np.quantile(prediction, 0.02)
    if not chosen.any():
        chosen[:] = True
    y, given = values[chosen].astype(float), given[chosen]
    columns = np.stack([prediction[chosen], np.ones(y.size), *(s[chosen] for s in slopes)], axis=1).astype(float)
    weights = given
    for _ in range(4):
        scaled = columns * weights[:, None]
        gram = scaled.T @ columns
        size = np.sqrt(np.diag(gram)) + 1e-12
        # A slice in air tells no motion: of all that explain it the smallest.
        solution = np.linalg.lstsq(gram / np.outer(size, size), scaled.T @ y / size, rcond=1e-9)[0] / size
        residual = y - columns @ solution
        sigma = float(np.median(np.abs(residual[given > 0.1 * given.max()]))) / 0.6745
        weights = given * np.square(np.maximum(0.0, 1 - np.square(residual / (OUTSIDE * sigma + 1e-12))))
    return solution, _alike_in_tissue(y, columns[:, 0]), sigma


def inverted(stack: Stack, prediction: np.ndarray) -> float:
    """The part of the local structure, by its strength, that is dark in one where it is bright in the other.

    Two contrasts can be alike on the whole (fat is bright in both) and still differ so; scans of one contrast do not.
    """
    planes = [np.moveaxis(np.where(stack.seen, v, np.nan), stack.slice_axis, 0) for v in (stack.values, prediction)]
    n = max(2, min(BLOCK, *planes[0].shape[1:]))
    rows, columns = (m // n for m in planes[0].shape[1:])
    shape = (len(planes[0]), rows, n, columns, n)
    y, p = (v[:, : rows * n, : columns * n].reshape(shape).swapaxes(2, 3).reshape(-1, n * n) for v in planes)
    whole = np.isfinite(y).all(axis=1)
    y, p = (v[whole] - v[whole].mean(axis=1, keepdims=True) for v in (y, p))
    strength = np.sqrt(np.square(y).mean(axis=1) * np.square(p).mean(axis=1))
    # What does not fit for another reason says nothing of contrast.
    strength *= np.repeat(stack.slice_weights, rows * columns)[whole]
    return float(strength[(y * p).mean(axis=1) < 0].sum() / max(strength.sum(), 1e-12))


def _alike_in_tissue(y: np.ndarray, prediction: np.ndarray) -> float:
    """Correlation where both are well above the darkest: that a head is brighter than air says nothing."""
    tissue = np.ones(y.shape, bool)
    for values in (y, prediction):
        low, high = np.percentile(values, (0.5, 99.5))
        tissue &= values > low + TISSUE * (high - low)
    a, b = y[tissue], prediction[tissue]
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > FEWEST and a.std() > 0 and b.std() > 0 else 0.0


def refine(
    volume: Volume,
    scanner: Scanner,
    fine: Volume,
    pose: Pose,
    weights: np.ndarray | None = None,
    steps: int = STEPS,
    covered: np.ndarray | None = None,
) -> Fit:
    """The stack's pose from the volume that the other stacks made, by least squares; with one step it stays.

    `covered` is where that volume means something (1, else 0); everywhere, by default.
    """
    step = float(min(fine.grid.spacing))
    center = fine.grid.center()
    slopes: list[np.ndarray] = []
    for count in range(steps):
        stack = stacks.observe(volume, scanner, fine.grid, pose)
        if stack is None:
            return Fit(pose, 0.0)
        if weights is not None:
            stack.weigh(weights)
        if covered is not None:
            stack.look_at(covered)
        if not stack.seen.any():
            return Fit(pose, 0.0)
        prediction = stack.see(fine.array)
        if count == 0 or slopes[0].shape != prediction.shape:
            slopes = slopes_seen(stack, fine)
        points = points_from(center, stack, volume.grid, pose)
        columns = motions(points, slopes, fine.grid)
        found, alike, _sigma = fit(stack, prediction, columns)
        motion = motion_of(found, points.reshape(-1, 3), center, step)
        # A step so small changes neither the prediction nor what is made of it.
        if motion is None or count == steps - 1:
            break
        pose = pose.after(motion.inverse())
    return Fit(pose, alike, stack, prediction)


def motion_of(found: np.ndarray, points: np.ndarray, center: np.ndarray, step: float) -> Pose | None:
    """The motion that coefficients tell of points counted from a center, a few fine voxels at the most; None where it
    is next to none."""
    gain = found[0] if abs(found[0]) > 1e-6 else 1.0
    turn, shift = found[2:5] / gain, found[5:8] / gain
    reach = float(np.linalg.norm(points[:: max(1, points.size // 3000)], axis=1).mean())
    length = float(np.linalg.norm(turn) * reach + np.linalg.norm(shift)) / step
    if length < ARRIVED:
        return None
    part = min(1.0, LARGEST_STEP / length)
    return _small(turn * part, shift * part, center)


def slopes_seen(stack: Stack, fine: Volume) -> list[np.ndarray]:
    """What the stack sees of the volume's slopes along its axes (k, j, i), each in mm."""
    gradient = np.gradient(fine.array)
    return [stack.see(g.astype(np.float32) / np.float32(s)) for g, s in zip(gradient, fine.grid.spacing[::-1])]


def points_from(center: np.ndarray, stack: Stack, grid: Grid, pose: Pose) -> np.ndarray:
    """Where the stack's voxels lie in the reference, from a center on: (..., 3)."""
    there = pose.inverse()
    return stack.points(grid) @ there.rotation.T + there.shift - center


def motions(points: np.ndarray, slopes: Sequence[np.ndarray], grid: Grid) -> list[np.ndarray]:
    """By how much a prediction grows with turns about the axes of space, through where points are counted from, and
    with shifts along them."""
    force = np.stack(slopes[::-1], axis=-1) @ np.asarray(grid.direction).reshape(3, 3).T
    moment = np.cross(points, force)
    return [*np.moveaxis(moment, -1, 0), *np.moveaxis(force, -1, 0)]


def _small(turn: np.ndarray, shift: np.ndarray, center: np.ndarray) -> Pose:
    angle = float(np.linalg.norm(turn))
    axis = turn / angle if angle > 0 else np.array([0.0, 0.0, 1.0])
    transform = sitk.VersorRigid3DTransform()
    transform.SetRotation(tuple(axis), angle)
    rotation = np.array(transform.GetMatrix()).reshape(3, 3)
    return Pose(rotation, center - rotation @ center + shift)


def _blurred(volume: Volume, other: Scanner, grid: Grid, spacing: float) -> sitk.Image:
    """The scan as if it also had the other's thickness, on cubes; its range is brought to 0 to 1."""
    low, high = percentiles(volume.array)
    array = np.clip((volume.array.astype(np.float32) - low) / max(high - low, 1e-6), -0.5, 1.5)
    image = files.to_image(Volume(array, volume.grid))
    across = slice_axis(grid.spacing)
    direction = np.asarray(grid.direction).reshape(3, 3)[:, across]
    along = int(np.argmax(np.abs(np.asarray(volume.grid.direction).reshape(3, 3).T @ direction)))
    width = other.axes[across].width_at(grid.spacing[across])
    own = volume.grid.spacing[along]
    if width > 1.5 * own and image.GetSize()[along] >= 4:
        image = sitk.RecursiveGaussian(image, width / FWHM, False, sitk.RecursiveGaussianImageFilter.ZeroOrder, along)
    voxels = float(np.prod(np.asarray(volume.grid.size) * volume.grid.spacing)) / spacing**3
    step = spacing * max(1.0, float(voxels / ENOUGH_VOXELS) ** (1 / 3))
    for axis in range(3):
        pixel = volume.grid.spacing[axis]
        if pixel < 0.75 * step and image.GetSize()[axis] >= 4:
            image = sitk.RecursiveGaussian(image, 0.4 * step, False, sitk.RecursiveGaussianImageFilter.ZeroOrder, axis)
    size = [max(1, round(n * s / step)) for n, s in zip(volume.grid.size, volume.grid.spacing)]
    wanted = files.to_image(Volume(np.zeros(size[::-1], np.uint8), volume.grid.refined(size)))
    return sitk.Resample(image, wanted, sitk.Transform(), sitk.sitkBSpline, 0.0, sitk.sitkFloat32)


def _tissue(image: sitk.Image) -> sitk.Image:
    """Where it is brighter than air, with some margin; all of it where that is nearly nothing."""
    mask = sitk.BinaryDilate(image > MR_FOREGROUND, (2, 2, 2))
    if sitk.GetArrayViewFromImage(mask).mean() < 0.01:
        return image > -1e9
    return mask


def _center_of_mass(image: sitk.Image) -> np.ndarray:
    array = np.clip(sitk.GetArrayFromImage(image), 0, 1) + 1e-6
    at = [
        float((np.arange(n) * array.sum(axis=tuple(b for b in range(3) if b != a))).sum() / array.sum())
        for a, n in enumerate(array.shape)
    ]
    return np.array(image.TransformContinuousIndexToPhysicalPoint(at[::-1]))


def _turned(center: np.ndarray, angles: np.ndarray, shift: np.ndarray) -> sitk.Euler3DTransform:
    return sitk.Euler3DTransform(tuple(map(float, center)), *map(float, angles), tuple(map(float, shift)))


def _transform(pose: Pose, center: np.ndarray) -> sitk.Euler3DTransform:
    transform = _turned(center, np.zeros(3), pose.rotation @ center + pose.shift - center)
    transform.SetMatrix(tuple(map(float, pose.rotation.ravel())), 1e-6)
    return transform


def _best(images: Sequence[sitk.Image], mask: sitk.Image, starts: Sequence[sitk.Euler3DTransform]) -> Match:
    """From each of the starts coarsely, from the best of them to the end."""
    coarse = [_register(images, mask, start, SHRINK[:1], SMOOTH[:1]) for start in starts]
    scored = [(_alike(images, mask, transform), n) for n, transform in enumerate(coarse)]
    transform = _register(images, mask, coarse[max(scored)[1]], SHRINK[1:], SMOOTH[1:])
    rotation, center = np.array(transform.GetMatrix()).reshape(3, 3), np.array(transform.GetCenter())
    shift = center - rotation @ center + np.array(transform.GetTranslation())
    return Match(Pose(rotation, shift), _alike(images, mask, transform))


def _register(
    images: Sequence[sitk.Image],
    mask: sitk.Image,
    start: sitk.Euler3DTransform,
    shrink: Sequence[int],
    smooth: Sequence[float],
) -> sitk.Euler3DTransform:
    """Mattes' mutual information, level by level."""
    transform = sitk.Euler3DTransform(start)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricFixedMask(mask)
    method.SetMetricSamplingStrategy(method.RANDOM)
    inside = int(sitk.GetArrayViewFromImage(mask).sum())
    method.SetMetricSamplingPercentagePerLevel(
        [
            min(1.0, max(0.02, SAMPLES * s**3 / mask.GetNumberOfPixels(), SAMPLES / max(inside, 1) * 0.2))
            for s in shrink
        ],
        seed=1,
    )
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=float(max(shrink)), minStep=0.01, numberOfIterations=ROUNDS, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(list(shrink))
    method.SetSmoothingSigmasPerLevel(list(smooth))
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(*images)
    except RuntimeError:
        # Too few samples of one fall into the other: this start leads nowhere.
        return sitk.Euler3DTransform(start)
    return transform


def _alike(images: Sequence[sitk.Image], mask: sitk.Image, transform: sitk.Transform) -> float:
    """Correlation within the tissue that both hold; 0 where that is too little."""
    moved = sitk.Resample(images[1], images[0], transform, sitk.sitkLinear, float("nan"))
    a, b = (sitk.GetArrayViewFromImage(image) for image in (images[0], moved))
    both = (sitk.GetArrayViewFromImage(mask) > 0) & np.isfinite(b)
    if both.sum() < LEAST_SHARED * (sitk.GetArrayViewFromImage(mask) > 0).sum() or both.sum() < 100:
        return 0.0
    return float(np.corrcoef(a[both], b[both])[0, 1])
