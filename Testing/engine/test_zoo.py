"""Cards and weights: a sound model loads, and nothing else does."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save
from sample_models import model, tensors_of
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.models import zoo


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_model_comes_back_as_it_was_written(tmp_path, monkeypatch, dtype):
    monkeypatch.setenv(zoo.FOLDERS_VARIABLE, str(tmp_path))
    written = model(tmp_path / "mine", save(tensors_of(dtype=dtype)))
    read = zoo.card("mine")
    assert read == written
    networks = zoo.load(read)
    for n, network in enumerate(networks):
        assert not network.training
        for name, tensor in network.state_dict().items():
            assert np.array_equal(tensor.numpy(), tensors_of(dtype=dtype)[f"{n}.{name}"].astype(np.float32))
    assert zoo.card(str(tmp_path / "mine")) == written


def edited(data, position, value):
    changed = bytearray(data)
    changed[position] = value
    return bytes(changed)


def with_header(header, body):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


GOOD = save(tensors_of())
OTHER = {name: tensor for name, tensor in tensors_of().items() if not name.startswith("1.")}
TURNED = {name: np.ascontiguousarray(tensor.swapaxes(0, -1)) for name, tensor in tensors_of().items()}
BROKEN = {name: np.full_like(tensor, np.nan) for name, tensor in tensors_of().items()}

# Files that differ from what the card says of them.
TAMPERED = {
    "empty": b"",
    "cut short": GOOD[:-4],
    "cut in the header": GOOD[:100],
    "one byte edited": edited(GOOD, -1, GOOD[-1] ^ 1),
    "one byte of the header edited": edited(GOOD, 20, GOOD[20] ^ 1),
    "longer": GOOD + b"\0",
    "much longer": GOOD * 50,
    "another model": save({"0.weight": np.ones(3, np.float32)}),
    "a pickle": b"\x80\x04cos\nsystem\n(S'false'\ntR." + GOOD[26:],
    "zeros": bytes(len(GOOD)),
}
# Files whose card was made to fit them.
UNSOUND = {
    "fewer tensors": save(OTHER),
    "other shapes": save(TURNED),
    "not numbers": save(BROKEN),
    "doubles": save({name: tensor.astype(np.float64) for name, tensor in tensors_of().items()}),
    "whole numbers": save({name: tensor.astype(np.int32) for name, tensor in tensors_of().items()}),
    "header too long": struct.pack("<Q", 2**62) + GOOD[8:],
    "no JSON": struct.pack("<Q", 4) + b"nope" + GOOD,
    "a list": with_header([1, 2], b""),
    "overlapping": with_header(
        {n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in ("a", "b")}, b"\0" * 4
    ),
    "bytes of nobody": with_header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 8),
    "beyond the end": with_header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, b"\0" * 8),
    "negative": with_header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}, b""),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_tampered_weights_are_refused(tmp_path, what):
    card = model(tmp_path / "mine")
    (tmp_path / "mine" / zoo.WEIGHTS_FILE).write_bytes(TAMPERED[what])
    with pytest.raises(RefusalError, match=r"model mine .* install the model again"):
        zoo.load(card)


@pytest.mark.parametrize("what", UNSOUND)
def test_unsound_weights_are_refused_even_when_the_card_fits_them(tmp_path, what):
    with pytest.raises(RefusalError, match="install the model again"):
        zoo.load(model(tmp_path / "mine", UNSOUND[what]))


def test_missing_weights_and_broken_cards_are_refused(tmp_path, monkeypatch):
    card = model(tmp_path / "mine")
    (tmp_path / "mine" / zoo.WEIGHTS_FILE).unlink()
    with pytest.raises(RefusalError, match="missing"):
        zoo.load(card)
    (tmp_path / "mine" / zoo.CARD_FILE).write_text("{")
    with pytest.raises(RefusalError, match="cannot be read"):
        zoo.card(str(tmp_path / "mine"))


def test_a_broken_card_keeps_no_other_model_and_says_what_is_wrong(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv(zoo.FOLDERS_VARIABLE, str(tmp_path))
    model(tmp_path / "mine")
    model(tmp_path / "other")
    (tmp_path / "mine" / zoo.CARD_FILE).write_text("{")
    assert {"lanczos", "other"} <= set(zoo.cards())
    assert "mine" not in zoo.cards()
    assert len([r for r in caplog.records if "cannot be read" in r.message]) == 1
    with pytest.raises(RefusalError, match="cannot be read"):
        zoo.card("mine")


def test_every_installed_model_loads_and_says_what_it_is():
    for card in zoo.cards().values():
        assert card.title and card.summary and card.id
        if card.learned:
            parameters = sum(p.numel() for network in zoo.load(card) for p in network.parameters())
            assert parameters == card.parameters
            assert card.paper and card.training and card.degradation and card.license
            assert set(card.gains) >= {"profile", "scanner"}
            json.dumps(card.to_dict(), allow_nan=False)
