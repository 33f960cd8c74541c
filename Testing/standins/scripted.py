"""slicer.ScriptedLoadableModule, slicer.i18n and SampleData, as far as a scripted module uses them."""

from __future__ import annotations

import importlib
import os
import sys
import types
import unittest
import urllib.request
from pathlib import Path
from typing import Any

import qt
import slicer


class ScriptedLoadableModule:
    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = self.__class__.__name__
        parent.title, parent.helpText, parent.acknowledgementText = "", "", ""
        parent.categories, parent.dependencies, parent.contributors = [], [], []
        for ending in (".svg", ".png"):
            path = os.path.join(os.path.dirname(parent.path), "Resources/Icons", self.moduleName + ending)
            if os.path.isfile(path):
                parent.icon = qt.QIcon(path)
                break
        slicer.selfTests = getattr(slicer, "selfTests", {})
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        return os.path.join(os.path.dirname(self.parent.path), "Resources", filename)

    def runTest(self, msec: int = 100, **kwargs: Any) -> None:
        module = importlib.import_module(self.__module__)
        test = getattr(module, self.moduleName + "Test")()
        test.messageDelay = msec
        test.runTest(**kwargs)


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: Any = None) -> None:
        self.moduleName = self.__class__.__name__.replace("Widget", "")
        self.developerMode = False
        self.parent = parent
        if parent is None:
            self.parent = slicer.qMRMLWidget()
            self.parent.setLayout(qt.QVBoxLayout())
            self.parent.setMRMLScene(slicer.mrmlScene)
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()
            self.parent.show()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename: str) -> str:
        return os.path.join(os.path.dirname(slicer.util.modulePath(self.moduleName)), "Resources", filename)

    def setup(self) -> None:
        """Where developer mode would add its buttons."""

    def cleanup(self) -> None:
        """For derived classes."""

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:
        if moduleName == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)


class ScriptedLoadableModuleLogic:
    def __init__(self, parent: Any = None) -> None:
        self.moduleName = self.__class__.__name__.replace("Logic", "")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node.SetModuleName(self.moduleName)
            node.SetNodeReferenceAutoCreate(False) if hasattr(node, "SetNodeReferenceAutoCreate") else None
            node = slicer.mrmlScene.AddNode(node)
        node.SetAttribute("ModuleName", self.moduleName)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.messageDelay = 0

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        slicer.util.delayDisplay(message, self.messageDelay)


class SampleDataSource:
    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class SampleDataLogic:
    """Keeps the registered sources and loads them; sources are files on this machine."""

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: str | None = None,
        loadFileTypes: Any = None,
        loadFiles: Any = None,
        loadFileProperties: Any = None,
        checksums: Any = None,
    ) -> None:
        slicer.modules.sampleDataSources = getattr(slicer.modules, "sampleDataSources", {})
        source = SampleDataSource(
            sampleName=sampleName,
            customDownloader=customDownloader,
            uris=uris if isinstance(uris, (list, tuple)) else [uris],
            fileNames=fileNames if isinstance(fileNames, (list, tuple)) else [fileNames],
            nodeNames=nodeNames if isinstance(nodeNames, (list, tuple)) else [nodeNames],
            thumbnailFileName=thumbnailFileName,
        )
        slicer.modules.sampleDataSources.setdefault(category, []).append(source)

    def downloadSamples(self, sampleName: str) -> list:
        for sources in getattr(slicer.modules, "sampleDataSources", {}).values():
            for source in [s for s in sources if s.sampleName == sampleName]:
                if source.customDownloader is not None:
                    return source.customDownloader(source)
                paths = [urllib.request.url2pathname(urllib.request.urlparse(uri).path) for uri in source.uris]
                pairs = zip(paths, source.nodeNames)
                return [slicer.util.loadVolume(str(Path(path)), {"name": name}) for path, name in pairs]
        raise ValueError(f"No sample data is called {sampleName}")

    def downloadSample(self, sampleName: str) -> Any:
        return self.downloadSamples(sampleName)[0]


def _translated(text: str) -> str:
    """In the context of the calling file, as Slicer names it."""
    path = Path(sys._getframe(1).f_code.co_filename)
    inPackage = (path.parent / "__init__.py").is_file()
    return slicer.app.translate(f"{path.parent.name}.{path.stem}" if inPackage else path.stem, text)


def install() -> None:
    """Make the modules importable."""
    scripted = types.ModuleType("slicer.ScriptedLoadableModule")
    names = ("Module", "ModuleWidget", "ModuleLogic", "ModuleTest")
    scripted.__all__ = [f"ScriptedLoadable{name}" for name in names]
    for name in scripted.__all__:
        setattr(scripted, name, globals()[name])
    translation = types.ModuleType("slicer.i18n")
    translation.tr = _translated
    translation.translate = lambda context, text: slicer.app.translate(context, text)
    sampleData = types.ModuleType("SampleData")
    sampleData.SampleDataLogic = SampleDataLogic
    slicer.ScriptedLoadableModule, slicer.i18n = scripted, translation
    sys.modules.update(
        {"slicer.ScriptedLoadableModule": scripted, "slicer.i18n": translation, "SampleData": sampleData}
    )
