"""From a network to the operations of a stream, by torch.fx."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Callable

import torch
import torch.nn.functional as F
from torch import fx, nn

from ..networks.base import Convolution, Network
from ..networks.fsrcnn import CroppedTransposedConv
from ..networks.noise import Noise
from ..networks.shuffle import VoxelShuffle
from .build import At, Builder, UnstreamableError, pruned
from .nodes import Concat, Gate, Linear, Nearest, Node, Phases, Pointwise, Pool, Product, Sum


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        own = isinstance(m, (VoxelShuffle, CroppedTransposedConv, Noise))
        return own or super().is_leaf_module(m, module_qualified_name)


def traced(network: Network) -> list[Node]:
    """The operations in the order they run; the first is the source, the last is the output."""
    training = {module: module.training for module in network.modules()}
    network.eval()
    try:
        graph = _Tracer().trace(network)
    except (fx.proxy.TraceError, TypeError, RuntimeError) as error:
        raise UnstreamableError(f"The network {type(network).__name__} cannot be traced: {error}") from error
    finally:
        for module, mode in training.items():
            module.training = mode
    graph = fx.GraphModule(network, graph).graph
    graph.eliminate_dead_code()
    with torch.no_grad():
        return pruned(_built(network, graph))


def _built(network: Network, graph: fx.Graph) -> list[Node]:
    builder = Builder(network)
    modules = dict(network.named_modules())
    where: dict[fx.Node, Any] = {}  # an operation's index, or a number
    for node in graph.nodes:
        args = fx.node.map_arg(node.args, where.__getitem__)
        kwargs = fx.node.map_arg(node.kwargs, where.__getitem__)
        if node.op == "output":
            builder.finish(args[0])
            break
        if node.op == "placeholder":
            where[node] = builder.source()
        elif node.op == "get_attr":
            where[node] = builder.number(node.target)
        elif node.op == "call_module":
            module = modules[node.target]
            where[node] = _handler(builder, MODULES, type(module))(builder, module, *args, **kwargs)
        else:
            where[node] = _handler(builder, FUNCTIONS, node.target)(builder, *args, **kwargs)
        if isinstance(where[node], At):
            builder.uses[where[node]] = len(node.users)
    return builder.nodes


def _handler(builder: Builder, table: dict[Any, Callable[..., At]], key: Any) -> Callable[..., At]:
    if key not in table:
        name = getattr(key, "__name__", str(key))
        raise builder.refuse(f"it uses {name}, whose result may depend on the whole volume")
    return table[key]


def _conv(builder: Builder, module: Convolution, at: At) -> At:
    if module.groups != 1 or any(s != 1 for s in module.stride) or module.padding_mode != "zeros":
        raise builder.refuse("a convolution has strides, groups or other padding than zeros")
    spans = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size)]
    if module.padding == "same":
        before, growth = [span // 2 for span in spans], [0] * len(spans)
    else:
        # the only other word is "valid"
        before = [0] * len(spans) if isinstance(module.padding, str) else list(module.padding)
        growth = [2 * b - span for b, span in zip(before, spans)]
    return builder.convolution(at, module.weight, module.bias, before, growth, module.dilation)


def _transposed(builder: Builder, module: nn.ConvTranspose2d | nn.ConvTranspose3d, at: At) -> At:
    """A convolution to the phases of the stride, then a shuffle: the same sum."""
    kernel, stride = module.kernel_size, module.stride
    if module.groups != 1 or any(d != 1 for d in module.dilation) or any(k < s for k, s in zip(kernel, stride)):
        raise builder.refuse("a transposed convolution has groups, dilation or gaps")
    assert not isinstance(module.padding, str)
    weight = module.weight.transpose(0, 1)
    before, growth, last = [], [], []
    for axis, (k, s, pad, extra) in enumerate(zip(kernel, stride, module.padding, module.output_padding)):
        # output s * block + phase takes the input block + offset by the tap phase + pad - s * offset
        offsets = range(-((k - 1 - pad) // s), (s - 1 + pad) // s + 1)
        taps = torch.tensor([[phase + pad - s * offset for offset in offsets] for phase in range(s)])
        taps = torch.where((taps < 0) | (taps >= k), k, taps).flatten().to(weight.device)
        weight = torch.cat([weight, torch.zeros_like(weight.narrow(2 + axis, 0, 1))], 2 + axis)  # tap k: no tap
        weight = weight.index_select(2 + axis, taps)
        before.append(-offsets[0])
        longer = k - s - 2 * pad + extra  # the output is s times the input, and this
        growth.append(-(-longer // s))
        last.append(growth[-1] * s - longer)
    axes = len(stride)
    split = [n for s, length in zip(stride, weight.shape[2:]) for n in (s, length // s)]
    order = [0, *(2 + 2 * a for a in range(axes)), 1, *(3 + 2 * a for a in range(axes))]
    weight = weight.reshape(*weight.shape[:2], *split).permute(order).flatten(0, axes)
    bias = module.bias
    if bias is not None:
        bias = bias.repeat_interleave(weight.shape[0] // bias.shape[0])
    at = builder.convolution(at, weight, bias, before, growth, [1] * axes)
    return builder.crop(builder.shuffle(at, stride), [0] * axes, last)


def _cropped(builder: Builder, module: CroppedTransposedConv, at: At) -> At:
    weight, bias, padding = module.as_convolution()
    at = builder.convolution(at, weight, bias, padding, [0] * len(padding), [1] * len(padding))
    return builder.shuffle(at, module.stride)


def _noise(builder: Builder, module: Noise, at: At) -> At:
    first = len(builder.nodes)
    difference, mean = module.kernels()
    around = ([1] * 3, [0] * 3, [1] * 3)
    energy = builder.pointwise(builder.convolution(at, difference, None, *around), Pointwise(module.energy))
    presence = builder.pointwise(builder.convolution(energy, mean, None, *around), Pointwise(module.presence))
    phases = builder.add(Phases([at], module))
    result = builder.shuffle(_product(builder, phases, presence), module.factor)
    for node in builder.nodes[first:]:
        node.precise = True  # it lives on the last digits, and in half precision flat areas would get some
    return result


def _batch_norm(builder: Builder, module: nn.BatchNorm2d | nn.BatchNorm3d, at: At) -> At:
    if module.running_mean is None or module.running_var is None:
        raise builder.refuse("a batch normalization has no trained statistics")
    factor = (module.running_var + module.eps).rsqrt()
    factor = factor if module.weight is None else factor * module.weight
    offset = -module.running_mean * factor
    return builder.scale(at, factor.detach(), (offset if module.bias is None else offset + module.bias).detach())


def _upsample(
    builder: Builder,
    at: At,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> At:
    linear = {2: "bilinear", 3: "trilinear"}[builder.axes]
    if size is not None or scale_factor is None or mode not in ("nearest", linear) or align_corners or antialias:
        raise builder.refuse(f"it interpolates by {mode} to a size or with aligned corners, not by a whole factor")
    factor = builder.per_axis(scale_factor, 1)
    if factor == (1, 1, 1):
        return at
    return builder.add((Nearest if mode == "nearest" else Linear)([at], builder.channels(at), factor))


def _total(builder: Builder, first: Any, second: Any, sign: int = 1) -> At:
    if isinstance(first, At) and isinstance(second, At):
        return builder.add(Sum([first, second], builder.channels(first), [1, sign]))
    if isinstance(first, At):
        return builder.pointwise(first, Pointwise(lambda y: y.add_(sign * second)))
    return builder.pointwise(second, Pointwise(lambda y: y.mul_(sign).add_(first)))


def _difference(builder: Builder, first: Any, second: Any) -> At:
    return _total(builder, first, second, -1)


def _product(builder: Builder, first: Any, second: Any) -> At:
    if isinstance(first, At) and isinstance(second, At):
        volume, factor = (second, first) if first in builder.pooled else (first, second)
        if volume not in builder.pooled and factor in builder.pooled:
            return builder.add(Gate([volume, factor], builder.channels(volume)))
        factor, volume = sorted((first, second), key=builder.channels)
        return builder.add(Product([volume, factor], builder.channels(volume)))
    return builder.times(first, second) if isinstance(first, At) else builder.times(second, first)


def _pool(builder: Builder, module: nn.AdaptiveAvgPool3d, at: At) -> At:
    size = module.output_size
    if any(n != 1 for n in (size if isinstance(size, (tuple, list)) else (size,))):
        raise builder.refuse("it pools to more than one voxel")
    return builder.add(Pool([at], builder.channels(at)))


def _quotient(builder: Builder, first: Any, second: Any) -> At:
    if isinstance(second, At):
        raise builder.refuse("it divides by a volume")
    return builder.times(first, 1.0 / second)


def _concat(builder: Builder, tensors: Sequence[At], dim: int = 0) -> At:
    if dim != 1:
        raise builder.refuse("it joins volumes along another axis than the channels")
    return builder.add(Concat(list(tensors), sum(builder.channels(t) for t in tensors)))


def _slices(builder: Builder, at: At, index: Any) -> At:
    """Crops the axes, as in y[:, :, :-1]."""
    index = index if isinstance(index, tuple) else (index,)
    wrong = builder.refuse("it takes a part of a volume other than y[:, :, first:-last]")
    if len(index) > 2 + builder.axes or any(not isinstance(i, slice) or i.step not in (None, 1) for i in index):
        raise wrong
    first, last = [i.start or 0 for i in index], [-(i.stop or 0) for i in index]
    if min(first + last) < 0 or any(first[:2] + last[:2]):
        raise wrong
    missing = [0] * (2 + builder.axes - len(index))
    return builder.crop(at, first[2:] + missing, last[2:] + missing)


def _relu(builder: Builder, at: At, inplace: bool = False) -> At:
    return builder.pointwise(at, Pointwise(torch.relu_, ("relu", ())))


def _leaky_relu(builder: Builder, at: At, negative_slope: float = 0.01, inplace: bool = False) -> At:
    fused = ("leaky_relu", (negative_slope,))
    return builder.pointwise(at, Pointwise(lambda y: F.leaky_relu_(y, negative_slope), fused))


def _elu(builder: Builder, at: At, alpha: float = 1.0, inplace: bool = False) -> At:
    return builder.pointwise(at, Pointwise(lambda y: F.elu_(y, alpha)))


def _sigmoid(builder: Builder, at: At) -> At:
    return builder.pointwise(at, Pointwise(torch.sigmoid_))


def _same(builder: Builder, at: At, *_: Any, **__: Any) -> At:
    return at


MODULES: dict[type, Callable[..., At]] = {
    nn.Conv2d: _conv,
    nn.Conv3d: _conv,
    nn.ConvTranspose2d: _transposed,
    nn.ConvTranspose3d: _transposed,
    CroppedTransposedConv: _cropped,
    Noise: _noise,
    VoxelShuffle: lambda builder, module, at: builder.shuffle(at, module.factor),
    nn.PixelShuffle: lambda builder, module, at: builder.shuffle(at, (module.upscale_factor,) * 2),
    nn.AdaptiveAvgPool3d: _pool,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm3d: _batch_norm,
    nn.ReLU: lambda builder, module, at: _relu(builder, at),
    nn.LeakyReLU: lambda builder, module, at: _leaky_relu(builder, at, module.negative_slope),
    nn.ELU: lambda builder, module, at: _elu(builder, at, module.alpha),
    nn.Sigmoid: lambda builder, module, at: _sigmoid(builder, at),
    nn.Upsample: lambda builder, module, at: _upsample(
        builder, at, module.size, module.scale_factor, module.mode, module.align_corners
    ),
    nn.Identity: lambda builder, module, at: at,
    nn.Dropout: lambda builder, module, at: at,
    nn.Dropout2d: lambda builder, module, at: at,
    nn.Dropout3d: lambda builder, module, at: at,
}
FUNCTIONS: dict[Any, Callable[..., At]] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), _total),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, "sub", "sub_"), _difference),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, "mul", "mul_"), _product),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, "div", "div_"), _quotient),
    operator.neg: lambda builder, at: builder.times(at, -1.0),
    operator.getitem: _slices,
    **dict.fromkeys((torch.cat, torch.concat), _concat),
    **dict.fromkeys((F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_"), _relu),
    **dict.fromkeys((F.leaky_relu, F.leaky_relu_), _leaky_relu),
    **dict.fromkeys((F.elu, F.elu_), _elu),
    **dict.fromkeys((torch.sigmoid, F.sigmoid, "sigmoid"), _sigmoid),
    F.interpolate: _upsample,
    **dict.fromkeys((F.dropout, F.dropout2d, F.dropout3d, "contiguous"), _same),
}
