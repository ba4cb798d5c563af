"""Profit: what a bot's trades earned, first in first out, in Decimal; beside it what the bot itself believed.

The lots are the ledger's (`quaestor.ledger`), so an imported history and our own books count alike. A history may begin
in the middle: what is sold beyond the lots has no cost here, earns nothing here and is reported as unmatched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from quaestor.ledger import ZERO, Lot, book_fill
from quaestor.legacy.rows import Deal
from quaestor.orders import Execution, Side

DONE = frozenset({"filled", "executed", "complete", "completed", "done", "success", "closed", "settled", "fill", "ok"})
NEVER = frozenset(
    {"canceled", "cancelled", "rejected", "failed", "error", "expired", "voided", "pending", "queued", "submitted",
     "placed", "new", "confirmed", "unconfirmed"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profit:
    """One symbol: realized before fees, fees, the bot's own figure (None: it has none), shares held and unmatched."""

    symbol: str
    trades: int
    realized: Decimal
    fees: Decimal
    bot_pnl: Decimal | None
    held: Decimal
    unmatched: Decimal

    @property
    def net(self) -> Decimal:
        """Realized after fees."""
        return self.realized - self.fees

    @property
    def bot_difference(self) -> Decimal | None:
        """The bot's figure minus ours: before fees or after them, whichever it is nearer to."""
        if self.bot_pnl is None:
            return None
        return min(self.bot_pnl - self.realized, self.bot_pnl - self.net, key=abs)


def happened(trades: Sequence[Deal], orders: Sequence[Deal]) -> tuple[str, list[Deal]]:
    """What was bought and sold, and where that is known from: trades, or filled orders where there are no trades."""
    if trades:
        return "trades", [deal for deal in trades if (deal.state or "").lower() not in NEVER]
    last = {deal.id or (deal.table, deal.row_id): deal for deal in sorted(orders, key=lambda deal: deal.row_id)}
    done = [deal for deal in last.values() if deal.price and deal.state and deal.state.lower() in DONE]
    return "filled orders" if done else "none", done


def profits(deals: Iterable[Deal]) -> list[Profit]:
    """Profit by symbol, in the order of time (of rows, where times are equal)."""
    mine: dict[str, list[Deal]] = defaultdict(list)
    for deal in sorted(deals, key=lambda deal: (deal.at, deal.row_id)):
        mine[deal.symbol].append(deal)
    return [_profit(symbol, mine[symbol]) for symbol in sorted(mine)]


@dataclass
class _Pile:
    """The open lots of one symbol, oldest first, and the shares in them."""

    lots: list[Lot]
    held: Decimal = ZERO

    def book(self, deal: Deal) -> tuple[Decimal, Decimal]:
        """Book a trade: what it gained, and the shares that no lot covers."""
        if deal.side is Side.BUY:
            self.lots.extend(book_fill(_fill(deal, deal.quantity), "legacy", ()).lots)
            self.held += deal.quantity
            return ZERO, ZERO
        covered = min(deal.quantity, self.held)
        self.held -= covered
        return self._sell(deal, covered) if covered else ZERO, deal.quantity - covered

    def _sell(self, deal: Deal, quantity: Decimal) -> Decimal:
        booked = book_fill(_fill(deal, quantity), "legacy", self.lots)
        self.lots[: len(booked.lots)] = [lot for lot in booked.lots if lot.quantity]
        return booked.realized


def _profit(symbol: str, deals: Sequence[Deal]) -> Profit:
    pile = _Pile([])
    booked = [pile.book(deal) for deal in deals]
    told = [deal.pnl for deal in deals if deal.pnl is not None]
    return Profit(
        symbol=symbol,
        trades=len(deals),
        realized=sum((gain for gain, _ in booked), ZERO),
        fees=sum((deal.fee or ZERO for deal in deals), ZERO),
        bot_pnl=sum(told, ZERO) if told else None,
        held=pile.held,
        unmatched=sum((beyond for _, beyond in booked), ZERO),
    )


def _fill(deal: Deal, quantity: Decimal) -> Execution:
    name, price = f"{deal.table}:{deal.row_id}", deal.price or ZERO
    return Execution(name, "", None, deal.symbol, deal.side, quantity, price, ZERO, deal.at.date(), deal.at)
