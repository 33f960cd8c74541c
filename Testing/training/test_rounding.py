"""Weights in fewer bits: what is lost, when it is not done, and what a reader makes of it."""

import numpy as np
import pytest
import torch
from sample_models import model
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.models import weights, zoo
from VolumeSuperResolutionLib.engine.networks import build
from VolumeSuperResolutionLib.training import rounding

STAGE = zoo.Stage("edsr3d", {"factor": 2, "features": 6, "blocks": 1})


@pytest.fixture
def state():
    torch.manual_seed(0)
    return build(STAGE.network, **STAGE.arguments).state_dict()


def prefixed(tensors):
    return {f"0.{name}": array for name, array in tensors.items()}


def test_a_rounded_network_is_read_back_nearly_as_it_was(state, tmp_path):
    sizes = {}
    for kind, most in (("int8", 0.5 / 127), ("float16", 1e-3), ("float32", 0.0)):
        data = weights.safetensors(prefixed(rounding.rounded(state, kind)))
        sizes[kind] = len(data)
        network = zoo.load(model(tmp_path / kind, data, (STAGE,)))[0]
        for name, tensor in network.state_dict().items():
            assert (tensor - state[name]).abs().max() <= 1.001 * most * state[name].abs().max(), name
    assert sizes["int8"] < 0.4 * sizes["float32"] and sizes["float16"] < 0.6 * sizes["float32"]


def test_a_filter_of_zeros_stays_one(state):
    state["tail.weight"].zero_()
    stored = weights.restored(rounding.rounded(state, "int8"))
    assert not stored["tail.weight"].any() and np.isfinite(stored["tail.weight"]).all()


@pytest.mark.parametrize(
    ("tolerated", "kind"), [({"int8", "float16"}, np.int8), ({"float16"}, np.float16), (set(), np.float32)]
)
def test_bits_are_saved_only_where_no_gain_is_lost(state, tolerated, kind):
    exact = state["head.weight"].clone()
    close = {k: rounding.rounded(state, k) for k in tolerated}

    def gains(changed):
        now = changed["head.weight"].numpy()
        same = [weights.restored(stored)["head.weight"] for stored in close.values()]
        fine = torch.equal(changed["head.weight"], exact) or any(np.array_equal(now, s) for s in same)
        return {"profile MR": 2.0 if fine else 1.97}

    assert rounding.fewest_bits(state, gains)["head.weight"].dtype == kind


def test_batch_counters_are_not_stored():
    counted = build("dcsrn3d", growth=2).state_dict()
    assert "units.0.body.0.num_batches_tracked" in counted
    assert not any("num_batches" in name for name in rounding.rounded(counted, "int8"))


@pytest.mark.parametrize("fault", ["no scale", "short scale", "whole scale"])
def test_whole_numbers_without_a_fitting_scale_are_refused(state, tmp_path, fault):
    stored = prefixed(rounding.rounded(state, "int8"))
    name = "0.head.weight" + weights.SCALE_SUFFIX
    if fault == "no scale":
        del stored[name]
    else:
        stored[name] = stored[name][:-1] if fault == "short scale" else stored[name].astype(np.int8)
    card = model(tmp_path / "odd", weights.safetensors(stored), (STAGE,))
    with pytest.raises(RefusalError, match="install the model again"):
        zoo.load(card)
