"""How large a network may be: looked at while it is built, so that one of billions of numbers never is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ..errors import RefusalError

# Five times the largest published network that is known here; 1 GB in float32.
MOST_PARAMETERS = 250_000_000
MOST_TENSORS = 4_000


@contextmanager
def limited() -> Iterator[None]:
    """Within, networks that exceed the limits are refused as soon as they do."""
    tensors = parameters = 0

    def count(module: nn.Module, name: str, parameter: torch.Tensor | None) -> None:
        nonlocal tensors, parameters
        if parameter is not None:
            tensors += 1
            parameters += parameter.numel()
            if not parameter.numel():
                raise RefusalError("would have a layer without features; choose a larger one.")
        if tensors > MOST_TENSORS or parameters > MOST_PARAMETERS:
            raise RefusalError(
                f"would have more than {MOST_PARAMETERS} parameters, or {MOST_TENSORS} layers; choose a smaller one."
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
