"""Figures in a trigger's words: numbers, durations, moments; each reads back as what it was."""

from __future__ import annotations

import datetime as dt
import re

from quaestor.errors import BadInput
from quaestor.triggers.tokens import UNITS

SECOND = 1_000_000_000  # nanoseconds
DOLLARS, PERCENT, SPAN = "a price in dollars like 190 or 189.5", "percent like 5%", "a duration like 30s, 5m or 2h"


def digits(value: float) -> str:
    """190, 189.5: the shortest that reads back as the same number."""
    if isinstance(value, int) or (value == int(value) and abs(value) < 10**15):
        return str(int(value))
    return repr(value)


def span(seconds: float) -> str:
    """5m, 90s, 2h, 0.5s."""
    unit = "s"
    if seconds and seconds == int(seconds):
        unit = next(name for name in ("h", "m", "s") if seconds % UNITS[name] == 0)
    return f"{digits(seconds / UNITS[unit] if unit != 's' else seconds)}{unit}"


def read_moment(text: str) -> int:
    """A time with its zone (2026-12-01T16:00-05:00, or Z for UTC), or @ and nanoseconds; as ns since 1970."""
    if text.startswith("@") and text[1:].isascii() and text[1:].isdigit():
        return int(text[1:])
    whole, dot, rest = text.partition(".")
    fraction = re.match(r"\d{0,9}", rest)
    places = fraction.group() if fraction else ""
    try:
        moment = dt.datetime.fromisoformat(whole + rest[len(places) :])
        nanoseconds = int(places.ljust(9, "0")) if dot else 0
    except ValueError:
        raise BadInput(f"{text[:60]!r} is no time; write it like 2026-12-01T16:00-05:00.") from None
    if moment.tzinfo is None:
        raise BadInput(f"{text[:60]!r} has no time zone; write it like 2026-12-01T16:00-05:00, or with Z for UTC.")
    since = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (since.days * 86_400 + since.seconds) * SECOND + nanoseconds


def write_moment(ns: int) -> str:
    """In UTC, to the nanosecond where it has any."""
    seconds, rest = divmod(ns, SECOND)
    try:
        moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (OverflowError, ValueError, OSError):
        return f"@{ns}"
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
