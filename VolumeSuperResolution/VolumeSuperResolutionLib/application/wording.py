"""Cards, estimates and times in words for the panel and the console."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from slicer.i18n import tr as _

from ..engine.request import MEGA, Estimate, Report, describe_grid, describe_realism
from .scene import PREFIX

# How scans were degraded to measure a gain: by the slice profile alone, or also by noise as of a scanner.
CLEAN, NOISY = "profile", "scanner"
ENDLESS = float("inf")


def describeCard(card: Any) -> str:
    """Everything a user may want to know about a model, as lines of plain text."""
    lines = [f"{card.title} ({card.id})", card.summary]
    if card.learned:
        factor = " x ".join(str(f) for f in card.factor)
        lines += [
            _("Factor: {factor}; {parameters} parameters").format(factor=factor, parameters=f"{card.parameters:,}"),
            trainedOn(card),
        ]
        lines += gains(card)
        if card.partner:
            lines.append(_("Realism: 0 (the faithful model {partner}) to 1 (as it is)").format(partner=card.partner))
        if card.paper:
            lines.append(_("Paper: {paper}").format(paper=card.paper))
    lines += [card.caution] if card.caution else []
    lines += list(card.limits)
    return "\n".join(lines)


def cardMarkup(card: Any) -> str:
    """The model for the panel: summary, what it was trained on, what it gains."""
    lines = [escape(card.summary)]
    if card.learned:
        lines += [f"<span style='color:gray'>{escape(text)}</span>" for text in [trainedOn(card), *gains(card)]]
    return "<br>".join(lines)


def trainedOn(card: Any) -> str:
    """One sentence about the domain of a learned model."""
    finest, coarsest = card.spacing_mm
    modalities = _(" and ").join(card.modalities)
    if coarsest == ENDLESS:
        return _("Trained on {modalities}.").format(modalities=modalities)
    return _("Trained on {modalities}, voxels of {finest} to {coarsest} mm.").format(
        modalities=modalities, finest=f"{finest:.2g}", coarsest=f"{coarsest:.2g}"
    )


def gains(card: Any) -> list[str]:
    """The measured gain over the best interpolation for each modality, on clean scans and on noisy ones."""
    sentences = []
    for modality in dict.fromkeys(name for measured in card.gains.values() for name in measured):
        clean, noisy = (
            decibels(*card.gains.get(protocol, {}).get(modality, {}).get("over_best_classical", ()))
            for protocol in (CLEAN, NOISY)
        )
        if clean and noisy:
            text = _("{modality}: {clean} over the best interpolation; {noisy} on noisy scans.")
        elif clean:
            text = _("{modality}: {clean} over the best interpolation.")
        elif noisy:
            text = _("{modality}: {noisy} over the best interpolation on noisy scans.")
        else:
            continue
        sentences.append(text.format(modality=modality, clean=clean, noisy=noisy))
    return sentences


def decibels(mean: float | None = None, deviation: float = 0.0) -> str:
    """A mean gain, with its deviation where more than one volume was measured; nothing for none."""
    if mean is None:
        return ""
    return f"{mean:+.2f} ± {deviation:.2f} dB" if deviation else f"{mean:+.2f} dB"


def estimateLine(grid: Any, forecast: Estimate) -> str:
    """For example "181x217x181 at 1 mm -> 362x434x362 at 0.5 mm, 217 MB, about 40 s on the CPU"."""
    line = (
        f"{describe_grid(grid.size, grid.spacing)} -> {describe_grid(forecast.size, forecast.spacing)}, "
        f"{memory(forecast.output_bytes)}"
    )
    if forecast.seconds >= 1:
        line += _(", about {time} on the CPU").format(time=duration(forecast.seconds))
    elif forecast.seconds > 0:
        line += _(", less than a second on the CPU")
    return line


def resultLine(node: Any) -> str:
    """What a finished run says of itself, with its notes on lines of their own."""
    report = Report.from_dict(json.loads(node.GetAttribute(PREFIX + "Report")))
    done = _("{name}{realism}: {time} on {device}; agrees with the scan within {residual} on average.").format(
        name=node.GetName(),
        realism=describe_realism(report.realism),
        time=duration(report.seconds),
        device=report.device.upper(),
        residual=residual(report),
    )
    return "\n".join([done, *report.warnings])


def residual(report: Report) -> str:
    """How far the result, degraded again, is from the scan: in HU, or as a part of the range of intensities."""
    if report.modality == "CT":
        return f"{report.consistency_residual:.2g} HU"
    low, high = report.window
    share = 100 * report.consistency_residual / (high - low) if high > low else 0.0
    return _("{percent}% of the range of intensities").format(percent=f"{share:.2g}")


def memory(size: float) -> str:
    """Bytes in MB or GB."""
    megabytes = size / MEGA
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{max(1, round(megabytes))} MB"


def duration(seconds: float) -> str:
    """Seconds as a person says them: "less than a second", "40 s", "3 min", "1 h 20 min"."""
    if seconds < 1:
        return _("less than a second")
    if seconds < 90:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
