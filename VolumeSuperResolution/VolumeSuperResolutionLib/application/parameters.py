"""What the panel is set to, kept in the scene and saved with it."""

from typing import Annotated, Any

from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper

Millimeters = Annotated[float, WithinRange(0.01, 100.0), Default(1.0)]
AUTOMATIC_MEMORY = 0
CARDS_CONSISTENCY = -1
AS_IT_IS = 1.0


@parameterNodeWrapper
class Parameters:
    """Choices are kept as plain text, not as enumerations: a saved scene may name one that no longer exists."""

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
    ensemble: Annotated[bool, Default(False)]
    compareAfter: Annotated[bool, Default(True)]


# What each target asks of the engine; "spacing" takes the three numbers of the panel.
TARGETS = {
    "x2": {"scale": 2},
    "x4": {"scale": 4},
    "slices2": {"slices": 2},
    "slices4": {"slices": 4},
    "isotropic": {"isotropic": True},
    "spacing": {},
}


def optionsFrom(parameters: Parameters, card: Any, target: str = "") -> dict:
    """The keyword arguments that VolumeSuperResolutionLogic.upscale takes for these settings, or for another target.

    What the model of this card does not take is left out, and kept for one that does.
    """
    target = target or parameters.target
    options = {
        "model": parameters.model,
        "device": parameters.device,
        "precision": parameters.precision,
        "memory": parameters.memory if parameters.memory != AUTOMATIC_MEMORY else None,
        "consistency": parameters.consistency if parameters.consistency != CARDS_CONSISTENCY else None,
        "realism": parameters.realism if card.partner and parameters.realism != AS_IT_IS else None,
        "uncertainty": parameters.uncertainty and card.learned,
        "ensemble": parameters.ensemble and card.learned,
        "region": parameters.region,
    }
    if target == "spacing":
        return {**options, "spacing": (parameters.spacingI, parameters.spacingJ, parameters.spacingK)}
    return {**options, **TARGETS.get(target, TARGETS["x2"])}
