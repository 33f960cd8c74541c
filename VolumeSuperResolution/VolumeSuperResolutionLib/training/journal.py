"""The log of a training run: progress lines, a CSV file, and the training curve."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from . import figures

CSV_FILE = "training.csv"
CURVE_FILE = "training.png"
# The discriminator's accuracy over voxels; not a part of the loss.
ACCURACY = "accuracy"
LOOKS = "LPIPS"


class Journal:
    """Losses since the last measurement, and all measurements so far."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.rows: list[dict[str, float]] = []
        self.recent: list[dict[str, float]] = []

    def add(self, parts: Mapping[str, float]) -> None:
        """One step's parts of the loss."""
        self.recent.append({**parts, "loss": sum(value for name, value in parts.items() if name != ACCURACY)})

    def measured(self, step: int, seconds: float, rate: float, gains: Mapping[str, float]) -> None:
        """One measurement; the losses since the one before are averaged into it."""
        losses = {"loss": math.nan, **_means(self.recent)}
        self.rows.append({"step": step, "seconds": seconds, "rate": rate, **losses, **gains})
        self.recent = []

    def tell(self, step: int, seconds: float, done: float) -> None:
        """Prints a line of progress."""
        told = [f"step {step}", f"{step / max(seconds, 1e-9):.2f} steps/s"]
        last = self.rows[-1] if self.rows else {}
        losses = _means(self.recent[-100:]) or last
        told += [f"{name} {losses[name]:.4f}" for name in _losses(losses) if not math.isnan(losses[name])]
        if ACCURACY in losses:
            told.append(f"{ACCURACY} {losses[ACCURACY]:.2f}")
        told += [f"{name} {value:+.2f} dB" for name, value in last.items() if _is_gain(name)]
        told += [f"{name} {value:.4f}" for name, value in last.items() if name.startswith(LOOKS)]
        if done > 0:
            told.append(f"{seconds * max(0.0, 1 / done - 1) / 60:.1f} min left")
        print(", ".join(told), flush=True)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"rows": self.rows, "recent": self.recent}

    def restore(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self.rows, self.recent = state["rows"], state["recent"]

    def write(self) -> None:
        """The CSV file and the curves."""
        if not self.rows:
            return
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with open(self.folder / CSV_FILE, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)
        try:
            from matplotlib.figure import Figure
        except ImportError:
            print("No curve was drawn: matplotlib is not installed.", flush=True)
            return
        panels = [
            ("loss", list(_losses(names))),
            ("gain over Lanczos (dB)", [name for name in names if _is_gain(name)]),
            ("LPIPS, accuracy of the discriminator", [n for n in names if n == ACCURACY or n.startswith(LOOKS)]),
        ]
        panels = [(label, lines) for label, lines in panels if lines]
        figure = Figure(figsize=(4 * len(panels), 4))
        minutes = [row["seconds"] / 60 for row in self.rows]
        for axes, (label, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
            for name in lines:
                axes.plot(minutes, [row.get(name, math.nan) for row in self.rows], label=name)
            axes.set(xlabel="minutes", ylabel=label, yscale="log" if label == "loss" else "linear")
            axes.legend()
        figure.tight_layout()
        figures.save(figure, self.folder / CURVE_FILE, dpi=100)


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each part of the loss, over the steps that have it: a resumed run may use other losses."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            found.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}


def _is_gain(name: str) -> bool:
    return " " in name and not name.startswith(LOOKS)


def _losses(names: Iterable[str]) -> list[str]:
    """The names of the loss and its parts; where there is only one part, it equals the loss and is left out."""
    others = ("step", "seconds", "rate", ACCURACY)
    found = [name for name in names if name not in others and " " not in name]
    return ["loss"] if len(found) == 2 else found
