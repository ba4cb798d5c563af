"""Prints of recorded sessions: each once, in the feed's order, by half-open windows."""

from __future__ import annotations

import datetime as dt
import random
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from quaestor import calendar
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.ticks import TickStore
from quaestor.errors import BadInput

if TYPE_CHECKING:
    from tests.integration.bar_store.conftest import Books, Maker

OPEN = calendar.session_open(dt.date(2012, 1, 31))
COLUMNS = {
    "symbol": pl.String(),
    "ts": pl.Datetime("us", "UTC"),
    "number": pl.Int64(),
    "price": pl.Float64(),
    "size": pl.Float64(),
}


@pytest.fixture
def ticks(door: Database) -> TickStore:
    return TickStore(door)


def prints(symbol: str, *, count: int = 200, start: dt.datetime = OPEN) -> pl.DataFrame:
    """Prints of which three share each instant; their numbers tell them apart, and not all of them rise."""
    rows = [
        (symbol, start + dt.timedelta(microseconds=n // 3), 1_000_000 - n if n % 3 else n, 100 + n / 100, n % 7 / 2)
        for n in range(count)
    ]
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def ordered(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return frame.sort("ts", "number").rows()


async def everything(ticks: TickStore, symbol: str) -> pl.DataFrame:
    return await ticks.frame(symbol, OPEN - dt.timedelta(days=60), OPEN + dt.timedelta(days=60))


async def test_prints_are_kept_once_however_often_and_in_whatever_order_they_come(
    ticks: TickStore, make: Maker
) -> None:
    frame = prints(make.symbol())
    mixed = frame.sample(fraction=1.0, shuffle=True, seed=1)
    assert await ticks.append(mixed[:120]) == 120
    assert await ticks.append(mixed[60:]) == 80
    assert await ticks.append(pl.concat([frame, frame])) == 0
    assert await ticks.append(pl.concat([prints(symbol := make.symbol(), count=9)] * 2)) == 9
    found = await everything(ticks, frame["symbol"][0])
    assert found.rows() == ordered(frame)
    assert dict(found.schema) == COLUMNS
    assert (await everything(ticks, symbol)).height == 9


async def test_the_first_word_on_a_print_is_kept(ticks: TickStore, make: Maker) -> None:
    frame = prints(make.symbol(), count=3)
    await ticks.append(frame)
    assert await ticks.append(frame.with_columns(price=pl.lit(7.0))) == 0
    assert (await everything(ticks, frame["symbol"][0])).rows() == ordered(frame)


async def test_a_window_takes_its_beginning_and_leaves_its_end(ticks: TickStore, make: Maker) -> None:
    symbol = make.symbol()
    frame = prints(symbol)
    await ticks.append(frame)
    rng = random.Random(3)
    instants = sorted({OPEN + dt.timedelta(microseconds=rng.randint(-5, 75)) for _ in range(7)})
    for since in instants:
        for until in instants:
            inside = frame.filter((pl.col("ts") >= since) & (pl.col("ts") < until))
            assert (await ticks.frame(symbol, since, until)).rows() == ordered(inside)
    new_york = [at.astimezone(calendar.NEW_YORK) for at in (instants[1], instants[-2])]
    inside = frame.filter((pl.col("ts") >= instants[1]) & (pl.col("ts") < instants[-2]))
    assert (await ticks.frame(symbol, *new_york)).rows() == ordered(inside)


async def test_an_evening_that_ends_in_another_month_is_one_tape(ticks: TickStore, books: Books, make: Maker) -> None:
    frame = prints(make.symbol(), start=dt.datetime(2012, 1, 31, 23, 59, 59, 999_980, tzinfo=dt.UTC))
    assert await ticks.append(frame) == frame.height
    assert (await everything(ticks, frame["symbol"][0])).rows() == ordered(frame)
    assert {name for (name,) in books.rows("select tableoid::regclass::text from tick")} >= {
        "tick_p2012_01",
        "tick_p2012_02",
    }


async def test_a_symbol_is_nobody_elses(ticks: TickStore, make: Maker) -> None:
    symbol = make.symbol()
    await ticks.append(prints(symbol, count=3))
    for other in (f"{symbol}'", f"{symbol} ", f"{symbol}_", make.symbol()):
        found = await everything(ticks, other)
        assert found.is_empty()
        assert dict(found.schema) == COLUMNS
    assert await ticks.append(prints(symbol, count=0)) == 0


async def test_a_print_without_a_price_leaves_nothing_of_its_batch(ticks: TickStore, make: Maker) -> None:
    frame = prints(make.symbol())
    bad = frame.with_columns(price=pl.when(pl.int_range(pl.len()) == 100).then(0.0).otherwise("price"))
    with pytest.raises(BadInput, match="A rule of the tables refuses it"):
        await ticks.append(bad)
    assert (await everything(ticks, frame["symbol"][0])).is_empty()
    assert await ticks.append(frame) == frame.height
