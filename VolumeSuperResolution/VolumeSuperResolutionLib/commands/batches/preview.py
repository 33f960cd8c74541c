"""What a batch would do: the scans, the sizes of their results, the time. Nothing is computed or written."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from ...engine import checks
from ...engine.request import MEGA, describe_grid
from ...engine.volumes import files
from .. import ending
from .finding import Scan
from .line import duration
from .work import KNOWN, Outcome, Place, check_derived

# Of a pixel in a DICOM series, and of what is said beside those of each image, about.
STORED_BYTES, SAID_BYTES = 2, 2000


def tell(scans: Iterable[Scan], before: dict[str, Outcome], place: Place, workers: int, as_json: bool) -> int:
    """Print a line for each scan and one for all; the status is that of the first reason why one would not be done."""
    codes: list[int] = []
    todo, settled, disk, seconds = 0, 0, 0, 0.0
    for scan in scans:
        known = before.get(scan.name)
        values: dict[str, object] = {"file": scan.name, "result": scan.target}
        if known is not None and known.status == KNOWN:
            settled += 1
            line = "is done already"
        elif known is not None:
            codes.append(known.code)
            line = f"failed before, and is left as it is without --retry: {known.sentence}"
        else:
            try:
                check_derived(place, scan)
                grid, dtype = files.look(scan.path, scan.series)
                need = checks.estimate(grid, dtype, place.request)
            except Exception as error:
                code, line = ending.told(error)
                codes.append(code)
            else:
                voxels = math.prod(need.size)
                own = voxels * STORED_BYTES + need.size[2] * SAID_BYTES if scan.derived else need.output_bytes
                size = own + need.map_bytes
                todo, disk, seconds = todo + 1, disk + size, seconds + need.seconds
                line = f"{describe_grid(grid.size, grid.spacing)} -> {describe_grid(need.size, need.spacing)}"
                line += f", as a DICOM series in {scan.target}" if scan.derived else ""
                line += f", with {len(scan.segmentations)} segmentations" if scan.segmentations else ""
                line += f", {size / MEGA:.3g} MB" + (f", about {duration(need.seconds)}" if need.seconds else "")
                values.update(bytes=size, seconds=need.seconds)
        print(json.dumps({**values, "note": line}) if as_json else f"{scan.name}: {line}")
    if not as_json:
        time = f", about {duration(seconds / workers)} on the CPUs the models were measured on" if seconds else ""
        print(
            f"{todo} to do, {settled} done already, {len(codes)} that would not be done; up to {disk / MEGA:.3g} MB "
            f"({_free(place.output) / MEGA:.0f} MB are free){time}"
        )
    return min(codes, default=ending.DONE)


def _free(folder: Path) -> int:
    """The room on the disk that a folder, perhaps one that is not there yet, is on."""
    place = Path(os.path.abspath(folder))
    while not place.is_dir():
        place = place.parent
    return shutil.disk_usage(place).free
