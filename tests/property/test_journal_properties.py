"""What goes into a journal comes out of it, to the last bit, however it was written, cut or packed."""

from __future__ import annotations

import datetime as dt
import struct
import tempfile
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from quaestor.barring import LiveBar
from quaestor.doors.journal import JournalReader, JournalWriter, pack
from quaestor.live import events as e
from quaestor.live.account import AccountState, Position
from quaestor.live.acts import Notify, as_line
from quaestor.live.journaling import as_held
from quaestor.orders import Intent, OrderType, Side, State
from quaestor.ports import StoredSignal
from quaestor.risk import Record, Sale, Working
from quaestor.ticks import QuoteTick, TradeTick

RUN = uuid.UUID(int=7)

times = st.integers(-(2**63), 2**63 - 1) | st.integers(1_700_000_000_000_000_000, 1_700_000_001_000_000_000)
floats = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0]) | st.floats()
symbols = st.sampled_from(["AAPL", "BRK.B", "BTC/USD", "ÜBER"])
trades = st.builds(TradeTick, symbols, times, floats, floats)
whole = st.builds(TradeTick, symbols, times, st.integers(1, 9), floats)  # a feed that tells 100, not 100.0
quotes = st.builds(QuoteTick, symbols, times, floats, floats, floats, floats)
ticks = st.builds(e.Ticks, times, st.lists(trades | quotes | whole, max_size=30))

amounts = st.decimals(allow_nan=False, allow_infinity=False)
days = st.dates()
moments = st.datetimes(timezones=st.just(dt.UTC))
words = st.text(st.characters(codec="utf-8"), max_size=12)
free = st.recursive(
    st.none() | st.booleans() | times | floats | words | amounts | st.uuids() | days,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=6,
)
tables = st.dictionaries(words, free, max_size=4)
sides = st.sampled_from(Side)
intents = st.builds(
    Intent,
    account=words,
    strategy=words,
    symbol=symbols,
    session=days,
    cause_key=words,
    side=sides,
    quantity=amounts,
    reference_price=amounts,
    order_type=st.sampled_from(OrderType),
    limit_price=st.none() | amounts,
    replaces=st.none() | st.uuids(),
    provenance=tables,
)
sales = st.builds(Sale, words, symbols, days, moments, amounts, amounts)
records = st.builds(
    Record,
    attempts=st.integers(0, 9),
    sales=st.lists(sales, max_size=2).map(tuple),
    quarantined=st.dictionaries(symbols, st.integers(0, 3)),
    splitting=st.frozensets(symbols),
)
accounts = st.builds(
    AccountState,
    trading=st.none() | days,
    equity=amounts,
    previous_equity=amounts,
    peak=amounts,
    cash=amounts,
    positions=st.lists(st.builds(Position, words, symbols, amounts, amounts), max_size=2).map(tuple),
    working=st.lists(st.builds(Working, intents, amounts), max_size=2).map(tuple),
    known=st.lists(st.uuids(), max_size=2).map(tuple),
    latches=st.lists(words, max_size=2).map(tuple),
    record=st.none() | records,
    skew=st.none() | amounts,
)
signals = st.builds(
    StoredSignal,
    words,
    words,
    words,
    tables,
    symbols,
    days,
    moments,
    floats,
    st.integers(0, 9),
    tables,
    st.none(),
    words,
)
bars = st.builds(LiveBar, symbols, words, days, times, *[floats] * 5, st.integers(0, 9), times, times)
players = st.builds(e.Player, words, tables, words, words, floats)
EVENTS = {
    e.Ticks: ticks,
    e.Setup: st.builds(
        e.Setup,
        now=times,
        run=st.uuids(),
        account=words,
        symbols=st.tuples(symbols),
        limits=tables,
        players=st.tuples(players),
        triggers=st.tuples(tables),
        commit=words,
        config_digest=words,
        kept=st.none() | tables,
    ),
    e.Session: st.builds(
        e.Session,
        now=times,
        session=days,
        opens=times,
        closes=times,
        prices=st.dictionaries(symbols, amounts),
        bar_age=st.dictionaries(symbols, st.integers(0, 9)),
        halted=st.tuples(symbols),
        splits=st.tuples(st.tuples(symbols, st.integers(1, 9), st.integers(1, 9))),
    ),
    e.Told: st.builds(e.Told, times, accounts),
    e.Moved: st.builds(e.Moved, times, st.uuids(), st.sampled_from(State), amounts),
    e.Filled: st.builds(e.Filled, times, words, symbols, sides, amounts, amounts, amounts),
    e.Latched: st.builds(e.Latched, times, st.lists(words, max_size=2).map(tuple)),
    e.Limits: st.builds(e.Limits, times, tables, words),
    e.History: st.builds(e.History, times, st.tuples(bars)),
    e.Missed: st.builds(e.Missed, times, st.tuples(trades)),
    e.Rules: st.builds(e.Rules, times, st.tuples(tables), st.tuples(st.uuids())),
    e.Signals: st.builds(e.Signals, times, st.tuples(signals)),
    e.Clock: st.builds(e.Clock, times),
}
every = ticks | st.one_of(*EVENTS.values())  # ticks are most of a run
notes = st.builds(Notify, st.uuids(), words, words, st.booleans())
acts = st.lists(notes, max_size=2)
steps = st.lists(st.tuples(every, acts, st.booleans()), min_size=1, max_size=15)  # event, acts, flush


def bits(event: e.Event) -> bytes:
    """What an event is, floats bit by bit (NaN is not equal to itself); sets have no order."""
    return type(event).__name__.encode() + msgspec.msgpack.encode(event, order="deterministic")


def written(folder: Path, run: list[Any], segment_bytes: int) -> None:
    with JournalWriter(folder, RUN, segment_bytes=segment_bytes) as journal:
        for event, decided, flush in run:
            held = journal.append(event)
            assert bits(held) == bits(as_held(event))
            journal.decided(decided)
            if flush:
                journal.flush()


@given(steps, st.sampled_from([1, 300, 1 << 20]))
@settings(deadline=None, max_examples=60)
def test_events_and_decisions_come_back_in_order_to_the_last_bit(run: list[Any], segment_bytes: int) -> None:
    expected = [(n, bits(as_held(event)), tuple(map(as_line, decided))) for n, (event, decided, _) in enumerate(run, 1)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        written(folder, run, segment_bytes)
        for _ in range(2):  # as it was written, then packed
            reader = JournalReader(folder)
            assert [(n, bits(event), decided) for n, event, decided in reader.entries()] == expected
            assert (reader.run, reader.torn, reader.ended) == (RUN, False, True)
            pack(folder)


@given(st.lists(ticks, min_size=1, max_size=5))
@settings(deadline=None)
def test_ticks_come_back_equal_and_of_their_kind(batches: list[e.Ticks]) -> None:
    with tempfile.TemporaryDirectory() as place:
        written(Path(place), [(batch, [], False) for batch in batches], 1 << 20)
        for read, batch in zip(JournalReader(Path(place)), batches, strict=True):
            assert isinstance(read, e.Ticks)
            assert [repr(tick) for tick in read.ticks] == [repr(tick) for tick in batch.ticks]


def test_what_free_tables_hold_is_told_to_the_engine_as_it_will_be_read() -> None:
    setup = e.Setup(1, RUN, "paper", ("AAPL",), {"cash": Decimal("1.50"), "pair": (1, 2)}, (), (), "c", "d")
    with tempfile.TemporaryDirectory() as place, JournalWriter(Path(place), RUN) as journal:
        held = journal.append(setup)
    assert isinstance(held, e.Setup)
    assert held.limits == {"cash": "1.50", "pair": [1, 2]}


def test_every_kind_of_event_is_tried() -> None:
    assert set(EVENTS) == set(get_args(e.Event))
