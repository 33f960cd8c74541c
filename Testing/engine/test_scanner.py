"""What is known of a scan: its matrices, its words, its JSON, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.physics import degradation
from VolumeSuperResolutionLib.engine.physics.scanner import (
    Axis,
    Measured,
    Scanner,
    from_dicom,
    read_profile,
    slice_axis,
)

TRIANGLE = Measured((-2.0, -1.0, 0.0, 1.0, 2.0), (0.0, 0.5, 1.0, 0.5, 0.0))
THICK = Scanner(noise=0.012, noise_told="estimated").along(2, width=3.0, told="dicom")


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 12),
    st.floats(1.0, 5.0),
    st.sampled_from([*degradation.PROFILES, TRIANGLE]),
    st.floats(0.01, 10.0),
    st.floats(0.3, 8.0),
)
def test_each_coarse_voxel_is_a_mean_that_mirrors(n_low, factor, profile, part, spacing):
    n_high = max(n_low, round(n_low * factor))
    matrix = Axis(profile, part * spacing).matrix(n_high, n_low, spacing)
    assert matrix.shape == (n_low, n_high)
    assert np.allclose(matrix.sum(axis=1), 1)
    assert matrix.min() >= 0
    assert np.allclose(matrix, matrix[::-1, ::-1])


@pytest.mark.parametrize("factor", [2, 3, 4, 2.5])
def test_the_default_is_the_forward_model_of_every_protocol_so_far(factor):
    matrix = Axis().matrix(int(12 * factor), 12, 3.6)
    assert np.array_equal(matrix, degradation.axis_matrix(int(12 * factor), 12))
    assert np.array_equal(Axis("box", 3.6).matrix(24, 12, 3.6), np.kron(np.eye(12), [[0.5, 0.5]]))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([*degradation.PROFILES, TRIANGLE]), st.floats(0.05, 1.3), st.floats(0, 2 * np.pi))
def test_what_is_seen_of_a_wave_is_the_integral_over_the_profile(profile, width, phase):
    # 30 mm in 12 slices; the profile's integral with the wave on a grid a hundred times finer than the volume's.
    n_low, n_high, spacing, length = 12, 60, 2.5, 12.0
    fine = spacing * n_low / n_high

    def wave(x):
        return np.sin(2 * np.pi * x / length + phase)

    seen = Axis(profile, width * spacing).matrix(n_high, n_low, spacing) @ wave((np.arange(n_high) + 0.5) * fine)
    offsets = np.linspace(-3 * spacing, 3 * spacing, 60001)
    if isinstance(profile, str):
        weights = degradation.PROFILES[profile].weights(offsets * 1000, 1000 * width * spacing, 1000 * spacing)
        weights = weights if profile == "gaussian" else (np.abs(offsets) <= width * spacing / 2).astype(float)
    else:
        stretch = width * spacing / profile.width
        weights = np.interp(offsets / stretch, profile.positions, profile.weights, left=0, right=0)
    centers = (np.arange(n_low) + 0.5) * spacing
    expected = np.array([(wave(c + offsets) * weights).sum() / weights.sum() for c in centers])
    # Voxels are as long as a 24th of the wave; a profile that ends inside one cuts it to within half a voxel.
    tolerance = 0.03 if width * spacing > fine else 0.14
    assert np.abs(seen - expected)[3:-3].max() < tolerance


def test_a_box_in_a_gap_sees_the_parts_of_the_voxels_it_covers():
    # Centers at 1.5 and 4.5 fine voxels from the start, half a coarse voxel wide.
    assert np.allclose(
        Axis("box", 0.5).matrix(6, 2, 1.0), [[0.25, 1, 0.25, 0, 0, 0], [0, 0, 0, 0.25, 1, 0.25]] / np.float64(1.5)
    )
    # Narrower than a fine voxel, between two of them.
    assert np.allclose(Axis("box", 0.1).matrix(4, 2, 1.0), [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    # Overlapping its neighbor.
    assert np.allclose(Axis("box", 1.5).matrix(8, 2, 1.0)[0] * 5, [1, 1, 1, 1, 1, 0, 0, 0])


@pytest.mark.parametrize("factor", [2, 4, 3.3])
def test_a_gaussian_changes_smoothly_with_its_width(factor):
    # Where it is sampled and where it fades into interpolation.
    for width in np.linspace(0.1, 2.0, 50):
        pair = [Axis("gaussian", w).matrix(int(20 * factor), 20, 1.0) for w in (width, width + 1e-3)]
        assert np.abs(pair[1] - pair[0]).max() < 5e-3


def test_a_measured_profile_is_centered_and_as_wide_as_measured():
    assert TRIANGLE.width == 2.0
    shifted = Measured(tuple(p + 7.3 for p in TRIANGLE.positions), TRIANGLE.weights)
    for n_high in (12, 13):
        assert np.allclose(Axis(shifted).matrix(n_high, 4, 2.0), Axis(TRIANGLE).matrix(n_high, 4, 2.0))
    assert np.allclose(Axis(TRIANGLE, 2.0).matrix(12, 4, 2.0), Axis(TRIANGLE).matrix(12, 4, 2.0))
    # A fine box, measured, is the box.
    box = Measured((-1.0, -0.9999, 0.9999, 1.0), (0.0, 1.0, 1.0, 0.0))
    assert np.allclose(Axis(box).matrix(15, 4, 2.0), Axis("box").matrix(15, 4, 2.0), atol=1e-3)


def test_json_both_ways():
    scanner = THICK.along(0, profile=TRIANGLE, told="user").along(1, profile="box")
    assert Scanner.from_dict(json.loads(json.dumps(scanner.to_dict()))) == scanner
    assert Scanner.from_dict(Scanner().to_dict()) == Scanner()
    assert hash(scanner) == hash(replace(scanner))


@pytest.mark.parametrize(
    ("scanner", "words"),
    [
        (THICK, "slices 3 mm thick every 3.6 mm (from DICOM), noise 1.2% (estimated)"),
        (Scanner(), "voxels as wide as their spacing (assumed)"),
        (Scanner(noise=0.02, noise_told="user"), "voxels as wide as their spacing (assumed), noise 2% (as given)"),
        (Scanner().along(2, width=3.6, told="dicom"), "slices 3.6 mm (from DICOM)"),
        (
            Scanner().along(2, profile="box", width=4.0, told="user").along(0, width=1.0, told="user"),
            "slices 4 mm thick every 3.6 mm (as given), box profile (assumed), "
            "pixels 1 mm wide every 0.7 mm (as given) and 0.7 mm (assumed)",
        ),
        (
            THICK.told((0.7, 0.7, 3.6), profile="box", noise=2),
            "slices 3 mm thick every 3.6 mm (from DICOM), box profile (as given), noise 2% (as given)",
        ),
        (Scanner().told((0.7, 0.7, 3.6), 4.0), "slices 4 mm thick every 3.6 mm (as given)"),
        (
            Scanner().told((0.7, 0.7, 3.6), profile="Gaussian"),
            "voxels as wide as their spacing (assumed), gaussian profile (as given)",
        ),
    ],
)
def test_words(scanner, words):
    assert scanner.words((0.7, 0.7, 3.6)) == words


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan"), float("inf"), 36.1])
def test_impossible_widths_are_refused(width):
    with pytest.raises(RefusalError, match=r"along k .* every 3\.6 mm; give one above 0 and up to 36 mm"):
        Scanner().along(2, width=width).check((0.7, 0.7, 3.6))
    Scanner().along(2, width=36.0).check((0.7, 0.7, 3.6))


@pytest.mark.parametrize("scanner", [Scanner(noise=n) for n in (-0.1, 1.0, float("nan"))])
def test_impossible_noise_is_refused(scanner):
    with pytest.raises(RefusalError, match="noise"):
        scanner.check((1, 1, 1))


def test_unknown_names_are_refused():
    with pytest.raises(RefusalError, match="gaussian or box"):
        Scanner().along(0, profile="sinc").check((1, 1, 1))
    with pytest.raises(RefusalError, match="assumed"):
        Scanner().along(0, told="rumor").check((1, 1, 1))
    with pytest.raises(RefusalError, match="along k"):
        Scanner().along(2, profile=replace(TRIANGLE, positions=(-20.0, -10.0, 0.0, 10.0, 20.0))).check((1, 1, 1))


def test_what_a_user_says_goes_over_what_dicom_says(tmp_path):
    spacing, profile = (0.7, 0.7, 3.6), tmp_path / "profile.txt"
    profile.write_text("-2 0\n-1 .5\n0 1\n1 .5\n2 0\n")
    dicom = from_dicom("3", spacing)
    assert dicom == Scanner().along(2, width=3.0, told="dicom")
    assert dicom.told(spacing) == dicom
    assert dicom.told(spacing, thickness=4.0) == Scanner().along(2, width=4.0, told="user")
    assert dicom.told(spacing, noise=1.5) == replace(dicom, noise=0.015, noise_told="user")
    box = dicom.told(spacing, profile="BOX")
    assert box.axes == (Axis("box", shape="user"),) * 2 + (Axis("box", 3.0, "dicom", "user"),)
    measured = dicom.told(spacing, profile=str(profile))
    assert measured.axes == (Axis(), Axis(), Axis(TRIANGLE, None, "user", "user"))
    assert measured.axes[2].width_at(3.6) == 2.0
    assert dicom.told(spacing, 3.0, str(profile)).axes[2].width_at(3.6) == 3.0
    assert measured.told_shape((False, False, True)) and box.told_shape((True, True, True))
    assert not measured.told_shape((True, False, True)) and not dicom.told_shape((False, False, True))
    assert not box.told_shape((False, False, False))


@pytest.mark.parametrize("thickness", ["", "none", "nan", "0", "-3", "36.1", None])
def test_a_thickness_that_cannot_be_is_not_taken_from_dicom(thickness):
    assert from_dicom(thickness, (0.7, 0.7, 3.6)) == Scanner()


def test_the_axis_across_the_slices():
    assert slice_axis((1.0, 3.0, 1.0)) == 1
    assert slice_axis((1.0, 1.00001, 1.0)) == 2
    # Where DICOM has told of one it is that one, whatever the pixels are.
    thin = from_dicom(1.5, (2.0, 2.0, 1.0))
    assert thin.told((2.0, 2.0, 1.0), thickness=1.2).axes[2].width == 1.2
    assert thin.words((2.0, 2.0, 1.0)) == "slices 1.5 mm thick every 1 mm (from DICOM)"


def test_a_profile_is_read_from_a_file(tmp_path):
    path = tmp_path / "profile.txt"
    path.write_text("# mm weight\n-2 0\n-1, 0.5\n0;1  # the middle\n\n1\t0.5\n2 0\n")
    assert read_profile(path) == TRIANGLE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0 1\n1 1\n", "2 points"),
        ("0 1\n1 nan\n2 0\n", "not finite"),
        ("0 0\n1 inf\n2 0\n", "not finite"),
        ("0 0\n1 -1\n2 0\n", "sum to nothing"),
        ("0 0\n1 0\n2 0\n", "sum to nothing"),
        ("0 1\n2 1\n1 1\n", "rise"),
        ("0 1\n0 1\n1 1\n", "rise"),
        ("0 1\n1\n2 1\n", "Line 2"),
        ("mm weight\n1 1\n2 1\n", "Line 1"),
        ("0 1 2\n1 1\n2 1\n", "Line 1"),
    ],
)
def test_a_wrong_profile_is_refused(tmp_path, text, reason):
    path = tmp_path / "profile.txt"
    path.write_text(text)
    with pytest.raises(RefusalError, match=reason):
        read_profile(path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(RefusalError, match="cannot be read"):
        read_profile(tmp_path / "none.txt")
    (tmp_path / "scan.nii").write_bytes(bytes(range(256)))
    with pytest.raises(RefusalError, match="cannot be read"):
        read_profile(tmp_path / "scan.nii")


def test_axes_that_are_not_refined_are_left_or_interpolated():
    k, j, i = Scanner().matrices((20, 10, 8), (10, 10, 16), (1.0, 1.0, 1.0))
    assert k.shape == (10, 20)
    assert j is None
    assert i.shape == (16, 8)
