"""Cards, estimates and times in words for the panel and the console."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from slicer.i18n import tr as _

from ..engine.combine_report import CombineReport
from ..engine.models import zoo
from ..engine.models.automatic import AUTOMATIC, gain
from ..engine.models.interval_table import percent
from ..engine.physics.scanner import SAME, Scanner
from ..engine.request import MEGA, Estimate, Report, describe_grid, describe_realism
from .scene import PREFIX, inputsOf, isCombined
from .stacks import named

# How scans were degraded to measure a gain: by the slice profile alone, or also by noise as of a scanner.
CLEAN, NOISY = "profile", "scanner"
ENDLESS = float("inf")
# A bar in the table of models is made of these, each for so many percent.
BAR, PERCENT_A_BAR = "▮", 4
AUTOMATIC_TIP = _("Takes the network that is best for a target, or back-projection where none gains on noisy scans.")


def describe(model: str) -> str:
    """The same of a model by its id, or what it means to name none."""
    return AUTOMATIC_TIP if model == AUTOMATIC else describeCard(zoo.card(model))


def describeCard(card: Any) -> str:
    """Everything a user may want to know about a model, as lines of plain text."""
    lines = [f"{card.title} ({card.id})", card.summary]
    if card.learned:
        parameters = _("Factor: {factor}; {parameters} parameters")
        lines += [
            parameters.format(factor=card.factor_words, parameters=f"{card.parameters:,}"),
            trainedOn(card),
        ]
        lines += gains(card)
        if card.partner:
            lines.append(_("Realism: 0 (the faithful model {partner}) to 1 (as it is)").format(partner=card.partner))
        if card.paper:
            lines.append(_("Paper: {paper}").format(paper=card.paper))
    lines += [card.caution] if card.caution else []
    lines += list(card.limits)
    return "\n".join([*lines, intervalsOf(card)])


def intervalsOf(card: Any) -> str:
    """For which scans and targets error bounds are known."""
    held: dict[str, list[str]] = {}
    for table in card.intervals:
        if table.holds:
            held.setdefault(table.modality, []).append(" x ".join(map(str, table.factor)))
    if not held:
        return _("No error bounds are known for it.")
    places = "; ".join(f"{modality}, {', '.join(factors)}" for modality, factors in held.items())
    return _("Error bounds are known for {places}.").format(places=places)


def methodMarkup(card: Any, isAutomatic: bool, modality: str, networks: bool) -> str:
    """What fills in the finer voxels, and how far to trust it, for the panel."""
    if not isAutomatic:
        return f"<b>{escape(card.title)}</b>: {escape(card.summary)} {escape(trust(card, modality))}"
    if card.learned:
        text = _("<b>Automatic</b> takes {title}, of the networks the best for this target. {trust}")
    elif networks:
        text = _("<b>Automatic</b> takes {title}, as no network is made for this target. {trust}")
    else:
        text = _("<b>Automatic</b> takes {title}, as the networks need PyTorch, which is not at hand. {trust}")
    titles = [card.title, *([zoo.card(card.averaged_with).title] if card.averaged_for(modality) else [])]
    return text.format(title=escape(_(" and ").join(titles)), trust=escape(trust(card, modality)))


def cardMarkup(card: Any) -> str:
    """What else there is to know before a model is taken: what it was trained on, and its known limits."""
    lines = [trainedOn(card), *card.limits] if card.learned else list(card.limits)
    return "<br>".join(f"<span style='color:gray'>{escape(text)}</span>" for text in lines)


def trust(card: Any, modality: str) -> str:
    """How good a model was measured to be, in words."""
    if not card.learned:
        return _("It adds nothing that is not in the scan.")
    gained = gain(card, modality)
    if not gained:
        return _("How good it is on such scans was not measured.")
    if gained < 0:
        text = _("Its error was {percent}% larger than that of the best interpolation, on noisy scans it never saw.")
        return text.format(percent=round(-errorReduction(gained)))
    text = _("Its error was {percent}% smaller than that of the best interpolation, on noisy scans it never saw.")
    return text.format(percent=round(errorReduction(gained)))


def errorReduction(decibel: float) -> float:
    """By how many percent the root mean square error is smaller where PSNR is this much higher."""
    return 100 * (1 - 10 ** (-decibel / 20))


def gainBar(card: Any, modality: str) -> str:
    """The reduction of the error in percent with a small bar, for a table; nothing where it was not measured."""
    gained = gain(card, modality) if card.learned else 0.0
    if not gained:
        return ""
    percent = errorReduction(gained)
    return f"{BAR * max(0, round(percent / PERCENT_A_BAR))} {percent:.0f}%".strip()


def groupName(group: str) -> str:
    """The heading of a group of models; one of somebody's own models is as it stands in their cards."""
    known = {
        "Classical": _("Interpolations"),
        "Networks, 2x": _("Networks, 2x"),
        "Networks, 4x": _("Networks, 4x"),
        "Thick slices": _("Thick slices"),
        "Every grid": _("Every grid"),
    }
    return known.get(group, group)


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


def estimateLine(grid: Any, forecast: Estimate, seconds: float, device: str, learning: float = 0.0) -> str:
    """For example "181x217x181 at 1 mm -> 362x434x362 at 0.5 mm, 217 MB, about 40 s on the CPU".

    `learning` is how many seconds it learns from the scan before that, at the most.
    """
    line = (
        f"{describe_grid(grid.size, grid.spacing)} -> {describe_grid(forecast.size, forecast.spacing)}, "
        f"{memory(forecast.output_bytes)}"
    )
    if seconds >= 1:
        line += _(", about {time} on the {device}").format(time=duration(seconds), device=deviceName(device))
    elif seconds > 0:
        line += _(", less than a second on the {device}").format(device=deviceName(device))
    if learning:
        line += _(", after up to {time} of learning").format(time=duration(learning))
    return line


def combineLine(count: int, forecast: Estimate) -> str:
    """For example "3 stacks -> 140x76x164 at 1 mm, 2 MB"."""
    return _("{count} stacks -> {grid}, {memory}").format(
        count=count, grid=describe_grid(forecast.size, forecast.spacing), memory=memory(forecast.output_bytes)
    )


def stacksHint(count: int) -> str:
    """That the chosen volume is one of several that belong together, with a link, as markup."""
    text = _('{count} stacks of this examination are here: <a href="stacks">combine them</a> into one sharp volume.')
    return text.format(count=count)


def deviceName(device: str) -> str:
    """What a device is called in a sentence."""
    return "CPU" if device == "cpu" else "GPU"


def resultLine(node: Any) -> str:
    """What a finished run says of itself, with its notes on lines of their own."""
    if isCombined(node):
        return combinedLine(node)
    report = reportOf(node)
    method = _("{title}, chosen automatically") if report.automatic else "{title}"
    done = _("{name}: {method}{realism}, {time} on the {device}; agrees with the scan within {residual} on average.")
    line = done.format(
        name=node.GetName(),
        method=method.format(title=report.title),
        realism=describe_realism(report.realism),
        time=duration(report.seconds),
        device=deviceName(report.device),
        residual=residual(report),
    )
    return "\n".join([line, *mean(report), *learned(report), *doubts(report), assumed(report), *report.warnings])


def mean(report: Report) -> list[str]:
    """Of what it is the mean, where several models made it."""
    return [_("It is the mean of {parts}.").format(parts=report.shares)] if report.mean_of else []


def learned(report: Report) -> list[str]:
    """What learning from the scan came to, where that was asked for."""
    if report.learning_gain is None:
        return []
    if report.learned_share:
        text = _("What was learned from the scan is {share}% of it: {gain} dB over {title} on what was held out.")
    else:
        text = _("What was learned from the scan gained too little over {title} to be used ({gain} dB).")
    share, gained = round(100 * report.learned_share), f"{report.learning_gain:+.2f}"
    return [text.format(share=share, gain=gained, title=report.learning_beside)]


def doubts(report: Report) -> list[str]:
    """Within what the truth lies, and how much of the result the scan does not fix, where that is known."""
    lines = []
    if report.interval is not None:
        text = _("In tissue the truth typically lies within ± {half} with 90% ({covered} measured on {n} subjects).")
        half, covered = amount(report, report.interval), percent(report.interval_coverage)
        lines.append(text.format(half=half, covered=covered, n=report.interval_subjects))
    if report.invented is not None:
        text = _("In tissue {part} on average is not determined by the scan, but filled in.")
        lines.append(text.format(part=amount(report, report.invented)))
    return lines


def combinedLine(node: Any) -> str:
    """The same of a volume that was made of several."""
    report = combinedReportOf(node)
    done = _("{name}: {count} stacks, {time}; they differ from it by {residual}% of the range of intensities.").format(
        name=node.GetName(),
        count=len(report.stacks),
        time=duration(report.seconds),
        residual=f"{100 * max(stack.residual for stack in report.stacks):.2g}",
    )
    others = [stack for number, stack in enumerate(report.stacks, start=1) if number != report.reference]
    if report.loop_error_mm is None:
        place = _("They were taken where they lie.")
    else:
        place = _("The patient had moved by up to {moved} mm and {degrees}° between them; sure to {loop} mm.").format(
            moved=f"{max(stack.moved_mm for stack in others):.1f}",
            degrees=f"{max(stack.turned_degrees for stack in others):.1f}",
            loop=f"{report.loop_error_mm:.2f}",
        )
    lines = [done, place]
    for stack, source in zip(report.stacks, inputsOf(node)):
        for slices, text in (
            (stack.followed, _("{count} of the {total} slices of {name} moved alone and were placed one by one.")),
            (stack.dropped, _("{count} of the {total} slices of {name} did not fit and were left out.")),
        ):
            if slices:
                lines.append(text.format(count=len(slices), total=stack.slices, name=source.GetName()))
    return "\n".join([*lines, *report.warnings])


def details(node: Any) -> str:
    """The whole report of a run."""
    return named(str(combinedReportOf(node)), inputsOf(node)) if isCombined(node) else str(reportOf(node))


def assumed(report: Report) -> str:
    """What a run took for granted of the scan, and what it knew."""
    modality = _("CT in HU") if report.modality == "CT" else report.modality
    if report.scanner is None:
        return _("Assumed: {modality}, slices as thick as they are apart.").format(modality=modality)
    return _("Assumed: {modality}. {scan}").format(
        modality=modality, scan=scanLine(report.input_spacing, report.scanner)
    )


def scanLine(spacing: Sequence[float], scanner: Scanner) -> str:
    """What is known of a scan, and from where: thickness and distance of its slices, gaps, the profile, and noise."""
    sources = {"assumed": _("assumed"), "dicom": _("from DICOM"), "user": _("as given"), "estimated": _("estimated")}
    across = scanner.across(spacing)
    axis, step = scanner.axes[across], spacing[across]
    width = axis.width_at(step)
    line = _("Slices {width} mm thick every {step} mm ({source}), pixels of {fine} mm.").format(
        width=f"{width:.3g}",
        step=f"{step:.3g}",
        source=sources[axis.told],
        fine=f"{min(s for n, s in enumerate(spacing) if n != across):.3g}",
    )
    sentences = [line]
    if abs(width - step) > SAME * step:
        gap = _("Gaps of {size} mm between them.") if width < step else _("They overlap by {size} mm.")
        sentences.append(gap.format(size=f"{abs(step - width):.2g}"))
    if axis.shape == "user":
        name = axis.profile if isinstance(axis.profile, str) else axis.profile.name
        sentences.append(_("Profile: {name} (as given).").format(name=name))
    if scanner.noise is not None:
        noise = _("Noise {percent}% ({source}).")
        sentences.append(noise.format(percent=f"{100 * scanner.noise:.2g}", source=sources[scanner.noise_told]))
    return " ".join(sentences)


def reportOf(node: Any) -> Report:
    """The report that a result keeps."""
    return Report.from_dict(json.loads(node.GetAttribute(PREFIX + "Report")))


def combinedReportOf(node: Any) -> CombineReport:
    """The same of one that was made of several."""
    return CombineReport.from_dict(json.loads(node.GetAttribute(PREFIX + "Report")))


def residual(report: Report) -> str:
    """How far the result, degraded again, is from the scan: in HU, or as a part of the range of intensities."""
    return amount(report, report.consistency_residual)


def amount(report: Report, value: float) -> str:
    """A difference of intensities: in HU, or as a part of their range."""
    if report.modality == "CT":
        return f"{value:.2g} HU"
    low, high = report.window
    share = 100 * value / (high - low) if high > low else 0.0
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
