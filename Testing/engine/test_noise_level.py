"""The noise that is found is the noise that is there, in MR and CT, whatever the structure and whatever the air."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from VolumeSuperResolutionLib.engine.physics.noise import at_a_glance, white_noise, white_part
from VolumeSuperResolutionLib.engine.volumes import files, intensity

LEVELS = (0.0, 0.005, 0.01, 0.02, 0.04)
# Real volumes are no part of the repository: with their folder in this variable they are tested too.
VOLUMES = "VSR_TEST_VOLUMES"
REAL = (
    "brain_T1w_ds000011_sub-11.nii.gz",
    "brain_T1w_ds002748_sub-25.nii.gz",
    "mr_fetal_T2_mial_run-1_3p3mm.nii.gz",
    "mr_lspine_taichi_sag_T2_4p8mm.nii.gz",
    "chest_CT_LungFCP-01-0001.nii.gz",
    "ct_head_harvard02_skullbase_0p5mm.nii.gz",
    "ct_lspine_taichi_sag_3mm.nii.gz",
)


def head(modality, shape=(40, 64, 64)):
    """A ball of tissue with edges, smooth shading and a fine pattern on its rim, in air."""
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    radius = np.sqrt(k**2 + j**2 + i**2)
    tissue = 500 + 200 * np.sin(3 * j) + 200 * (radius < 0.5) + 150 * (i > 0.1) * (radius < 0.7)
    tissue += 60 * np.sin(40 * i) * np.sin(37 * j) * (radius > 0.8)
    array = np.where(radius < 0.9, tissue, 0.0)
    return (array - 1000 if modality == "CT" else array).astype(np.float32)


def spread(array):
    low, high = intensity.percentiles(array)
    return high - low


def noisy(array, level, seed=0):
    return array + np.random.default_rng(seed).normal(0, level * spread(array), array.shape).astype(np.float32)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("modality", ["MR", "CT"])
def test_known_noise_is_found(modality, level):
    clean = head(modality)
    array = noisy(clean, level)
    found = white_noise(array, modality) * spread(array) / spread(clean)
    assert found == pytest.approx(level, rel=0.06, abs=0.0015)


@pytest.mark.parametrize("level", [0.005, 0.02])
@pytest.mark.parametrize("modality", ["MR", "CT"])
def test_about_as_much_is_found_at_a_glance(modality, level):
    array = noisy(head(modality, (80, 128, 128)), level)
    assert at_a_glance(array, array[::4], modality) == pytest.approx(white_noise(array, modality), rel=0.2)


@pytest.mark.parametrize("level", LEVELS)
def test_air_that_was_set_to_one_value_does_not_hide_it(level):
    clean = head("MR")
    array = np.where(clean > 0, noisy(clean, level), 0)
    assert white_noise(array) * spread(array) / spread(clean) == pytest.approx(level, rel=0.06, abs=0.0015)


@pytest.mark.parametrize("level", [0.01, 0.02, 0.04])
def test_rician_noise_is_found_in_tissue(level):
    clean = head("MR")
    sigma = level * spread(clean)
    random = np.random.default_rng(3)
    array = np.hypot(clean + random.normal(0, sigma, clean.shape), random.normal(0, sigma, clean.shape))
    assert white_noise(array.astype(np.float32)) * spread(array) == pytest.approx(sigma, rel=0.08)


@pytest.mark.parametrize("shape", [(1, 80, 80), (3, 64, 64), (8, 40, 40), (64, 64, 4)])
def test_few_slices_are_enough(shape):
    array = np.random.default_rng(0).normal(500, 10, shape).astype(np.float32)
    for found in (white_noise(array, "MR"), at_a_glance(array, array, "MR")):
        assert found * spread(array) == pytest.approx(10, rel=0.15)


@pytest.mark.parametrize("shape", [(1, 1, 9), (2, 2, 2), (6, 7, 8)])
def test_one_value_has_none(shape):
    constant = np.full(shape, 7, np.int16)
    assert white_noise(constant) == at_a_glance(constant, constant, "MR") == 0


def test_integers_and_floats_agree():
    array = noisy(head("CT"), 0.02)
    assert white_noise(np.rint(array).astype(np.int16)) == pytest.approx(white_noise(array), rel=0.01)


@pytest.mark.parametrize("name", REAL)
def test_noise_added_to_real_scans_is_found(name):
    path = Path(os.environ.get(VOLUMES, "")) / name
    if not path.is_file():
        pytest.skip(f"{name} is not in the folder that {VOLUMES} names")
    array = files.read(path)[0].array.astype(np.float32)
    modality = intensity.guess_modality(array)
    own = white_noise(array, modality)
    for level in LEVELS[1:]:
        more = noisy(array, level)
        found = white_noise(more, modality) * spread(more) / spread(array)
        # Own and added noise do not have the same places where the scan is smoothest.
        assert found == pytest.approx(np.hypot(own, level), rel=0.12)


@pytest.mark.parametrize(
    ("unit", "offset", "dtype"), [(1e-9, 5.0, "float64"), (1.0, 3e9, "uint32"), (1e30, 0.0, "float64")]
)
def test_it_is_found_whatever_the_units(unit, offset, dtype):
    array = np.rint(noisy(head("MR"), 0.02)).astype(np.float64)
    scaled = (unit * (array - array.min()) + offset).astype(dtype)
    assert white_noise(scaled, "MR") == pytest.approx(white_noise(array, "MR"), rel=0.02)


def part(array, across=0):
    return white_part(array, white_noise(array, "CT"), "CT", across)


@pytest.mark.parametrize("across", range(3))
def test_noise_that_neighbors_share_is_not_white(across):
    clean = head("CT", (60, 64, 68))
    random, level = np.random.default_rng(0), 0.01 * spread(clean)
    white, shared = (random.normal(0, level, clean.shape).astype(np.float32) for _ in range(2))
    shared = ndimage.gaussian_filter(shared, 0.6)
    shared *= level / shared.std()
    parts = [part(clean + noise, across) for noise in (white, white + shared, shared)]
    assert parts[0] > 0.85 > parts[1] > 0.5 > parts[2] == 0


def test_where_there_is_little_to_see_noise_counts_as_white():
    for shape in ((1, 1, 9), (3, 3, 3), (9, 9, 1)):
        assert part(np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)) == 1
    assert part(np.zeros((20, 20, 20), np.float32)) == 1
