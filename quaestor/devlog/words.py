"""Words: how figures are written, and how text from outside is let in.

Text that came from outside (a broker's reason, a file's symbol, a strategy's parameters) is untrusted: it enters as
one line of limited length in which no character means anything to Markdown, HTML or a terminal. Rounding is half to
even, the minus is a true minus, and nothing depends on locale or clock.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
import uuid
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from quaestor.calendar import NEW_YORK
from quaestor.exchange import cents
from quaestor.orders import State

SAID = 160  # characters of somebody else's text
NAME = 60  # characters of a name
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NOTHING = "–"
# What Markdown (GitHub's too) reads as more than a letter; an underscore inside a word is none, ":/" and "www." link.
SIGNS = re.compile(r"[\\`*\[\]<>|~&$@#]|(?<![^\W_])_|_(?![^\W_])|:(?=/)|(?<=www)\.")


def money(amount: Decimal | None) -> str:
    """$1,234.50, −$1,234.50."""
    return NOTHING if amount is None else f"{'−' if cents(amount) < 0 else ''}${abs(cents(amount)):,.2f}"


def gain(amount: Decimal | None) -> str:
    """+$1,234.50, −$1,234.50, $0.00."""
    return f"+{money(amount)}" if amount is not None and cents(amount) > 0 else money(amount)


def percent(ratio: float | None) -> str:
    """15.84%, −3.10%."""
    return NOTHING if ratio is None else f"{_signed(_hundredths(ratio * 100))}%"


def share(ratio: float) -> str:
    """25%, 33.33%: a part of a whole, without idle decimals."""
    return f"{_hundredths(ratio * 100).normalize():f}%"


def change(ratio: float | None) -> str:
    """+15.84%, −3.10%."""
    return f"+{percent(ratio)}" if ratio is not None and _hundredths(ratio * 100) > 0 else percent(ratio)


def ratio(value: float | None) -> str:
    """1.26."""
    return NOTHING if value is None else _signed(_hundredths(value))


def shares(quantity: Decimal) -> str:
    """1,234 or 0.5: as many decimals as there are."""
    return f"{quantity.normalize():,f}"


def price(dollars: Decimal | None) -> str:
    """$409.45; a price keeps decimals beyond the cent."""
    if dollars is None:
        return NOTHING
    exact = dollars.normalize()
    return f"${exact:,f}" if int(exact.as_tuple().exponent) < -2 else f"${dollars:,.2f}"


def number(count: int) -> str:
    """Small numbers in words, as one reads them aloud; larger ones in digits."""
    return NUMBERS[count] if 0 <= count < len(NUMBERS) else f"{count:,}"


def counted(count: int, noun: str, plural: str = "") -> str:
    """no orders, one order, 200 orders."""
    return f"{number(count)} {noun if count == 1 else plural or noun + 's'}"


def listed(parts: Iterable[str], empty: str = "nothing") -> str:
    """a, b and c."""
    *first, last = list(parts) or [empty]
    return f"{', '.join(first)} and {last}" if first else last


def capital(sentence: str) -> str:
    """The sentence with its first letter raised."""
    return sentence[:1].upper() + sentence[1:]


def ended(state: State, count: int = 1) -> str:
    """What became of orders that ended without a fill: expired, was rejected, were never sent."""
    was = "was" if count == 1 else "were"
    said_of = {State.EXPIRED: "expired unfilled", State.EXPIRED_UNSENT: f"{was} never sent"}
    return said_of.get(state, f"{was} {state.value.replace('_', ' ')}")


def said(text: object, limit: int = SAID) -> str:
    """Somebody else's text as plain words: one line, at most `limit` characters, each Markdown sign escaped."""
    return SIGNS.sub(r"\\\g<0>", _one_line(text, limit))


def name(text: object) -> str:
    """A name as a code span; signs that would end the span or the table's cell are replaced."""
    return f"`{_one_line(text, NAME).translate({ord('`'): chr(39), ord('|'): '¦'}) or '?'}`"


def parameters(values: Mapping[str, Any] | None) -> str:
    """fast=10, slow=30 as a code span; empty without any."""
    return name(", ".join(f"{key}={values[key]}" for key in sorted(values))) if values else ""


def why(ref_id: uuid.UUID | None) -> str:
    """How a reader asks for an order's whole story."""
    return f"`quaestor why {str(ref_id)[:8]}`" if ref_id else "an order placed by hand"


def bar_day(bar_end: str | None) -> str:
    """The day a bar ended on, in New York; the text itself where it is no time."""
    try:
        return dt.datetime.fromisoformat(bar_end or "").astimezone(NEW_YORK).date().isoformat()
    except ValueError:
        return said(bar_end or "unknown", NAME)


def _hundredths(value: float) -> Decimal:
    return Decimal(repr(value)).quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def _signed(shown: Decimal) -> str:
    return f"{'−' if shown < 0 else ''}{abs(shown):,.2f}"


def _one_line(text: object, limit: int) -> str:
    """Spaces for line breaks, nothing for control, bidirectional and invisible signs."""
    plain = " ".join(str(text).split())
    kept = "".join(
        sign for sign in plain if unicodedata.category(sign) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    )
    return kept if len(kept) <= limit else f"{kept[: limit - 1].rstrip()}…"
