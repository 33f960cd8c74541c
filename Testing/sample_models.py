"""Models with random weights, in folders as the training leaves them."""

from dataclasses import replace

import numpy as np
import torch
from safetensors.numpy import save
from VolumeSuperResolutionLib.engine.models import weights, zoo
from VolumeSuperResolutionLib.engine.models.interval_table import BINS, IntervalTable
from VolumeSuperResolutionLib.engine.networks import build

STAGES = (zoo.Stage("cnnil_inplane", {"factor": 2}, ("k",)), zoo.Stage("cnnil_depth", {"factor": 2}, ("j", "i")))


def tensors_of(stages=STAGES, dtype=np.float32, seed=3):
    """The weights of all stages by the names they have in the file."""
    torch.manual_seed(seed)
    return {
        f"{n}.{name}": tensor.numpy().astype(dtype)
        for n, stage in enumerate(stages)
        for name, tensor in build(stage.network, **stage.arguments).state_dict().items()
    }


def model(folder, data=None, stages=STAGES, **values):
    """The card of a new model in a folder; `data` instead of sound weights."""
    data = save(tensors_of(stages)) if data is None else data
    folder.mkdir(parents=True, exist_ok=True)
    (folder / zoo.WEIGHTS_FILE).write_bytes(data)
    card = zoo.Card(
        folder.name,
        "A model",
        "For a test.",
        factor=(2, 2, 2),
        stages=stages,
        weights={"bytes": len(data), "sha256": weights.sha256(data)},
        folder=folder,
    )
    card = replace(card, **values)
    zoo.write_card(card)
    return card


def pair(folder, **values):
    """A model for looks, and the faithful one of other weights that it names as its partner."""
    faithful = model(folder / "faithful")
    return model(folder / "looks", save(tensors_of(seed=4)), partner="faithful", **values), faithful


def interval_table(**values):
    """A calibration that holds, for MR at twice the matrix; half widths of 1 to 12% of the range."""
    described = {
        "modality": "MR",
        "factor": (2, 2, 2),
        "protocol": "scanner",
        "edges": tuple(np.round(np.linspace(0.01, 0.11, BINS - 1), 4).tolist()),
        "half_widths": tuple(np.round(np.linspace(0.01, 0.12, BINS), 4).tolist()),
        "quantile": 0.9,
        "coverage": (0.86, 0.9, 0.93),
        "quartiles": (0.9, 0.89, 0.9, 0.91),
        "subjects": 3,
        "files": ("a.nrrd", "b.nrrd", "c.nrrd"),
        "crop": 96,
        "spacing_mm": (1.0, 4.0),
        "noise": 0.05,
    }
    return IntervalTable(**{**described, **values})
