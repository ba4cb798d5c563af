"""How the console shows things: tables in colour on a terminal, plain in a pipe, JSON on request.

Money in JSON is a string with the cents; other decimals keep their digits; dates and times are ISO 8601.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Row = Mapping[str, Any]
MONEY = frozenset(
    {
        "cash", "equity", "market_value", "realized", "unrealized", "fees", "fee", "capital", "total", "cost", "price",
        "average_price", "reference_price", "limit_price", "change", "final_equity", "average_cost", "sleeve",
        "notional", "net", "bot_pnl", "bot_difference",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of a table: the row's key, its heading, how a value reads."""

    key: str
    title: str
    show: Callable[[Any], str] = str
    right: bool = False
    style: Callable[[Any], str] | None = None
    fold: bool = False  # a long text goes on in the next line


def money(value: Decimal | None) -> str:
    """1,234.50; a dash for nothing."""
    return "–" if value is None else f"{value:,.2f}"


def signed(value: Decimal | None) -> str:
    """+1,234.50 or −12.00."""
    return "–" if value is None else f"{value:+,.2f}".replace("-", "−")


def number(value: Decimal | float | None) -> str:
    """12 or 12.5: no zeros behind."""
    if value is None:
        return "–"
    if not isinstance(value, Decimal):
        return f"{value:,g}"
    shown = f"{value:,f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def percent(value: Decimal | float | None) -> str:
    """12.34 %."""
    return "–" if value is None else f"{float(value):.2%}".replace("%", " %")


def text(value: object) -> str:
    """A dash for nothing."""
    return "–" if value is None or value == "" else str(value)


def gain(value: Decimal | None) -> str:
    """Green for a gain, red for a loss."""
    return "" if not value else ("green" if value > 0 else "red")


def print_json(value: Any) -> None:
    """For machines."""
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def plain(value: Any, key: str = "") -> Any:
    """A value as JSON knows it; `key` says whether a Decimal is money."""
    if isinstance(value, Mapping):
        return {str(name): plain(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, key) for item in value]
    if isinstance(value, Decimal):
        return f"{value:.2f}" if key in MONEY else format(value.normalize(), "f")
    if isinstance(value, dt.date | uuid.UUID):
        return value.isoformat() if isinstance(value, dt.date) else str(value)
    return value


def table(rows: Sequence[Row], columns: Iterable[Column], title: str = "", empty: str = "Nothing yet.") -> None:
    """For people."""
    if not rows:
        sys.stdout.write(f"{empty}\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = list(columns)
    drawn = Table(title=title or None, title_justify="left", header_style="bold")
    for column in shown:
        drawn.add_column(
            column.title, justify="right" if column.right else "left", no_wrap=not column.fold, overflow="fold"
        )
    for row in rows:
        cells = []
        for column in shown:
            value = row.get(column.key)
            cells.append(Text(column.show(value), style=column.style(value) if column.style else ""))
        drawn.add_row(*cells)
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(drawn)


def facts(pairs: Iterable[tuple[str, str]], title: str = "") -> None:
    """A short list of named facts."""
    found = list(pairs)
    if title:
        sys.stdout.write(f"{title}\n")
    width = max((len(name) for name, _ in found), default=0)
    for name, value in found:
        sys.stdout.write(f"  {name:<{width}}  {value}\n")
