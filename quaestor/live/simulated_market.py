"""The market of a simulated account: what the feed told last, and the orders that are in it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from quaestor.bars import exact
from quaestor.matching import Quote, Working
from quaestor.orders import Intent, State
from quaestor.ticks import QuoteTick, Tick, TradeTick

ZERO = Decimal(0)


@dataclass(slots=True)
class Order:
    """An order and what became of it; `placed` in ns, `filled` in shares, `triggered`: its stop was touched."""

    intent: Intent
    name: uuid.UUID
    placed: int
    state: State = State.ACKED
    filled: Decimal = ZERO
    fills: int = 0
    triggered: bool = False

    @property
    def left(self) -> Decimal:
        """Shares that may still fill."""
        return self.intent.quantity - self.filled

    def working(self) -> Working:
        """As the market has it."""
        intent = self.intent
        return Working(
            self.name,
            intent.side,
            intent.order_type,
            self.left,
            intent.reference_price,
            intent.limit_price,
            intent.stop_price,
            intent.oco,
            self.triggered,
        )


class Market:
    """Last prices by symbol: as of the newest event for what has no order, tick by tick for what has one."""

    def __init__(self, last: Mapping[str, float], quotes: Mapping[str, QuoteTick]) -> None:
        self._last, self._quotes = last, quotes  # the engine's: as of its newest event
        self._stands: dict[str, tuple[QuoteTick | None, float | None]] = {}
        self._taken: dict[str, tuple[QuoteTick | None, Decimal]] = {}

    def enter(self, symbol: str) -> None:
        """An order comes to the symbol: its market is followed tick by tick from now on."""
        self._stands[symbol] = (self._quotes.get(symbol), self._last.get(symbol))

    def see(self, tick: Tick) -> None:
        """A tick of a symbol that has an order."""
        quote, last = self._stands[tick.symbol]
        self._stands[tick.symbol] = (quote, tick.price) if type(tick) is TradeTick else (tick, last)  # type: ignore[assignment]

    def quote(self, symbol: str) -> Quote | None:
        """What stands now, less what our orders have taken of it already; None before anything was told."""
        tick, last = self._stands[symbol]
        printed = None if last is None else exact(last)
        if tick is None:
            return None if printed is None else Quote(last=printed)
        size = Decimal(int(max(min(tick.bid_size, tick.ask_size), 0))) or None
        if size is not None and (taken := self._taken.get(symbol)) is not None and taken[0] is tick:
            size = max(size - taken[1], ZERO)
        return Quote(exact(tick.bid), exact(tick.ask), printed, size)

    def take(self, symbol: str, quantity: Decimal) -> None:
        """Our orders took shares of what stands; the next quote is another."""
        tick = self._stands[symbol][0]
        before = self._taken.get(symbol)
        same = before is not None and before[0] is tick
        self._taken[symbol] = (tick, quantity + (before[1] if same and before is not None else ZERO))

    def price(self, symbol: str) -> Decimal | None:
        """The last trade, or the middle of the last quote, dollars."""
        if (last := self._last.get(symbol)) is not None:
            return exact(last)
        quote = self._quotes.get(symbol)
        return None if quote is None else (exact(quote.bid) + exact(quote.ask)) / 2
