"""How fast this machine is: what runs took here corrects what the cards tell, which were measured elsewhere."""

from __future__ import annotations

import json
from typing import Any

import slicer

from ..engine.request import MEGA, Estimate

SETTING = "VolumeSuperResolution/Pace"
# Shorter runs tell more of loading than of computing.
SHORTEST_SECONDS = 2.0
# A machine is this much faster or slower at most; what is beyond was something else.
LIMITS = (0.05, 20.0)
CPU = "cpu"


class Pace:
    """Kept in the application's settings, from run to run."""

    def __init__(self, settings: Any = None) -> None:
        self._settings = settings

    def foresee(self, card: Any, forecast: Any, device: str = "auto") -> tuple[float, str]:
        """The seconds of a run, 0 if unknown, and the device they are for: as measured here, or as the card says."""
        known = self._read()
        rate, used = known["models"].get(card.id, (0.0, CPU))
        if rate and device in ("auto", used):
            return rate * work(card, forecast), used
        return forecast.seconds * known["cpu"], CPU

    def rate(self, card: Any, device: str = "auto") -> float:
        """The seconds that a megavoxel takes; 0 if unknown."""
        if not card.seconds_per_megavoxel:
            return 0.0
        return self.foresee(card, Estimate((0, 0, 0), (0.0, 0.0, 0.0), 0, 0, card.seconds_per_megavoxel), device)[0]

    def learn(self, card: Any, forecast: Any, report: Any) -> None:
        """Take down what a run of a whole volume took."""
        if report.seconds < SHORTEST_SECONDS:
            return
        known = self._read()
        rate, used = known["models"].get(card.id, (0.0, report.device))
        measured = report.seconds / work(card, forecast)
        same = rate and used == report.device
        known["models"][card.id] = ((rate + measured) / 2 if same else measured, report.device)
        if report.device == CPU and forecast.seconds:
            known["cpu"] = min(max(report.seconds / forecast.seconds, LIMITS[0]), LIMITS[1])
        self._store().setValue(SETTING, json.dumps(known))

    def _store(self) -> Any:
        return self._settings if self._settings is not None else slicer.app.userSettings()

    def _read(self) -> dict:
        """What is known; nothing, where the settings hold what this version does not understand."""
        try:
            stored = json.loads(str(self._store().value(SETTING, "")))
            models = {name: (float(rate), str(used)) for name, (rate, used) in stored["models"].items()}
            return {"cpu": float(stored["cpu"]), "models": models}
        except (ValueError, TypeError, KeyError, AttributeError):
            return {"cpu": 1.0, "models": {}}


def work(card: Any, forecast: Any) -> float:
    """What a run's time grows with: megavoxels times passes of a network, or megavoxels of the result."""
    if card.seconds_per_megavoxel:
        return forecast.seconds / card.seconds_per_megavoxel
    columns, rows, slices = forecast.size
    return columns * rows * slices / MEGA
