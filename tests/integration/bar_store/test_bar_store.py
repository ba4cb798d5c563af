"""The bar store against a model of it: a dictionary of versions.

Whatever batches come, in whatever order and overlap: the counts are right, the frame is the model, each version is
kept with the load that replaced it, any earlier moment reads as it was, and every cell counts its bars.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from quaestor import bars, calendar
from quaestor.bars import DAILY, TIMEFRAMES
from quaestor.coverage import period
from quaestor.doors.postgres import frames
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.legacy import LegacyStore
from quaestor.errors import BadInput, DatabaseDown
from quaestor.ports import Batch, Stored

if TYPE_CHECKING:
    from tests.integration.bar_store.conftest import Books, Maker

D = dt.date
End = tuple[dt.date, dt.datetime]


def around(first: dt.date, last: dt.date, timeframe: str = DAILY, *, every: int = 1) -> list[End]:
    """Every so manieth bar of some sessions with their extended hours, and always the last of each session."""
    found = []
    for day in calendar.sessions(first, last):
        ends = calendar.ends(day, timeframe, extended=timeframe != DAILY)
        found += [(day, end) for end in dict.fromkeys([*ends[::every], ends[-1]])]
    return found


ENDS: dict[str, list[End]] = {
    "1d": [
        *around(D(1999, 12, 30), D(2000, 1, 4)),  # from decade to decade
        *around(D(2012, 1, 27), D(2012, 2, 2)),  # from month to month
        *around(D(2012, 3, 8), D(2012, 3, 13)),  # the clocks go forward
    ],
    "1h": around(D(2012, 12, 31), D(2013, 1, 2), "1h", every=4),  # the evening of 31 December ends in another year
    "5m": [
        *around(D(2012, 12, 31), D(2013, 1, 2), "5m", every=60),
        *around(D(2012, 11, 21), D(2012, 11, 23), "5m", every=60),  # a half-day after Thanksgiving
    ],
    "1m": [
        *around(D(2012, 1, 31), D(2012, 2, 1), "1m", every=300),
        *around(
            D(2012, 10, 31), D(2012, 11, 5), "1m", every=320
        ),  # an evening that ends at midnight; the clocks go back
    ],
}
SYMBOLS = 2


@dataclass(frozen=True)
class Version:
    """One version of a bar: the variant of its prices, the number of the operation that stored it."""

    variant: int
    stored: int


Key = tuple[str, str, int]  # symbol, timeframe, place in ENDS


@dataclass
class Model:
    """What the store should hold."""

    versions: dict[Key, list[Version]] = field(default_factory=dict)
    asked: dict[tuple[str, str], set[dt.date]] = field(default_factory=dict)

    def put(self, rows: Mapping[Key, int], number: int) -> tuple[int, int]:
        """Store rows; how many are new and how many changed."""
        new = changed = 0
        for key, variant in rows.items():
            kept = self.versions.setdefault(key, [])
            if not kept or kept[-1].variant != variant:
                new, changed = new + (not kept), changed + bool(kept)
                kept.append(Version(variant, number))
        return new, changed

    def frame(self, symbols: Sequence[str], timeframe: str, upto: int) -> pl.DataFrame:
        """What was current once operation `upto` was done."""
        found = []
        for (symbol, frame, place), kept in sorted(self.versions.items()):
            known = [(n, version) for n, version in enumerate(kept, 1) if version.stored <= upto]
            if frame == timeframe and symbol in symbols and known:
                number, version = known[-1]
                found.append((*row(symbol, timeframe, place, version.variant), number))
        schema = {**bars.schema(), "version": pl.Int32()}
        return pl.DataFrame(found, schema=schema, orient="row").sort("symbol", "ts")

    def cells(self, symbols: Sequence[str], timeframe: str) -> Counter[tuple[str, dt.date]]:
        """Bars by cell."""
        mine = [(s, place) for s, frame, place in self.versions if frame == timeframe and s in symbols]
        return Counter((symbol, period(timeframe, ENDS[timeframe][place][0])) for symbol, place in mine)


def row(symbol: str, timeframe: str, place: int, variant: int) -> tuple[Any, ...]:
    """A bar: each variant differs from the others in one column alone, the session among them for a daily bar's."""
    session, end = ENDS[timeframe][place]
    opened, high, low, close, volume = 100.0, 110.0, 90.0, 100.0 + place / 8, 1_000
    changes = (
        (opened, high, low, close, volume),
        (101.0, high, low, close, volume),
        (opened, 111.5, low, close, volume),
    )
    more = ((opened, high, 89.0, close, volume), (opened, high, low, 99.0, volume), (opened, high, low, close, 0))
    return (symbol, timeframe, session, end, *(changes + more)[variant])


@dataclass(frozen=True)
class Operation:
    """One batch: rows by (symbol's number, place), and a stretch of places that is asked for with it."""

    timeframe: str
    rows: Mapping[tuple[int, int], int]
    asked: Mapping[int, tuple[int, int]]
    order: int


@st.composite
def operations(draw: st.DrawFn, timeframe: str) -> Operation:
    """Any batch of a timeframe."""
    places = st.integers(0, len(ENDS[timeframe]) - 1)
    key = st.tuples(st.integers(0, SYMBOLS - 1), places)
    rows = draw(st.dictionaries(key, st.integers(0, 5), max_size=10))
    if draw(st.booleans()):  # whole cells, too
        symbol, place = draw(key)
        cell = period(timeframe, ENDS[timeframe][place][0])
        whole = [n for n, (session, _) in enumerate(ENDS[timeframe]) if period(timeframe, session) == cell]
        rows |= dict.fromkeys([(symbol, n) for n in whole], draw(st.integers(0, 1)))
    stretch = st.tuples(places, places).map(lambda pair: (min(pair), max(pair)))
    asked = draw(st.dictionaries(st.integers(0, SYMBOLS - 1), stretch, max_size=SYMBOLS))
    return Operation(timeframe, rows, asked, draw(st.integers(0, 9)))


stories = st.sampled_from(TIMEFRAMES).flatmap(lambda timeframe: st.lists(operations(timeframe), min_size=1, max_size=4))


def batch(operation: Operation, symbols: Sequence[str]) -> Batch:
    """The operation as a batch, its rows in any order."""
    found = [row(symbols[s], operation.timeframe, place, variant) for (s, place), variant in operation.rows.items()]
    frame = pl.DataFrame(found, schema=bars.schema(), orient="row").sample(
        fraction=1.0, shuffle=True, seed=operation.order
    )
    ends = ENDS[operation.timeframe]
    asked = {symbols[s]: (ends[first][0], ends[last][0]) for s, (first, last) in operation.asked.items()}
    return Batch(operation.timeframe, frame, f"source {operation.order}", asked=asked)


async def moment(door: Database) -> dt.datetime:
    """The database's clock."""
    (found,) = await door.fetch(b"select clock_timestamp() as at")
    at: dt.datetime = found["at"]
    return at


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(stories)
async def test_any_batches_leave_what_the_model_holds(
    door: Database, books: Books, make: Maker, story: list[Operation]
) -> None:
    symbols = sorted(make.symbol() for _ in range(SYMBOLS))
    timeframe, model, store, moments = story[0].timeframe, Model(), BarStore(door), []
    for number, operation in enumerate(story):
        rows = {(symbols[s], timeframe, place): variant for (s, place), variant in operation.rows.items()}
        stored = await store.store(batch(operation, symbols))
        assert (stored.new, stored.changed) == model.put(rows, number)
        assert sorted(stored.repaired) == repaired(model, rows, number)
        for s, (first, last) in operation.asked.items():
            wanted = calendar.sessions(ENDS[timeframe][first][0], ENDS[timeframe][last][0])
            model.asked.setdefault((symbols[s], timeframe), set()).update(wanted)
        moments.append(await moment(door))
        before = books.written()
        assert await store.store(batch(operation, symbols)) == Stored()
        assert books.written() == before, "what is there already is not written again"
        await check_cells(store, model, symbols, timeframe)
    assert not books.lying_cells()
    for number, at in enumerate(moments):
        then = await store.frame(symbols, None, None, timeframe, as_of=at)
        assert_frame_equal(then, model.frame(symbols, timeframe, number))
    assert_frame_equal(await BarStore(door).frame(symbols, None, None, timeframe), model.frame(symbols, timeframe, 99))
    check_versions(books, model, symbols, timeframe)


def repaired(model: Model, rows: Mapping[Key, int], number: int) -> list[str]:
    """The keys of bars that this operation changed."""
    changed = [key for key in rows if len(model.versions[key]) > 1 and model.versions[key][-1].stored == number]
    ends = [(symbol, frame, ENDS[frame][place][1]) for symbol, frame, place in changed]
    return sorted(f"{symbol}|{frame}|{end:%Y-%m-%dT%H:%M:%S}Z" for symbol, frame, end in ends)


async def check_cells(store: BarStore, model: Model, symbols: Sequence[str], timeframe: str) -> None:
    """Each cell counts its bars, and claims no session that nobody asked for."""
    cells = await store.cells(symbols, timeframe)
    assert {(cell.symbol, cell.period): cell.stored for cell in cells if cell.stored} == model.cells(symbols, timeframe)
    claimed: dict[str, set[dt.date]] = {}
    for cell in cells:
        if cell.asked:
            assert cell.asked[0] <= cell.asked[1]
            inside = set(calendar.sessions(*cell.asked))
            assert {period(timeframe, day) for day in inside} <= {cell.period}
            claimed.setdefault(cell.symbol, set()).update(inside)
    for symbol in symbols:
        answered = model.asked.get((symbol, timeframe), set())
        assert claimed.get(symbol, set()) <= answered
        if timeframe != DAILY:
            assert claimed.get(symbol, set()) == answered


def check_versions(books: Books, model: Model, symbols: Sequence[str], timeframe: str) -> None:
    """The view of all versions is the model, and each one ends when the next begins."""
    found = books.rows(
        "select symbol, ts, version, open, high, low, close, volume, stored_at, superseded_at from bar_version "
        "where symbol = any(%s) and timeframe = %s order by symbol, ts, version",
        list(symbols),
        timeframe,
    )
    expected = []
    for (symbol, frame, place), kept in model.versions.items():
        for number, version in enumerate(kept, 1):
            _, _, _, end, *values = row(symbol, frame, place, version.variant)
            expected.append((symbol, end, number, *values))
    assert [each[:8] for each in found] == sorted(expected)
    for old, new in pairwise(found):
        same = old[:2] == new[:2]
        assert old[9] == (new[8] if same else None)
    assert not found or found[-1][9] is None


async def test_a_session_that_moves_to_another_cell_is_a_change_of_the_bar(
    store: BarStore, books: Books, make: Maker
) -> None:
    symbol = make.symbol()
    ends = make.ends(D(2012, 1, 30), D(2012, 2, 1))
    await store.store(make.batch(make.frame(symbol, ends)))
    volumes = make.frame(symbol, ends).with_columns(volume=pl.lit(5, pl.Int64))
    assert (await store.store(make.batch(volumes))).changed == 3
    assert not books.lying_cells()


async def test_a_large_batch_out_of_order_is_stored_by_symbol_and_time(
    store: BarStore, books: Books, make: Maker
) -> None:
    symbols = sorted(make.symbol() for _ in range(3))
    ends = make.ends(D(2012, 1, 3), D(2012, 3, 30), "5m")
    whole = pl.concat([make.frame(symbol, ends, "5m", 50.0 + n) for n, symbol in enumerate(symbols)])
    mixed = whole.sample(fraction=1.0, shuffle=True, seed=1)
    assert (await store.store(make.batch(mixed))).new == 3 * len(ends)
    assert_frame_equal((await store.frame(symbols[::-1], None, None, "5m")).drop("version"), whole)
    assert not books.lying_cells()
    newest = await store.last_bars(symbols, 100, "5m")
    assert_frame_equal(
        newest.drop("version"), pl.concat([whole[n * len(ends) : (n + 1) * len(ends)][-100:] for n in range(3)])
    )


async def test_a_window_is_of_sessions_whatever_the_clock_says_in_utc(store: BarStore, make: Maker) -> None:
    symbol = make.symbol()
    ends = make.ends(D(2012, 12, 28), D(2013, 1, 3), "1h", extended=True)
    await store.store(make.batch(make.frame(symbol, ends, "1h")))
    for first, last in (
        (D(2012, 12, 31), D(2012, 12, 31)),
        (D(2013, 1, 1), D(2013, 1, 2)),
        (D(2012, 12, 29), D(2013, 1, 9)),
    ):
        found = await store.frame([symbol], first, last, "1h")
        assert found.select("session", "ts").rows() == [end for end in ends if first <= end[0] <= last]
    assert await store.span(symbol, "1h") == (D(2012, 12, 28), D(2013, 1, 3))


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
async def test_bars_are_the_same_whether_they_come_packed_or_as_columns(
    store: BarStore, door: Database, make: Maker, timeframe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    symbols = [make.symbol() for _ in range(3)]
    await store.store(Batch(timeframe, bars.empty(), "test", asked={symbols[2]: (D(2012, 1, 3), D(2012, 1, 3))}))
    moments = [await moment(door)]
    for variant, every in ((0, 1), (1, 2), (5, 3)):  # two versions of some, three of others
        places = range(0, len(ENDS[timeframe]), every)
        rows = {(s, place): variant for s in range(2) for place in places}
        await store.store(batch(Operation(timeframe, rows, {}, variant), symbols))
        moments.append(await moment(door))
    first, last = ENDS[timeframe][1][0], ENDS[timeframe][-2][0]
    windows = [(None, None), (first, last), (last, None), (None, first), (last, first), (D(2030, 1, 1), None)]

    async def read() -> list[pl.DataFrame]:  # the third symbol has no bar
        return [
            *[await store.frame([s], *window, timeframe) for s in symbols[::2] for window in windows],
            *[await store.frame(symbols[:1], *windows[1], timeframe, as_of=at) for at in moments],
            *[await store.last_bars(symbols[:n], count, timeframe) for n in (1, 2, 3) for count in (0, 1, 3, 999)],
            await store.last_bars(symbols[2:], 5, timeframe),
        ]

    packed = await read()
    assert (packed[0].height, packed[0]["version"].max()) == (len(ENDS[timeframe]), 3)
    with monkeypatch.context() as patched:
        patched.setattr(frames, "PACKED", -1)
        patched.setattr(frames, "rows", None)
        columns = await read()
    for one, other in zip(packed, columns, strict=True):
        assert_frame_equal(one, other)


async def test_many_bars_do_not_come_packed(store: BarStore, make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    symbol = make.symbol()
    ends = make.ends(D(2012, 1, 3), D(2012, 2, 29))
    await store.store(make.batch(make.frame(symbol, ends)))
    january = 20
    monkeypatch.setattr(frames, "PACKED", january)
    few = await store.frame([symbol], D(2012, 1, 3), D(2012, 1, 31))
    monkeypatch.setattr(frames, "rows", None)
    assert few.equals((await store.frame([symbol], None, None))[:january])
    assert few[1:].equals((await store.last_bars([symbol], len(ends)))[1:january])


async def test_an_import_repairs_batch_after_batch_in_one_transaction(
    door: Database, store: BarStore, books: Books, make: Maker
) -> None:
    symbols = [make.symbol(), make.symbol()]
    ends = make.ends(D(2012, 1, 3), D(2012, 1, 6))
    for symbol in symbols:
        await store.upsert(make.frame(symbol, ends), [], "vendor")
    async with LegacyStore(door, BarStore).importing(keep=True) as importing:
        for close in (90.0, 95.0):
            for symbol in symbols:
                assert await importing.bars.upsert(make.frame(symbol, ends, closes=close), [], "old bot") == (0, 4)
    assert [row[1:3] for row in books.versions(symbols[1])] == [(1, 100.0), (2, 90.0), (3, 95.0)] * 4
    assert not books.lying_cells()


# ── what is refused ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_two_bars_of_one_time_are_refused_and_nothing_is_stored(
    store: BarStore, books: Books, make: Maker
) -> None:
    symbol, other = make.symbol(), make.symbol()
    good = make.frame(symbol, make.ends(D(2012, 1, 3), D(2012, 1, 6)))
    await store.store(make.batch(good[:1]))
    await store.frame([other], None, None)
    before = [each for each in books.written() if each[0] != "instrument"]
    twice = pl.concat([make.frame(other, make.ends(D(2012, 1, 3), D(2012, 1, 6))), good, good[2:3]])
    with pytest.raises(BadInput, match=f"{symbol}: two bars of one time came in one batch"):
        await store.store(make.batch(twice))
    assert [each for each in books.written() if each[0] != "instrument"] == before
    assert (await store.frame([symbol, other], None, None)).height == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"low": 0.0}, id="a price of zero"),
        pytest.param({"high": 50.0}, id="a high below the low"),
        pytest.param({"close": 200.0}, id="a close above the high"),
        pytest.param({"open": 1.0}, id="an open below the low"),
        pytest.param({"volume": -1}, id="a negative volume"),
        pytest.param(dict.fromkeys(bars.PRICES, float("nan")), id="no prices at all: PostgreSQL's NaN equals itself"),
        pytest.param({"high": float("inf")}, id="a price without end"),
    ],
)
async def test_a_bar_that_breaks_a_rule_of_the_tables_leaves_nothing_of_its_batch(
    store: BarStore, books: Books, make: Maker, change: dict[str, float]
) -> None:
    symbol = make.symbol()
    good = make.frame(symbol, make.ends(D(2012, 1, 3), D(2012, 2, 28)))
    await store.store(make.batch(good[:30]))
    before = books.written()
    last = pl.int_range(pl.len()) == pl.len() - 1
    bad = good.with_columns(
        pl.when(last).then(pl.lit(value, good.schema[name])).otherwise(name).alias(name)
        for name, value in change.items()
    )
    with pytest.raises(BadInput, match="A rule of the tables refuses it"):
        await store.store(make.batch(bad))
    assert books.written() == before
    assert (await store.store(make.batch(good))).new == len(good) - 30, "the same store goes on"
    assert not books.lying_cells()


async def test_a_moment_without_time_zone_is_refused(store: BarStore, make: Maker) -> None:
    symbol = make.symbol()
    await store.store(make.batch(make.frame(symbol, make.ends(D(2012, 1, 3), D(2012, 1, 6)))))
    with pytest.raises(BadInput, match="has no time zone"):
        await store.frame([symbol], None, None, as_of=dt.datetime(2012, 1, 3))  # noqa: DTZ001


async def test_a_timeframe_that_no_table_holds_is_no_fault_of_the_line(store: BarStore, make: Maker) -> None:
    symbol = make.symbol()
    await store.store(make.batch(make.frame(symbol, make.ends(D(2012, 1, 3), D(2012, 1, 6)))))
    with pytest.raises(Exception, match="bar_2h") as refused:
        await store.frame([symbol], None, None, "2h")
    assert not isinstance(refused.value, DatabaseDown), "another try would not help"


# ── cells ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_came_beyond_what_was_asked_for_is_stored_and_not_claimed(store: BarStore, make: Maker) -> None:
    daily, minutes = make.symbol(), make.symbol()
    frame = make.frame(daily, make.ends(D(2012, 1, 3), D(2012, 2, 3)))
    await store.store(Batch(DAILY, frame, "test", asked={daily: (D(2012, 1, 3), D(2012, 1, 31))}))
    assert [(cell.period, cell.asked, cell.stored) for cell in await store.cells([daily])] == [
        (D(2012, 1, 1), (D(2012, 1, 3), D(2012, 1, 31)), 20),
        (D(2012, 2, 1), None, 3),
    ]
    half_a_day = make.frame(minutes, make.ends(D(2012, 1, 3), D(2012, 1, 4), "1m")[:500], "1m")
    await store.store(Batch("1m", half_a_day, "test", asked={minutes: (D(2012, 1, 3), D(2012, 1, 3))}))
    assert [(cell.period, cell.asked, cell.stored) for cell in await store.cells([minutes], "1m")] == [
        (D(2012, 1, 3), (D(2012, 1, 3), D(2012, 1, 3)), 390),
        (D(2012, 1, 4), None, 110),
    ]


async def test_a_source_that_has_nothing_is_asked_once(store: BarStore, make: Maker) -> None:
    symbol = make.symbol()
    nothing = Batch(DAILY, bars.empty(), "test", asked={symbol: (D(2012, 1, 3), D(2012, 3, 30))})
    assert await store.store(nothing) == Stored()
    cells = await store.cells([symbol], DAILY, D(2012, 2, 15), D(2012, 3, 1))
    assert [(cell.period, cell.stored, cell.status((cell.period, cell.period))) for cell in cells] == [
        (D(2012, 2, 1), 0, "empty"),
        (D(2012, 3, 1), 0, "empty"),
    ]


async def test_an_overlap_that_brings_nothing_new_writes_nothing(store: BarStore, books: Books, make: Maker) -> None:
    symbol = make.symbol()
    frame = make.frame(symbol, make.ends(D(2012, 1, 3), D(2012, 2, 29)))
    await store.store(make.batch(frame))
    before = books.written()
    for part in (frame[15:25], frame[3:4], frame):
        assert await store.store(make.batch(part)) == Stored()
    assert books.written() == before


async def test_a_failure_is_remembered_until_the_cell_is_answered(store: BarStore, books: Books, make: Maker) -> None:
    symbol = make.symbol()
    frame = make.frame(symbol, make.ends(D(2012, 1, 3), D(2012, 2, 29)))
    await store.store(make.batch(frame[:20]))
    await store.fail(symbol, DAILY, (D(2012, 1, 3), D(2012, 2, 29)), "vendor", "no answer")
    cells = await store.cells([symbol])
    assert [(cell.stored, cell.error) for cell in cells] == [(20, "no answer"), (0, "no answer")]
    assert await store.store(make.batch(frame)) == Stored(new=20)
    assert [(cell.stored, cell.error, cell.asked) for cell in await store.cells([symbol])] == [
        (20, "", (D(2012, 1, 3), D(2012, 1, 31))),
        (20, "", (D(2012, 2, 1), D(2012, 2, 29))),
    ]
    assert not books.lying_cells()


# ── numbers of symbols ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_symbol_that_is_known_takes_no_new_number(door: Database, books: Books, make: Maker) -> None:
    frame = make.frame(make.symbol(), make.ends(D(2012, 1, 3), D(2012, 1, 6)))
    for _ in range(20):
        await BarStore(door).store(make.batch(frame))
    await BarStore(door).store(make.batch(make.frame(make.symbol(), make.ends(D(2012, 1, 3), D(2012, 1, 6)))))
    (newest, before), *_ = books.rows(
        "select max(id), (select max(id) from instrument where id < max(i.id)) from instrument i"
    )
    assert newest - before == 1, "numbers are 32 bits wide, and a frame's lookup table is as long as the largest"


async def test_all_symbols_are_read_although_a_writer_adds_some_meanwhile(
    door: Database, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = BarStore(door), BarStore(door)
    ends = make.ends(D(2012, 1, 3), D(2012, 1, 6))
    await writer.store(make.batch(make.frame(make.symbol(), ends)))
    late = make.symbol()
    real = door.frame

    async def after_a_write(query: str) -> pl.DataFrame:
        await writer.store(make.batch(make.frame(late, ends, closes=7.0)))
        return await real(query)

    monkeypatch.setattr(door, "frame", after_a_write)
    found = await reader.frame(None, D(2012, 1, 3), D(2012, 1, 6))
    assert found.filter(pl.col("close") == 7.0)["symbol"].unique().to_list() == [late]


def test_rows_are_encoded_in_the_order_of_their_numbers() -> None:
    from quaestor.doors.postgres.loading import cells, records

    ends = [
        (D(2012, 1, 31), calendar.session_close(D(2012, 1, 31))),
        (D(2012, 2, 1), calendar.session_close(D(2012, 2, 1))),
    ]
    frame = pl.DataFrame(
        [(symbol, DAILY, day, end, 1.0, 1.0, 1.0, 1.0, 1) for symbol in ("A", "B") for day, end in ends],
        schema=bars.schema(),
        orient="row",
    )
    rows = records(frame, {"A": 2, "B": 1})
    assert rows["instrument"].tolist() == [1, 1, 2, 2]
    made = cells(rows, DAILY)
    assert made.instruments.tolist() == [1, 1, 2, 2]
    assert made.periods.tolist() == [D(2012, 1, 1), D(2012, 2, 1)] * 2
    assert np.array_equal(made.counts, [1, 1, 1, 1])
    assert len(set(made.digests)) == 4
    assert cells(records(frame[:0], {}), DAILY).digests == []
