"""Whatever goes wrong: one clear message, and the scene as it was. Runs through the module's logic and the worker."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import scenes
import slicer
import vtk
from phantoms import head, three
from VolumeSuperResolutionLib.application import scene as nodes
from VolumeSuperResolutionLib.application import transfer
from VolumeSuperResolutionLib.application.worker import Worker
from VolumeSuperResolutionLib.engine.errors import RefusalError

from VolumeSuperResolution import VolumeSuperResolutionLogic

# Long enough to be disturbed, told in many small steps.
SLOW = {"model": "slow", "device": "cpu", "memory": 200}


class OfOne:
    """Starts runs of one volume."""

    def __init__(self, scene):
        values = np.random.default_rng(0).integers(0, 900, (128, 128, 128)).astype(np.int16)
        self.slow = [scenes.addVolume(scene, values, scenes.GEOMETRIES["oblique, left-handed"])]
        self.quick = [scenes.addVolume(scene, axes=scenes.GEOMETRIES["oblique, left-handed"])]

    def startSlow(self, output=None):
        return VolumeSuperResolutionLogic().startUpscale(self.slow[0], outputVolume=output, **SLOW)

    def startQuick(self, output=None):
        return VolumeSuperResolutionLogic().startUpscale(self.quick[0], model="linear", outputVolume=output)


class OfSeveral:
    """Starts runs of three stacks: slow ones have to be laid over each other, quick ones are taken where they lie."""

    def __init__(self, scene):
        self.slow = self.quick = scenes.addStacks(scene, three(head(), 0, 0))

    def startSlow(self, output=None):
        return VolumeSuperResolutionLogic().startCombine(self.slow, output, maps=True)

    def startQuick(self, output=None):
        return VolumeSuperResolutionLogic().startCombine(self.quick, output, maps=True, aligned=True)


@pytest.fixture(params=[OfOne, OfSeveral])
def runs(request, scene, temporary):
    return request.param(scene)


@pytest.fixture(scope="module")
def temporary(temporary):
    """As the worker's other tests have it; in the end the application's worker has no process either."""
    yield temporary
    Worker.shared().stop()


@pytest.fixture
def logic(scene, temporary):
    """The module's logic in an empty scene."""
    return VolumeSuperResolutionLogic()


@pytest.fixture
def fresh():
    """No child, for tests that change what it finds at its start."""
    Worker.shared().stop()
    yield
    Worker.shared().stop()


@pytest.fixture
def small(scene):
    return scenes.addVolume(scene, axes=scenes.GEOMETRIES["oblique, left-handed"])


def filesIn(temporary) -> list:
    return list(temporary.glob("VolumeSuperResolution-*/*"))


def expectUntouched(scene, before, outcome, kind, words, wait, temporary):
    wait(lambda: outcome, 60)
    told = outcome.only(kind)
    assert told is None or words in told
    assert scenes.fingerprint(scene) == before
    wait(lambda: not filesIn(temporary))


MOMENTS = {
    "at once": lambda outcome, worker: True,
    "when the voxels are sent": lambda outcome, worker: worker._computingSince is not None,
    "at the first progress": lambda outcome, worker: outcome.progress,
    "in the middle": lambda outcome, worker: len(outcome.progress) > 2,
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("reused", [False, True], ids=["new output", "reused output"])
def test_cancelled_at_any_moment(scene, runs, wait, temporary, moment, reused):
    output = scenes.addVolume(scene, name="Output") if reused else None
    before = scenes.fingerprint(scene)
    job = runs.startSlow(output)
    outcome = scenes.Outcome(job)
    wait(lambda: moment(outcome, Worker.shared()), 60)
    job.cancel()
    expectUntouched(scene, before, outcome, "cancelled", "", wait, temporary)


def test_cancelled_while_the_result_is_fetched(scene, runs, wait, temporary, monkeypatch):
    before = scenes.fingerprint(scene)
    monkeypatch.setattr(transfer.Receiving, "step", lambda self: False)
    job = runs.startQuick()
    outcome = scenes.Outcome(job)
    wait(lambda: any(isinstance(t, transfer.Receiving) for t in Worker.shared()._transfers))
    job.cancel()
    expectUntouched(scene, before, outcome, "cancelled", "", wait, temporary)


@pytest.mark.skipif(os.name != "posix", reason="a signal of POSIX")
def test_the_worker_is_killed(scene, runs, wait, temporary):
    before = scenes.fingerprint(scene)
    outcome = scenes.Outcome(runs.startSlow())
    wait(lambda: outcome.progress, 60)
    os.kill(Worker.shared()._child.pid, signal.SIGKILL)
    expectUntouched(scene, before, outcome, "failed", "ended unexpectedly", wait, temporary)


@pytest.mark.parametrize("which", ["input", "output"])
def test_a_node_is_deleted_while_running(scene, runs, wait, temporary, which):
    output = scenes.addVolume(scene, name="Output")
    outcome = scenes.Outcome(runs.startQuick(output))
    scene.RemoveNode({"input": runs.quick[-1], "output": output}[which])
    before = scenes.fingerprint(scene)
    expectUntouched(scene, before, outcome, "failed", f"{which} volume was removed", wait, temporary)


def test_the_scene_is_closed_while_running(scene, runs, wait, temporary):
    outcome = scenes.Outcome(runs.startQuick())
    scene.Clear(0)
    scenes.addVolume(scene, name="Of the next scene")
    before = scenes.fingerprint(scene)
    expectUntouched(scene, before, outcome, "failed", "removed", wait, temporary)


def test_the_worker_is_stopped_as_when_the_module_is_reloaded(scene, runs, wait, temporary):
    before = scenes.fingerprint(scene)
    outcome = scenes.Outcome(runs.startSlow())
    wait(lambda: outcome.progress, 60)
    Worker.shared().stop()
    expectUntouched(scene, before, outcome, "cancelled", "", wait, temporary)
    again = scenes.Outcome(runs.startQuick())
    wait(lambda: again)
    again.only("finished")


def test_a_second_start_while_running_is_refused(scene, runs, wait):
    outcome = scenes.Outcome(runs.startQuick())
    before = scenes.fingerprint(scene)
    with pytest.raises(RefusalError, match="going on"):
        runs.startQuick()
    assert scenes.fingerprint(scene) == before
    wait(lambda: outcome)
    outcome.only("finished")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
@pytest.mark.parametrize("name", ["input0", "volume"])
def test_the_disk_is_full(scene, runs, wait, temporary, monkeypatch, name):
    before = scenes.fingerprint(scene)
    worker, path = Worker.shared(), Worker.shared()._path
    monkeypatch.setattr(worker, "_path", lambda n: Path("/dev/full") if n == name else path(n))
    outcome = scenes.Outcome(runs.startQuick())
    expectUntouched(scene, before, outcome, "failed", "is full", wait, temporary)


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_the_weights_are_missing_or_damaged(
    scene, fresh, logic, small, wait, tmp_path, temporary, monkeypatch, modelFolder, damage
):
    shutil.copytree(modelFolder, tmp_path / "broken")
    weights = tmp_path / "broken" / "quick" / "weights.safetensors"
    if damage == "missing":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    monkeypatch.setenv("VSR_WEIGHTS", str(tmp_path / "broken"))
    before = scenes.fingerprint(scene)
    outcome = scenes.Outcome(logic.startUpscale(small, model="quick"))
    expectUntouched(scene, before, outcome, "failed", "install the model again", wait, temporary)
    with pytest.raises(RefusalError, match="install the model again"):
        logic.upscale(small, model="quick")
    assert scenes.fingerprint(scene) == before


def test_torch_is_absent(scene, fresh, logic, small, wait, tmp_path, temporary, monkeypatch):
    (tmp_path / "modules" / "torch").mkdir(parents=True)
    code = "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')"
    (tmp_path / "modules" / "torch" / "__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    monkeypatch.setattr("VolumeSuperResolutionLib.application.dependencies._workersVerdict", None)
    before = scenes.fingerprint(scene)
    outcome = scenes.Outcome(logic.startUpscale(small, model="quick"))
    expectUntouched(scene, before, outcome, "failed", "PyTorch is not installed", wait, temporary)


def withImage(scene, className, components=1, size=(4, 4, 4)):
    node = scene.AddNewNodeByClass(className, "Scan")
    image = vtk.vtkImageData()
    image.SetDimensions(size)
    image.AllocateScalars(vtk.VTK_FLOAT, components)
    image.GetPointData().GetScalars().Fill(float("nan"))
    node.SetAndObserveImageData(image)
    return node


UNFIT = {
    "color image": lambda scene: withImage(scene, "vtkMRMLVectorVolumeNode", 3),
    "label map": lambda scene: withImage(scene, "vtkMRMLLabelMapVolumeNode"),
    "time series": lambda scene: withImage(scene, "vtkMRMLScalarVolumeNode", 5),
    "is empty": lambda scene: scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Scan"),
    "single voxel": lambda scene: withImage(scene, "vtkMRMLScalarVolumeNode", size=(1, 1, 1)),
    "not numbers": lambda scene: withImage(scene, "vtkMRMLScalarVolumeNode"),
}


@pytest.mark.parametrize(("words", "make"), UNFIT.items(), ids=UNFIT)
def test_the_input_is_unfit(scene, logic, wait, temporary, words, make):
    node = make(scene)
    before = scenes.fingerprint(scene)
    with pytest.raises(RefusalError, match=words):
        logic.upscale(node, model="linear")
    try:
        outcome = scenes.Outcome(logic.startUpscale(node, model="linear"))
    except RefusalError as refusal:
        assert words in str(refusal)
    else:
        expectUntouched(scene, before, outcome, "failed", words, wait, temporary)
    assert scenes.fingerprint(scene) == before


def test_the_output_is_too_large(scene, logic, wait, temporary):
    node = scenes.addVolume(scene, np.zeros((256, 256, 256), np.int16))
    before = scenes.fingerprint(scene)
    outcome = scenes.Outcome(logic.startUpscale(node, model="linear", scale=16))
    expectUntouched(scene, before, outcome, "failed", "MB are free", wait, temporary)
    with pytest.raises(RefusalError, match="MB are free"):
        logic.upscale(node, model="linear", scale=16)
    assert scenes.fingerprint(scene) == before


def test_the_result_cannot_be_added(scene, runs, wait, temporary, monkeypatch):
    before = scenes.fingerprint(scene)

    def fail(*arguments):
        raise RuntimeError("no node today")

    monkeypatch.setattr(nodes, "_record", fail)
    outcome = scenes.Outcome(runs.startQuick())
    expectUntouched(scene, before, outcome, "failed", "no node today", wait, temporary)


def test_stacks_of_two_contrasts_are_refused_by_name(scene, logic, wait, temporary):
    first, second, third = three(head(), 0, 0)
    other = np.where(second.volume.array > 150, 1100 - second.volume.array, second.volume.array)
    made = [first, second._replace(volume=second.volume._replace(array=other)), third]
    stacks = scenes.addStacks(scene, made)
    before = scenes.fingerprint(scene)
    outcome = scenes.Outcome(logic.startCombine(stacks, aligned=True))
    expectUntouched(scene, before, outcome, "failed", "sagittal", wait, temporary)
    assert "contrast" in outcome.told[0][1]


def observers(thing) -> int:
    return str(thing).count("Observer") + str(thing).count("vtkCallbackCommand")


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="counts what Linux shows of a process")
def test_twenty_runs_in_a_row_leave_only_their_result(scene, logic, wait, temporary):
    node = scenes.addVolume(scene, np.random.default_rng(0).integers(0, 900, (40, 90, 90)).astype(np.int16))
    output, counts, gone = None, [], []
    for _ in range(20):
        outcome = scenes.Outcome(logic.startUpscale(node, model="linear", outputVolume=output))
        wait(lambda outcome=outcome: outcome)
        output = outcome.only("finished")
        wait(lambda: not filesIn(temporary))
        output.GetImageData().AddObserver(vtk.vtkCommand.DeleteEvent, lambda *_: gone.append(1))
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        seen = [scene.GetNumberOfNodes(), observers(scene), observers(node), observers(output)]
        counts.append([*seen, len(children), len(os.listdir("/proc/self/fd"))])
        del outcome
    assert counts[-1] == counts[2]
    gc.collect()
    assert len(gone) == 19  # the voxels of all results but the last


def test_after_saving_and_loading_the_output_names_its_input(scene, logic, wait, tmp_path):
    node = scenes.addVolume(scene, name="Scan, second visit")
    outcome = scenes.Outcome(logic.startUpscale(node, model="linear", scale=2))
    wait(lambda: outcome)
    name = outcome.only("finished").GetName()
    path = str(tmp_path / "scene.mrml")
    assert scene.Commit(path)
    scene.Clear(0)
    scene.SetURL(path)
    assert scene.Connect()
    output = slicer.util.getNode(name)
    assert output.GetNodeReference("VolumeSuperResolution.Input").GetName() == "Scan, second visit"
    assert output.GetAttribute("VolumeSuperResolution.Model") == "linear"
