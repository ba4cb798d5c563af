"""Wording: a trigger as a sentence, read and written back. `read_sentence(sentence(t)) == t` for every trigger.

    AAPL: when price above 190 and volume spike 3x over 5m do sell 50%; once, expires 2026-12-01T21:00:00Z

    when   price above 190 · price below 180.5 · price crosses 190 · price crosses above 190 · price crosses below 190
           price up 5% from open · price down 3% from entry · price up 5% from 180
           trailing stop 5% · trailing stop $2.50
           30m after open · 15m before close
           volume spike 3x over 5m · volume spike 3x over 5m against 20 windows · volatility spike 2% over 5m
           spread to MSFT above 5 · ratio to MSFT below 0.8 · drawdown 5%
           A and B and C · A or B · (A and B) or C · all (A) · any (A)
    do     sell 50% · sell all · sell 100 shares · buy 10 shares
           … limit -0.10 · … stop -0.50 · … stop -0.50 limit -0.60      (dollars from the firing's price)
           flatten · flatten everything · alert "look at this" · run report/evening · halt "too wild"
    then   once · rearm · on bid (ask, mid, trade) · hysteresis 0.5% · cooldown 5m · expires 2026-12-01T21:00:00Z
           max age 5s · band 5%

Conditions are read in `when`, actions in `doing`; `tokens` points at the word that is not understood.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from quaestor.bars import SYMBOL
from quaestor.errors import BadInput
from quaestor.triggers.doing import read_action, read_do, write_do
from quaestor.triggers.figures import PERCENT, SECOND, SPAN, digits, read_moment, span, write_moment
from quaestor.triggers.tokens import BadWording, Reader, plain_number
from quaestor.triggers.trigger import PRICES, Trigger
from quaestor.triggers.when import read_condition, read_when, write_when

OPTIONS = ("once", "rearm", "on", "hysteresis", "cooldown", "expires", "max", "band")
FIELDS = ("symbol", "when", "do", "mode", "price", "hysteresis", "cooldown", "expires", "max_age", "band")
NEVER = ("", "never")


def read_sentence(text: str, id_: uuid.UUID, place: str = "trigger") -> Trigger:
    """A trigger from its sentence; raises BadWording."""
    reader = Reader(place, text)
    token = reader.take()
    if token.kind != "word" or not re.fullmatch(SYMBOL, token.text.upper()):
        reader.fail("a symbol like AAPL", token=token)
    reader.expect(":")
    reader.expect("when")
    condition = read_condition(reader)
    reader.expect("do", cure="'and', 'or' or 'do'")
    given: dict[str, Any] = {"condition": condition, "action": read_action(reader)}
    if reader.took(";"):
        _options(reader, given)
    reader.end(";")
    return reader.built(token, Trigger, id_, token.text.upper(), **given)


def _options(reader: Reader, given: dict[str, Any]) -> None:
    while True:
        token = reader.next
        name, value = _option(reader)
        if name in given:
            reader.fail(f"{name.replace('_', ' ')} once only", token=token)
        given[name] = value
        if not reader.took(","):
            return


def _option(reader: Reader) -> tuple[str, Any]:
    match word := reader.expect(*OPTIONS):
        case "once" | "rearm":
            return "mode", word
        case "on":
            return "price", reader.expect(*PRICES)
        case "hysteresis" | "band":
            return word, reader.number(PERCENT, units=("%",)).number
        case "cooldown":
            return word, plain_number(reader.seconds(SPAN))
        case "max":
            reader.expect("age")
            return "max_age", plain_number(reader.seconds(SPAN))
    token = reader.take()
    if token.kind != "moment":
        reader.fail("a time with its zone, like 2026-12-01T21:00:00Z", token=token)
    return "expires", reader.built(token, read_moment, token.text)


def sentence(trigger: Trigger) -> str:
    """A trigger as a sentence, as `read_sentence` reads it."""
    return f"{trigger.symbol}: when {write_when(trigger.condition)} do {write_do(trigger.action)}; {options(trigger)}"


def options(trigger: Trigger) -> str:
    """How it fires: its mode, and whatever differs from the default."""
    told: list[str] = [trigger.mode]
    told += [f"on {trigger.price}"] if trigger.price != "trade" else []
    told += [f"hysteresis {digits(trigger.hysteresis)}%"] if trigger.hysteresis else []
    told += [f"cooldown {span(trigger.cooldown)}"] if trigger.cooldown else []
    told += [f"expires {write_moment(trigger.expires)}"] if trigger.expires is not None else []
    told += [f"max age {span(trigger.max_age)}"] if trigger.max_age != 10 else []
    told += [f"band {digits(trigger.band)}%"] if trigger.band != 10 else []
    return ", ".join(told)


def written(
    fields: Mapping[str, Any], now: int, *, id_: uuid.UUID | None = None, base: Trigger | None = None
) -> Trigger:
    """A trigger from what a person filled in (`FIELDS`); `base`: those not given stay as they are.

    `now` (ns since 1970) is where a duration in `expires` counts from. Raises BadInput, with the field.
    """
    given = {_NAMES.get(name, name): _READ[name](value, now) for name, value in fields.items()}
    if base is not None:
        return replace(base, **given)
    if missing := [name for name in ("symbol", "when", "do") if name not in fields]:
        raise BadInput(f"{missing[0]}: it is missing; a trigger needs a symbol, when it fires, and what it does.")
    return Trigger(id_ or uuid.uuid4(), **given)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise BadInput(f"{name}: {str(value)[:60]!r} is no text; write it in words.")
    return value


def _percent(name: str, value: object) -> object:
    """A number, or a text like 0.5%."""
    if not isinstance(value, str):
        return value
    reader = Reader(name, value)
    found = reader.number("percent like 0.5%", units=("", "%"))
    reader.end()
    return found.number


def _seconds(name: str, value: object) -> object:
    """A number of seconds, or a text like 5m."""
    if not isinstance(value, str):
        return value
    reader = Reader(name, value)
    found = reader.seconds(SPAN)
    reader.end()
    return plain_number(found)


def read_expiry(value: object, now: int) -> int | None:
    """When a trigger expires, ns since 1970: a time with its zone, a duration like 5d from now; "never": None."""
    if value is None or value in NEVER:
        return None
    text = _text("expires", value).strip()
    if not re.match(r"@|\d{4}-", text):
        reader = Reader("expires", text)
        found = reader.seconds("a time with its zone like 2026-12-01T21:00:00Z, a duration like 5d, or never")
        reader.end()
        return now // SECOND * SECOND + int(found * SECOND)
    return read_moment(text)


_NAMES = {"when": "condition", "do": "action"}
_READ: dict[str, Any] = {
    "symbol": lambda value, _: _text("symbol", value).strip().upper(),
    "when": lambda value, _: read_when(_text("when", value)),
    "do": lambda value, _: read_do(_text("do", value)),
    "mode": lambda value, _: _text("mode", value),
    "price": lambda value, _: _text("price", value),
    "hysteresis": lambda value, _: _percent("hysteresis", value),
    "band": lambda value, _: _percent("band", value),
    "cooldown": lambda value, _: _seconds("cooldown", value),
    "max_age": lambda value, _: _seconds("max_age", value),
    "expires": read_expiry,
}


__all__ = [
    "FIELDS",
    "BadWording",
    "options",
    "read_do",
    "read_expiry",
    "read_sentence",
    "read_when",
    "sentence",
    "write_do",
    "write_when",
    "written",
]
