"""A patch is what the forward model says, in register, whichever way it is turned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from VolumeSuperResolutionLib.engine.physics import degradation, interpolation
from VolumeSuperResolutionLib.engine.volumes.intensity import Window
from VolumeSuperResolutionLib.training import patches
from VolumeSuperResolutionLib.training.patches import Blur, Cut, Scan, cut_patch, random_patch

SHAPE = (32, 40, 48)
CUTS = {
    "whole": Cut((8, 9, 10), (2, 2, 2)),
    "through-plane": Cut((5, 12, 14), (4, 1, 1)),
    "in plane": Cut((4, 8, 9), (2, 2, 2), target=(2, 1, 1), flat_share=0.5),
    "depth": Cut((3, 14, 9), (1, 1, 2)),
    "interpolated": Cut((12, 12, 16), (2, 2, 2), interpolated=True),
    "interpolated slices": Cut((12, 12, 16), (2, 2, 2), interpolated=True, step=4),
}


def scan_of(array):
    return Scan(
        Path("scan.nii"), "MR", (1.0, 1.0, 1.0), array, Window(0.0, 1.0), 1.0, np.argwhere(array > array.mean())
    )


@pytest.fixture(scope="module")
def noise():
    return scan_of(np.random.default_rng(0).random(SHAPE, np.float32))


@pytest.mark.parametrize("profile", list(degradation.PROFILES))
@pytest.mark.parametrize("name", ["whole", "in plane", "depth", "through-plane"])
def test_a_patch_is_a_part_of_the_degraded_volume(noise, name, profile):
    cut, start = CUTS[name], (1, 2, 3)
    patch = cut_patch(noise, cut, start, Blur(profile, 0.8), np.random.default_rng(0))
    region = tuple(slice(s, s + n) for s, n in zip(start, cut.size))
    low = degradation.degrade(noise.array, cut.degraded, profile, 0.8)
    assert np.allclose(patch.input, low[region], atol=1e-6)
    assert np.array_equal(patch.scanned, patch.input)
    fine = tuple(slice(s * f, (s + n) * f) for s, n, f in zip(start, cut.size, cut.scaled()))
    assert np.allclose(patch.target, degradation.degrade(noise.array, cut.target, profile, 0.8)[fine], atol=1e-6)


@pytest.mark.parametrize("start", [(0, 0, 0), (5, 6, 7), (10, 14, 16)])
def test_an_interpolated_patch_is_a_part_of_the_interpolated_volume(noise, start):
    cut = CUTS["interpolated"]
    patch = cut_patch(noise, cut, start, Blur(), np.random.default_rng(0))
    low = degradation.degrade(noise.array, cut.degraded)
    whole = interpolation.resample(low, SHAPE)
    region = tuple(slice(2 * s, 2 * s + n) for s, n in zip(start, cut.size))
    assert np.allclose(patch.input, whole[region], atol=1e-5)
    assert np.allclose(patch.scanned, low[tuple(slice(s, s + n // 2) for s, n in zip(start, cut.size))], atol=1e-6)
    assert np.array_equal(patch.target, noise.array[region])


@settings(deadline=None, max_examples=60)
@given(name=st.sampled_from(sorted(CUTS)), seed=st.integers(0, 2**32 - 1))
def test_input_and_target_are_in_register_however_turned(name, seed):
    """A linear ramp survives every symmetric blur: interpolating the input must give the target."""
    grid = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in SHAPE), indexing="ij")
    scan = scan_of(0.01 * grid[0] + 0.03 * grid[1] - 0.02 * grid[2])
    quiet = pytest.MonkeyPatch()
    real = patches.random_blur
    quiet.setattr(patches, "random_blur", lambda *given: replace(real(*given), noise=0.0))
    with quiet.context():
        try:
            patch = random_patch(scan, CUTS[name], np.random.default_rng(seed))
        finally:
            quiet.undo()
    result = interpolation.resample(patch.input, patch.target.shape, "linear")
    # a volume's border is not linear any more, and neither are the half voxels around a patch
    error = np.abs(result - patch.target)[(slice(None), *(slice(4, -4),) * 2)]
    assert np.median(error) < 2e-3
    assert patch.input.shape == tuple(
        n // (CUTS[name].step if axis == 0 else 1) for axis, n in enumerate(CUTS[name].size)
    )


def test_all_48_orientations_come_up(noise):
    random = np.random.default_rng(1)
    corner = np.zeros(SHAPE, np.float32)
    corner[:16, :20, :24], corner[16:, :20, :24], corner[:16, 20:, :24], corner[:16, :20, 24:] = 1, 2, 4, 8
    scan = scan_of(corner)
    cut = Cut((16, 16, 16), (2, 2, 2))
    seen = set()
    for _ in range(600):
        target = random_patch(scan, cut, random).target
        corners = target[np.ix_(*((0, -1),) * 3)]
        if len(np.unique(np.round(corners))) >= 5:
            seen.add(tuple(np.round(corners / corners.max() * 8).ravel().astype(int)))
    assert len(seen) >= 40


def test_the_same_seed_gives_the_same_patch(noise):
    one, two, other = (random_patch(noise, CUTS["whole"], np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(one.input, two.input)
    assert np.array_equal(one.target, two.target)
    assert not np.array_equal(one.input, other.input)


def test_noise_lies_on_the_input_only_and_is_as_strong_as_asked():
    scan = scan_of(np.full(SHAPE, 0.5, np.float32))
    patch = cut_patch(scan, CUTS["depth"], (0, 0, 0), Blur(noise=0.01), np.random.default_rng(0))
    assert patch.input.std() == pytest.approx(0.01, rel=0.15)
    assert np.ptp(patch.target) == 0


@pytest.mark.parametrize("clean_share", [1 / 6, 0.5])
def test_the_degradations_cover_their_range(clean_share):
    random = np.random.default_rng(0)
    cut = replace(CUTS["whole"], clean_share=clean_share)
    blurs = [patches.random_blur(random, cut) for _ in range(2000)]
    widths = [blur.width for blur in blurs if degradation.PROFILES[blur.profile].varies]
    noises = np.array([blur.noise for blur in blurs])
    assert sum(blur.profile == "box" for blur in blurs) / 2000 == pytest.approx(0.25, abs=0.04)
    assert (min(widths), max(widths)) == (pytest.approx(0.7, abs=0.01), pytest.approx(1.2, abs=0.01))
    assert noises.min() == 0
    assert noises.max() == pytest.approx(0.01)
    assert np.mean(noises == 0) == pytest.approx(clean_share, abs=0.04)


def test_patches_can_be_degraded_by_a_protocol():
    random, thick = np.random.default_rng(0), degradation.PROTOCOLS["thick"]
    blurs = [patches.random_blur(random, replace(CUTS["whole"], protocol="thick")) for _ in range(500)]
    assert {blur.profile for blur in blurs} == set(thick.profiles)
    for drawn, ends in (([b.width for b in blurs], thick.widths), ([b.noise for b in blurs], thick.noise)):
        assert (min(drawn), max(drawn)) == pytest.approx(ends, abs=0.02)


@pytest.mark.parametrize(("share", "low", "high"), [(0.9, 0.8, 1.0), (0.5, 0.4, 0.65), (0.0, 0.0, 0.15)])
def test_patches_come_from_tissue_as_often_as_asked(share, low, high):
    array = np.zeros((64, 64, 64), np.float32)
    array[:16, :16, :16] = 1
    scan = scan_of(array)
    random = np.random.default_rng(0)
    cut = Cut((4, 4, 4), (2, 2, 2), tissue_share=share)
    hits = [random_patch(scan, cut, random).target.max() > 0.5 for _ in range(100)]
    assert low <= np.mean(hits) <= high
