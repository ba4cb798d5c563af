"""What commands are made of: a name, a function, an example, options; and how a person's words become values."""

from __future__ import annotations

import argparse
import datetime as dt
from dataclasses import dataclass, field
from typing import Any

Option = tuple[tuple[str, ...], dict[str, Any]]


def day(text: str) -> dt.date:
    """A date."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write it like 2013-03-01") from error


def moment(text: str) -> dt.datetime:
    """A time with its zone."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write it like 2013-03-01T16:00-05:00") from error
    if found.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone; write it like 2013-03-01T16:00-05:00")
    return found


def clock(text: str) -> Any:
    """Where a rehearsal's clock stands, and when by the wall's: TIME or TIME@WALL."""
    from quaestor.console.live import Moment

    stood, _, when = text.partition("@")
    return Moment(moment(stood), moment(when) if when else None)


def option(*flags: str, **settings: Any) -> Option:
    """An argument of argparse's."""
    return flags, settings


JSON = option("--json", action="store_true", help="for machines: JSON instead of a table")
START = option("--start", type=day, metavar="DATE", help="first session (default: where the last run stopped)")
END = option("--end", type=day, metavar="DATE", help="last session (default: the newest)")
SYMBOLS = option("symbols", nargs="*", metavar="SYMBOL", help="symbols (default: the configured universe)")
TIMEFRAME = option("--timeframe", choices=("1d", "1h", "5m", "1m"), default="1d", help="of the bars (default 1d)")


def count(text: str) -> int:
    """A number, 0 or more."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rows; write 0 or more")
    return int(text)


def recording(text: str) -> str:
    """What a protocol server plays."""
    kind, colon, session = text.partition(":")
    if kind not in {"synthetic", "recorded", "minutes", "ticks"} or (kind == "synthetic" and colon):
        raise argparse.ArgumentTypeError(f"{text!r}: write synthetic, recorded, minutes:DATE or ticks:DATE")
    if session or kind in {"minutes", "ticks"}:
        day(session)
    return text


def limit(default: int) -> Option:
    """How many rows."""
    return option(
        "--limit", type=count, default=default, metavar="N", help=f"at most N rows, 0 for all (default {default})"
    )


RULE = (
    option("--symbol", metavar="SYMBOL", help="the symbol that it trades and, where not said otherwise, watches"),
    option("--when", metavar="WORDS", help='when it fires, such as "price above 190 and volume spike 3x over 5m"'),
    option("--do", metavar="WORDS", help='what it does, such as "sell 50%%", "flatten" or \'alert "look"\''),
    option("--once", dest="modes", action="append_const", const="once", help="it fires once (the default)"),
    option("--rearm", dest="modes", action="append_const", const="rearm", help="it fires again and again"),
    option("--hysteresis", metavar="PERCENT", help="how far beyond its level the price must go back to rearm it"),
    option("--cooldown", metavar="DURATION", help="between two firings, such as 5m"),
    option("--expires", metavar="TIME", help="a time with its zone, a duration such as 5d, or never"),
    option("--max-age", metavar="DURATION", help="how old a price may be that fires it (default 10s)"),
    option("--band", metavar="PERCENT", help="a price so far from the last needs a second one (default 10%%)"),
    option("--price", choices=("trade", "bid", "ask", "mid"), help="which price it watches (default trade)"),
    option("--name", help="how you call it"),
    option("--note", help="why, for you and your team"),
    option("--json-file", metavar="FILE", help="the trigger as JSON, - for what is piped in; options win over it"),
    JSON,
)
TRIGGER = option("trigger", help="its name, its id, or the id's first characters")


@dataclass(frozen=True)
class Command:
    """A command: where its function lives (module:name), what it does, an example, its options."""

    name: str
    where: str
    help: str
    example: str
    options: tuple[Option, ...] = ()
    commands: tuple[Command, ...] = field(default=())
