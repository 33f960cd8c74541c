"""Training and evaluation name what they refuse, before hours of work, and trust no checkpoint"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from VolumeSuperResolutionLib.training.checkpoints import CHECKPOINT_FILE

from hostile.language import DONE, Case
from hostile.makers import scan

TRAIN = "train small.json --volumes scans --output out --device cpu"
EVALUATE = "evaluate --volumes scans --scale 2 --quiet"
STAGE = {
    "network": "fsrcnn3d",
    "arguments": {"factor": 2, "features": 4, "shrunk": 2, "mapping": 1},
    "patch": [4, 4, 4],
    "degraded": [2, 2, 2],
    "batch": 2,
    "losses": {"mse": 1.0},
    "steps": 1,
}
CARD = {"title": "Small", "summary": "For a test.", "factor": [2, 2, 2]}


def smooth(shape: tuple[int, int, int] = (20, 20, 20)) -> np.ndarray:
    """Voxels with structure everywhere."""
    k, j, i = np.indices(shape)
    return (500 + 300 * np.sin(i + j) * np.cos(2 * k)).astype(np.float32)


def scans(folder: Path, **odd: np.ndarray) -> None:
    """A config, and a folder of a sound scan and odd ones."""
    (folder / "small.json").write_text(json.dumps({"id": "small", "card": CARD, "stages": [STAGE]}))
    (folder / "scans").mkdir()
    scan(folder / "scans", "good.nrrd", smooth())
    for name, array in odd.items():
        scan(folder / "scans", f"{name}.nrrd", array)


def config(**changes: Any) -> Callable[[Path], None]:
    """A config whose stage is another; `...` takes a value out."""

    def make(folder: Path) -> None:
        scans(folder)
        stage = {name: value for name, value in {**STAGE, **changes}.items() if value is not ...}
        (folder / "small.json").write_text(json.dumps({"id": "small", "card": CARD, "stages": [stage]}))

    return make


def config_of(text: str) -> Callable[[Path], None]:
    """A config of this text."""
    return lambda folder: (scans(folder), (folder / "small.json").write_text(text))


def with_card(**changes: Any) -> Callable[[Path], None]:
    """A config whose card says something else."""
    return config_of(json.dumps({"id": "small", "card": {**CARD, **changes}, "stages": [STAGE]}))


def odd(name: str, array: np.ndarray) -> Callable[[Path], None]:
    """An odd scan beside the good one."""
    return lambda folder: scans(folder, **{name: array})


class Evil:
    """Leaves a file behind where it is unpickled."""

    def __reduce__(self):
        return (exec, ("open('executed', 'w').close()",))


def checkpoint(write: Callable[[Path], object]) -> Callable[[Path], None]:
    """A training to resume from a checkpoint that `write` leaves."""

    def make(folder: Path) -> None:
        scans(folder)
        (folder / "out" / "stage0").mkdir(parents=True)
        write(folder / "out" / "stage0" / CHECKPOINT_FILE)

    return make


def evil_archive(path: Path) -> None:
    """As torch.save writes it, but with a pickle that would run something."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("checkpoint/data.pkl", pickle.dumps({"version": 1, "step": Evil()}))
        file.writestr("checkpoint/version", "3\n")


def script(path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), str(path))


def packed(path: Path) -> None:
    """A checkpoint whose parts are compressed, as one that grows without end when it is read."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("checkpoint/data.pkl", bytes(10**6))


def cut(path: Path) -> None:
    torch.save({"version": 1, "step": 0}, path)
    path.write_bytes(path.read_bytes()[:-50])


HOLE = np.where(smooth() > 790, np.nan, smooth()).astype(np.float32)
CONFIGS = {
    "no steps": (config(steps=0), "steps is 0"),
    "half a step": (config(steps=0.5), "steps is 0.5"),
    "no step at all": (config(steps=...), "steps"),
    "no losses": (config(losses={}), "losses is empty"),
    "an unknown loss": (config(losses={"l3": 1.0}), "No loss is called l3"),
    "a loss that is no number": (config(losses={"l1": "much"}), "l1 is 'much'"),
    "a batch of nothing": (config(batch=0), "batch is 0"),
    "a patch of two axes": (config(patch=[4, 4]), "patch is a tuple"),
    "a patch larger than the scan": (config(patch=[40, 40, 40]), "smaller than one training patch"),
    "degraded by nothing": (config(degraded=[0, 2, 2]), "degraded is 0"),
    "an unknown optimizer": (config(optimizer="sgd"), "no optimizer is called sgd"),
    "an unknown word": (config(colour=1), "colour"),
    "an unknown network": (config(network="fsrcnn4d"), "did you mean 'fsrcnn3d'"),
    "an endless network": (config(arguments={"features": 10**9}), "cannot be built|more than"),
    "an argument that it has not": (config(arguments={"depth": 9}), "no argument 'depth'"),
    "a protocol that networks would be told of": (config(protocol="thick-told"), "protocol is 'thick-told'"),
    "all patches clean": (config(clean_share=1), "clean_share is 1"),
    "rounds that its card has not": (config(consistency=2), "fewer consistency rounds"),
    "half a config": (config_of("{"), "no training config"),
    "a config that is a list": (config_of("[]"), "no training config"),
    "no number in it": (config_of('{"id": "small", "seed": NaN}'), "no finite number"),
    "no stages": (config_of(json.dumps({"id": "small", "card": CARD, "stages": []})), "no stages"),
    "a card without a title": (with_card(title=""), "title"),
    "a card of an unknown word": (with_card(weights={}), "cannot hold weights"),
}
SCANS = {
    "a scan with holes": (odd("hole", HOLE), "hole.nrrd.*--fill-nonfinite"),
    "a scan all alike": (odd("flat", np.zeros((20, 20, 20), np.float32)), "flat.nrrd"),
    "a scan of one voxel": (odd("dot", np.ones((1, 1, 1), np.float32)), "dot.nrrd"),
    "colors": (odd("color", np.zeros((4, 5, 6, 3), np.uint8)), "color.nrrd"),
    "a broken scan": (lambda f: (scans(f), (f / "scans" / "broken.nrrd").write_bytes(b"no")), "broken.nrrd"),
}
CHECKPOINTS = {
    "cut": (cut, "damaged"),
    "empty": (lambda path: path.write_bytes(b""), "damaged"),
    "zeros": (lambda path: path.write_bytes(bytes(5000)), "damaged"),
    "a pickle that runs": (lambda path: path.write_bytes(pickle.dumps(Evil())), "damaged"),
    "an old kind of file": (
        lambda path: torch.save({"version": 1}, path, _use_new_zipfile_serialization=False),
        "damaged",
    ),
    "an archive that runs": (evil_archive, "damaged"),
    "a script": (script, "damaged"),
    "compressed": (packed, "damaged"),
    "a tensor": (lambda path: torch.save(torch.ones(3), path), "damaged"),
    "of another version": (lambda path: torch.save({"version": 99}, path), "another version"),
    "of another training": (
        lambda path: torch.save({"version": 1, "step": 0, "network": {}}, path),
        "another training",
    ),
}
OPTIONS = {
    "no minutes": ("--minutes 0", "0 minutes is not possible"),
    "minutes below zero": ("--minutes=-1", "-1 minutes is not possible"),
    "minutes that are no number": ("--minutes nan", "nan minutes"),
    "minutes in words": ("--minutes soon", "The minutes 'soon' is no number"),
    "endless minutes": ("--minutes inf", "inf minutes"),
    "a GPU that is not there": ("--device cuda", "no device 'cuda"),
    "an unknown model to start from": ("--start-from edsr9d", "no model called edsr9d"),
    "another model to start from": ("--start-from edsr3d-x2", "other networks"),
    "an output that is a file": ("--output small.json", "cannot be a folder"),
    "an output in a file": ("--output small.json/out", "cannot be a folder"),
    "no volumes": ("--volumes nowhere", "no folder nowhere"),
}
SCORED = {
    "a factor of no parts": (scans, EVALUATE.replace("2", "1.37"), "factors such as"),
    "an unknown model": (scans, EVALUATE + " --model edsr9d", "no model called edsr9d"),
    "rounds beyond reach": (scans, EVALUATE + " --model edsr3d-x2 --consistency 99", "rounds are not possible"),
    "a GPU that is not there": (scans, EVALUATE + " --model edsr3d-x2 --device cuda", "no device 'cuda'"),
    "a file in no folder": (scans, EVALUATE + " --json no/where.json", "folder does not exist"),
    "a folder as the file": (scans, EVALUATE + " --json scans", "folder itself"),
    "the file onto a scan": (scans, EVALUATE + " --json scans/good.nrrd", "overwrite what is read"),
    "gains of a plain method": (scans, EVALUATE + " --model lanczos --save", "no card to write gains into"),
    "nothing but air": (odd("air", np.pad(smooth((3, 3, 3)), (0, 17))), EVALUATE, "air.nrrd has nothing to score"),
    "fewer voxels than the factor": (odd("thin", smooth((1, 20, 20))), EVALUATE, "thin.nrrd has fewer voxels"),
    "no volumes": (scans, EVALUATE.replace("scans", "nowhere"), "nowhere"),
}
CASES = [
    *(Case(f"trained: {name}", make, TRAIN, says=says) for name, (make, says) in {**CONFIGS, **SCANS}.items()),
    *(Case(f"trained: {name}", scans, f"{TRAIN} {more}", says=says) for name, (more, says) in OPTIONS.items()),
    *(
        Case(f"checkpoint: {name}", checkpoint(write), TRAIN + " --resume", says=says)
        for name, (write, says) in CHECKPOINTS.items()
    ),
    *(Case(f"scored: {name}", make, EVALUATE, says=says) for name, (make, says) in SCANS.items()),
    *(Case(f"scored: {name}", make, command, says=says) for name, (make, command, says) in SCORED.items()),
    Case("scored: holes filled", odd("hole", HOLE), EVALUATE + " --fill-nonfinite", DONE, tells="hole.nrrd"),
    Case("scored: beside the scans", scans, EVALUATE + " --json scores.json", DONE, leaves=("scores.json",)),
]
