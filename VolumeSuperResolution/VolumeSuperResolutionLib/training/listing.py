"""The cards in words: the table that weights/README.md is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..engine.zoo import Card

HEAD = """# The models

Made from the cards by `vsr models --markdown`; do not edit. Every figure was measured on volumes that no training saw,
by `vsr evaluate`: PSNR gains in dB, mean ± standard deviation over volumes. "profile" degrades with the nominal slice
profile; "scanner" with a blur that the method is not told and 1% noise. "Best classical" is the better of Lanczos and
back-projection, volume by volume. Research use only - not for diagnosis.
"""
PICTURE = """
![For each model: input, Lanczos, result, truth, error](gallery.png)
"""
COLUMNS = (
    ("profile", "over_lanczos", "over Lanczos"),
    ("profile", "over_backprojection", "over back-projection"),
    ("scanner", "over_best_classical", "scanner: over best classical"),
)


def markdown(cards: Iterable[Card]) -> str:
    """The whole page."""
    learned = [card for card in cards if card.learned]
    lines = [HEAD, *_table(learned), PICTURE]
    for card in learned:
        lines += _details(card)
    return "\n".join(lines).rstrip() + "\n"


def _table(cards: Sequence[Card]) -> list[str]:
    heads = [f"{modality}: {words}" for modality in ("MR", "CT") for _, _, words in COLUMNS]
    lines = [
        f"| id | factor | parameters | {' | '.join(heads)} | s for 128³ |",
        f"|---|---|---:|{'---:|' * (len(heads) + 1)}",
    ]
    for card in cards:
        cells = [
            _gain(card.gains, protocol, modality, column)
            for modality in ("MR", "CT")
            for protocol, column, _ in COLUMNS
        ]
        seconds = card.seconds_per_megavoxel * 128**3 / 1e6
        factor = " x ".join(map(str, card.factor))
        lines.append(
            f"| [{card.id}](#{card.id}) | {factor} | {card.parameters:,} | {' | '.join(cells)} | {seconds:.1f} |"
        )
    return lines


def _gain(gains: Mapping, protocol: str, modality: str, column: str) -> str:
    value = gains.get(protocol, {}).get(modality, {}).get(column)
    if value is None:
        return ""
    return f"{value[0]:+.2f} ± {value[1]:.2f}" if value[1] else f"{value[0]:+.2f}"


def _details(card: Card) -> list[str]:
    lines = [f"## {card.id}", "", f"{card.title}. {card.summary}", "", f"- Paper: {card.paper}"]
    networks = ", then ".join(
        f"`{stage.network}`" + (f" on the slices across {' and '.join(stage.views)}" if stage.views else "")
        for stage in card.stages
    )
    lines.append(f"- Applied as: {networks}; data consistency by default: {card.consistency} rounds")
    lines.append(f"- Degradation it was trained for: {card.degradation}")
    lines += [f"- {name.replace('_', ' ').capitalize()}: {_words(value)}" for name, value in card.training.items()]
    for protocol, modalities in card.gains.items():
        for modality, values in modalities.items():
            lines.append(
                f"- {protocol}, {modality} ({values['volumes'][0]:.0f} volumes): PSNR {values['psnr'][0]:.2f} dB, "
                f"SSIM {values['ssim'][0]:.4f}, over Lanczos {values['over_lanczos'][0]:+.2f}, over back-projection "
                f"{values['over_backprojection'][0]:+.2f}, over the best classical "
                f"{values['over_best_classical'][0]:+.2f} dB"
            )
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
