"""A result of the scene as a DICOM series in a folder, derived from the series that its input was loaded from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable

import qt
import slicer
from slicer.i18n import tr as _

from .. import __version__
from ..engine.errors import CancelledError, RefusalError
from ..engine.volumes import derived
from ..engine.volumes.slices import Slice, find
from . import wording
from .acquisition import instancesOf
from .scene import inputsOf, isCombined, volumeFromNode


def isPossible(resultNode: Any) -> bool:
    """Whether the result's input is known to Slicer's DICOM database."""
    return bool(inputsOf(resultNode) and instancesOf(inputsOf(resultNode)[0]))


def write(
    resultNode: Any,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> None:
    """Write the series into a folder that is empty or does not exist yet; whole, or not at all."""
    if not isPossible(resultNode):
        text = _("{name} was made of nothing that DICOM's database knows, so no DICOM series can be derived from it.")
        raise RefusalError(text.format(name=resultNode.GetName()))
    if resultNode.GetParentTransformNode() is not None:
        text = _("{name} is moved by a transform, of which DICOM knows nothing; take it out of the transform first.")
        raise RefusalError(text.format(name=resultNode.GetName()))
    derived.check_folder(folder)
    report = wording.combinedReportOf(resultNode) if isCombined(resultNode) else wording.reportOf(resultNode)
    told = report.derivation(__version__)
    derived.write(volumeFromNode(resultNode), folder, _images(resultNode), told, progress, cancel)


def _images(resultNode: Any) -> list[Slice]:
    """The images of the series that a result was made of."""
    instances = dict.fromkeys(instance for node in inputsOf(resultNode) for instance in instancesOf(node))
    files = dict.fromkeys(Path(slicer.dicomDatabase.fileForInstance(instance) or "-") for instance in instances)
    gone = [file for file in files if not file.is_file()]
    if gone:
        text = _("{count} of {total} files of the scan are no longer where DICOM's database has them; import it again.")
        raise RefusalError(text.format(count=len(gone), total=len(files)))
    return [image for image in find(files).slices if image.uid in instances]


def save(resultNode: Any) -> None:
    """Ask for a folder, and write the series into a new one in there, named after the result."""
    place = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder for the DICOM series"))
    if not place:
        return
    folder = _newFolder(Path(place), resultNode.GetName())
    dialog = slicer.util.createProgressDialog(
        labelText=_("Writing {name} as DICOM").format(name=resultNode.GetName()),
        windowTitle=_("Super-Resolution"),
        windowModality=qt.Qt.ApplicationModal,
    )

    def progress(done: int, total: int) -> None:
        dialog.value = 100 * done // total
        slicer.app.processEvents()

    try:
        write(resultNode, folder, progress, lambda: bool(dialog.wasCanceled))
    except CancelledError:
        return
    except RefusalError as refusal:
        slicer.util.errorDisplay(str(refusal))
        return
    finally:
        dialog.close()
        dialog.deleteLater()
    slicer.util.infoDisplay(
        _("{name} was saved as a DICOM series in {folder}.").format(name=folder.name, folder=folder)
    )


def _newFolder(place: Path, name: str) -> Path:
    """One that is not there yet."""
    plain = re.sub(r'[<>:"/\\|?*\x00-\x1f]+', "-", name).strip(". ") or "series"
    number, folder = 1, place / plain
    while folder.exists():
        number += 1
        folder = place / f"{plain} {number}"
    return folder
