"""The cards in words: the table that weights/README.md is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..engine.improving import GAINED, LEAST
from ..engine.models.zoo import Card

HEAD = """# The models

Made from the cards by `vsr models --markdown`; do not edit. Every figure was measured on volumes that no training saw,
by `vsr evaluate`: PSNR gains in dB, mean ± standard deviation over volumes. "profile" degrades with the nominal slice
profile; "scanner" with a blur that the method is not told and 1% noise. "Best classical" is the better of Lanczos and
back-projection, volume by volume. Research use only - not for diagnosis.
"""
GALLERY = """
![For each model: input, Lanczos, result, truth, error](gallery.png)
"""
PAGE_COLUMNS = (
    ("profile", "over_lanczos", "over Lanczos"),
    ("profile", "over_backprojection", "over back-projection"),
    ("scanner", "over_best_classical", "scanner: over best classical"),
)
# What a line of a model's details tells; measurements that lack some of it, as one's own may, have none.
MEASURED = ("psnr", "ssim", "over_lanczos", "over_backprojection", "over_best_classical")
LOOKS_HEAD = """
## How slices look

PSNR, SSIM, LPIPS (VGG) and FID under "profile", the last two over slices of the three views
(`vsr evaluate --perceptual`): the lower they are, the more the slices look like those of a true scan.
"""
LOOKS_TABLES = {
    (2, 2, 2): """### Twice the matrix
""",
    (4, 4, 4): """### Four times the matrix, beside the published figures

"Theirs" is quoted from Ha et al. 2024, measured by them on other scans (OASIS T1 and MSD 6) and in another way: to
compare the order of the methods, not the numbers. It differs in two. RCAN is ahead of SRResNet there on MR and in
LPIPS, and behind it here: the one shipped has 3 groups of 4 blocks of 32 features, theirs 10 of 16 of 64. RRDB-GAN,
which looks best of all there, does so here on CT; on MR its LPIPS is the best, but its FID behind that of all other
networks. It is smaller, too, and was trained for 42 minutes on two CPU cores. The networks are closer together and
closer to interpolation here: most end in rounds of data consistency, as back-projection does, and each was trained for
under three hours on a CPU.
""",
}
LOOKS_DIGITS = {"psnr": 2, "ssim": 3, "lpips": 3, "fid": 2}
PUBLISHED_FACTOR = (4, 4, 4)
# By modality and model: PSNR, SSIM, LPIPS, FID.
PUBLISHED = {
    "MR": {
        "linear": (26.55, 0.79, 0.25, 6.89),
        "srresnet3d-x4": (31.95, 0.88, 0.12, 4.17),
        "dcsrn3d-x4": (29.96, 0.82, 0.17, 5.41),
        "rcan3d-x4": (32.27, 0.89, 0.11, 3.69),
        "rrdbgan3d-x4": (29.50, 0.82, 0.04, 0.18),
    },
    "CT": {
        "linear": (28.82, 0.80, 0.27, 3.94),
        "srresnet3d-x4": (37.89, 0.93, 0.08, 1.70),
        "dcsrn3d-x4": (33.88, 0.88, 0.14, 2.72),
        "rcan3d-x4": (37.79, 0.92, 0.07, 1.38),
        "rrdbgan3d-x4": (36.01, 0.89, 0.03, 0.18),
    },
}


def markdown(cards: Iterable[Card]) -> str:
    """The whole page."""
    learned = [card for card in cards if card.learned]
    upscaling = [card for card in learned if not card.several]
    lines = [HEAD, *_table(upscaling), GALLERY, *_looks(upscaling)]
    for card in learned:
        lines += _details(card)
    return "\n".join(lines).rstrip() + "\n"


def _table(cards: Sequence[Card]) -> list[str]:
    heads = [f"{modality}: {words}" for modality in ("MR", "CT") for _, _, words in PAGE_COLUMNS]
    lines = [
        f"| id | factor | parameters | {' | '.join(heads)} | s for 128³ |",
        f"|---|---|---:|{'---:|' * (len(heads) + 1)}",
    ]
    for card in cards:
        cells = [
            _gain(card.gains, protocol, modality, column)
            for modality in ("MR", "CT")
            for protocol, column, _ in PAGE_COLUMNS
        ]
        seconds = card.seconds_per_megavoxel * 128**3 / 1e6
        named = f"| [{card.id}](#{card.id}) | {card.factor_words} | {card.parameters:,} |"
        lines.append(f"{named} {' | '.join(cells)} | {seconds:.1f} |")
    return lines


def _looks(cards: Sequence[Card]) -> list[str]:
    """The tables of perceptual scores, by factor; only models that have them."""
    lines = []
    for factor, words in LOOKS_TABLES.items():
        tables = [line for modality in PUBLISHED for line in _looks_table(cards, factor, modality)]
        lines += [words, *tables] if tables else []
    return [LOOKS_HEAD, *lines] if lines else []


def _looks_table(cards: Sequence[Card], factor: tuple[int, ...], modality: str) -> list[str]:
    """The table of one factor and modality: the classical methods, then the models."""
    rows: dict[str, Mapping] = {}
    for card in cards:
        found = card.gains.get("profile", {}).get(modality, {})
        if card.factor == factor and "lpips" in found:
            rows = {**found["classical"], **rows, card.id: found}
    if not rows:
        return []
    published = PUBLISHED[modality] if factor == PUBLISHED_FACTOR else {}
    heads = [name.upper() for name in LOOKS_DIGITS]
    theirs = [f"theirs: {heads[0]}", *heads[1:]] if published else []
    lines = [f"| {' | '.join([modality, *heads, *theirs])} |", f"|---|{'---:|' * len([*heads, *theirs])}"]
    for model, found in rows.items():
        cells = [f"{found[name][0]:.{digits}f}" for name, digits in LOOKS_DIGITS.items()]
        if published:
            cells += [f"{value:.2f}" for value in published[model]] if model in published else [""] * len(theirs)
        lines.append(f"| {' | '.join([model, *cells])} |")
    return [*lines, ""]


def _gain(gains: Mapping, protocol: str, modality: str, column: str) -> str:
    value = gains.get(protocol, {}).get(modality, {}).get(column)
    if value is None:
        return ""
    return f"{value[0]:+.2f} ± {value[1]:.2f}" if value[1] else f"{value[0]:+.2f}"


def _details(card: Card) -> list[str]:
    lines = [f"## {card.id}", "", f"{card.title}. {card.summary}", "", f"- Paper: {card.paper}"]
    networks = ", then ".join(
        f"`{stage.network}`"
        + (f" on the slices across {' and '.join(stage.views)}" if stage.views else "")
        + (f" on the volume turned {stage.turns} ways, averaged" if stage.turns > 1 else "")
        for stage in card.stages
    )
    lines.append(f"- Applied as: {networks}; data consistency by default: {card.consistency} rounds")
    if card.averaged_with:
        own, others = round(100 * card.share), round(100 * (1 - card.share))
        lines.append(
            f"- On {' and '.join(card.averaged_on)} its result ({own}%) is averaged with that of {card.averaged_with} "
            f"({others}%)"
        )
    lines.append(f"- Degradation it was trained for: {card.degradation}")
    lines += [f"- {name.replace('_', ' ').capitalize()}: {_words(value)}" for name, value in card.training.items()]
    for protocol, modalities in card.gains.items():
        for modality, values in modalities.items():
            if GAINED in values:
                mean, deviation = values[GAINED]
                lines.append(
                    f"- {protocol}, {modality} ({values['volumes'][0]:.0f} volumes): over what is combined without it "
                    f"{mean:+.2f} ± {deviation:.2f} dB, at the least {values[LEAST][0]:+.2f}"
                )
            if not {"volumes", *MEASURED} <= set(values):
                continue
            scans = f"{values['volumes'][0]:.0f} volumes"
            scans += f", {values['crop'][0]:.0f}³ voxels of each" if "crop" in values else ""
            lines.append(
                f"- {protocol}, {modality} ({scans}): PSNR {values['psnr'][0]:.2f} dB, "
                f"SSIM {values['ssim'][0]:.4f}, over Lanczos {values['over_lanczos'][0]:+.2f}, over back-projection "
                f"{values['over_backprojection'][0]:+.2f}, over the best classical "
                f"{values['over_best_classical'][0]:+.2f} dB"
            )
    lines += [f"- Interval of 90%: {table.words()}" for table in card.intervals]
    lines += [] if card.intervals else ["- Interval of 90%: not measured"]
    if card.caution:
        lines.append(f"- Caution: {card.caution}")
    lines += [f"- Known limit: {limit}" for limit in card.limits]
    return [*lines, f"- License of the weights: {card.license}", ""]


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_words(v)}" for name, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_words(v) for v in value)
    return str(value)
