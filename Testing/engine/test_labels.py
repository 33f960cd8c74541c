"""Label maps are told from scans by what they are made of, not by their range alone."""

import numpy as np
import pytest
from scipy import ndimage
from VolumeSuperResolutionLib.engine.volumes.labels import looks_like_labels

SHAPE = (24, 48, 52)


def smooth(seed=0, width=4.0):
    """A field without edges, from 0 to 1."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), width)
    return (field - field.min()) / np.ptp(field)


def regions(count, seed=0, background=0.3):
    """Compact regions, numbered from 1, in a background of 0."""
    rng = np.random.default_rng(seed)
    seeds = np.zeros(SHAPE, int)
    seeds[tuple(rng.integers(0, n, count) for n in SHAPE)] = np.arange(1, count + 1)
    nearest = ndimage.distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
    labels = seeds[tuple(nearest)]
    labels[smooth(seed + 1) < background] = 0
    return labels


def head():
    """Something like a head: tissues with texture in air."""
    field = smooth()
    return np.where(field > 0.4, 300 + 400 * (smooth(3, 2.0) > 0.5) + 200 * field, 0)


LABELS = {
    "a binary mask": (regions(1) > 0).astype(np.uint8),
    "a mask of bool": regions(1) > 0,
    "a mask of 0 and 255": (255 * (regions(1) > 0)).astype(np.uint8),
    "a mask stored as float32": (regions(1) > 0).astype(np.float32),
    "three tissues": np.digitize(smooth(), (0.4, 0.5, 0.6)).astype(np.int16),
    "twelve organs": regions(12).astype(np.int16),
    "twelve organs as float64": regions(12).astype(np.float64),
    "an atlas of 200 labels": regions(200, background=0.1).astype(np.int32),
    "labels with gaps between their numbers": (regions(30) * 67).astype(np.int32),
    "labels beyond 2^24": (regions(5).astype(np.int64) * (2**24 + 1)),
}
RNG = np.random.default_rng(1)
SCANS = {
    "photon counts": RNG.poisson(20 * smooth()).astype(np.uint16),
    "few photons": RNG.poisson(2 * smooth()).astype(np.uint8),
    "photons as float32": RNG.poisson(8 * smooth()).astype(np.float32),
    "an MR magnitude": np.abs(head() + RNG.normal(0, 15, SHAPE)).astype(np.uint16),
    "an MR scan without its background": np.where(head() > 0, np.abs(head() + RNG.normal(0, 15, SHAPE)), 0).astype(
        np.int16
    ),
    "a CT": (np.where(head() > 0, 40, -1000) + RNG.normal(0, 12, SHAPE)).astype(np.int16),
    "a CT within a mask": np.where(regions(1) > 0, 1040 + RNG.normal(0, 12, SHAPE), 0).astype(np.uint16),
    "a CT within a mask, air outside": np.where(regions(1) > 0, 40 + RNG.normal(0, 12, SHAPE), -1024).astype(np.int16),
    "a map of whole milliseconds": (2000 * smooth()).astype(np.int16),
    "a fraction": smooth().astype(np.float32),
    "a noise-free fraction in a mask": np.where(regions(1) > 0, smooth(), 0).astype(np.float32),
    "eight bits": (255 * smooth(width=2.0) * (head() > 0) + RNG.normal(0, 3, SHAPE)).clip(0, 255).astype(np.uint8),
}
UNSURE = {
    "a smooth map in few steps": (20 * smooth(width=6.0)).astype(np.uint8),
    "as many labels as gray values": regions(900, background=0.0).astype(np.int32),
    "too small to tell": (np.arange(120) % 4).reshape(4, 5, 6).astype(np.uint8),
}


@pytest.mark.parametrize("name", LABELS)
def test_label_maps_are_known(name):
    assert looks_like_labels(LABELS[name]) is True


@pytest.mark.parametrize("name", SCANS)
def test_scans_are_not_taken_for_labels(name):
    assert looks_like_labels(SCANS[name]) is False


@pytest.mark.parametrize("name", UNSURE)
def test_what_could_be_either_is_asked_about(name):
    assert looks_like_labels(UNSURE[name]) is None


@pytest.mark.parametrize("name", [*LABELS, *SCANS])
def test_a_single_slice_is_told_as_well(name):
    array = {**LABELS, **SCANS}[name][12:13]
    assert looks_like_labels(array) in (name in LABELS, None)
