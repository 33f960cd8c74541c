"""What a volume is unlike is measured once, and said of every card."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from VolumeSuperResolutionLib.engine.models import domain, zoo
from VolumeSuperResolutionLib.engine.volumes import intensity
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

CARD = zoo.Card(
    "mine", "Mine", "For a test.", factor=(2, 2, 2), stages=(zoo.Stage("edsr3d"),), noise=0.02, spacing_mm=(0.5, 1.5)
)


def scan(sigma, shape=(70, 90, 80), air=0.0):
    """Tissue of all intensities, with noise."""
    k, j, i = np.meshgrid(*[np.linspace(0, 1, n) for n in shape], indexing="ij")
    values = 1000 * (0.2 + k + j + i) / 3.2 + np.random.default_rng(0).normal(0, sigma, shape)
    values[: shape[0] // 4] = air
    return Volume(values.astype(np.int16), Grid(shape[::-1]))


def test_traits_are_all_that_cards_are_compared_with():
    volume = scan(60)
    traits = domain.traits(volume)
    assert traits.modality == intensity.guess_modality(volume.array) == "MR"
    cards = [card for card in zoo.cards().values() if card.learned]
    assert len(cards) > 5
    for card in [CARD, *cards]:
        assert domain.beyond(card, traits) == domain.warnings_for(card, volume, "MR")
    assert "noisier" in domain.beyond(CARD, traits)[0]
    assert not domain.beyond(CARD, replace(traits, noise=0.01))
    assert "looks like CT" in domain.beyond(replace(CARD, modalities=("MR",)), domain.traits(volume, "CT"))[0]
    assert not domain.beyond(zoo.card("lanczos"), replace(traits, noise=1.0))


def test_air_in_hounsfield_units_makes_a_ct():
    assert domain.traits(scan(5, air=-1000)).modality == "CT"


@pytest.mark.parametrize("sigma", [10, 40])
def test_the_noise_of_a_sample_is_that_of_the_whole(sigma, monkeypatch):
    array = scan(sigma).array
    sampled = []
    for most in (20_000, 100_000, 1 << 40):
        monkeypatch.setattr(domain, "MOST_VOXELS", most)
        sampled.append(domain.noise_level(array))
    assert np.allclose(sampled, sampled[-1], rtol=0.05)
    low, high = intensity.percentiles(array)
    assert np.isclose(sampled[-1], sigma / (high - low), rtol=0.05)
