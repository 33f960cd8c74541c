"""See it work: a sample volume in a real MRML scene, upscaled, shown beside its input, and scored against the truth."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import slicer
import standins
from sliceviews import Look, SliceViews, frame, picture
from VolumeSuperResolutionLib.commands.bar import Bar
from VolumeSuperResolutionLib.engine import quality
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.models.automatic import AUTOMATIC
from VolumeSuperResolutionLib.engine.physics import degradation
from VolumeSuperResolutionLib.engine.request import Request, describe_grid
from VolumeSuperResolutionLib.engine.upscale import Result, upscale
from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Volume

standins.install()  # what Slicer adds to its own Python: the application's modules translate their sentences
from VolumeSuperResolutionLib.application import runs  # noqa: E402
from VolumeSuperResolutionLib.application import scene as mrml  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
FACTOR = 2
BASELINES = ("lanczos", "backprojection")
SEEN = "The networks were trained on this very subject, so this says nothing about how well they do on others."
DEGRADED = {
    "profile": "the blur of a slice profile, no noise",
    "scanner": "a blur that the methods are not told, and 1% noise",
}


class Sample(NamedTuple):
    """A shipped volume and what to look at in it (RAS, mm)."""

    modality: str
    whole: Look
    detail: Look
    window_level: tuple[float, float]
    # Whether the shipped networks were trained on this subject.
    seen: bool = False


SAMPLES = {
    "MRBrain": Sample("MR", Look("Axial", (-3, 18, 20), 172), Look("Axial", (29, 71, 20), 44), (150, 75)),
    "CTChest": Sample(
        "CT", Look("Axial", (-33, -29, -120), 112), Look("Axial", (-46, -58, -120), 36), (1500, -450), seen=True
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 2 when something was refused."""
    parser = argparse.ArgumentParser(prog="run.py demo", description=__doc__)
    parser.add_argument("--sample", choices=SAMPLES, default="MRBrain")
    parser.add_argument("--model", metavar="ID", help="instead of what automatic takes")
    parser.add_argument("--output", type=Path, default=ROOT / "demo-output", metavar="FOLDER")
    options = parser.parse_args(arguments)
    try:
        show(options.sample, options.model, options.output)
    except (RefusalError, OSError) as trouble:
        print(trouble, file=sys.stderr)
        return 2
    return 0


def show(name: str, model: str | None, output: Path) -> None:
    """Everything that the demo shows, for one sample."""
    sample = SAMPLES[name]
    scene = slicer.vtkMRMLScene()
    scan = load(scene, ROOT / "Resources" / "SampleData" / f"{name}.nrrd", sample)
    card = runs.cardOf(scan, request_for(model or AUTOMATIC, sample.modality))
    output.mkdir(parents=True, exist_ok=True)
    patience = " This takes a few minutes." if card.learned else ""
    print(f"{name}: {describe(scan)}. Model: {card.title} ({card.id}).{patience}\n", flush=True)

    results = {method: run(scene, scan, method, sample.modality) for method in ("lanczos", card.id)}
    node, result = results[card.id]
    volume_path = output / f"{name}-x{FACTOR}-{card.id}.nrrd"
    save(scene, node, volume_path)
    print(f"{result.report}\n", flush=True)

    scores, restored = restore(scene, scan, card.id, sample, output)
    gained = score_table(scores) + (f"\n  {SEEN}" if sample.seen and card.learned else "")
    report_path = output / f"{name}-report.txt"
    report_path.write_text(f"{result.report}\n\n{gained}\n\n{mrml.NOTICE}\n", encoding="utf-8")
    print(gained)

    view_path, restored_path = output / f"{name}-views.png", output / f"{name}-restored.png"
    with SliceViews(scene, 4) as views:
        columns = {
            f"Input\n{describe(scan)}": scan,
            f"Lanczos\n{describe(results['lanczos'][0])}": results["lanczos"][0],
            f"{card.title}\n{describe(node)}": node,
        }
        draw(views, columns, sample, view_path)
        draw(views, restored, sample, restored_path)
    print(f"\nThe volume:          {volume_path}\nSide by side:        {view_path}")
    print(f"Degraded, restored:  {restored_path}\nThe report:          {report_path}\n{mrml.NOTICE}")


def load(scene: Any, path: Path, sample: Sample) -> Any:
    """A volume node from a file, read by MRML as Slicer does it."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", path.stem)
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(path))
    if not storage.ReadData(node):
        raise RefusalError(f"{path} could not be read; restore it from the repository.")
    node.SetAndObserveStorageNodeID(storage.GetID())
    node.CreateDefaultDisplayNodes()
    node.GetScalarVolumeDisplayNode().SetAutoWindowLevel(0)
    node.GetScalarVolumeDisplayNode().SetWindowLevel(*sample.window_level)
    return node


def save(scene: Any, node: Any, path: Path) -> None:
    """The node in a file, written by MRML."""
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(path))
    storage.SetUseCompression(True)
    if not storage.WriteData(node):
        raise RefusalError(f"{path} could not be written; check the space and the rights in its folder.")


def request_for(model: str, modality: str) -> Request:
    """Voxels twice as fine."""
    return Request(model, scale=(FACTOR,) * 3, modality=modality)


def run(scene: Any, scan: Any, model: str, modality: str) -> tuple[Any, Result]:
    """Upscale a node as the module does, and add the result to its scene."""
    request = request_for(model, modality)
    with Bar(model) as bar:
        result = upscale(mrml.volumeFromNode(scan), request, progress=bar)
    return mrml.addResultNode(scene, scan, result, request), result


def restore(
    scene: Any, scan: Any, model: str, sample: Sample, output: Path
) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """PSNR of each method, per protocol, on the degraded sample; and nodes to look at, by caption."""
    truth = mrml.volumeFromNode(scan)
    mask = quality.foreground(truth.array, sample.modality)
    peak = quality.data_range(truth.array)
    scores: dict[str, dict[str, float]] = {}
    for protocol in DEGRADED:
        path = output / f"{scan.GetName()}-degraded-{protocol}.nrrd"
        files.write(degrade(truth, protocol, f"{scan.GetName()}.nrrd"), path)
        low = load(scene, path, sample)
        columns = {f"Degraded\n{describe(low)}": low}
        scores[protocol] = {}
        for method in dict.fromkeys([*BASELINES, model]):
            node, result = run(scene, low, method, sample.modality)
            decibel = quality.psnr(result.volume.array, truth.array, mask, peak)
            scores[protocol][method] = decibel
            if method in ("lanczos", model):
                columns[f"{result.report.title}\nPSNR {decibel:.2f} dB"] = node
        columns[f"Truth\n{describe(scan)}"] = scan
    return scores, columns


def degrade(truth: Volume, protocol: str, name: str) -> Volume:
    """What a scanner with voxels twice as long would have seen."""
    array, steps = truth.array.astype(np.float32), (FACTOR,) * 3
    low = degradation.observe(array, steps, protocol, name)
    return Volume(low, truth.grid.refined(low.shape[::-1]))


def draw(views: SliceViews, columns: dict[str, Any], sample: Sample, path: Path) -> None:
    """A picture: the whole plane above, the detail below."""
    nodes = list(columns.values())
    whole = [frame(view, sample.whole, sample.detail) for view in views.draw(nodes, sample.whole)]
    picture([whole, views.draw(nodes, sample.detail)], list(columns), mrml.NOTICE, path)


def describe(node: Any) -> str:
    """Size and spacing in words."""
    return describe_grid(node.GetImageData().GetDimensions(), node.GetSpacing())


def score_table(scores: dict[str, dict[str, float]]) -> str:
    """The scores in words and columns."""
    lines = ["Degraded to voxels twice as long and restored, compared with the truth (PSNR in dB, higher is better):"]
    for protocol, row in scores.items():
        lines.append(f"  {DEGRADED[protocol]}")
        for method, decibel in row.items():
            gain = "" if method == "lanczos" else f"  {decibel - row['lanczos']:+.2f} over Lanczos"
            lines.append(f"    {zoo.card(method).title:28} {decibel:6.2f}{gain}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
