"""Intervals measured: known quantiles are found, subjects left out are covered, and what does not hold says so."""

import json

import numpy as np
import phantoms
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_models import model
from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.models.interval_table import BINS, LEVEL
from VolumeSuperResolutionLib.engine.physics import degradation
from VolumeSuperResolutionLib.engine.upscale import Request, upscale
from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Volume
from VolumeSuperResolutionLib.training import calibration as subject

# Of the absolute value of a normal variable.
NINETY = 1.6449


@pytest.fixture(autouse=True)
def fewer_voxels(monkeypatch):
    """As many as tell a percent."""
    monkeypatch.setattr(subject, "VOXELS", 20_000)


def subjects(*factors, seed=0, voxels=20_000):
    """Errors that are normal, with a sigma of 1 plus the steepness, times a factor of each subject's own."""
    random = np.random.default_rng(seed)
    made = []
    for own in factors:
        steep = random.exponential(1.0, voxels)
        made.append((steep, np.abs(random.normal(0, own * (1 + steep)))))
    return made


def scans(errors):
    return [
        subject.Errors(f"{n}.nrrd", f"{n}", "MR", steep, error, (1.0, 1.0, 2.0), 0.01)
        for n, (steep, error) in enumerate(errors)
    ]


def test_the_half_widths_of_known_errors_are_their_quantiles():
    made = subjects(1, 1, 1)
    edges, widths = subject.fit(made, LEVEL)
    steep = np.concatenate([s for s, _ in made])
    bins = np.searchsorted(edges, steep, side="right")
    assert np.allclose(np.bincount(bins), len(steep) / BINS, atol=1)
    for n in range(BINS - 1):  # the last has no end
        inside = steep[bins == n]
        assert NINETY * (1 + inside.min()) * 0.95 <= widths[n] <= NINETY * (1 + inside.max()) * 1.05


@given(st.integers(0, 1000), st.sampled_from([0.9, 0.92]))
@settings(max_examples=10)
def test_the_table_never_falls_whatever_the_errors_are(seed, quantile):
    random = np.random.default_rng(seed)
    edges, widths = subject.fit([(random.random(300), random.random(300)) for _ in range(2)], quantile)
    assert np.all(np.diff(edges) >= 0) and np.all(np.diff(widths) >= 0)


def test_subjects_alike_are_covered_as_promised_in_every_quarter():
    table = subject.make_table(scans(subjects(1, 1, 1, 1, 1)), (2, 2, 2), "scanner", 0)
    assert table.holds and table.quantile == LEVEL
    assert np.allclose(table.coverage, LEVEL, atol=0.015)
    assert np.allclose(table.quartiles, LEVEL, atol=0.015)
    assert table.spacing_mm == (1.0, 2.0) and table.noise == 0.01 and table.subjects == 5


def test_one_width_for_all_would_fail_where_this_holds():
    # The quarters would not: the same errors with a steepness that says nothing of them.
    shuffled = [(np.random.default_rng(n).permutation(s), e) for n, (s, e) in enumerate(subjects(1, 1, 1))]
    _, widths = subject.fit(shuffled, LEVEL)
    steep, error = subjects(1, seed=9)[0]
    quarters = np.array_split((error <= np.median(widths))[np.argsort(steep)], 4)
    assert quarters[0].mean() > 0.97 and quarters[-1].mean() < 0.85


def test_the_quantile_is_raised_until_the_table_holds():
    table = subject.make_table(scans(subjects(1, 1, 1, 1, 1.2)), (2, 2, 2), "scanner", 0)
    lowest = subject.left_out(subjects(1, 1, 1, 1, 1.2), LEVEL)[0]
    assert min(lowest) < 0.85
    assert table.holds and table.quantile > LEVEL


def test_subjects_that_differ_too_much_leave_a_table_that_does_not_hold():
    table = subject.make_table(scans(subjects(0.4, 0.7, 1, 1.3, 1.6)), (2, 2, 2), "scanner", 0)
    assert not table.holds and table.quantile == LEVEL
    assert min(table.coverage) < 0.8 and "not stated, as it covered" in table.words()


def test_two_subjects_are_too_few_however_many_their_scans():
    made = [scan._replace(subject=str(n % 2)) for n, scan in enumerate(scans(subjects(*[1] * 6, voxels=500)))]
    table = subject.make_table(made, (2, 2, 2), "scanner", 0)
    assert table.subjects == 2 and len(table.files) == 6
    assert not table.holds and table.coverage == () and "too few" in table.words()


def test_every_subject_counts_the_same():
    """Ten scans of one subject weigh no more than one of another."""
    small, large = subjects(0.5, 1.5, voxels=4_000)
    one = [scan._replace(subject="a") for scan in scans([small] * 10)]
    both = subject.make_table([*one, *scans([large])], (2, 2, 2), "scanner", 0)
    alike = subject.make_table([*scans([small])[:1], *scans([large, large])[1:]], (2, 2, 2), "scanner", 0)
    assert np.allclose(both.half_widths, alike.half_widths, rtol=0.1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Four heads, of which two files are of one subject, and one that is too thin; tables go to a file of their own."""
    place = tmp_path / "volumes"
    place.mkdir()
    for n, name in enumerate(("a-1", "a-2", "b", "c")):
        files.write(phantoms.head(40, n), place / f"{name}.nrrd")
    thin = phantoms.head(40, 7)
    files.write(Volume(thin.array[:20], thin.grid.cropped(((0, 40), (0, 40), (0, 20)))), place / "thin.nrrd")
    monkeypatch.setattr(zoo, "INTERVALS_FILE", tmp_path / "intervals.json")
    return place


def test_a_calibration_from_the_command_line_is_used_and_covers(folder, tmp_path, capsys):
    command = f"evaluate --model lanczos --volumes {folder} --scale 2 --protocol scanner --intervals --save"
    assert main([*command.split(), "--same-subject", "a-*", "--json", str(tmp_path / "tables.json")]) == 0
    told = capsys.readouterr()
    assert "thin.nrrd  left out" in told.err
    (table,) = zoo.card("lanczos").intervals
    assert table.words() in told.out
    assert (table.subjects, len(table.files), table.factor) == (3, 4, (2, 2, 2))
    assert json.loads((tmp_path / "tables.json").read_text())["lanczos"][0]["edges"] == list(table.edges)
    # A head that it has never seen, degraded in the same way.
    truth = phantoms.head(40, 11)
    low = degradation.observe(truth.array, (2, 2, 2), "scanner", "d.nrrd")
    result = upscale(
        Volume(low, truth.grid.refined(low.shape[::-1])), Request("lanczos", scale=(2, 2, 2), modality="MR")
    )
    assert table.holds == (result.report.interval is not None)
    scan = subject.Errors("d", "d", "MR", *errors_of(result.volume.array, truth.array, low), (2.0,) * 3, 0.0)
    widths = np.array(table.half_widths)[table.bins(scan.steepness)]
    assert 0.85 < (scan.error <= widths).mean() < 0.95


def errors_of(result, truth, low):
    from VolumeSuperResolutionLib.engine import intervals, quality

    mask, extent = quality.foreground(truth, "MR"), intervals.intensity_range(low, "MR")
    return intervals.steepness(result)[mask] / extent, np.abs(result - truth)[mask] / extent


def test_what_the_training_saw_is_left_out_with_its_subject(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(zoo.FOLDERS_VARIABLE, str(tmp_path / "models"))
    card = model(tmp_path / "models" / "mine", training={"files": ["a-9.nrrd"]}, modalities=("MR",))
    command = f"evaluate --model mine --volumes {folder} --scale 2 --protocol profile --crop 36 --intervals --save"
    assert main([*command.split(), "--same-subject", "a-*", "--aside", "c*"]) == 0
    (table,) = zoo.read_card(card.folder / zoo.CARD_FILE).intervals
    assert table.files == ("b.nrrd",) and table.crop == 36 and not table.holds
    assert "a-1.nrrd  left out: the training of mine saw this subject" in capsys.readouterr().err


REFUSED = {
    "no model": ("--scale 2", "give --model and --scale"),
    "no scale": ("--model lanczos --precision", "give --model and --scale"),
    "half a factor": ("--model lanczos --scale 1.5", "whole factors"),
    "nothing left": ("--model lanczos --scale 2 --aside *", "no scan"),
}


@pytest.mark.parametrize(("options", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_measured_is_refused(options, words, folder, capsys):
    assert main(["evaluate", "--volumes", str(folder), *options.split(), "--intervals", "--save", "--quiet"]) == 2
    assert words in capsys.readouterr().err
    assert not zoo.INTERVALS_FILE.exists()
