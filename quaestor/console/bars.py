"""Bars for a person: on the screen or in a file, as traded or with corporate actions taken out."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from quaestor import wiring
from quaestor.actions import back_adjusted, total_return
from quaestor.bars import PRICES
from quaestor.console import output
from quaestor.console.output import Column
from quaestor.errors import BadInput, NotFound
from quaestor.splits import adjust

if TYPE_CHECKING:
    import polars as pl

SHOWN = ("symbol", "session", "ts", *PRICES, "volume", "version")


def bars(arguments: argparse.Namespace) -> int:
    """The newest bars of a range on the screen, or all of them in a file."""
    frame = asyncio.run(_bars(wiring.load(), arguments))
    if frame.is_empty():
        raise NotFound(f"No {arguments.timeframe} bars of {arguments.symbol} in this range; see `quaestor coverage`.")
    if arguments.to:
        _write(frame, Path(arguments.to))
        sys.stdout.write(f"{len(frame):,} bars written to {arguments.to}\n")
        return 0
    rows = frame.tail(arguments.limit).select(SHOWN).to_dicts()
    if arguments.json:
        output.print_json(rows)
        return 0
    prices = [Column(name, name, output.number, right=True) for name in PRICES]
    prices += [Column("volume", "volume", "{:,}".format, right=True), Column("version", "version", right=True)]
    time = [] if arguments.timeframe == "1d" else [Column("ts", "end (UTC)", lambda ts: f"{ts:%H:%M}")]
    output.table(rows, [Column("session", "session"), *time, *prices], title=f"{arguments.symbol} {arguments.adjust}")
    return 0


async def _bars(loaded: wiring.Loaded, arguments: argparse.Namespace) -> pl.DataFrame:
    async with wiring.configured_database(loaded) as database:
        store = wiring.bar_store(database)
        frame = await store.frame(
            [arguments.symbol], arguments.start, arguments.end, arguments.timeframe, arguments.known_at
        )
        splits, dividends = await store.all_splits([arguments.symbol]), await store.dividends([arguments.symbol])
    match arguments.adjust:
        case "split":
            return adjust(frame, splits)
        case "total":
            return total_return(frame, splits, dividends)
        case "back":
            return back_adjusted(frame, splits, dividends, as_of=arguments.end or dt.date.max)
    return frame


def _write(frame: pl.DataFrame, file: Path) -> None:
    try:
        match file.suffix.lower():
            case ".csv":
                frame.write_csv(file)
            case ".parquet":
                frame.write_parquet(file)
            case _:
                raise BadInput(f"{file}: write to a file that ends in .csv or .parquet.")
    except OSError as error:
        raise BadInput(f"{file}: cannot be written ({error.strerror}); choose another place.") from error
