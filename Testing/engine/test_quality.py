"""The figures are those of the field's own tools."""

import numpy as np
import pytest
from skimage import metrics
from VolumeSuperResolutionLib.engine import quality
from VolumeSuperResolutionLib.engine.physics import degradation

RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.uniform(0, 1000, (21, 23, 25)).astype(np.float32)
RESULT = TRUTH + RANDOM.normal(0, 80, TRUTH.shape).astype(np.float32)
EVERYWHERE = np.ones(TRUTH.shape, bool)


@pytest.mark.parametrize("offset", [0, -1000, 30000])
def test_psnr_and_ssim_agree_with_scikit_image(offset):
    truth, result = TRUTH + offset, RESULT + offset
    peak = quality.data_range(truth)
    assert np.isclose(peak, np.subtract(*np.percentile(truth, (99.9, 0.1))))
    expected = metrics.peak_signal_noise_ratio(truth, result, data_range=peak)
    assert np.isclose(quality.psnr(result, truth, EVERYWHERE, peak), expected, atol=1e-3)
    if offset <= 0:
        _, similarity = metrics.structural_similarity(
            truth, result, data_range=peak, gaussian_weights=True, use_sample_covariance=False, full=True
        )
        assert np.isclose(quality.ssim(result, truth, EVERYWHERE, peak), similarity.mean(), rtol=0, atol=2e-6)


def test_a_perfect_result():
    assert quality.psnr(TRUTH, TRUTH, EVERYWHERE, 1000.0) == float("inf")
    assert np.isclose(quality.ssim(TRUTH, TRUTH, EVERYWHERE, 1000.0), 1.0)


def test_foreground_is_tissue_grown_by_two_without_the_border():
    for modality, tissue, air in (("MR", 1000, 0), ("CT", 40, -1024)):
        truth = np.full((40, 40, 40), air, np.int16)
        truth[20, 20, 20] = tissue
        truth[2, 20, 20] = tissue
        mask = quality.foreground(truth, modality) if modality == "CT" else None
        if modality == "MR":
            truth[20:22, 20:30, 20:30] = tissue
            mask = quality.foreground(truth, modality)
            assert mask[20, 20, 18] and not mask[20, 20, 17]
        else:
            assert mask.sum() == 25  # an octahedron of radius two
        everywhere = np.zeros(truth.shape, bool)
        everywhere[8:-8, 8:-8, 8:-8] = True
        truth[:] = tissue
        truth[0] = air
        assert np.array_equal(quality.foreground(truth, modality), everywhere)


def test_consistency_residual_is_the_mean_difference_after_degrading():
    low = degradation.degrade(TRUTH[:20, :22, :24], (2, 2, 2))
    seen = degradation.matrices((20, 22, 24), (2, 2, 2))
    assert quality.consistency_residual(TRUTH[:20, :22, :24], low, seen) < 1e-3
    assert np.isclose(quality.consistency_residual(TRUTH[:20, :22, :24] + 5, low, seen), 5, atol=1e-3)
