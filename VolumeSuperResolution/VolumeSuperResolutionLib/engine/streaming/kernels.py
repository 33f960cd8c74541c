"""One convolution, in the form that oneDNN and cuDNN do fastest: the order of its weight, the fused activation.

On a CPU without instructions for it, half precision is computed as a GPU does: from rounded numbers, added up in
float32, and rounded again. So is TF32, which no CPU has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import torch
import torch.nn.functional as F

from .nodes import Activation

_tf32 = ContextVar("_tf32", default=False)


@contextmanager
def tf32(on: bool) -> Iterator[None]:
    """Within it, float32 is multiplied in TF32: by cuDNN where it can, and on the CPU by rounding."""
    token = _tf32.set(on)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=on):
            yield
    finally:
        _tf32.reset(token)


def is_tf32() -> bool:
    """Whether float32 is multiplied in TF32."""
    return _tf32.get()


def rounded(values: torch.Tensor) -> torch.Tensor:
    """Float32 with the 10 bits of TF32 after the leading one."""
    return ((values.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


@cache
def is_native(dtype: torch.dtype) -> bool:
    """Whether oneDNN computes in this half precision with instructions of this CPU; else it is very slow."""
    if dtype != torch.bfloat16:
        return False
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):
        return False


def prepared(weight: torch.Tensor, flat: bool) -> torch.Tensor:
    """The weight in the memory format that is read fastest; without the depth axis if flat."""
    weight = weight.squeeze(2) if flat else weight
    if weight.shape[1] == 1:  # oneDNN reads a single channel in the ordinary order
        return weight.contiguous()
    return weight.contiguous(memory_format=torch.channels_last if flat else torch.channels_last_3d)


def convolve(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    fused: Activation | None = None,
) -> tuple[torch.Tensor, bool]:
    """Convolves [planes, height, width, channels]; says whether `fused` was applied.

    For a kernel one plane deep, the planes are the batch. A deeper one gets a batch of one, whose stride must be that
    of a longer batch: otherwise torch does not recognize channels-last.
    """
    if x.device.type == "cpu" and x.dtype in (torch.bfloat16, torch.float16) and not is_native(x.dtype):
        bias = None if bias is None else bias.float()
        out, done = convolve(x.float(), weight.float(), bias, padding, dilation, fused)
        return out.to(x.dtype), done
    if x.device.type == "cpu" and x.dtype == torch.float32 and is_tf32():
        x, weight = rounded(x), rounded(weight)
    flat = weight.dim() == 4
    view = x.permute(0, 3, 1, 2) if flat else x.unsqueeze(0).permute(0, 4, 1, 2, 3)
    padding, dilation = (padding[1:], dilation[1:]) if flat else (padding, dilation)
    fast = x.device.type == "cpu" and x.dtype == torch.float32 and can_fuse()
    if fast:
        out = _fused_convolution(view, weight, bias, padding, dilation, fused or ("none", ()))
    else:
        out = (F.conv2d if flat else F.conv3d)(view, weight, bias, 1, padding, dilation)
    out = out.permute(0, 2, 3, 1) if flat else out.permute(0, 2, 3, 4, 1)[0]
    return out.contiguous(), fast and fused is not None


def _fused_convolution(
    view: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    padding: Sequence[int],
    dilation: Sequence[int],
    activation: Activation,
) -> torch.Tensor:
    name, numbers = activation
    return torch.ops.mkldnn._convolution_pointwise(
        view, weight, bias, list(padding), [1] * len(padding), list(dilation), 1, name, list(numbers), ""
    )


@cache
def can_fuse() -> bool:
    """Whether torch has oneDNN's convolution with a fused activation: a private function, which may change."""
    x, weight, bias = torch.rand(2, 3, 4, 5, 6) - 0.5, torch.rand(2, 3, 3, 3, 3) - 0.5, torch.rand(2)
    known: dict[Activation, Callable[[torch.Tensor], torch.Tensor]] = {
        ("none", ()): lambda y: y,
        ("relu", ()): F.relu,
        ("leaky_relu", (0.2,)): lambda y: F.leaky_relu(y, 0.2),
    }
    try:
        for activation, plain in known.items():
            for axes, convolution in ((3, F.conv3d), (2, F.conv2d)):
                view, kernel = (x, weight) if axes == 3 else (x[..., 0], weight[..., 0])
                out = _fused_convolution(view, kernel, bias, [1] * axes, [1] * axes, activation)
                if not torch.allclose(out, plain(convolution(view, kernel, bias, padding=1)), atol=1e-4):
                    return False
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True
