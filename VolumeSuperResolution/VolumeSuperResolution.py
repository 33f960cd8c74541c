"""Super-resolution of volumes in 3D Slicer: the module's description, panel, logic and self-test."""

import os
import pathlib
import sys

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

HOMEPAGE = "https://github.com/VolumeSuperResolution/VolumeSuperResolution"
PICTURE = f"{HOMEPAGE}/blob/main/Resources/Screenshots/Comparison.png"
STACKS = "VolumeSuperResolution three stacks"
SAMPLES = {"MRBrain": "VolumeSuperResolution MR brain", "CTChest": "VolumeSuperResolution CT chest"}


class VolumeSuperResolution(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Volume Super Resolution")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Filtering")]
        self.parent.dependencies = []
        self.parent.contributors = ["The VolumeSuperResolution developers"]
        self.parent.helpText = _(
            "Makes a volume sharper: choose a volume, a model and a target resolution, and the result stands in the "
            "scene exactly over its input. Thick slices can be made isotropic, and several stacks of them one sharp "
            "volume. Results can be compared with the best interpolation. Research use only - not for diagnosis."
        )
        # Slicer's help shows no pictures of the web, so the icon stands for the one that it leads to.
        icon = pathlib.Path(__file__).resolve().parent / "Resources" / "Icons" / "VolumeSuperResolution.png"
        self.parent.helpText += f'<p><a href="{PICTURE}"><img src="{icon.as_uri()}"></a></p>'
        self.parent.helpText += _(
            '<p>See <a href="{picture}">a comparison</a> and the <a href="{page}">documentation and tutorial</a>.</p>'
        ).format(picture=PICTURE, page=HOMEPAGE)
        self.parent.acknowledgementText = _(
            "The models follow published work on super-resolution: CNN-IL (Georgescu et al.), SRCNN (Dong et al.; "
            "Pham et al.), 3D FSRCNN (Mane et al., after Dong et al.), 3D EDSR (Golden, after Lim et al.), SRResNet "
            "(Ledig et al.), DCSRN and mDCSRN (Chen et al.), RCAN (Zhang et al.) and 3D RRDB-GAN (Ha et al., after "
            "Wang et al.). Each model's card names its paper and the data it was trained on."
        )
        slicer.app.connect("startupCompleted()", onStartupCompleted)


def onStartupCompleted():
    """What can only be done when the main window and all modules are there."""
    replaceOrphanedLayout()
    slicer.mrmlScene.AddObserver(slicer.mrmlScene.EndImportEvent, replaceOrphanedLayout)
    registerSampleData()


def replaceOrphanedLayout(caller=None, event=None):
    """Show views again where a restart or a loaded scene restored the layout of a comparison that is over."""
    from VolumeSuperResolutionLib.application import comparison

    comparison.replaceOrphanedLayout()


def sampleFolder():
    """Where the sample volumes are: beside the installed module, or in the repository."""
    here = os.path.dirname(os.path.abspath(__file__))
    folders = [os.path.join(here, "Resources", "SampleData"), os.path.join(here, "..", "Resources", "SampleData")]
    return next((os.path.normpath(folder) for folder in folders if os.path.isdir(folder)), None)


def registerSampleData():
    """Add the sample volumes to the module Sample Data; they come with the extension, nothing is downloaded."""
    import SampleData

    folder = sampleFolder()
    sources = [*((*sample, None) for sample in SAMPLES.items()), ("MRBrain", STACKS, makeStacks)]
    for fileName, sampleName, make in sources if folder else ():
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="VolumeSuperResolution",
            sampleName=sampleName,
            thumbnailFileName=os.path.join(folder, f"{fileName}.png"),
            uris=pathlib.Path(folder, f"{fileName}.nrrd").as_uri(),
            fileNames=f"VolumeSuperResolution-{fileName}.nrrd",  # Slicer's cache of downloads is one for all modules
            nodeNames=fileName,
            customDownloader=make,
        )


def makeStacks(source=None):
    """The sample of three stacks, which is made of the brain when it is asked for."""
    from VolumeSuperResolutionLib.application import samples

    return samples.addStacks(sampleFolder())


class VolumeSuperResolutionWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel's life in the application; what it does is in VolumeSuperResolutionLib.application.panel."""

    def __init__(self, parent=None):
        self.logic = None
        self.panel = None
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)

    def setup(self):
        """Called when the module is opened for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        from VolumeSuperResolutionLib.application.panel import Panel

        widget = slicer.util.loadUI(self.resourcePath("UI/VolumeSuperResolution.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = VolumeSuperResolutionLogic()
        self.panel = Panel(self.ui)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneChanged)
        self.addObserver(scene, scene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneChanged)
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent):
            self.addObserver(scene, event, self.onNode)
        self.initializeParameterNode()

    def cleanup(self):
        """Called when the application closes and before the module is reloaded."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()

    def onReload(self):
        """For developers: load the library afresh, too."""
        for name in [n for n in sys.modules if n.partition(".")[0] == "VolumeSuperResolutionLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def enter(self):
        """Called each time the user opens this module."""
        self.initializeParameterNode()

    def exit(self):
        """Called each time the user opens another module."""
        self.panel.setParameters(None)

    def onSceneStartClose(self, caller, event):
        """The nodes go away: stop what uses them."""
        self.panel.forgetScene()
        self.panel.setParameters(None)

    def onSceneStartImport(self, caller, event):
        """Selectors choose a node of their own while a scene is loaded, which must not replace the saved choice."""
        self.panel.setParameters(None)

    def onSceneChanged(self, caller, event):
        """A scene was closed or loaded: show its settings."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNode(self, caller, event, node):
        """A volume or segmentation came or went: it may be one of several stacks, or of the input."""
        if node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLSegmentationNode"):
            self.panel.scheduleUpdate()

    def initializeParameterNode(self):
        """Show the settings of this scene, with the first volume as input if none was chosen."""
        from VolumeSuperResolutionLib.application.parameters import Parameters

        parameters = Parameters(self.logic.getParameterNode())
        if parameters.inputVolume is None:
            volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            shown = [v for v in volumes if v.GetClassName() == "vtkMRMLScalarVolumeNode" and not v.GetHideFromEditors()]
            parameters.inputVolume = shown[0] if shown else None
        self.panel.setParameters(parameters)


class VolumeSuperResolutionLogic(ScriptedLoadableModuleLogic):
    """Nodes in, node out, without any window. Use it as

    >>> from VolumeSuperResolution import VolumeSuperResolutionLogic
    >>> logic = VolumeSuperResolutionLogic()
    """

    def upscale(self, inputVolume, model=None, scale=2, outputVolume=None, progress=None, cancel=None, **options):
        """Upscale a volume in this process and return the node of the result.

        `model` is one of models(), or "auto", as if none is named: the network that serves the target best, or
        an interpolation where none does; the node's report names it. A model that is named runs, or none does.
        `scale` is one factor, or one for each axis (i, j, k). Instead of it: `spacing` (three numbers, mm),
        `isotropic=True`, or `slices`, a factor for the through-plane axis alone. Other options: `region` (an ROI node,
        or ((i0, i1), (j0, j1), (k0, k1)) in voxels), `device`, `precision`, `memory` (MB), `consistency` (rounds),
        `realism` (0, faithful, to 1, realistic, where describe(model) names it), `ensemble`, `uncertainty`, `interval`
        and `invented` (maps beside the result), `modality` ("MR" or "CT"), `fill_nonfinite`; and, of how the volume was
        scanned, `slice_thickness` (mm; by default as DICOM tells), `profile` ("gaussian", "box", or a file) and `noise`
        (percent of the range of intensities). Thick slices can be learned from first: `learn`, "auto" or minutes.
        progress(done, total) is called as the work goes on; the work ends with a CancelledError as soon as cancel()
        answers True. What cannot be done raises a RefusalError, which is a ValueError with a sentence for the user,
        and leaves the scene as it was.

        >>> sharp = logic.upscale(getNode("MRBrain"), model="lanczos", scale=2)
        >>> thin = logic.upscale(getNode("CTChest"), isotropic=True)
        """
        from VolumeSuperResolutionLib.application import runs

        request = runs.makeRequest(inputVolume, model, scale, **options)
        return runs.runHere(inputVolume, request, outputVolume, progress, cancel)

    def startUpscale(self, inputVolume, model=None, scale=2, outputVolume=None, **options):
        """Begin the same in a process of its own and return at once; the application goes on.

        The job has cancel(), `running`, and the signals progressed(done, total, secondsLeft), finished(node),
        failed(sentence) and cancelled(), of which exactly one of the last three is emitted; where it learns also
        learning(seconds, done, gain), until it ends or endLearning() is called. Its signals need Qt's
        event loop, so a script without one calls upscale. One job runs at a time.

        >>> job = logic.startUpscale(getNode("MRBrain"), model="lanczos", scale=2)
        >>> job.finished.connect(lambda node: print(node.GetName()))
        >>> job.failed.connect(print)
        """
        from VolumeSuperResolutionLib.application import runs

        return runs.Upscaling([inputVolume], runs.makeRequest(inputVolume, model, scale, **options), outputVolume)

    def combine(self, volumes, outputVolume=None, maps=False, progress=None, cancel=None, **options):
        """Make one sharp volume of several stacks of thick slices, in this process, and return its node.

        `volumes` are two to eight scans of one contrast, axial, sagittal and coronal for example. Where the patient had
        moved between them, they are laid over each other; scans that do not fit together are refused. Options:
        `reference`, the volume whose place, axes and brightness the result has (default: the first); `spacing` in mm
        (default: that of the finest pixels); `fov`, "reference", "intersection" or "union"; `aligned=True` takes the
        scans where they lie; `thickness` of the slices in mm, one number or one for each volume (default: what DICOM
        says, else how far they are apart); `leftOut`, slices not to use, each as (volume, slice), volumes counted from
        1 and slices from 0; `model="auto"` adds detail that all stacks leave open, in more time: networks upscale each
        by itself, and one improves them together; another model upscales each only (default: no network). With `maps`,
        two more volumes show how many scans saw each voxel and what they say otherwise. progress, cancel and refusals
        are as in upscale.

        >>> sharp = logic.combine([getNode("axial"), getNode("sagittal"), getNode("coronal")])
        """
        from VolumeSuperResolutionLib.application import combining

        nodes, request = combining.makeRequest(volumes, **options)
        return combining.runHere(nodes, request, maps, outputVolume, progress, cancel)

    def startCombine(self, volumes, outputVolume=None, maps=False, **options):
        """Begin the same in a process of its own and return at once, with a job as that of startUpscale."""
        from VolumeSuperResolutionLib.application import combining

        nodes, request = combining.makeRequest(volumes, **options)
        return combining.Combining(nodes, (request, maps), outputVolume)

    def refineSegmentations(self, inputVolume, resultNode):
        """Take all segmentations that were drawn on a volume to the grid of its result; the new segmentation nodes."""
        from VolumeSuperResolutionLib.application import segments

        return segments.refineHere(inputVolume, resultNode)

    def saveAsDicom(self, resultNode, folder):
        """Write a result as a DICOM series into a new folder; its input must come from Slicer's DICOM database."""
        from VolumeSuperResolutionLib.application import dicomseries

        dicomseries.write(resultNode, pathlib.Path(folder))

    def models(self):
        """The ids of all models at hand, the interpolations first.

        >>> logic.models()[:3]
        ('nearest', 'linear', 'bspline')
        """
        from VolumeSuperResolutionLib.engine.models import zoo

        return tuple(zoo.cards())

    def defaultModel(self):
        """The model that is used if none is named: "auto", the one that serves the target best."""
        from VolumeSuperResolutionLib.engine.models.automatic import AUTOMATIC

        return AUTOMATIC

    def describe(self, model):
        """What a model is, what it was trained on and how good it was measured to be, as text.

        >>> print(logic.describe("lanczos"))
        Lanczos (lanczos)
        Windowed sinc interpolation, the sharpest of the plain ones.
        Error bounds are known for MR, 2 x 2 x 2, 1 x 1 x 2, 1 x 1 x 4, 4 x 4 x 4.
        """
        from VolumeSuperResolutionLib.application import wording

        return wording.describe(model)

    def estimate(self, inputVolume, model=None, scale=2, **options):
        """Size, spacing, output_bytes, working_bytes and seconds (on the CPU; 0 if unknown) of a run, without running.

        >>> logic.estimate(getNode("MRBrain"), model="lanczos", scale=2).size
        (280, 152, 328)
        """
        from VolumeSuperResolutionLib.application import runs

        return runs.estimateRequest(inputVolume, runs.makeRequest(inputVolume, model, scale, **options))


class VolumeSuperResolutionTest(ScriptedLoadableModuleTest):
    """The self-test, by the name that Slicer looks for; what it checks is in VolumeSuperResolutionLib.application."""

    def runTest(self):
        """Every check once, whoever asks: the application, or a loader of unit tests, which finds no other here."""
        from VolumeSuperResolutionLib.application.selftest import SelfTest

        SelfTest(self, VolumeSuperResolutionLogic(), sampleFolder()).run()
