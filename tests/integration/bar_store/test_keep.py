"""From a source to the store: large histories go in parts, failures stay with their cells, doubts are told."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from quaestor import bars, calendar
from quaestor.bars import DAILY
from quaestor.doors.postgres.bars import BarStore
from quaestor.errors import BadInput, NotFound, QuaestorError, Temporary
from quaestor.operations import ingest
from quaestor.operations.ingest import Ingested, Intake, shares, take, try_symbol, try_window
from quaestor.ports import Capabilities, History

if TYPE_CHECKING:
    from tests.integration.bar_store.conftest import Books, Maker

D = dt.date
NOW = dt.datetime(2012, 6, 2, 12, tzinfo=dt.UTC)  # a Saturday
JANUARY = (D(2012, 1, 3), D(2012, 1, 31))
CAPABILITIES = Capabilities(tuple(bars.TIMEFRAMES))


@dataclass
class Tape:
    """A source with frames by symbol; what fails it is told instead."""

    frames: Mapping[str, pl.DataFrame]
    fails: dict[str, QuaestorError] = field(default_factory=dict)
    knows_span: bool = True
    name: str = "tape"
    capabilities: Capabilities = CAPABILITIES

    def require(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            if symbol not in self.frames:
                raise NotFound.named("symbol", symbol, tuple(self.frames))

    async def history(self, symbol: str, start: dt.date, end: dt.date, timeframe: str = DAILY) -> History:
        self.require([symbol])
        if symbol in self.fails:
            raise self.fails[symbol]
        frame = self.frames[symbol]
        mine = (pl.col("timeframe") == timeframe) & pl.col("session").is_between(start, end)
        return History(frame.filter(mine))

    async def span(self, symbol: str, timeframe: str = DAILY) -> tuple[dt.date, dt.date] | None:
        self.require([symbol])
        days = self.frames[symbol].filter(pl.col("timeframe") == timeframe)["session"]
        first, last = days.min(), days.max()
        known = self.knows_span and isinstance(first, dt.date) and isinstance(last, dt.date)
        return (first, last) if known else None  # type: ignore[return-value]


@dataclass
class Told:
    """Alerts, remembered."""

    words: list[tuple[str, bool]] = field(default_factory=list)

    async def send(self, title: str, body: str, *, urgent: bool = False) -> None:
        del body
        self.words.append((title, urgent))


def walk(make: Maker, symbol: str, first: dt.date, last: dt.date, timeframe: str = DAILY) -> pl.DataFrame:
    """Calm prices that no rule doubts."""
    ends = make.ends(first, last, timeframe)
    return make.frame(symbol, ends, timeframe, [100 + n % 7 / 10 + n % 11 / 100 for n in range(len(ends))])


def intake(store: BarStore, tape: Tape, now: dt.datetime = NOW) -> tuple[Intake, Told]:
    told = Told()
    return Intake(tape, store, told, lambda: now), told


# ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

histories = st.dictionaries(
    st.sampled_from(["AAPL", "IBM", "MSFT"]),
    st.lists(st.dates(D(2011, 11, 1), D(2012, 3, 31)), min_size=1, max_size=40, unique=True),
    max_size=3,
)


def bare(history: Mapping[str, list[dt.date]]) -> pl.DataFrame:
    """A bars frame of these days, as the gate sorts it."""
    rows = [
        (symbol, DAILY, day, dt.datetime.combine(day, dt.time(21), dt.UTC), 1.0, 1.0, 1.0, 1.0, 1)
        for symbol, days in sorted(history.items())
        for day in sorted(days)
    ]
    return pl.DataFrame(rows, schema=bars.schema(), orient="row")


@given(histories, st.integers(1, 50))
def test_parts_hold_all_rows_in_order_and_are_cut_between_symbols_or_months(
    history: dict[str, list[dt.date]], rows: int
) -> None:
    frame = bare(history)
    parts = list(ingest.split(frame, rows))
    assert_frame_equal(pl.concat([frame.clear(), *parts]), frame)
    months = [set(part.select("symbol", pl.col("session").dt.month_start()).unique().rows()) for part in parts]
    assert sum(map(len, months)) == len(set().union(*months)), "no month of a symbol lies in two parts"
    assert all(part.height for part in parts)
    assert all(part.height <= rows or len(month) == 1 for part, month in zip(parts, months, strict=True))


@settings(deadline=None)
@given(histories, st.integers(1, 50), st.dates(D(2011, 11, 1), D(2012, 3, 31)), st.integers(0, 150))
def test_each_part_answers_for_its_own_cells_and_all_of_them_for_what_was_asked(
    history: dict[str, list[dt.date]], rows: int, first: dt.date, length: int
) -> None:
    last = first + dt.timedelta(days=length)
    asked = dict.fromkeys([*history, "ZZZ"], (first, last))
    frame = bare({symbol: [day for day in days if first <= day <= last] for symbol, days in history.items()})
    parts = list(ingest.split(frame, rows)) or [frame]
    own = shares(parts, asked)
    assert len(own) == len(parts)
    for symbol in asked:
        stretches = [share[symbol] for share in own if symbol in share]
        claimed = [first + dt.timedelta(days=n) for first, last in stretches for n in range((last - first).days + 1)]
        assert claimed == [first + dt.timedelta(days=n) for n in range(length + 1)], "each day once, oldest first"
    for n, (part, share) in enumerate(zip(parts, own, strict=True)):
        for symbol, (since, until) in share.items():
            elsewhere = pl.concat([frame.clear(), *parts[:n], *parts[n + 1 :]]).filter(pl.col("symbol") == symbol)
            assert elsewhere.filter(pl.col("session").is_between(since, until)).is_empty()
            mine = part.filter(pl.col("symbol") == symbol)["session"]
            assert mine.is_between(since, until).all()


async def test_a_history_in_parts_ends_as_one_in_a_single_part(
    store: BarStore, books: Books, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, many = make.symbol(), make.symbol()
    first, last = D(2011, 11, 1), D(2012, 2, 29)
    tape = Tape({symbol: walk(make, symbol, first, last, "1h") for symbol in (one, many)})
    worker, told = intake(store, tape)
    whole = await take(worker, one, first, last, "1h")
    monkeypatch.setattr(ingest.split, "__defaults__", (100,))
    parts = await take(worker, many, first, last, "1h")
    assert (whole.read, whole.new, whole.first, whole.last) == (parts.read, parts.new, parts.first, parts.last)
    assert parts.new == tape.frames[many].height
    ((loads,),) = books.rows(
        "select count(distinct load) from bar_1h join instrument i on i.id = instrument where symbol = %s", many
    )
    assert loads == 4
    cells = [[(c.period, c.asked, c.stored) for c in await store.cells([symbol], "1h")] for symbol in (one, many)]
    assert cells[0] == cells[1]
    assert (await take(worker, many, first, last, "1h")).new == 0
    assert told.words == []
    assert not books.lying_cells()


# ── failures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_failing_symbol_is_told_and_its_cells_remember_it_until_it_succeeds(
    store: BarStore, make: Maker
) -> None:
    symbol = make.symbol()
    tape = Tape({symbol: walk(make, symbol, *JANUARY)}, {symbol: BadInput("the file is torn")})
    worker, _ = intake(store, tape)
    assert await try_window(worker, symbol, *JANUARY, DAILY) == Ingested(symbol, error="the file is torn")
    (cell,) = await store.cells([symbol])
    assert (cell.error, cell.source, cell.stored, cell.asked) == ("the file is torn", "tape", 0, None)
    assert cell.status(JANUARY) == "failed"
    tape.fails.clear()
    done = await try_window(worker, symbol, *JANUARY, DAILY)
    assert (done.new, done.error) == (20, "")
    (cell,) = await store.cells([symbol])
    assert (cell.error, cell.stored, cell.status(JANUARY)) == ("", 20, "present")


async def test_a_stumble_is_remembered_and_raised_so_that_a_task_may_try_again(store: BarStore, make: Maker) -> None:
    symbol = make.symbol()
    tape = Tape({symbol: walk(make, symbol, *JANUARY)}, {symbol: Temporary("no answer")})
    worker, _ = intake(store, tape)
    with pytest.raises(Temporary, match="no answer"):
        await try_symbol(worker, symbol, None, JANUARY[1])
    (cell,) = await store.cells([symbol])
    assert (cell.period, cell.error) == (D(2012, 1, 1), "no answer")
    tape.fails.clear()
    assert (await try_symbol(worker, symbol, None, JANUARY[1])).new == 20
    assert (await store.cells([symbol]))[0].error == ""


@pytest.mark.parametrize("timeframe", [DAILY, "1m"])
async def test_a_failure_on_a_day_without_session_is_remembered_at_the_last_one(
    store: BarStore, make: Maker, timeframe: str
) -> None:
    symbol = make.symbol()
    worker, _ = intake(store, Tape({}))
    assert "symbol" in (await try_symbol(worker, symbol, None, None, timeframe)).error
    (cell,) = await store.cells([symbol], timeframe)
    assert cell.period == (D(2012, 6, 1))
    assert symbol in cell.error


async def test_a_failure_leaves_what_is_stored_and_what_was_answered(
    store: BarStore, books: Books, make: Maker
) -> None:
    symbol = make.symbol()
    tape = Tape({symbol: walk(make, symbol, *JANUARY)})
    worker, _ = intake(store, tape)
    await take(worker, symbol, *JANUARY)
    tape.fails[symbol] = BadInput("the file is torn")
    await try_window(worker, symbol, D(2012, 1, 3), D(2012, 2, 29), DAILY)
    cells = await store.cells([symbol])
    assert [(cell.stored, cell.asked, cell.error) for cell in cells] == [
        (20, (D(2012, 1, 1), D(2012, 1, 31)), "the file is torn"),
        (0, None, "the file is torn"),
    ]
    assert (await store.frame([symbol], None, None)).height == 20
    assert not books.lying_cells()


# ── what the gate says ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_step_like_a_splits_is_told_and_waits_until_a_person_vouches(store: BarStore, make: Maker) -> None:
    symbol = make.symbol()
    calm = walk(make, symbol, D(2012, 1, 3), D(2012, 4, 30))
    after = pl.col("session") >= D(2012, 4, 16)
    halved = calm.with_columns(
        pl.when(after).then(pl.col(name) / 2).otherwise(name).alias(name) for name in bars.PRICES
    )
    worker, told = intake(store, Tape({symbol: halved}))
    done = await take(worker, symbol, D(2012, 1, 3), D(2012, 4, 30))
    waiting = halved.filter(after).height
    assert (done.new, done.quarantined) == (halved.height - waiting, waiting)
    assert told.words == [(f"{symbol}: a split that nobody told of?", True)]
    assert [(cell.period.month, cell.quarantined) for cell in await store.cells([symbol])][-1] == (4, waiting)
    await store.vouch(symbol, D(2012, 4, 16), "the market moved")
    again = await take(worker, symbol, D(2012, 1, 3), D(2012, 4, 30))
    assert (again.new, again.quarantined) == (waiting, 0)
    assert len(told.words) == 1
    assert {cell.quarantined for cell in await store.cells([symbol])} == {0}


async def test_a_bar_of_the_future_is_refused_and_an_open_session_is_not_claimed(store: BarStore, make: Maker) -> None:
    symbol = make.symbol()
    days = (D(2012, 5, 31), D(2012, 6, 1))
    frame = walk(make, symbol, *days, "5m")
    noon = dt.datetime(2012, 6, 1, 16, tzinfo=dt.UTC)
    worker, _ = intake(store, Tape({symbol: frame}, knows_span=False), noon)
    done = await take(worker, symbol, *days, "5m")
    over = [at for at in calendar.ends(days[1], "5m") if at <= noon]
    assert (done.new, done.quarantined) == (78 + len(over), 78 - len(over))
    assert {row["rule"] for row in await store.quarantined([symbol])} == {"future"}
    cells = {cell.period: cell for cell in await store.cells([symbol], "5m")}
    assert (cells[days[1]].stored, cells[days[1]].asked, cells[days[1]].quarantined) == (
        len(over),
        None,
        78 - len(over),
    )
    assert cells[days[1]].status((days[1], days[1])) == "partial"
    evening, _ = intake(store, Tape({symbol: frame}, knows_span=False), noon + dt.timedelta(hours=5))
    assert (await take(evening, symbol, *days, "5m")).new == 78 - len(over)
    cells = {cell.period: cell for cell in await store.cells([symbol], "5m")}
    assert (cells[days[1]].stored, cells[days[1]].status((days[1], days[1]))) == (78, "present")


async def test_an_unfinished_month_goes_on_where_it_ended(store: BarStore, books: Books, make: Maker) -> None:
    symbol = make.symbol()
    frame = walk(make, symbol, D(2012, 5, 1), D(2012, 6, 1))
    for end in (D(2012, 5, 9), D(2012, 5, 24), D(2012, 6, 1)):
        worker, _ = intake(store, Tape({symbol: frame.filter(pl.col("session") <= end)}))
        assert (await try_symbol(worker, symbol, None, None)).last == end
    may, june = await store.cells([symbol])
    assert (may.stored, may.status((D(2012, 5, 1), D(2012, 5, 31)))) == (22, "present")
    assert (june.stored, june.status((D(2012, 6, 1), D(2012, 6, 1)))) == (1, "present")
    assert not books.lying_cells()
