"""What a training run tells: a line now and then, a CSV file and a curve."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CSV_FILE = "training.csv"
CURVE_FILE = "training.png"


class Journal:
    """Losses since the last measurement, and all measurements so far."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.rows: list[dict[str, float]] = []
        self.recent: list[float] = []

    def add(self, loss: float) -> None:
        """One step's loss."""
        self.recent.append(loss)

    def measured(self, step: int, seconds: float, rate: float, gains: Mapping[str, float]) -> None:
        """One measurement; the losses since the one before are averaged into it."""
        loss = sum(self.recent) / len(self.recent) if self.recent else math.nan
        self.rows.append({"step": step, "seconds": seconds, "rate": rate, "loss": loss, **gains})
        self.recent = []

    def tell(self, step: int, seconds: float, done: float) -> None:
        """Prints where the run is."""
        parts = [f"step {step}", f"{step / max(seconds, 1e-9):.2f} steps/s"]
        last = self.rows[-1] if self.rows else {}
        recent = self.recent[-100:]
        loss = sum(recent) / len(recent) if recent else last.get("loss", math.nan)
        if not math.isnan(loss):
            parts.append(f"loss {loss:.4f}")
        parts += [f"{key} {value:+.2f} dB" for key, value in last.items() if " " in key]
        if done > 0:
            parts.append(f"{seconds * max(0.0, 1 / done - 1) / 60:.1f} min left")
        print(", ".join(parts), flush=True)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"rows": self.rows, "recent": self.recent}

    def restore(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self.rows, self.recent = state["rows"], state["recent"]

    def write(self) -> None:
        """The CSV file and the curve."""
        if not self.rows:
            return
        with open(self.folder / CSV_FILE, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.rows[-1])
            writer.writeheader()
            writer.writerows(self.rows)
        try:
            from matplotlib.figure import Figure
        except ImportError:
            print("No curve was drawn: matplotlib is not installed.", flush=True)
            return
        figure = Figure(figsize=(8, 4))
        minutes = [row["seconds"] / 60 for row in self.rows]
        left, right = figure.subplots(1, 2)
        left.plot(minutes, [row["loss"] for row in self.rows])
        left.set(xlabel="minutes", ylabel="loss", yscale="log")
        for key in (key for key in self.rows[-1] if " " in key):
            right.plot(minutes, [row.get(key) for row in self.rows], label=key)
        right.set(xlabel="minutes", ylabel="gain over Lanczos (dB)")
        right.legend()
        figure.tight_layout()
        figure.savefig(self.folder / CURVE_FILE, dpi=100)
