"""Bars and splits in a real PostgreSQL: in by COPY, versioned, out as frames and quotes."""

from __future__ import annotations

import asyncio
import datetime as dt
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from quaestor import bars, calendar
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.recorded import RecordedSource
from quaestor.errors import BadInput
from quaestor.splits import Split

D = dt.date
DAYS = calendar.sessions(D(2012, 1, 3), D(2012, 1, 10))
SPLIT = Split("AAPL", D(2012, 1, 5), Fraction(2))


@pytest.fixture
def store(database: Database) -> BarStore:
    return BarStore(database)


def frame(symbol: str = "AAPL", days: list[dt.date] = DAYS, close: float = 100.0, **changes: Any) -> pl.DataFrame:
    """Bars of some days; `changes` by session as `d20120103=close`."""
    closes = [changes.get(f"d{day:%Y%m%d}", close + n) for n, day in enumerate(days)]
    return pl.DataFrame(
        {
            "symbol": [symbol] * len(days),
            "timeframe": "1d",
            "session": days,
            "ts": [calendar.session_close(day) for day in days],
            "open": closes,
            "high": [price + 1 for price in closes],
            "low": [price - 1 for price in closes],
            "close": closes,
            "volume": [1_000 + n for n in range(len(days))],
        },
        schema=bars.schema(),
    )


async def test_new_bars_are_counted_once(store: BarStore) -> None:
    assert await store.upsert(frame(), [], "test") == (6, 0)
    assert await store.upsert(frame(), [], "test") == (0, 0)
    assert await store.span("AAPL") == (DAYS[0], DAYS[-1])


async def test_a_changed_bar_is_a_new_version_and_the_old_one_stays(database: Database, store: BarStore) -> None:
    await store.upsert(frame(), [], "first")
    assert await store.upsert(frame(d20120105=90.0), [], "vendor's correction") == (0, 1)
    assert await store.upsert(frame(d20120105=90.0), [], "vendor's correction") == (0, 0)
    assert await store.upsert(frame(), [], "taken back") == (0, 1)
    versions = await database.fetch(
        b"select version, close, source from bar_version where session = '2012-01-05' order by version"
    )
    assert [(row["version"], row["close"], row["source"]) for row in versions] == [
        (1, 102.0, "first"),
        (2, 90.0, "vendor's correction"),
        (3, 102.0, "taken back"),
    ]
    now = await store.frame(["AAPL"], None, None)
    assert now.filter(pl.col("session") == D(2012, 1, 5)).select("close", "version").row(0) == (102.0, 3)
    assert len(await store.frame(None, None, None)) == 6, "old versions are no bars"


async def test_each_field_of_a_bar_counts(store: BarStore) -> None:
    await store.upsert(frame(), [], "test")
    for field, value in (("open", 100.5), ("high", 150.0), ("low", 50.0), ("close", 100.25), ("volume", 7)):
        first = pl.col("session") == DAYS[0]
        changed = frame().with_columns(
            pl.when(first).then(pl.lit(value)).otherwise(field).cast(bars.schema()[field]).alias(field)
        )
        assert await store.upsert(changed, [], "test") == (0, 1), field
        await store.upsert(frame(), [], "test")


async def test_a_frame_comes_back_as_it_went_in(store: BarStore) -> None:
    await store.upsert(pl.concat([frame("IBM"), frame("AAPL")]), [], "test")
    both = await store.frame(["IBM", "AAPL"], None, None)
    assert dict(both.schema) == {**bars.schema(), "version": pl.Int32()}
    expected = pl.concat([frame("AAPL"), frame("IBM")])
    assert_frame_equal(both.drop("version"), expected)
    window = await store.frame(["AAPL"], DAYS[1], DAYS[2])
    assert window["session"].to_list() == DAYS[1:3]


async def test_prices_come_back_to_the_last_digit(store: BarStore) -> None:
    odd = [46.73, 0.1 + 0.2, 1 / 3, 1e-4, 123456.789012]
    await store.upsert(frame(days=DAYS[:5]).with_columns(*(pl.Series(name, odd) for name in bars.PRICES)), [], "test")
    assert (await store.frame(["AAPL"], None, None))["close"].to_list() == odd
    bar = await store.bar("AAPL", DAYS[0])
    assert bar is not None
    assert bar.close == Decimal("46.73")


async def test_no_bars_are_an_empty_frame_of_the_same_columns(store: BarStore) -> None:
    empty = await store.frame(["AAPL"], None, None)
    assert empty.is_empty()
    assert dict(empty.schema) == {**bars.schema(), "version": pl.Int32()}


async def test_the_recorded_market_comes_back_whole(store: BarStore) -> None:
    source = RecordedSource()
    first, last = await source.span("MSFT")
    history = await source.history("MSFT", first, last)
    new, changed = await store.upsert(history.bars, history.splits, source.name)
    assert (new, changed) == (len(history.bars), 0)
    assert_frame_equal((await store.frame(["MSFT"], None, None)).drop("version"), history.bars)
    assert await store.all_splits(["MSFT"]) == list(history.splits)


# ── splits ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_split_is_found_by_its_symbol_and_by_its_session(store: BarStore) -> None:
    await store.upsert(frame(), [SPLIT], "test")
    await store.upsert(frame(), [SPLIT], "again")
    assert await store.all_splits(["AAPL", "IBM"]) == [SPLIT]
    assert await store.splits(SPLIT.session) == [SPLIT]
    assert await store.splits(DAYS[0]) == []
    assert await store.all_splits(["IBM"]) == []


async def test_a_split_that_contradicts_a_stored_one_is_refused_and_nothing_is_written(store: BarStore) -> None:
    await store.upsert(frame(days=DAYS[:3]), [SPLIT], "test")
    other = Split("AAPL", SPLIT.session, Fraction(3))
    message = r"AAPL 2012-01-05: vendor says a split of 3, but 2 is stored\. .*nothing of this symbol was written"
    with pytest.raises(BadInput, match=message):
        await store.upsert(frame(close=70.0), [Split("AAPL", DAYS[-1], Fraction(7)), other], "vendor")
    assert await store.all_splits(["AAPL"]) == [SPLIT]
    assert await store.span("AAPL") == (DAYS[0], DAYS[2])
    assert (await store.frame(["AAPL"], None, None))["version"].to_list() == [1, 1, 1]


async def test_two_writers_of_a_symbol_make_no_version_twice(database: Database) -> None:
    stores = [BarStore(database) for _ in range(4)]
    await stores[0].upsert(frame(), [], "test")
    done = await asyncio.gather(*(store.upsert(frame(close=200.0 + n), [], f"{n}") for n, store in enumerate(stores)))
    assert done == [(0, 6)] * 4
    rows = await database.fetch(
        b"select array_agg(version order by version) as versions from bar_version group by session"
    )
    assert [row["versions"] for row in rows] == [[1, 2, 3, 4, 5]] * 6


# ── quotes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_quote_is_the_bar_of_the_session_or_none(store: BarStore) -> None:
    await store.upsert(pl.concat([frame(), frame("IBM", DAYS[2:])]), [], "test")
    bar = await store.bar("AAPL", DAYS[1])
    assert bar is not None
    assert (bar.symbol, bar.session, bar.close, bar.volume, bar.version) == ("AAPL", DAYS[1], Decimal("101.0"), 1001, 1)
    assert bar.ts == calendar.session_close(DAYS[1])
    assert await store.bar("IBM", DAYS[1]) is None
    assert await store.bar("AAPL", D(2012, 1, 7)) is None, "a Saturday"
    assert await store.bar("AAPL", D(2012, 1, 11)) is None, "not yet"


async def test_the_last_bar_is_the_newest_up_to_a_day(store: BarStore) -> None:
    await store.upsert(pl.concat([frame(), frame("IBM", DAYS[:2])]), [], "test")

    async def last(symbol: str, upto: dt.date) -> dt.date | None:
        bar = await store.last_bar(symbol, upto)
        return bar.session if bar else None

    assert await last("AAPL", DAYS[3]) == DAYS[3]
    assert await last("AAPL", D(2012, 1, 8)) == D(2012, 1, 6), "of Friday, on a Sunday"
    assert await last("IBM", DAYS[-1]) == DAYS[1], "it trades no more"
    assert await last("AAPL", D(2013, 1, 8)) == DAYS[-1], "a year later"
    assert await last("AAPL", D(2011, 12, 30)) is None
    assert await last("ZZZ", DAYS[3]) is None


async def test_quotes_agree_with_the_frame_however_one_walks_through_them(database: Database) -> None:
    source = RecordedSource()
    writer = BarStore(database)
    for symbol in ("AAPL", "FB"):
        history = await source.history(symbol, *(await source.span(symbol)))
        await writer.upsert(history.bars.filter(pl.col("session") >= D(2012, 1, 3)), [], source.name)
    closes = {
        (s, day): close
        for s, day, close in (await writer.frame(["AAPL", "FB"], None, None))
        .select("symbol", "session", "close")
        .iter_rows()
    }
    reader, days = BarStore(database), calendar.sessions(D(2012, 3, 1), D(2012, 9, 28))
    for day in [*days, *days[::-7]]:
        for symbol in ("AAPL", "FB"):
            bar, last = await reader.bar(symbol, day), await reader.last_bar(symbol, day)
            expected = closes.get((symbol, day))
            assert (bar and float(bar.close)) == expected
            assert (last and float(last.close)) == expected, "each of them trades every day from its first"


async def test_a_quote_that_was_missing_is_found_once_it_is_stored(database: Database) -> None:
    writer, reader = BarStore(database), BarStore(database)
    await writer.upsert(frame(days=DAYS[:2]), [], "test")
    assert await reader.bar("AAPL", DAYS[2]) is None
    assert await reader.bar("IBM", DAYS[1]) is None
    assert (await reader.last_bar("AAPL", DAYS[2])).session == DAYS[1]  # type: ignore[union-attr]
    await writer.upsert(pl.concat([frame(), frame("IBM")]), [], "test")
    assert (await reader.last_bar("AAPL", DAYS[2])).session == DAYS[2]  # type: ignore[union-attr]
    assert await reader.bar("IBM", DAYS[1]) is not None
    assert await reader.bar("AAPL", DAYS[2]) is not None


async def test_a_reader_that_wrote_reads_what_it_wrote(store: BarStore) -> None:
    await store.upsert(frame(), [], "test")
    assert (await store.bar("AAPL", DAYS[0])).close == Decimal("100.0")  # type: ignore[union-attr]
    await store.upsert(frame(d20120103=99.0), [], "test")
    bar = await store.bar("AAPL", DAYS[0])
    assert bar is not None
    assert (bar.close, bar.version) == (Decimal("99.0"), 2)
