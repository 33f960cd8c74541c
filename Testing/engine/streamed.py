"""Streams run in tests: what they give, read and hold, and whether they go on where they were broken off."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch import nn
from VolumeSuperResolutionLib.engine.streaming.stream import Stream

torch.set_num_threads(1)
CLOSE = 1e-5
thorough = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SHAPES = st.tuples(st.integers(1, 13), st.integers(1, 12), st.integers(1, 11))


def run(stream, array, box, thickness, chunk_bytes=1 << 62, seen=None, first=None, blocks=None):
    """A box of the output; what is computed twice or left out shows as NaN."""
    out = np.full([high - low for low, high in box], np.nan, dtype=np.float32)

    def read(ranges):
        if seen is not None:
            seen.append(ranges)
        return torch.from_numpy(array[tuple(slice(*r) for r in ranges)].copy()).unsqueeze(3)

    with torch.inference_mode():
        for item in stream.run(read, array.shape, box, thickness, chunk_bytes, first):
            if item is not None:
                (low, high), block = item
                if blocks is not None:
                    blocks.append(low)
                place = out[low - box[0][0] : high - box[0][0]]
                assert np.isnan(place).all()
                place[:] = block[..., 0].numpy()
    return out


def box_of(size):
    return tuple((0, n) for n in size)


def check_going_on(network, array, thickness, chunk_bytes, data):
    """From any of its blocks on, a run is bit for bit what the whole one is, and reads little more than it needs."""
    stream, blocks, seen = Stream(network), [], []
    size = stream.sizes(array.shape)[-1]
    low = data.draw(st.integers(0, size[1] - 1), "row")
    box = ((0, size[0]), (low, size[1]), (0, size[2]))
    truth = run(stream, array, box, thickness, chunk_bytes, blocks=blocks)
    first = data.draw(st.sampled_from(blocks), "first")
    out = run(stream, array, box, thickness, chunk_bytes, seen, first)
    assert np.isnan(out[:first]).all() and out[first:].tobytes() == truth[first:].tobytes()
    needed = stream.needs(array.shape, ((first, size[0]), *box[1:]))[0][0][0]
    begins = min(planes[0] for planes, *_ in seen)
    assert begins <= needed
    assert begins >= needed - len(stream.nodes) * thickness or not stream.local  # a block a layer, at the most


class Parts(nn.Module):
    """Whatever a network of dimensions 2 or 3 is put together from."""

    def __init__(self, dimensions, forward, **modules):
        super().__init__()
        self.dimensions = dimensions
        self.function = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.function(self, x)
