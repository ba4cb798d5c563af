"""Asking the broker what it sees before an entry goes out, for no longer than an order can wait."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quaestor.bars import price
from quaestor.errors import QuaestorError
from quaestor.live.crosscheck import agree
from quaestor.ports_live import QuotePoll
from quaestor.risk import Quote
from quaestor.ticks import SECOND, QuoteTick

if TYPE_CHECKING:
    from quaestor.config import LiveSection


@dataclass(frozen=True)
class Checked:
    """Symbols whose entries are refused, and those that a person is told of; with the words why."""

    refused: Mapping[str, str] = field(default_factory=dict)
    warned: Mapping[str, str] = field(default_factory=dict)


async def cross_check(
    poll: QuotePoll | None, quotes: Mapping[str, Quote | None], said: LiveSection, now: Callable[[], dt.datetime]
) -> Checked:
    """The feed's quotes of what is to be bought, beside the broker's; no answer in time is no proof."""
    if said.cross_check == "off" or not quotes:
        return Checked()
    theirs, silence = await _asked(poll, list(quotes), said.cross_check_seconds)
    limits = {"percent": said.cross_check_percent, "max_age": said.cross_check_age}
    found = {
        symbol: silence or agree(quote, theirs.get(symbol), now=now(), **limits) for symbol, quote in quotes.items()
    }
    words = {symbol: each for symbol, each in found.items() if each}
    return Checked(refused=words) if said.cross_check == "refuse" else Checked(warned=words)


async def _asked(poll: QuotePoll | None, symbols: list[str], patience: float) -> tuple[dict[str, Quote], str]:
    """The broker's quotes by symbol; words where it gave none."""
    if poll is None:
        return {}, "the broker has no quotes to compare with"
    try:
        async with asyncio.timeout(patience):
            told = await poll.quotes(symbols)
    except TimeoutError:
        return {}, f"the broker did not say its quote within {patience:g} s"
    except QuaestorError as error:
        return {}, f"the broker did not say its quote: {error}"
    return {tick.symbol: _quote(tick) for tick in told if isinstance(tick, QuoteTick)}, ""


def _quote(tick: QuoteTick) -> Quote:
    at = dt.datetime.fromtimestamp(tick.at // SECOND, dt.UTC) + dt.timedelta(microseconds=tick.at % SECOND // 1000)
    return Quote(price(tick.bid), price(tick.ask), at)
