"""What cannot be asked for is refused in one sentence, before any work"""

from __future__ import annotations

import numpy as np

from hostile.language import DONE, Case
from hostile.makers import ramp, scan


def asked(options: str, model: str = "linear") -> str:
    """An upscaling with these options."""
    return f"upscale scan.nrrd out.nrrd --quiet --model {model} {options}"


def values(*odd: float, dtype: type = np.float32):
    """A scan of whole numbers in which the first voxels are others."""

    def make(folder) -> None:
        array = np.arange(210, dtype=dtype).reshape(5, 6, 7) ** 2 % 97
        array.reshape(-1)[: len(odd)] = odd
        scan(folder, array=array)

    return make


REFUSALS = {
    "no command": ("", "COMMAND"),
    "an unknown command": ("upscal scan.nrrd out.nrrd", "There is no command 'upscal'; but there is upscale"),
    "no target": (asked(""), "One of --scale --spacing --isotropic"),
    "two targets": (asked("--scale 2 --isotropic"), "exclude each other"),
    "no output": ("upscale scan.nrrd --model linear --scale 2", "missing: OUT"),
    "an unknown option": (asked("--scale 2 --sharp"), "no option or place for --sharp"),
    "an option without a value": (asked("--scale"), "--scale expects one argument"),
    "an unknown device": (asked("--scale 2 --device rocket"), "no --device 'rocket'; choose from auto, cpu, cuda, mps"),
    "a device mistyped": (asked("--scale 2 --device cud"), "but there is cuda"),
    "a scale in words": (asked("--scale x"), "The scale 'x' is no number, nor three of them"),
    "a scale for two axes": (asked("--scale 1,2"), "neither one number nor three"),
    "a scale of nothing": (asked("--scale ''"), "is no number"),
    "a scale of zero": (asked("--scale 0"), "above zero"),
    "a scale that is no number": (asked("--scale nan"), "above zero"),
    "an endless scale": (asked("--scale inf"), "above zero"),
    "a scale out of reach": (asked("--scale 17"), "out of reach"),
    "a spacing below zero": (asked("--spacing=-1"), "above zero"),
    "a spacing too fine": (asked("--spacing 0.001"), "out of reach"),
    "a region in words": (asked("--scale 2 --region all"), "three pairs"),
    "a region upside down": (asked("--scale 2 --region 3:1,0:2,0:2"), "empty or outside"),
    "half a round": (asked("--scale 2 --consistency 0.5"), "is no whole number"),
    "rounds below zero": (asked("--scale 2 --consistency=-1"), "rounds are not possible"),
    "memory of nothing": (asked("--scale 2 --memory-mb 0"), "memory budget"),
    "realism of a plain method": (asked("--scale 2 --realism 0.5"), "no faithful counterpart"),
    "realism that is no number": (asked("--scale 2 --realism nan", "edsr3d-x2-perceptual"), "0 .faithful. to 1"),
    "uncertainty of a plain method": (asked("--scale 2 --uncertainty"), "no uncertainty map"),
    "an interval that was not measured": (asked("--scale 2 --interval", "nearest"), "No interval was measured for"),
    "a model of another factor": (asked("--scale 9", "edsr3d-x4"), "scales by 4 x 4 x 4"),
    "an answer that is none": (asked("--scale 2 --label-map perhaps"), "neither auto, yes nor no"),
    "a model mistyped": (asked("--scale 2", "lanzcos"), "did you mean lanczos"),
    "a model like no other": (asked("--scale 2", "xyzzy"), "no model called xyzzy; choose one of those"),
    "a model of no name": (asked("--scale 2", "''"), "no model called"),
    "a model of a long name": (asked("--scale 2", "a" * 5000), "no model called"),
    "a model of control characters": (asked("--scale 2", "'\x1b[31m\x00'"), "no model called"),
    "a model elsewhere": (asked("--scale 2", "../../etc"), "no model called"),
    "a thickness of nothing": (asked("--scale 2 --slice-thickness 0"), "slice thickness of 0 mm is not possible"),
    "a thickness below zero": (asked("--scale 2 --slice-thickness=-3"), "slice thickness of -3 mm is not possible"),
    "a thickness that is no number": (asked("--scale 2 --slice-thickness nan"), "thickness of nan mm"),
    "an endless thickness": (asked("--scale 2 --slice-thickness inf"), "thickness of inf mm"),
    "a thickness in words": (asked("--scale 2 --slice-thickness thin"), "The slice thickness 'thin' is no number"),
    "a thickness of many slices": (asked("--scale 2 --slice-thickness 1000"), "thickness of 1000 mm along . is not"),
    "an unknown profile": (
        asked("--scale 2 --profile sinc"),
        "called sinc; choose gaussian or box",
    ),
    "a profile of a long name": (asked("--scale 2 --profile " + "a" * 5000), "No slice profile is called"),
    "a profile that is a scan": (
        asked("--scale 2 --profile scan.nrrd"),
        "cannot be read as text|is not two",
    ),
    "a profile that is a folder": (asked("--scale 2 --profile ."), "No slice profile is called"),
    "noise below zero": (asked("--scale 2 --noise=-1"), "noise of -1% .* is not possible"),
    "nothing but noise": (asked("--scale 2 --noise 100%"), "noise of 100% .* is not possible"),
    "noise that is no number": (asked("--scale 2 --noise nan"), "noise of nan%"),
    "noise in words": (asked("--scale 2 --noise loud"), "The noise 'loud' is no number"),
    "learning in words": (asked("--isotropic --learn long"), "The learn 'long' is neither auto nor a number"),
    "learning for no time": (asked("--isotropic --learn 0"), "Learning for 0 minutes is not possible"),
    "learning for a time that is no number": (asked("--isotropic --learn nan"), "Learning for nan minutes"),
    "learning without end": (asked("--isotropic --learn inf"), "Learning for inf minutes"),
    "learning in no steps": (asked("--isotropic --learn-steps 0"), "in 0 steps is not possible"),
    "learning for a time and in steps": (asked("--isotropic --learn 1 --learn-steps 9"), "not both"),
    "learning from small slices": (asked("--isotropic --learn 1"), "7 x 6 pixels are too small"),
    "keeping what is not learned": (asked("--isotropic --keep mine"), "Only what is learned can be kept"),
    "keeping in a folder that is there": (asked("--isotropic --learn 1 --keep ."), "is there already"),
    "keeping in a folder nowhere": (asked("--isotropic --learn 1 --keep no/mine"), "No such file"),
    "keeping in a file": (asked("--isotropic --learn 1 --keep scan.nrrd/mine"), "Not a directory"),
    "keeping under an odd name": (asked("--isotropic --learn 1 --keep 'a\"b'"), "its name is 'a\"b'"),
    "no series of that name": ("upscale nowhere out.nrrd --model linear --scale 2 --series 1", "no file or folder"),
}
FILL, LABELS = asked("--scale 2 --fill-nonfinite"), asked("--scale 2 --label-map yes")
CASES = [
    Case(
        "learning from slices that are not thick",
        lambda f: scan(f, array=np.zeros((60, 96, 150), np.float32), spacing=(1.0, 1.0, 1.2)),
        asked("--isotropic --learn 1"),
        says="1.2 mm apart and the pixels 1 mm wide",
    ),
    Case(
        "learning from a constant",
        lambda f: scan(f, array=np.ones((5, 130, 196), np.float32)),
        asked("--isotropic --learn 1 --label-map no"),
        says="no structure to learn from",
    ),
    *(Case(name, scan, command, says=says) for name, (command, says) in REFUSALS.items()),
    Case("a model in capitals", scan, asked("--scale 2", "Lanczos"), DONE, leaves=("out.nrrd",)),
    Case("no number", values(np.nan), says="holds 1 values that are not numbers"),
    Case("infinities", values(np.inf, -np.inf), says="holds 2 values that are not numbers"),
    Case("infinities replaced", values(np.inf, -np.inf), FILL, DONE, leaves=("out.nrrd",)),
    Case("nothing but infinities", values(*[np.inf] * 210), FILL, says="nothing but values"),
    Case(
        "numbers whose sum is none",
        lambda f: scan(f, array=ramp(dtype=np.float64) * 1e305 + 1e308),
        status=DONE,
        leaves=("out.nrrd",),
    ),
    Case(
        "labels of one's own word",
        lambda f: scan(f, array=np.ones((5, 6, 7), np.uint8)),
        LABELS,
        says="only be upscaled with the model nearest",
    ),
    Case(
        "labels that are none",
        lambda f: scan(f, array=(np.indices((9, 9, 9)).sum(0) > 12).astype(np.uint8)),
        asked("--scale 2 --label-map no"),
        DONE,
        leaves=("out.nrrd",),
    ),
]
