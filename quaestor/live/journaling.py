"""The journal's bytes: events and decisions as frames, one after the other, and back.

    segment   MAGIC, a frame of kind HEAD, then events and decisions in the order they came
    frame     length, CRC, kind, number of its first event, how many events, payload

A frame is whole or not there: a torn tail (kill -9, a power cut, a full disk) fails its length or its CRC, and what
stands before it is good. Events are numbered from 1 through all segments of a run, so a gap is seen.

Ticks are by far the most. While a run lives they are written as rows (`ROWS`: MessagePack by msgspec, 0.1 µs and 44
bytes a tick); once it has ended they are packed by columns (`COLUMNS`: symbols by number, times as differences, floats
bit by bit, then zlib: 10 bytes a tick, 2.3 µs). All other events are MessagePack, for JSON has no word for NaN.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any, BinaryIO, NamedTuple, Union, get_args

import msgspec

from quaestor.errors import Temporary
from quaestor.live.events import Event, Ticks
from quaestor.ticks import QuoteTick, Tick, TradeTick

MAGIC = b"QUAESTOR JOURNAL 1\n"
HEAD, ROWS, COLUMNS, EVENT, DECIDED, END = range(6)  # kinds of frames
TICKS = (ROWS, COLUMNS)
LEVEL = 3  # of zlib: 10.1 bytes a tick; 1 makes 11.1 in half the time, 6 makes 9.2 in four times
LEAD = struct.Struct("<II")  # length of the payload, CRC of all that follows
REST = struct.Struct("<BQI")  # kind, number of the first event, how many events
TRADE, QUOTE = ("price", "size"), ("bid", "ask", "bid_size", "ask_size")

OTHERS = tuple(kind for kind in get_args(Event) if kind is not Ticks)  # each with its own name in the payload


class JournalStopped(Temporary):
    """The journal cannot be written any further; it is readable up to here. The run goes on without it."""


class Entry(NamedTuple):
    """An event, its number, and the decisions that followed from it, each as the line that `as_line` wrote."""

    number: int
    event: Event
    decided: tuple[str, ...] = ()


class Frame(NamedTuple):
    """A frame as it was read: its kind, the number of its first event, how many it has."""

    kind: int
    first: int
    many: int
    payload: bytes


class Head(msgspec.Struct, frozen=True):
    """What a segment says of itself; `began`: `now` of its run's first event."""

    run: uuid.UUID
    segment: int
    began: int = 0
    packed: bool = False


def _plain(value: Any) -> Any:
    """What MessagePack has no type for."""
    return dict(value) if isinstance(value, Mapping) else str(value)


encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
_other = msgspec.msgpack.Decoder(Union[OTHERS]).decode  # noqa: UP007  # made at run time
_head = msgspec.msgpack.Decoder(Head).decode
_lines = msgspec.msgpack.Decoder(tuple[str, ...]).decode
_any = msgspec.msgpack.Decoder().decode


def framed(kind: int, first: int, count: int, payload: bytes) -> bytes:
    """A frame's bytes."""
    rest = REST.pack(kind, first, count)
    return LEAD.pack(len(payload), zlib.crc32(payload, zlib.crc32(rest))) + rest + payload


def frames(file: BinaryIO, size: int) -> Iterator[Frame]:
    """The whole frames of a segment of so many bytes, up to the first that is not whole."""
    at, least = len(MAGIC), LEAD.size + REST.size
    if file.read(at) != MAGIC:
        return
    while at + least <= size:
        length, crc = LEAD.unpack(file.read(LEAD.size))
        if at + least + length > size:
            return
        rest, payload = file.read(REST.size), file.read(length)
        if zlib.crc32(payload, zlib.crc32(rest)) != crc:
            return
        kind, first, many = REST.unpack(rest)
        yield Frame(kind, first, many, payload)
        at += least + length


def read_head(frame: Frame) -> Head:
    """A segment's head."""
    return _head(frame.payload)


def rows(nows: Sequence[int], counts: Sequence[int], ticks: Iterable[Tick]) -> bytes:
    """`Ticks` events one after the other, as rows: each one's `now` and how many ticks it has, and all ticks."""
    return encode((nows, counts, list(map(msgspec.structs.astuple, ticks))))


def read_events(frame: Frame) -> Iterator[Event]:
    """The events of a frame, in their order."""
    if frame.kind == EVENT:
        yield _other(frame.payload)
    elif frame.kind in TICKS:
        nows, counts, ticks = (_from_rows if frame.kind == ROWS else _from_columns)(frame.payload)
        for now, (start, end) in zip(nows, pairwise(accumulate(counts, initial=0)), strict=True):
            yield Ticks(now, ticks[start:end])


def read_lines(frame: Frame) -> tuple[str, ...]:
    """The decisions in a frame."""
    return _lines(frame.payload)


def as_held(event: Event) -> Event:
    """The event as it is read back: amounts that stood in free tables are text, tuples there are lists."""
    return event if type(event) is Ticks else _other(encode(event))


def _from_rows(payload: bytes) -> tuple[list[int], list[int], list[Tick]]:
    nows, counts, found = _any(payload)
    return nows, counts, [TradeTick(*row) if len(row) == 4 else QuoteTick(*row) for row in found]


def _from_columns(payload: bytes) -> tuple[list[int], list[int], list[Tick]]:
    import numpy as np

    nows, counts, symbols, kinds, traded, quoted = _any(zlib.decompress(payload))

    def ticks(cls: Any, columns: list[bytes]) -> Iterator[Tick]:
        names = map(symbols.__getitem__, np.frombuffer(columns[0], "<u4").tolist())
        at = np.cumsum(np.frombuffer(columns[1], "<i8")).tolist()
        return map(cls, names, at, *(np.frombuffer(column, "<f8").tolist() for column in columns[2:]))

    trades, quotes = ticks(TradeTick, traded), ticks(QuoteTick, quoted)
    return nows, counts, [next(trades if kind else quotes) for kind in kinds]


def packed(gathered: Sequence[Frame]) -> bytes | None:
    """Frames of ticks that follow each other as one, by columns; None where columns cannot hold them bit by bit."""
    parts = [(_from_rows if frame.kind == ROWS else _from_columns)(frame.payload) for frame in gathered]
    nows = list(chain.from_iterable(part[0] for part in parts))
    counts = list(chain.from_iterable(part[1] for part in parts))
    ticks = list(chain.from_iterable(part[2] for part in parts))
    symbols = {symbol: place for place, symbol in enumerate(dict.fromkeys(tick.symbol for tick in ticks))}
    trades = [tick for tick in ticks if type(tick) is TradeTick]
    quotes = [tick for tick in ticks if type(tick) is QuoteTick]
    try:
        columns = [_columns(trades, TRADE, symbols), _columns(quotes, QUOTE, symbols)]
    except OverflowError:  # a time that is none
        return None
    if None in columns:
        return None
    kinds = bytes(type(tick) is TradeTick for tick in ticks)
    payload = zlib.compress(encode((nows, counts, list(symbols), kinds, *columns)), LEVEL)
    return framed(COLUMNS, gathered[0].first, len(nows), payload)


def _columns(ticks: Sequence[Tick], names: Sequence[str], symbols: Mapping[str, int]) -> list[bytes] | None:
    """Symbols, times, then a column for each name; None where a number is of another kind than it should be."""
    import numpy as np

    times = [tick.at for tick in ticks]
    numbers = [[getattr(tick, name) for tick in ticks] for name in names]
    if {type(time) for time in times} - {int} or {type(number) for column in numbers for number in column} - {float}:
        return None
    moved = np.diff(np.array(times, "<i8"), prepend=np.int64(0))  # what wraps around here wraps back when it is added
    named = np.array([symbols[tick.symbol] for tick in ticks], "<u4")
    return [named.tobytes(), moved.tobytes(), *(np.array(column, "<f8").tobytes() for column in numbers)]
