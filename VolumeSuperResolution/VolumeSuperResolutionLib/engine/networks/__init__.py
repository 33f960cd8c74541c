"""The networks by name: the published architectures, and those that a user registers.

A network knows nothing of tiles, devices, files or modalities.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from ..errors import RefusalError
from . import anygrid, combined
from .base import Network
from .cnnil import CnnilDepth, CnnilInPlane
from .dcsrn import Dcsrn3d, Mdcsrn3d
from .edsr import Edsr3d
from .fsrcnn import Fsrcnn3d
from .limits import limited
from .rcan import Rcan3d
from .rrdb import Rrdb3d
from .srcnn import Srcnn2d, Srcnn3d
from .srresnet import Srresnet3d

NETWORKS: dict[str, Callable[..., Network]] = {
    "cnnil_inplane": CnnilInPlane,
    "cnnil_depth": CnnilDepth,
    "srcnn2d": Srcnn2d,
    "srcnn3d": Srcnn3d,
    "fsrcnn3d": Fsrcnn3d,
    "edsr3d": Edsr3d,
    anygrid.NETWORK: anygrid.AnyGrid3d,
    combined.NETWORK: combined.Combined3d,
    "srresnet3d": Srresnet3d,
    "dcsrn3d": Dcsrn3d,
    "mdcsrn3d": Mdcsrn3d,
    "rcan3d": Rcan3d,
    "rrdb3d": Rrdb3d,
}

SHIPPED = frozenset(NETWORKS)


def register(name: str, make: Callable[..., Any]) -> None:
    """Makes a network of the user's known, so that cards can name it: `make` gets the arguments that the card gives.

    It returns any torch module that takes [N, 1, *spatial] to [N, 1, *spatial times factor] and has the attributes of
    a Network: `dimensions` (2 or 3), `factor` (an int for each of them), `on_interpolated`. One that cannot be
    streamed runs in overlapping windows.
    """
    if name in SHIPPED:
        raise ValueError(f"{name} is a network of the library; choose another name")
    NETWORKS[name] = make


def build(name: str, **arguments: Any) -> Network:
    """A freshly initialized network (from torch's global generator); refuses what cannot be one, or is too large."""
    if name not in NETWORKS:
        close = difflib.get_close_matches(name, NETWORKS, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(NETWORKS)}."
        raise RefusalError(f"No network is called {name!r}; {hint}")
    parameters = inspect.signature(NETWORKS[name]).parameters
    anything = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    unknown = [argument for argument in arguments if argument not in parameters]
    if unknown and not anything:
        raise RefusalError(f"The network {name} has no argument {unknown[0]!r}; it has {', '.join(parameters)}.")
    try:
        with limited():
            network = NETWORKS[name](**arguments)
        if name not in SHIPPED:
            _check_attributes(network)
        return network
    except RefusalError as refusal:
        raise RefusalError(f"The network {name} {refusal}") from refusal
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        given = ", ".join(f"{argument} {value}" for argument, value in arguments.items())
        reason = f" ({str(error).splitlines()[0][:100]})" if isinstance(error, ValueError) and str(error) else ""
        raise RefusalError(f"The network {name} cannot be built with {given}{reason}; correct that.") from error


def _check_attributes(network: nn.Module) -> None:
    factor = getattr(network, "factor", None)
    axes = len(factor) if isinstance(factor, (tuple, list)) and all(isinstance(f, int) and f > 0 for f in factor) else 0
    if axes not in (2, 3) or getattr(network, "dimensions", None) != axes:
        raise RefusalError(
            "does not say how it is applied; give it the attributes dimensions (2 or 3) and factor (a whole number for "
            "each of them)."
        )
    if not isinstance(getattr(network, "on_interpolated", None), bool):
        raise RefusalError(
            "does not say whether its input is interpolated first; give it the attribute on_interpolated (True or "
            "False)."
        )
