"""Options that commands share: those of a request are made from its fields."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..engine.models.automatic import AUTOMATIC
from ..engine.request import Option, Request, options
from .parser import reader


def add_request(parser: argparse.ArgumentParser) -> None:
    """An option for every field of a request that has one, and how the report is shown."""
    target = parser.add_mutually_exclusive_group(required=True)
    for name, option in options().items():
        _add(target if option.target else parser, name, option)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    add_quiet(parser)


def add_fields(parser: argparse.ArgumentParser, kind: type) -> None:
    """An option for every field of a kind of request that has one."""
    for name, option in options(kind).items():
        _add(parser, name, option, kind)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Where a command computes."""
    _add(parser, "device", options()["device"])


def add_series(parser: argparse.ArgumentParser) -> None:
    """Which of several series in a folder of DICOM slices."""
    parser.add_argument(
        "--series", metavar="UID|N[:M]", help="of a folder with several DICOM series: which one, and which time of it"
    )


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Every command that tells what it does can be told not to."""
    parser.add_argument("--quiet", action="store_true", help="no progress and no report")


def add_volumes(parser: argparse.ArgumentParser) -> None:
    """A folder of sharp volumes."""
    parser.add_argument("--volumes", type=Path, required=True, metavar="FOLDER", help="NIfTI, NRRD or MetaImage files")


def add_fill(parser: argparse.ArgumentParser) -> None:
    """What becomes of values that are not numbers."""
    _add(parser, "fill_nonfinite", options()["fill_nonfinite"])


def request_from(given: argparse.Namespace, kind: type = Request) -> Any:
    """The request that a command line makes."""
    return kind(**{name: getattr(given, name) for name in options(kind)})


def _add(parser: Any, name: str, option: Option, kind: type = Request) -> None:
    automatic = (kind, name) == (Request, "model")
    default = AUTOMATIC if automatic else next(f.default for f in fields(kind) if f.name == name)
    flag = "--" + name.replace("_", "-")
    if isinstance(default, bool):
        parser.add_argument(flag, action="store_true", help=option.help)
    elif option.choices:
        parser.add_argument(flag, choices=option.choices, default=default, help=option.help)
    else:
        parser.add_argument(
            flag,
            type=reader(name, option.parse, option.example),
            metavar=option.example,
            default=default,
            help=option.help,
        )
