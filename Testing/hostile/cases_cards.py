"""A model's card is read completely or refused, and a bad one harms no other"""

from __future__ import annotations

import json

from hostile.language import DONE, REFUSED, Case
from hostile.makers_models import pair, put, sound, special, with_intervals, with_stage, with_text, with_values

MINE = "upscale scan.nrrd out.nrrd --model mine --scale 2 --quiet"
BAD = {
    "nothing in it": (with_text(""), "cannot be read"),
    "half a file": (with_text("{"), "cannot be read"),
    "null": (with_text("null"), "table of values"),
    "a list": (with_text("[]"), "table of values"),
    "a number": (with_text("7"), "table of values"),
    "zeros": (with_text(bytes(300)), "cannot be read"),
    "not UTF-8": (with_text(b'{"id": "\xff\xfe"}'), "UTF-8"),
    "nested deeply": (with_text("[" * 200_000), "nested too deeply"),
    "nested deeply inside": (
        with_text('{"training": ' + "[" * 50_000 + "]" * 50_000 + "}"),
        "nested too deeply",
    ),
    "five megabytes": (with_text('{"id": "' + "a" * 5_000_000 + '"}'), "bytes, more than"),
    "a name twice": (with_text('{"id": "mine", "id": "other"}'), "twice"),
    "no number": (with_text(json.dumps({**sound()[0], "noise": float("nan")})), "no finite number"),
    "infinity": (with_text(json.dumps({**sound()[0], "noise": float("inf")})), "no finite number"),
    "beyond all numbers": (with_text(json.dumps(sound()[0]).replace('"noise": 1.0', '"noise": 1e400')), "finite"),
    "digits without end": (with_text('{"parameters": ' + "9" * 10_000 + "}"), "cannot be read"),
    "a fifo": (special("fifo"), "no regular file"),
    "a device": (special("device"), "no regular file"),
    "a folder": (special("folder"), "no regular file"),
    "a link to itself": (special("loop"), "cannot be read"),
    "a link to nowhere": (special("nowhere"), "cannot be read"),
    "no stages": (with_values(stages=[]), "stages is a list"),
    "stages left out": (with_values(stages=...), "no stages"),
    "stages that are none": (with_values(stages=[7]), "stages is 7"),
    "stages as a word": (with_values(stages="edsr3d"), "stages is 'edsr3d'"),
    "too many stages": (with_values(stages=[{"network": "edsr3d"}] * 9), "1 to 8"),
    "a stage without a network": (with_values(stages=[{}]), "no network"),
    "no id": (with_values(id=...), "no id"),
    "an id with slashes": (with_values(id="../other"), "without slashes"),
    "no title": (with_values(title=...), "no title"),
    "a title of nothing": (with_values(title="\n \t"), "title"),
    "a title that is a table": (with_values(title={}), "title is a dict"),
    "no factor": (with_values(factor=...), "no factor"),
    "a factor of zero": (with_values(factor=[0, 0, 0]), "factor is 0"),
    "a factor below zero": (with_values(factor=[2, 2, -2]), "factor is -2"),
    "a factor of two axes": (with_values(factor=[2, 2]), "list of 3"),
    "a factor that is no whole number": (with_values(factor=[2.5, 2, 2]), "whole number"),
    "a factor that is true": (with_values(factor=[True, 2, 2]), "whole number"),
    "a huge factor": (with_values(factor=[10**9, 2, 2]), "from 0 to 16"),
    "an unknown kernel": (with_values(kernel="sinc"), "one of nearest"),
    "an unknown convention": (with_values(convention="corners"), "one of field of view"),
    "an unknown ensemble": (with_values(ensemble="mode"), "one of mean"),
    "an unknown modality": (with_values(modalities=["PET"]), "one of MR"),
    "no modality": (with_values(modalities=[]), "modalities"),
    "too many rounds": (with_values(consistency=10**6), "consistency"),
    "fewer rounds than it needs": (with_values(least_consistency=3), "has to be 3"),
    "spacings upside down": (with_values(spacing_mm=[5, 1]), "coarsest voxels first"),
    "one spacing": (with_values(spacing_mm=[5]), "list of 2"),
    "noise as a word": (with_values(noise="loud"), "noise is 'loud'"),
    "noise beyond the range": (with_values(noise=7), "from 0 to 1"),
    "a flag that is a number": (with_values(half_allowed=1), "true or false"),
    "time below zero": (with_values(seconds_per_megavoxel=-1), "seconds_per_megavoxel"),
    "its own partner": (with_values(partner="mine"), "own partner"),
    "limits that are no texts": (with_values(limits=[1, 2]), "limits"),
    "training that is a list": (with_values(training=[1]), "training"),
    "gains that are words": (with_values(gains={"profile": {"MR": {"psnr": "high"}}}), "psnr"),
    "no weights": (with_values(weights=...), "no weights"),
    "intervals that are a table": (with_values(intervals={}), "intervals is a dict"),
    "an interval that falls": (with_intervals(half_widths=[0.2] * 11 + [0.1]), "must not fall"),
    "an interval of a word": (with_intervals(coverage=["most"]), "coverage is 'most'"),
    "an interval of nothing": (with_values(intervals=[{}]), "intervals has no modality"),
    "weights without a checksum": (with_values(weights={"bytes": 100}), "no sha256"),
    "weights of no size": (with_values(weights={"bytes": 0, "sha256": "0" * 64}), "bytes is 0"),
    "weights of a petabyte": (with_values(weights={"bytes": 10**15, "sha256": "0" * 64}), "bytes is 10"),
}
# Found when its networks are made: what follows needs torch.
UNBUILT = {
    "an unknown network": (with_stage(network="edsr4d"), "did you mean 'edsr3d'"),
    "a network like a path": (with_stage(network="../edsr3d"), "without slashes"),
    "an unknown argument": (with_stage(arguments={"colour": 2}), "no argument 'colour'"),
    "an argument that is a table": (with_stage(arguments={"factor": {}}), "factor"),
    "a thousand million features": (with_stage(arguments={"features": 10**9}), "features is 1000000000"),
    "too many features": (with_stage(arguments={"features": 4096}), "more than 250000000 parameters"),
    "no features": (with_stage(arguments={"features": 0}), "features is 0"),
    "features that are true": (with_stage(arguments={"features": True}), "cannot be built|does not fit"),
    "a factor of the network that is none": (with_stage(arguments={"factor": [2, 2]}), "no factor for 3 axes"),
    "a factor of the network beyond reach": (with_stage(arguments={"factor": 4096}), "no factor for 3 axes"),
    "a factor along another axis": (with_stage(arguments={"factor": [2, 2, 1]}), "scale by 1 x 2 x 2"),
    "views of a network in 3D": (with_stage(views=["k"]), "mend the views"),
    "no views of a network in 2D": (with_stage(network="cnnil_inplane", arguments={}), "mend the views"),
    "views that disagree": (with_stage(network="cnnil_depth", arguments={}, views=["k", "i"]), "different axes"),
    "a view of no axis": (with_stage(views=["z"]), "one of k, j, i"),
    "two stages for one factor": (
        with_values(stages=[{"network": "edsr3d", "arguments": {"features": 2}}] * 2),
        "4 x 4",
    ),
}


def several(folder) -> None:
    """A sound model between bad ones."""
    put(folder, name="sound")
    put(folder, "{", name="a")
    special("fifo")(folder)


def together(folder) -> None:
    """A sound model among all that cannot be read."""
    for number, (make, _) in enumerate(BAD.values()):
        make(folder)
        (folder / "models" / "mine").rename(folder / "models" / str(number))
    put(folder, name="sound")


SOUND = MINE.replace("mine", "sound")
NEWER = with_values(flavors={"MR": ["bf16"]}, shape_of_water=1)
CASES = [
    *(Case(f"{name}, used", make, MINE, says=says) for name, (make, says) in {**BAD, **UNBUILT}.items()),
    Case("all of them together, listed", together, "models", DONE, "card.json", tells=r"(?s)lanczos .*sound "),
    Case("all of them together, around a sound one", together, SOUND, DONE, "^$", ("out.nrrd",)),
    Case("sound", put, MINE, DONE, leaves=("out.nrrd",)),
    Case(
        "sound, with a byte order mark",
        with_text(b"\xef\xbb\xbf" + json.dumps(sound()[0]).encode()),
        MINE,
        DONE,
        leaves=("out.nrrd",),
    ),
    Case("sound between bad ones, listed", several, "models", DONE, "card.json", tells="sound "),
    Case("sound between bad ones, used", several, MINE.replace("mine", "sound"), DONE, "^$", ("out.nrrd",)),
    Case(
        "fields of a later version",
        NEWER,
        MINE.replace("--quiet", ""),
        DONE,
        leaves=("out.nrrd",),
        tells=r"more than this version understands \(flavors, shape_of_water\)",
    ),
    Case(
        "escape sequences in its texts",
        with_values(summary="\x1b]0;title\x07\x9b1mx\r\nend"),
        "models",
        DONE,
        tells=r"(?s)^[^\x1b\x07\x9b\r]*x  end[^\x1b\x07\x9b\r]*$",
    ),
    Case("escape sequences in its errors", with_values(kernel="\x1b[2J\x1b]0;x\x07"), MINE, REFUSED, "kernel is"),
    Case(
        "half a character in its texts",
        with_text(json.dumps({**sound()[0], "summary": "a\ud800b"})),
        "models",
        DONE,
        tells="ab",
    ),
    Case("the whole cards beside bad ones", several, "models --json", DONE, "card.json", tells='"id": "sound"'),
    Case(
        "the page of a card with half of them",
        with_values(gains={"profile": {"MR": {"psnr": [30.0]}}}),
        "models --markdown",
        DONE,
        tells="## mine",
    ),
    Case("the page of a card without measurements", put, "models --markdown", DONE, tells="## mine"),
    Case(
        "a list in place of the folder of models",
        lambda folder: (folder / "models").write_text("x"),
        "models",
        DONE,
        tells="lanczos",
    ),
    Case(
        "a factor that the network has not",
        with_values(factor=[4, 4, 4]),
        MINE.replace("scale 2", "scale 4"),
        says="scale by 2 x 2 x 2",
    ),
    Case(
        "an interval of another modality",
        with_intervals(modality="CT"),
        MINE + " --interval --modality MR",
        says="measured on CT, and this looks like MR",
    ),
    Case(
        "an interval that did not hold",
        with_intervals(coverage=[0.5, 0.9, 0.9]),
        MINE + " --interval --modality MR",
        says="covered 50 to 91% of the truth, and 85 to 95% were wanted",
    ),
    Case("a partner that is not there", with_values(partner="gone"), MINE + " --realism 0.5", says="not installed"),
    Case(
        "a partner of other networks",
        lambda folder: pair(folder, partner="edsr3d-x2"),
        MINE + " --realism 0.5",
        says="other networks",
    ),
    Case("a partner", pair, MINE + " --realism 0.5", DONE, leaves=("out.nrrd",)),
]
