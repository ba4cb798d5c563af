"""Cells: what a bot wrote into a column, as our own values; or `Unreadable`, which is a finding and no crash.

SQLite keeps whatever it is given: one column may hold numbers, texts and nothing. Times come as Unix seconds (or
milli-, micro-, nanoseconds), as ISO text with or without a zone, as an American date. A time without a zone is in the
zone that the owner names; a date alone, and a midnight, is a day.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from quaestor.bars import SYMBOL, price
from quaestor.orders import Side

EMPTY = frozenset({"", "none", "null", "nan", "nat", "n/a", "na", "-"})
SIDES = {
    **dict.fromkeys(("buy", "b", "bought", "bot", "bto", "long", "buy_to_open", "market_buy", "limit_buy"), Side.BUY),
    **dict.fromkeys(("sell", "s", "sold", "sld", "stc", "sell_to_close", "market_sell", "limit_sell"), Side.SELL),
}
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
OLDEST = 100_000_000  # Unix seconds, 1973: a smaller number is no time of a bot
UNITS = ((100_000_000_000, 1_000_000), (100_000_000_000_000, 1_000), (100_000_000_000_000_000, 1))  # below, µs each
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
AMERICAN = tuple(f"{day}{clock}" for day in ("%m/%d/%Y", "%Y/%m/%d", "%m-%d-%Y") for clock in CLOCKS)
SECRET = re.compile(r"password|passwd|token|secret|api_?key|mfa|otp|credential", re.IGNORECASE)
ACCOUNT = re.compile(r"acc(oun)?t", re.IGNORECASE)
NUMBER = re.compile(r"\d{8,}|\b(?=(?:[A-Za-z]*\d){4})[A-Za-z0-9]{8,}\b")  # Robinhood's have letters too
MASK = "********"


class Unreadable(ValueError):
    """The cell holds something that this column cannot mean."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in UTC; `day` where it only names a day (no time of day, or midnight)."""

    at: dt.datetime
    day: dt.date | None = None


def empty(value: Any) -> bool:
    """Nothing, or one of the words that programs write for it."""
    return value is None or (isinstance(value, str) and value.strip().lower() in EMPTY)


def amount(value: Any) -> Decimal | None:
    """A number, exactly as a person would write it; None for nothing. Raises Unreadable."""
    if empty(value):
        return None
    if isinstance(value, float):
        value = price(value)
    try:
        number = Decimal(value.strip().replace(",", "").replace("$", "") if isinstance(value, str) else value)
    except (InvalidOperation, TypeError, ValueError) as error:
        raise Unreadable from error
    if not number.is_finite() or abs(number.adjusted()) > 30:
        raise Unreadable
    return number


def symbol(value: Any) -> str | None:
    """A symbol in capitals; None for nothing. Raises Unreadable."""
    if empty(value):
        return None
    name = str(value).strip().upper().removeprefix("$")
    if not re.fullmatch(SYMBOL, name):
        raise Unreadable
    return name


def side(value: Any, words: Mapping[str, str]) -> Side | None:
    """BUY or SELL; `words` are the owner's own. None for nothing. Raises Unreadable."""
    if empty(value):
        return None
    word = str(value).strip()
    found = words.get(word) or SIDES.get(re.sub(r"[\s-]+", "_", word.rpartition(".")[2].lower()))
    if found is None:
        raise Unreadable
    return Side(found)


def label(value: Any) -> str | None:
    """A text such as a state or an id; None for nothing."""
    return None if empty(value) else str(value).strip().replace("\0", "�")


def moment(value: Any, zone: dt.tzinfo) -> Moment | None:
    """A time; one without a zone is in `zone`. None for nothing. Raises Unreadable."""
    if empty(value):
        return None
    if isinstance(value, str):
        with contextlib.suppress(Unreadable):
            return _written(value.strip(), zone)
        value = amount(value)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _counted(value, zone)
    raise Unreadable


def _written(text: str, zone: dt.tzinfo) -> Moment:
    for zoned, name in ((" UTC", "+00:00"), (" EST", "-05:00"), (" EDT", "-04:00"), (" ET", "")):
        text = text.removesuffix(zoned) + name if text.endswith(zoned) else text
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return _placed(_iso(text), zone)
    if re.match(r"\d{4}-\d{2}-\d{2}[T ]", text):
        return _placed(_iso(text), zone)
    for form in AMERICAN:
        with contextlib.suppress(ValueError):
            return _placed(dt.datetime.strptime(text, form), zone)  # noqa: DTZ007  # `_placed` gives the zone
    raise Unreadable


def _iso(text: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError as error:
        raise Unreadable from error


def _counted(number: float | Decimal, zone: dt.tzinfo) -> Moment:
    """Unix time; its size says the unit. Eight digits such as 20240102 are a day."""
    exact = amount(number) or Decimal(0)
    if 19_000_101 <= exact <= 21_001_231 and exact == int(exact):
        return _placed(_iso(f"{int(exact) // 10_000:04}-{int(exact) // 100 % 100:02}-{int(exact) % 100:02}"), zone)
    if exact < OLDEST:
        raise Unreadable
    micros = next((exact * each for below, each in UNITS if exact < below), exact / 1000)
    try:
        return _placed(EPOCH + dt.timedelta(microseconds=int(micros)), zone)
    except OverflowError as error:
        raise Unreadable from error


def _placed(time: dt.datetime, zone: dt.tzinfo) -> Moment:
    day = time.date() if time.time() == dt.time() else None
    try:
        at = (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(dt.UTC)
    except OverflowError as error:
        raise Unreadable from error
    local = at.astimezone(zone)
    return Moment(at, day or (local.date() if local.time() == dt.time() else None))


# ── the row as it was ─────────────────────────────────────────────────────────────────────────────────────────────────


def kept(row: Mapping[str, Any]) -> str:
    """A row as JSON, to be kept: account numbers and secrets masked (laws 8 and 10)."""
    return json.dumps({_clean(name): _kept(name, value) for name, value in row.items()}, ensure_ascii=False)


def digest(text: str) -> str:
    """A short name of a row's content: the same content, the same name."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def shown(value: Any) -> str:
    """A cell for a message: one short line."""
    return f"{len(value)} bytes" if isinstance(value, bytes) else " ".join(_clean(str(value)).split())[:40]


def _kept(name: str, value: Any) -> Any:
    if value is None:
        return None
    if SECRET.search(name):
        return MASK
    if ACCOUNT.search(name) and not isinstance(value, float):
        return NUMBER.sub(MASK, shown(value) if isinstance(value, bytes) else _clean(str(value)))
    if isinstance(value, bytes):
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()[:24]}
    if isinstance(value, float) and not Decimal(value).is_finite():
        return str(value)  # JSON has no infinity
    return _clean(value) if isinstance(value, str) else value


def _clean(text: str) -> str:
    """Without NUL, which PostgreSQL's text does not hold."""
    return text.replace("\0", "�")
