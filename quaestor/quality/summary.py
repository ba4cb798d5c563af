"""What the gate did, for a person: a Markdown table of counts by symbol and rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaestor.quality.limits import Sifted
from quaestor.quality.rules import RULES

if TYPE_CHECKING:
    import polars as pl

MOST = 20  # symbols in the table; the rest are counted in its last row


def summary(sifted: Sifted) -> str:
    """Counts by symbol and rule with what each rule says, and the splits suspected; for an artifact."""
    head = f"{sifted.good.height} bars passed, {sifted.quarantined.height} are in quarantine"
    dropped = f", {sifted.collapsed} were copies." if sifted.collapsed else "."
    return (
        "\n".join([head + dropped, *_table(sifted.quarantined), *_legend(sifted.quarantined), *_suspected(sifted)])
        + "\n"
    )


def _table(quarantined: pl.DataFrame) -> list[str]:
    if quarantined.is_empty():
        return []
    rules = [rule for rule in RULES if rule in set(quarantined["rule"])]
    rows = [_row(symbol, mine, rules) for (symbol,), mine in _by_size(quarantined)[:MOST]]
    rest = [mine for _, mine in _by_size(quarantined)[MOST:]]
    others = [_row(f"{len(rest)} more", _together(rest), rules)] if rest else []
    total = _row("**all**", quarantined, rules)
    return ["", _line("symbol", *rules, "all"), _line("---", *["--:"] * (len(rules) + 1)), *rows, *others, total]


def _by_size(quarantined: pl.DataFrame) -> list[tuple[tuple[object, ...], pl.DataFrame]]:
    parts = quarantined.partition_by("symbol", as_dict=True).items()
    return sorted(parts, key=lambda part: (-part[1].height, str(part[0][0])))


def _together(parts: list[pl.DataFrame]) -> pl.DataFrame:
    import polars as pl

    return pl.concat(parts)


def _row(name: object, mine: pl.DataFrame, rules: list[str]) -> str:
    counts = [mine["rule"].eq(rule).sum() for rule in rules]
    return _line(str(name) or "(none)", *(str(count or "") for count in counts), str(mine.height))


def _line(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '¦') for cell in cells)} |"


def _legend(quarantined: pl.DataFrame) -> list[str]:
    rules = [rule for name, rule in RULES.items() if name in set(quarantined["rule"])]
    return ["", *(f"- `{rule.id}` ({rule.severity}): {rule.says}" for rule in rules)] if rules else []


def _suspected(sifted: Sifted) -> list[str]:
    told = (
        f"- {each.symbol} on {each.session}: a split of {each.ratio.numerator}:{each.ratio.denominator}? "
        f"The price went ×{each.observed:.4g}."
        for each in sifted.suspicions
    )
    return ["", "Suspected splits; these symbols wait for a word:", *told] if sifted.suspicions else []
