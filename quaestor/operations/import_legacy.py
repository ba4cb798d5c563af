"""Import an old bot's books: its rows are read and judged, stored in one transaction, and counted again where they lie.

    rows of the file ─▶ judged ─┬─▶ rejected, each with its rule
                                ├─▶ quotes, orders, trades ─▶ tables of their own, new rows only
                                └─▶ daily bars ─▶ the bar store, where no bar of that session is there yet
    what PostgreSQL holds ─▶ the same sums, the same profit ─▶ commit; else nothing was written

The ledger of the live account is not touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from quaestor.bars import DAILY, schema
from quaestor.legacy import daily, parity, profit
from quaestor.legacy.daily import Bars
from quaestor.legacy.judge import Judged, Terms
from quaestor.legacy.mapping import Mapping
from quaestor.legacy.parity import Merged, Report
from quaestor.legacy.rows import Quote
from quaestor.ports import LegacyBooks, LegacyFile, LegacyStore

if TYPE_CHECKING:
    import polars as pl


async def import_legacy(
    file: LegacyFile, store: LegacyStore, mapping: Mapping, terms: Terms, *, keep: bool = True
) -> Report:
    """Load what the mapping names; unless `keep`, do all of it and undo it. Raises BooksDisagree for a failed proof."""
    judged = judge(file, mapping, terms)
    async with store.importing(keep=keep) as books:
        source, merged = await _merge(books, judged, file.sha256)
        bars = await _load_bars(books, judged)
        report = await _report(books, file, judged, merged, bars, mapping, source)
        report = replace(report, dry_run=not keep, timezone=str(terms.zone))
        await books.record(report, mapping.model_dump(mode="json", exclude_defaults=True))
    return report


def judge(file: LegacyFile, mapping: Mapping, terms: Terms) -> Judged:
    """Every row of every mapped table, kept or rejected."""
    judged = Judged()
    for use in mapping.prices:
        judged.add_prices(use, file.rows(use.table), terms)
    if mapping.orders:
        judged.add_orders(mapping.orders, file.rows(mapping.orders.table), terms)
    if mapping.trades:
        judged.add_trades(mapping.trades, file.rows(mapping.trades.table), terms)
    return judged


async def _merge(books: LegacyBooks, judged: Judged, sha256: str) -> tuple[str, dict[str, Merged]]:
    """Store the rows that are new; the source that they belong to, and what became of them by kind."""
    staged = {"prices": judged.quotes, "orders": judged.orders, "trades": judged.trades}
    for kind, rows in staged.items():
        await books.stage(kind, rows)  # type: ignore[arg-type]  # a list of one of the two
    source = parity.source_of(await books.shared(), sha256)
    return source, {kind: await books.merge(kind, source) for kind in staged}


async def _load_bars(books: LegacyBooks, judged: Judged) -> Bars:
    """Store daily bars where none is; the bar store's own checks have the last word."""
    keys = [(bar.symbol, bar.session) for bar in judged.daily]
    bars = daily.compare(judged.daily, await books.stored_bars(keys) if keys else {})
    if not bars.new:
        return bars
    await books.bars.upsert(_frame(bars.new), [], daily.SOURCE)
    bars, refused = daily.settled(bars, await books.stored_bars([(bar.symbol, bar.session) for bar in bars.new]))
    judged.rejected += refused
    return bars


def _frame(bars: Sequence[Quote]) -> pl.DataFrame:
    import polars as pl

    rows = [
        (bar.symbol, DAILY, bar.session, bar.at, *map(float, daily.values(bar)[:4]), int(bar.volume or 0))
        for bar in bars
    ]
    return pl.DataFrame(rows, schema=schema(), orient="row").sort("symbol", "ts")


async def _report(
    books: LegacyBooks,
    file: LegacyFile,
    judged: Judged,
    merged: dict[str, Merged],
    bars: Bars,
    mapping: Mapping,
    source: str,
) -> Report:
    """The account of the import, proved against what is stored."""
    kinds = {use.table: path[0] for path, use in mapping.uses()}
    different = parity.differences(merged, bars)
    totals = [
        *parity.price_totals([*judged.quotes, *bars.ours], merged["prices"].different),
        *parity.deal_totals(judged.orders, merged["orders"].different),
        *parity.deal_totals(judged.trades, merged["trades"].different),
    ]
    told, deals = profit.happened(judged.trades, judged.orders)
    await _prove(books, judged, merged, source)
    return Report(
        file=file.name,
        sha256=file.sha256,
        source=source,
        dry_run=False,
        timezone="",
        tables=parity.tables(judged, kinds, merged, bars),
        bars=daily.against(bars),
        differences=different,
        totals=totals,
        pnl_from=told,
        pnl=profit.profits(deals),
        same=not different,
    )


async def _prove(books: LegacyBooks, judged: Judged, merged: dict[str, Merged], source: str) -> None:
    """The same sums and the same profit, out of PostgreSQL; rows that differ were told already and stand apart."""
    away = {kind: set(each.different) for kind, each in merged.items()}
    quotes = parity.price_totals(judged.quotes, away["prices"])
    parity.prove("Prices", quotes, await books.totals("prices", source))
    kept = {"orders": judged.orders, "trades": judged.trades}
    for kind, deals in kept.items():
        parity.prove(kind.title(), parity.deal_totals(deals, away[kind]), await books.totals(kind, source))
        kept[kind] = [deal for deal in deals if (deal.table, deal.row_id) not in away[kind]]
    _, mine = profit.happened(kept["trades"], kept["orders"])
    stored = {kind: await books.deals(kind, source) for kind in kept}
    _, theirs = profit.happened(stored["trades"], stored["orders"])
    parity.prove("Profit", profit.profits(mine), profit.profits(theirs))
