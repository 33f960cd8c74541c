"""A plain mistake is told in a plain sentence"""

from __future__ import annotations

from hostile.language import DONE, UPSCALE, Case
from hostile.makers import nothing, scan

CASES = [
    Case("no such file", nothing, says="no file or folder"),
    Case("not a volume", lambda folder: (folder / "scan.nrrd").write_bytes(b"NRRD0004\nno"), says="cannot be read"),
    Case("a factor of zero", scan, UPSCALE.replace("--scale 2", "--scale 0"), says="above zero"),
    Case("nothing is wrong", scan, status=DONE, leaves=("out.nrrd",)),
]
