"""BIDS data sets: which images are scans, what their results are called, and what is said of them.

The results are a derivative data set of its own (https://bids-specification.readthedocs.io, derivatives): its
description names this program, each image keeps its entities and gets one for what was done, and stands beside a JSON
file that begins with what the source says of itself.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ... import __version__
from ...engine.errors import RefusalError
from ...engine.request import NOTICE, Report, Request, describe_grid
from ...engine.volumes import MAKER
from .. import outputs
from . import manifest

DESCRIPTION = "dataset_description.json"
VERSION = "1.10.0"
CODE = "https://github.com/VolumeSuperResolution/VolumeSuperResolution"
NAME = re.compile(
    r"(?P<entities>sub-[A-Za-z0-9]+(?:_[a-z]+-[A-Za-z0-9+]+)*)_(?P<suffix>[A-Za-z0-9]+)(?P<ending>\.nii(?:\.gz)?)"
)
# Only images in these folders are taken where nothing else is asked for: others are series of volumes.
FOLDERS = ("anat",)
NO_SCANS = ("dseg", "probseg", "mask", "defacemask")
LABEL = "sr"
# What a source says of its grid, and is no longer true of a finer one.
OF_THE_GRID = ("SliceThickness", "SpacingBetweenSlices", "SliceTiming", "NumberOfSlices", "Resolution")
# What differs from run to run and from machine to machine, and says nothing of the result.
OF_THE_RUN = ("seconds", "peak_memory_mb", "gpu_memory_mb", "tiles")


def read_description(folder: Path) -> dict[str, Any] | None:
    """What the data set in a folder says of itself; None where it is none."""
    path = folder / DESCRIPTION
    if not path.is_file() or not any(folder.glob("sub-*")):
        return None
    described = read_json(path)
    if described is None:
        raise RefusalError(f"{path} cannot be read, so what this data set is stays unclear; mend it, or take it away.")
    return described if "BIDSVersion" in described else None


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where there is none that can be read."""
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def is_scan(name: str, everywhere: bool) -> bool:
    """Whether a path within a data set is that of a scan; `everywhere`: in whatever folder."""
    match = NAME.fullmatch(name.rpartition("/")[2])
    placed = everywhere or name.split("/")[-2:-1] in [[folder] for folder in FOLDERS]
    return bool(match) and placed and (everywhere or match["suffix"] not in NO_SCANS)


def result_name(name: str, what: str = "") -> str:
    """What the result of a scan is called, or a map beside it."""
    folder, slash, file = name.rpartition("/")
    match = NAME.fullmatch(file)
    assert match is not None
    entities, label = match["entities"], LABEL + what.capitalize()
    head, described, earlier = entities.partition("_desc-")
    if described:
        label = earlier + label[:1].upper() + label[1:]
    return f"{folder}{slash}{head}_desc-{label}_{match['suffix']}{match['ending']}"


def beside(image: Path) -> Path:
    """The file with what is said of an image."""
    return image.with_name(image.name[: image.name.rindex(".nii")] + ".json")


def describe(source: Path, described: Mapping[str, Any], output: Path) -> dict[str, Any]:
    """What the results' data set says of itself."""
    origin: dict[str, str] = {}
    if described.get("DatasetDOI"):
        origin["DOI"] = str(described["DatasetDOI"])
    values = {
        "Name": f"{described.get('Name') or source.name}, super-resolved",
        "BIDSVersion": VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": MAKER, "Version": __version__, "CodeURL": CODE, "Description": NOTICE}],
        "SourceDatasets": [{**origin, "URL": _link(source, output)}],
        "DatasetLinks": {_key(described): _link(source, output)},
    }
    return {**values, **{key: described[key] for key in ("License", "Authors") if key in described}}


def prepare(source: Path, described: Mapping[str, Any], output: Path) -> None:
    """Make the results' folder a data set; one that holds another is refused."""
    path = output / DESCRIPTION
    if path.exists():
        makers = (read_json(path) or {}).get("GeneratedBy")
        names = [maker.get("Name") for maker in makers if isinstance(maker, dict)] if isinstance(makers, list) else []
        if MAKER not in names:
            raise RefusalError(f"{output} holds another data set already; give the results a folder of their own.")
        return
    outputs.write_text(path, json.dumps(describe(source, described, output), indent=2) + "\n")
    outputs.write_text(output / ".bidsignore", f"{manifest.FILE}\n")


def sidecar(
    root: Path, name: str, described: Mapping[str, Any], request: Request, models: Mapping[str, str], report: Report
) -> tuple[dict[str, Any], list[str]]:
    """What is said of a result, and notes on what could not be read of its source."""
    source, notes = _inherited(root, name)
    sizes = f"{describe_grid(report.input_size, report.input_spacing)} -> "
    sizes += describe_grid(report.output_size, report.output_spacing)
    told = {key: value for key, value in report.to_dict().items() if key not in OF_THE_RUN}
    return {
        **{key: value for key, value in source.items() if key not in OF_THE_GRID},
        "Description": f"Super-resolved by {report.title} ({report.model}). {NOTICE}",
        "Sources": [f"bids:{_key(described)}:{name}"],
        "SkullStripped": bool(source.get("SkullStripped", False)),
        "Resolution": sizes,
        MAKER: {"Version": __version__, "Request": request.to_dict(), "Models": dict(models), "Report": told},
    }, notes


def labels_sidecar(root: Path, name: str, described: Mapping[str, Any], labels: Path) -> dict[str, Any]:
    """What is said of labels that were carried to the grid of a scan's result."""
    key = _key(described)
    try:
        source = f"bids:{key}:{labels.relative_to(root).as_posix()}"
    except ValueError:  # of another data set
        source = labels.as_uri()
    return {
        "Description": f"Labels on the grid of the super-resolved image. {NOTICE}",
        "Sources": [source, f"bids:{key}:{name}"],
        MAKER: {"Version": __version__},
    }


def _key(described: Mapping[str, Any]) -> str:
    """What the results call the data set that they were made from."""
    return "source" if described.get("DatasetType") == "derivative" else "raw"


def _link(source: Path, output: Path) -> str:
    with suppress(ValueError):  # on another drive
        return Path(os.path.relpath(source, output)).as_posix()
    return source.as_uri()


def _inherited(root: Path, name: str) -> tuple[dict[str, Any], list[str]]:
    """What JSON files say of an image, those nearer to it over those further up; and what could not be read."""
    match = NAME.fullmatch(name.rpartition("/")[2])
    assert match is not None
    own, suffix = set(match["entities"].split("_")), match["suffix"]
    found: dict[str, Any] = {}
    notes = []
    folders = [root.joinpath(*name.split("/")[:depth]) for depth in range(name.count("/") + 1)]
    for folder in folders:
        fitting = []
        for path in folder.glob(f"*{suffix}.json"):
            *entities, last = path.name[: -len(".json")].split("_")
            if last == suffix and set(entities) <= own:
                fitting.append((len(entities), path))
        for _, path in sorted(fitting):
            values = read_json(path)
            if values is None:
                notes.append(f"{path.name} beside the scan cannot be read, so what it says is missing in the result's.")
            else:
                found.update(values)
    return found, notes
