"""What the panel is set to, kept in the scene and saved with it."""

from typing import Annotated, Any

from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper

from ..engine.readers import AUTO
from .learning import whyNotLearn
from .targets import optionsOf

Millimeters = Annotated[float, WithinRange(0.01, 100.0), Default(1.0)]
AUTOMATIC_MEMORY = 0
CARDS_CONSISTENCY = -1
AS_IT_IS = 1.0
# Of the scan: what DICOM tells, the profile that is assumed, the noise that is estimated.
FROM_DICOM, ASSUMED, ESTIMATED = 0.0, "", -0.1
FINEST_PIXELS = 0.0


@parameterNodeWrapper
class Parameters:
    """Choices are kept as plain text, not as enumerations: a saved scene may name one that no longer exists.

    No model is the one that is chosen automatically, no target the one that is proposed for the volume.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    outputVolume: vtkMRMLScalarVolumeNode
    region: vtkMRMLMarkupsROINode
    model: Annotated[str, Default("")]
    target: Annotated[str, Default("")]
    spacingI: Millimeters
    spacingJ: Millimeters
    spacingK: Millimeters
    device: Annotated[str, Default("auto")]
    precision: Annotated[str, Default("auto")]
    memory: Annotated[int, WithinRange(0, 1000000), Default(AUTOMATIC_MEMORY)]
    consistency: Annotated[int, WithinRange(-1, 10), Default(CARDS_CONSISTENCY)]
    realism: Annotated[float, WithinRange(0.0, 1.0), Default(AS_IT_IS)]
    uncertainty: Annotated[bool, Default(False)]
    interval: Annotated[bool, Default(False)]
    invented: Annotated[bool, Default(False)]
    ensemble: Annotated[bool, Default(False)]
    learn: Annotated[bool, Default(False)]
    fillNonfinite: Annotated[bool, Default(False)]
    sliceThickness: Annotated[float, WithinRange(FROM_DICOM, 1000.0), Default(FROM_DICOM)]
    profile: Annotated[str, Default(ASSUMED)]
    noise: Annotated[float, WithinRange(ESTIMATED, 99.9), Default(ESTIMATED)]
    compareAfter: Annotated[bool, Default(True)]
    severalStacks: Annotated[bool, Default(False)]
    # Which stacks are ticked, once the user has, is kept as references (stackform.py); their thicknesses as JSON.
    stacksChosen: Annotated[bool, Default(False)]
    stackThicknesses: Annotated[str, Default("")]
    stackReference: vtkMRMLScalarVolumeNode
    stackSpacing: Annotated[float, WithinRange(0.0, 100.0), Default(FINEST_PIXELS)]
    stackFov: Annotated[str, Default("reference")]
    stacksAligned: Annotated[bool, Default(False)]
    stackDetail: Annotated[bool, Default(False)]
    stackMaps: Annotated[bool, Default(False)]


def optionsFrom(parameters: Parameters, card: Any, model: str, target: str) -> dict:
    """The keyword arguments that VolumeSuperResolutionLogic.upscale takes for these settings.

    What the model of this card, or learning, does not take is left out, and kept for what does.
    """
    learns = parameters.learn and not whyNotLearn(parameters.inputVolume)
    return {
        "model": model,
        **optionsOf(target, parameters),
        "device": parameters.device,
        "precision": parameters.precision,
        "memory": parameters.memory if parameters.memory != AUTOMATIC_MEMORY else None,
        "consistency": parameters.consistency if parameters.consistency != CARDS_CONSISTENCY else None,
        "realism": parameters.realism if card.partner and parameters.realism != AS_IT_IS and not learns else None,
        "uncertainty": parameters.uncertainty and card.learned,
        "interval": parameters.interval and any(table.holds for table in card.intervals) and not learns,
        "invented": parameters.invented,
        "ensemble": parameters.ensemble and card.learned,
        "learn": AUTO if learns else None,
        "region": parameters.region,
        "fill_nonfinite": parameters.fillNonfinite,
        "slice_thickness": parameters.sliceThickness if parameters.sliceThickness > FROM_DICOM else None,
        "profile": parameters.profile or None,
        "noise": parameters.noise if parameters.noise >= 0 else None,
    }
