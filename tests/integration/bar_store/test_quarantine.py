"""Refused bars are kept once and counted in their cells, until a good bar takes their place; what a person decides."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import polars as pl

from quaestor.bars import DAILY, schema
from quaestor.doors.postgres.bars import BarStore
from quaestor.ports import Batch, Stored
from quaestor.quality import Context, sift

if TYPE_CHECKING:
    from tests.integration.bar_store.conftest import Books, Maker

D = dt.date
NOW = dt.datetime(2013, 1, 2, tzinfo=dt.UTC)
YEAR = (D(2012, 1, 1), D(2012, 12, 31))


def sifted(frame: pl.DataFrame, asked: tuple[dt.date, dt.date], timeframe: str = DAILY) -> Batch:
    """A batch as the gate leaves it."""
    done = sift(frame, Context(NOW, "vendor"))
    symbols = frame["symbol"].unique()
    return Batch(timeframe, done.good, "vendor", asked=dict.fromkeys(symbols, asked), quarantined=done.quarantined)


def spoilt(frame: pl.DataFrame, *places: int, **values: Any) -> pl.DataFrame:
    """The frame with other values in some rows."""
    at = pl.int_range(pl.len()).is_in(list(places))
    return frame.with_columns(
        pl.when(at).then(pl.lit(value, schema()[name])).otherwise(name).alias(name) for name, value in values.items()
    )


def walk(make: Maker, symbol: str, first: dt.date, last: dt.date, timeframe: str = DAILY) -> pl.DataFrame:
    """Calm prices that no rule doubts."""
    ends = make.ends(first, last, timeframe)
    return make.frame(symbol, ends, timeframe, [100 + n % 7 / 10 + n % 11 / 100 for n in range(len(ends))])


async def counts(store: BarStore, symbol: str, timeframe: str = DAILY) -> list[tuple[dt.date, int, int]]:
    return [(cell.period, cell.stored, cell.quarantined) for cell in await store.cells([symbol], timeframe)]


async def test_a_refused_bar_is_kept_once_with_its_rule_and_counted_in_its_cell(
    store: BarStore, books: Books, make: Maker
) -> None:
    symbol = make.symbol()
    frame = spoilt(walk(make, symbol, D(2012, 1, 3), D(2012, 2, 29)), 2, 30, low=500.0)
    batch = sifted(frame, (D(2012, 1, 3), D(2012, 2, 29)))
    assert await store.store(batch) == Stored(new=38, quarantined=2)
    before = books.written()
    for other in (store, BarStore(store._database)):
        assert await other.store(batch) == Stored()
    assert books.written() == before, "nothing is counted anew either"
    assert await counts(store, symbol) == [(D(2012, 1, 1), 19, 1), (D(2012, 2, 1), 19, 1)]
    newest, oldest = await store.quarantined([symbol])
    assert {newest["session"], oldest["session"]} == {D(2012, 1, 5), D(2012, 2, 15)}
    assert (newest["rule"], newest["source"], newest["row"]["low"]) == ("high_below_low", "vendor", "500.0")
    assert [row["session"] for row in await store.quarantined([symbol], DAILY, D(2012, 2, 1), D(2012, 2, 29))] == [
        D(2012, 2, 15)
    ]
    assert await store.quarantined([symbol], "1m") == []
    assert len(await store.quarantined([symbol], limit=1)) == 1
    assert not books.lying_cells()


async def test_the_count_falls_when_a_good_bar_comes_and_the_refused_one_stays_on_record(
    store: BarStore, make: Maker
) -> None:
    symbol, asked = make.symbol(), (D(2012, 1, 3), D(2012, 1, 31))
    good = walk(make, symbol, *asked)
    await store.store(sifted(spoilt(good, 2, 3, low=500.0), asked))
    assert await counts(store, symbol) == [(D(2012, 1, 1), 18, 2)]
    assert (await store.store(sifted(spoilt(good, 3, low=500.0), asked))) == Stored(new=1)
    assert await counts(store, symbol) == [(D(2012, 1, 1), 19, 1)]
    assert (await store.cells([symbol]))[0].status(asked) == "quarantined"
    await store.upsert(good[3:4], [], "another vendor")
    assert await counts(store, symbol) == [(D(2012, 1, 1), 20, 0)]
    assert (await store.cells([symbol]))[0].status(asked) == "present"
    assert len(await store.quarantined([symbol])) == 2


async def test_a_bar_that_was_refused_twice_for_different_faults_is_one_bar_that_lacks(
    store: BarStore, make: Maker
) -> None:
    symbol, asked = make.symbol(), (D(2012, 1, 3), D(2012, 1, 31))
    good = walk(make, symbol, *asked)
    assert (await store.store(sifted(spoilt(good, 2, low=500.0), asked))).quarantined == 1
    assert (await store.store(sifted(spoilt(good, 2, close=float("nan")), asked))).quarantined == 1
    assert len(await store.quarantined([symbol])) == 2
    assert await counts(store, symbol) == [(D(2012, 1, 1), 19, 1)]


async def test_a_cell_of_which_everything_was_refused_is_no_empty_one(store: BarStore, make: Maker) -> None:
    symbol, asked = make.symbol(), (D(2012, 1, 3), D(2012, 1, 4))
    frame = walk(make, symbol, *asked, "5m")
    batch = sifted(spoilt(frame, *range(78), volume=-1), asked, "5m")
    assert await store.store(batch) == Stored(new=78, quarantined=78)
    assert await counts(store, symbol, "5m") == [(D(2012, 1, 3), 0, 78), (D(2012, 1, 4), 78, 0)]
    assert (await store.cells([symbol], "5m"))[0].status((asked[0], asked[0])) == "quarantined"


async def test_a_refused_bar_without_a_time_or_session_is_kept_too(store: BarStore, make: Maker) -> None:
    symbol, asked = make.symbol(), (D(2012, 1, 3), D(2012, 1, 31))
    frame = spoilt(walk(make, symbol, *asked), 4, ts=None, session=None)
    assert await store.store(sifted(frame, asked)) == Stored(new=19, quarantined=1)
    (row,) = await store.quarantined([symbol])
    assert (row["rule"], row["session"], row["ts"]) == ("missing", None, None)


# ── what a person decides ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_session_is_vouched_for_by_its_last_reason(store: BarStore, books: Books, make: Maker) -> None:
    symbol = make.symbol()
    await store.vouch(symbol, D(2012, 1, 3), "looks right")
    await store.vouch(symbol, D(2012, 1, 3), "the exchange says so")
    await store.vouch(symbol, D(2012, 1, 5), "news")
    assert await store.vouched([symbol, make.symbol()]) == {(symbol, D(2012, 1, 3)), (symbol, D(2012, 1, 5))}
    assert await store.vouched([make.symbol()]) == frozenset()
    assert books.rows("select reason from vouched where symbol = %s order by session", symbol) == [
        ("the exchange says so",),
        ("news",),
    ]


async def test_a_symbol_is_blocked_once_and_unblocked_once(store: BarStore, make: Maker) -> None:
    symbol = make.symbol()
    assert not await store.unblock(symbol)
    assert await store.block(symbol, "two splits")
    assert not await store.block(symbol, "again")
    assert (await store.blocked())[symbol] == "two splits"
    assert await store.unblock(symbol)
    assert symbol not in await store.blocked()
    assert not await store.unblock(symbol)
