"""When: a condition in words, read and written back (the grammar stands in `wording`).

Where 'and' meets 'or', parentheses are required: nobody should have to know which binds tighter when money follows.
"""

from __future__ import annotations

import re
from typing import Any

from quaestor.bars import SYMBOL
from quaestor.triggers.conditions import (
    DEEPEST,
    Above,
    AllOf,
    AnyOf,
    Below,
    Condition,
    Crossing,
    Drawdown,
    Moved,
    SessionTime,
    Spread,
    Trailing,
    VolatilitySpike,
    VolumeSpike,
)
from quaestor.triggers.figures import DOLLARS, PERCENT, SPAN, digits, span
from quaestor.triggers.tokens import Reader, plain_number

STARTS = ("price", "trailing", "volume", "volatility", "spread", "ratio", "drawdown", "all", "any")
DEPTH = 40  # parentheses within each other


def read_when(text: str, place: str = "when") -> Condition:
    """A condition from its words; raises BadWording."""
    reader = Reader(place, text)
    found = read_condition(reader)
    reader.end("and", "or")
    return found


def read_condition(reader: Reader, depth: int = 0) -> Condition:
    """The condition that comes next in a sentence."""
    begin = reader.next
    found = [_term(reader, depth)]
    if not (word := reader.took("and", "or")):
        return found[0]
    found.append(_term(reader, depth))
    while reader.took(word):
        found.append(_term(reader, depth))
    if reader.next.text.lower() in {"and", "or"}:
        reader.fail("parentheses where 'and' meets 'or', like (A and B) or C")
    group = (AllOf if word == "and" else AnyOf)(tuple(found))
    if _levels(group) > DEEPEST:
        reader.fail(f"at most {DEEPEST} groups within each other", token=begin)
    return group


def _levels(condition: Condition) -> int:
    if isinstance(condition, AllOf | AnyOf):
        return 1 + max(_levels(each) for each in condition.conditions)
    return 0


def _term(reader: Reader, depth: int) -> Condition:
    begin = reader.next
    if reader.next.kind == "number":
        return _session_time(reader)
    if depth > DEPTH:
        reader.fail("fewer parentheses")
    if reader.took("("):
        found = read_condition(reader, depth + 1)
        reader.expect(")", cure="'and', 'or' or ')'")
        return found
    word = reader.expect(*STARTS, cure=f"{', '.join(map(repr, STARTS))}, '(' or a time like 30m after open")
    if word in {"all", "any"}:
        reader.expect("(")
        found = (AllOf if word == "all" else AnyOf)((read_condition(reader, depth + 1),))
        reader.expect(")")
        if _levels(found) > DEEPEST:
            reader.fail(f"at most {DEEPEST} groups within each other", token=begin)
        return found
    return _LEAVES[word](reader)


def _price(reader: Reader) -> Condition:
    word = reader.expect("above", "below", "crosses", "up", "down")
    if word in {"up", "down"}:
        return _moved(reader, word)
    direction = (
        {"above": "up", "below": "down", "": "either"}[reader.took("above", "below")] if word == "crosses" else ""
    )
    level = reader.number(DOLLARS, dollars=True)
    if direction:
        return reader.built(level.token, Crossing, level.number, direction)
    return reader.built(level.token, Above if word == "above" else Below, level.number)


def _moved(reader: Reader, word: str) -> Condition:
    percent = reader.number(PERCENT, units=("%",))
    reader.expect("from")
    fields: dict[str, Any] = {"basis": reader.took("open", "entry")}
    if not fields["basis"]:
        what = "'open', 'entry' (the position's average price) or a price in dollars like 180"
        if reader.next.kind != "number":
            reader.fail(what, ("open", "entry"))
        fields = {"basis": "reference", "reference": reader.number(what, dollars=True).number}
    return reader.built(percent.token, Moved, percent.number if word == "up" else -percent.number, **fields)


def _trailing(reader: Reader) -> Condition:
    reader.took("stop")
    by = reader.amount("5% or $2.50")
    if by is None or by.sign or (by.unit, by.dollars) not in {("%", False), ("", True)}:
        reader.fail("how far below its highest price, in percent or dollars, like 5% or $2.50", token=by and by.token)
    return reader.built(by.token, Trailing, **{"percent" if by.unit else "dollars": by.number})


def _session_time(reader: Reader) -> Condition:
    begin = reader.next
    minutes = plain_number(reader.seconds("a time like 30m after open or 15m before close") / 60)
    if reader.expect("after", "before") == "after":
        reader.expect("open")
        return reader.built(begin, SessionTime, after_open=minutes)
    reader.expect("close")
    return reader.built(begin, SessionTime, before_close=minutes)


def _volume(reader: Reader) -> Condition:
    reader.expect("spike")
    factor = reader.number("how many times the usual volume, like 3x", units=("", "x"))
    seconds = _window(reader)
    windows: int | float = 10
    if reader.took("against"):
        windows = reader.number("how many windows before, like 20").number
        reader.took("windows")
    return reader.built(factor.token, VolumeSpike, factor.number, seconds, windows)


def _volatility(reader: Reader) -> Condition:
    reader.expect("spike")
    percent = reader.number(PERCENT, units=("%",))
    return reader.built(percent.token, VolatilitySpike, percent.number, _window(reader))


def _window(reader: Reader) -> int:
    reader.expect("over")
    token, seconds = reader.next, reader.seconds(SPAN)
    if seconds != int(seconds) or not seconds:
        reader.fail("whole seconds", token=token)
    return int(seconds)


def _apart(reader: Reader, measure: str) -> Condition:
    reader.expect("to")
    token = reader.take()
    other = token.text.upper()
    if token.kind == "end" or not re.fullmatch(SYMBOL, other):
        reader.fail("a symbol like MSFT or BRK.B", token=token)
    side = reader.expect("above", "below")
    signed = measure == "difference"
    level = reader.number("dollars like 5 or -2.5" if signed else "a ratio like 1.2", signed=signed, dollars=signed)
    return reader.built(level.token, Spread, other, level.number, measure, side)


def _drawdown(reader: Reader) -> Condition:
    percent = reader.number(PERCENT, units=("%",))
    return reader.built(percent.token, Drawdown, percent.number)


_LEAVES = {
    "price": _price,
    "trailing": _trailing,
    "volume": _volume,
    "volatility": _volatility,
    "spread": lambda reader: _apart(reader, "difference"),
    "ratio": lambda reader: _apart(reader, "ratio"),
    "drawdown": _drawdown,
}


def write_when(condition: Condition) -> str:
    """A condition in words, as `read_when` reads them."""
    if not isinstance(condition, AllOf | AnyOf):
        return _leaf(condition)
    if len(condition.conditions) == 1:
        return f"{'all' if isinstance(condition, AllOf) else 'any'} ({write_when(condition.conditions[0])})"
    parts = [_grouped(each) for each in condition.conditions]
    return (" and " if isinstance(condition, AllOf) else " or ").join(parts)


def _grouped(condition: Condition) -> str:
    words = write_when(condition)
    return f"({words})" if isinstance(condition, AllOf | AnyOf) and len(condition.conditions) > 1 else words


def _leaf(leaf: Condition) -> str:  # noqa: PLR0911  # a case for each kind
    match leaf:
        case Above(level) | Below(level):
            return f"price {leaf.kind} {digits(level)}"
        case Crossing(level, direction):
            return f"price crosses {({'up': 'above ', 'down': 'below '}).get(direction, '')}{digits(level)}"
        case Moved(percent, basis, reference):
            base = basis if reference is None else digits(reference)
            return f"price {'up' if percent > 0 else 'down'} {digits(abs(percent))}% from {base}"
        case Trailing(percent, dollars):
            return f"trailing stop {f'${digits(dollars or 0)}' if percent is None else f'{digits(percent)}%'}"
        case SessionTime(after, before):
            return f"{digits(before or 0)}m before close" if after is None else f"{digits(after)}m after open"
        case VolumeSpike(factor, seconds, windows):
            against = "" if windows == 10 else f" against {windows} windows"
            return f"volume spike {digits(factor)}x over {span(seconds)}{against}"
        case VolatilitySpike(percent, seconds):
            return f"volatility spike {digits(percent)}% over {span(seconds)}"
        case Spread(other, level, measure, side):
            return f"{'spread' if measure == 'difference' else 'ratio'} to {other} {side} {digits(level)}"
        case Drawdown(percent):
            return f"drawdown {digits(percent)}%"
    raise TypeError(f"a condition without words: {leaf!r}")
