"""Instruments: what Robinhood calls a symbol; kept for a day at most, for a split may make another of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from quaestor.bars import SYMBOL
from quaestor.doors.robinhood.line import Line
from quaestor.doors.robinhood.wire import HOST, STRANGE
from quaestor.errors import BadInput, NotFound
from quaestor.symbols import Symbology

PLACE = f"https://{HOST}/instruments/"
DAY = 86_400.0  # seconds that an instrument is kept
MANY = 40  # ids in one address


@dataclass(frozen=True, slots=True)
class Instrument:
    """A symbol (ours) at Robinhood. tradable: whether it takes orders at all; fractional: in parts of a share.

    Of one that only a quote has named, both are taken to be so: Robinhood refuses the order if not.
    """

    symbol: str
    id: str
    url: str
    tradable: bool
    fractional: bool


class Instruments:
    """Looks them up, and keeps them. now: seconds."""

    def __init__(self, line: Line, symbology: Symbology, now: Callable[[], float] = time.monotonic) -> None:
        self._line, self._names, self._now = line, symbology, now
        self._by_symbol: dict[str, tuple[float, Instrument]] = {}
        self._by_id: dict[str, tuple[float, Instrument]] = {}

    async def of(self, symbol: str) -> Instrument:
        """That symbol's; raises NotFound where Robinhood knows none that is active."""
        if (kept := self._fresh(self._by_symbol, symbol)) is not None:
            return kept
        theirs = self._names.theirs(symbol)
        rows = await self._line.listing(symbol, PLACE, {"symbol": theirs})
        mine = [row for row in rows if row.get("symbol") == theirs and row.get("state") != "inactive"]
        if not mine:
            raise NotFound(
                f"Robinhood knows no symbol {theirs!r}. Correct it, or name Robinhood's in [market.aliases]."
            )
        return self._keep(mine[0])

    async def named(self, ids: Iterable[str]) -> Mapping[str, Instrument]:
        """Those of these ids; raises NotFound where Robinhood does not know one of its own."""
        found = {each: kept for each in set(ids) if (kept := self._fresh(self._by_id, each)) is not None}
        lacking = sorted(set(ids) - set(found))
        for start in range(0, len(lacking), MANY):
            group = lacking[start : start + MANY]
            for row in await self._line.listing("Instruments", PLACE, {"ids": ",".join(group)}):
                instrument = self._keep(row, current=False)
                found[instrument.id] = instrument
        if gone := set(ids) - set(found):
            raise NotFound(f"Robinhood does not know its own instrument {min(gone)!r}. {STRANGE}")
        return found

    def saw(self, symbol: str, quote: Mapping[str, Any]) -> None:
        """A quote names the symbol's instrument: what is known of another one is out of date."""
        id_, url = quote.get("instrument_id"), quote.get("instrument")
        known = self._fresh(self._by_symbol, symbol)
        if id_ and url and (known is None or known.id != id_):
            instrument = Instrument(symbol, id_, url, tradable=True, fractional=True)
            self._by_symbol[symbol] = self._by_id[id_] = (self._now(), instrument)

    def kept(self) -> list[Instrument]:
        """All that are known now."""
        return [each for _, each in self._by_symbol.values()]

    def _fresh(self, kept: Mapping[str, tuple[float, Instrument]], key: str) -> Instrument | None:
        since, instrument = kept.get(key, (0.0, None))
        return instrument if instrument is not None and self._now() - since < DAY else None

    def _keep(self, row: Mapping[str, Any], *, current: bool = True) -> Instrument:
        """current: it was asked for by its symbol; one of an old order may be another by now, after a split."""
        try:
            instrument = Instrument(
                symbol=self._ours(str(row["symbol"])),
                id=row["id"],
                url=row["url"],
                tradable=row.get("tradability") != "untradable",  # what may only be closed takes our exits
                fractional=row.get("fractional_tradability") == "tradable",
            )
        except KeyError as error:
            raise BadInput(f"Robinhood's instrument lacks {error}. {STRANGE}") from error
        kept = self._by_id[instrument.id] = (self._now(), instrument)
        if current or (row.get("state") != "inactive" and self._is_new(instrument.symbol)):
            self._by_symbol[instrument.symbol] = kept
        return instrument

    def _is_new(self, symbol: str) -> bool:
        return bool(re.fullmatch(SYMBOL, symbol)) and self._fresh(self._by_symbol, symbol) is None

    def _ours(self, name: str) -> str:
        """Our spelling; its own for what is no symbol of ours, such as a warrant that somebody holds."""
        try:
            return self._names.ours(name)
        except BadInput:
            return name
