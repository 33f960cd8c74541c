"""Realism: a model's weights mixed with those of its faithful partner."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save
from sample_models import STAGES, model, pair, tensors_of
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.models import weights, zoo
from VolumeSuperResolutionLib.engine.request import Report, Request
from VolumeSuperResolutionLib.engine.upscale import estimate, upscale
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

SCAN = Volume(np.random.default_rng(0).uniform(0, 1000, (5, 7, 9)).astype(np.float32), Grid((9, 7, 5)))
FAITHFUL, OWN = tensors_of(), tensors_of(seed=4)


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A folder with a model for looks and its faithful partner."""
    monkeypatch.setenv(zoo.FOLDERS_VARIABLE, str(tmp_path))
    pair(tmp_path)
    return tmp_path


def run(name, realism=None):
    return upscale(SCAN, Request(name, scale=(2, 2, 2), realism=realism))


def loaded(card, realism=None):
    return {
        f"{n}.{name}": tensor.numpy()
        for n, network in enumerate(zoo.load(card, realism))
        for name, tensor in network.state_dict().items()
    }


def mixed(realism):
    """Both models' weights, averaged by hand."""
    own, other = np.float32(realism), np.float32(1 - realism)
    return {name: other * FAITHFUL[name] + own * OWN[name] for name in OWN}


def same(first, second):
    return set(first) == set(second) and all(np.array_equal(first[name], second[name]) for name in first)


def test_the_ends_are_the_two_models_bit_for_bit(models):
    own, faithful = run("looks").volume.array, run("faithful").volume.array
    assert not np.array_equal(own, faithful)
    assert np.array_equal(run("looks", 1.0).volume.array, own)
    assert np.array_equal(run("looks", 0.0).volume.array, faithful)


@pytest.mark.parametrize("realism", [0.3, 0.5])
def test_between_them_is_the_network_of_the_averaged_weights(models, realism):
    model(models / "averaged", save(mixed(realism)))
    result = run("looks", realism).volume.array
    assert np.array_equal(result, run("averaged").volume.array)
    for end in ("looks", "faithful"):
        assert not np.array_equal(result, run(end).volume.array)


@pytest.mark.parametrize("realism", [0.0, 0.3, 1.0, None])
def test_weights_are_mixed_tensor_by_tensor(models, realism):
    assert same(loaded(zoo.card("looks"), realism), mixed(1.0 if realism is None else realism))


def test_half_precision_files_are_mixed_in_full_precision(models):
    halves = {name: tensor.astype(np.float16) for name, tensor in FAITHFUL.items()}
    model(models / "faithful", save(halves))
    expected = {name: np.float32(0.5) * halves[name].astype(np.float32) + np.float32(0.5) * OWN[name] for name in OWN}
    assert same(loaded(zoo.card("looks"), 0.5), expected)


def test_the_partner_is_read_only_where_it_has_a_share(models, monkeypatch):
    read, real = [], weights.read_tensors
    monkeypatch.setattr(weights, "read_tensors", lambda path, *rest: read.append(path.parent.name) or real(path, *rest))
    for realism in (None, 1.0):
        run("looks", realism)
    assert set(read) == {"looks"}
    run("looks", 0.0)
    assert sorted(set(read)) == ["faithful", "looks"]
    shutil.rmtree(models / "faithful")
    for realism in (None, 1.0):
        run("looks", realism)


@pytest.mark.parametrize("realism", [-0.1, 1.01, float("nan"), float("inf")])
def test_values_that_mean_nothing_are_refused(models, realism):
    with pytest.raises(RefusalError, match=r"choose 0 \(faithful\) to 1 \(realistic\)"):
        run("looks", realism)


@pytest.mark.parametrize("realism", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", ["faithful", "lanczos"])
def test_a_model_without_a_partner_has_no_realism(models, name, realism):
    with pytest.raises(RefusalError, match="no faithful counterpart"):
        run(name, realism)


def test_a_partner_that_is_not_installed_is_named(models):
    shutil.rmtree(models / "faithful")
    for refused in (
        lambda: run("looks", 0.9),
        lambda: zoo.load(zoo.card("looks"), 0.9),
        lambda: estimate(SCAN.grid, SCAN.array.dtype, Request("looks", scale=(2, 2, 2), realism=0.9)),
    ):
        with pytest.raises(RefusalError, match="model faithful, which is not installed"):
            refused()


def test_a_partner_of_other_networks_is_refused(models):
    stages = (zoo.Stage(STAGES[0].network, {**STAGES[0].arguments, "features": 8}, STAGES[0].views), STAGES[1])
    model(models / "faithful", stages=stages)
    for refused in (lambda: run("looks", 0.5), lambda: zoo.load(zoo.card("looks"), 0.5)):
        with pytest.raises(RefusalError, match="other networks"):
            refused()


def test_noise_is_mixed_with_none(models):
    arguments = {"factor": 2, "features": 4, "blocks": 1, "growth": 2}
    plain, noisy = ((zoo.Stage("rrdb3d", {**arguments, **more}),) for more in ({}, {"noise": True}))
    own = {name: tensor + np.float32(0.1) for name, tensor in tensors_of(noisy, seed=4).items()}
    model(models / "faithful", stages=plain)
    model(models / "looks", save(own), noisy, partner="faithful")
    grain = "0.grains.0.weight"
    assert np.array_equal(loaded(zoo.card("looks"), 0.25)[grain], np.float32(0.25) * own[grain])
    assert np.array_equal(run("looks", 0.0).volume.array, run("faithful").volume.array)
    assert not np.array_equal(run("looks", 0.5).volume.array, run("faithful").volume.array)


@pytest.mark.parametrize("name", ["faithful", "looks"])
def test_both_files_are_verified(models, name):
    path = models / name / zoo.WEIGHTS_FILE
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(RefusalError, match=rf"model {name} .*\(checksum\)"):
        run("looks", 0.0)


def test_the_report_tells_it_where_it_was_asked_for(models):
    report = run("looks", 0.25).report
    assert "(looks, realism 0.25)" in str(report)
    again = Report.from_dict(json.loads(json.dumps(report.to_dict())))
    assert (again, again.realism) == (report, 0.25)
    plain = run("looks").report
    assert plain.realism is None and "realism" not in str(plain)
    request = Request("looks", scale=(2, 2, 2), realism=0.25)
    assert Request.from_dict(json.loads(json.dumps(request.to_dict()))) == request
