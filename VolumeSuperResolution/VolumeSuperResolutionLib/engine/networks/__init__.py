"""The published architectures by name. A network knows nothing of tiles, devices, files or modalities."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from ..errors import RefusalError
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
    "srresnet3d": Srresnet3d,
    "dcsrn3d": Dcsrn3d,
    "mdcsrn3d": Mdcsrn3d,
    "rcan3d": Rcan3d,
    "rrdb3d": Rrdb3d,
}


def build(name: str, **arguments: Any) -> Network:
    """A freshly initialized network (from torch's global generator); refuses what cannot be one, or is too large."""
    if name not in NETWORKS:
        close = difflib.get_close_matches(name, NETWORKS, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(NETWORKS)}."
        raise RefusalError(f"No network is called {name!r}; {hint}")
    known = list(inspect.signature(NETWORKS[name]).parameters)
    unknown = [argument for argument in arguments if argument not in known]
    if unknown:
        raise RefusalError(f"The network {name} has no argument {unknown[0]!r}; it has {', '.join(known)}.")
    try:
        with limited():
            return NETWORKS[name](**arguments)
    except RefusalError as refusal:
        raise RefusalError(f"The network {name} {refusal}") from refusal
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        given = ", ".join(f"{argument} {value}" for argument, value in arguments.items())
        reason = f" ({str(error).splitlines()[0][:100]})" if isinstance(error, ValueError) and str(error) else ""
        raise RefusalError(f"The network {name} cannot be built with {given}{reason}; correct that.") from error
