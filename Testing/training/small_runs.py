"""Training runs of a few steps, and what the tests look at afterwards."""

import json

import numpy as np
import torch
from VolumeSuperResolutionLib.training import configs, features, loop
from VolumeSuperResolutionLib.training.checkpoints import read_checkpoint


def config_file(folder, *stages, factor=(2, 2, 2), **changes):
    values = {
        "id": "small",
        "card": {"title": "Small", "summary": "For a test.", "factor": list(factor)},
        "stages": [{**stage, **changes} for stage in stages],
    }
    path = folder / "small.json"
    path.write_text(json.dumps(values))
    return path


def weights(folder, stage=0, kind="network"):
    return read_checkpoint(folder / f"stage{stage}")[kind]


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def begun(config, volumes, folder, done, steps):
    """The first so many steps of a run of one stage, saved as if it had been stopped then."""
    recipe = configs.read(config)
    scans, held_out = loop.read_volumes(volumes)
    work = loop.Workplace(folder / "stage0", torch.device("cpu"))
    trainer = loop.Trainer(recipe.stages[0], recipe.seed, scans, held_out, work)
    for _ in range(done):
        trainer.train_step()
        trainer.done = trainer.step / steps
    trainer.save()


def check_that_a_resumed_run_is_the_whole(config, volumes, folder, done, steps):
    """One in one go, in the folder whole/, and one that was stopped after so many steps have the same weights."""
    loop.train(config, volumes, folder / "whole")
    begun(config, volumes, folder / "halves", done, steps)
    loop.train(config, volumes, folder / "halves", resume=True)
    for kind in ("network", "ema"):
        assert equal(weights(folder / "halves", kind=kind), weights(folder / "whole", kind=kind))


def checkpoint_of_vgg16():
    """What the source package holds of VGG16, with random numbers."""
    random = np.random.default_rng(0)
    layers, channels, number = {}, 3, 0
    for widths in features.BLOCKS:
        for width in widths:
            kernel = random.standard_normal((3, 3, channels, width), np.float32) * np.float32((2 / 9 / channels) ** 0.5)
            layers[f"Conv_{number}"] = {"kernel": kernel, "bias": np.zeros(width, np.float32)}
            channels, number = width, number + 1
    linear = {
        f"NetLinLayer_{n}": {"Conv_0": {"kernel": random.random((1, 1, widths[-1], 1), np.float32)}}
        for n, widths in enumerate(features.BLOCKS)
    }
    return {"VGG16_0": layers, **linear}
