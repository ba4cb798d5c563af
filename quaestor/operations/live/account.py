"""The account as the books have it, for the engine."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Sequence
from dataclasses import replace
from decimal import Decimal

from quaestor.ledger import Lot, shares
from quaestor.live.account import AccountState, Position
from quaestor.operations.decide import Mandate
from quaestor.operations.session import Floor, Marks, compared
from quaestor.orders import State
from quaestor.risk import Working

ZERO = Decimal(0)


async def account_state(
    floor: Floor,
    mandate: Mandate,
    day: dt.date,
    placed: Collection[uuid.UUID],
    marks: Marks,
    trading: dt.date | None,
    skew: Decimal | None,
    epoch: int,
) -> AccountState:
    """Everything that the gate asks about the account, read anew; what our own `epoch` is just sending is clear.

    placed: orders that the engine takes to be on their way. Which of them the books know is read first: one that comes
    in meanwhile is then told as open, or not at all, and never as gone.
    """
    known = await floor.books.known(placed)
    balances = await floor.books.balances()
    cash, opening = balances.get("cash", ZERO), -balances.get("capital", ZERO)
    equity = marks.last.equity if marks.last else opening
    lots, going = await floor.books.lots(), await floor.books.open_orders()
    unclear = [o.intent for o in going if o.state is State.UNKNOWN or (o.state is State.SUBMITTING and o.epoch < epoch)]
    latches = tuple(latch.name for latch in await floor.control.latches(mandate.account))
    symbols = {*mandate.symbols, *shares(lots)}
    return AccountState(
        trading=trading,
        equity=equity,
        previous_equity=marks.before if marks.before is not None else opening,
        peak=marks.peak if marks.peak is not None else opening,
        cash=cash,
        positions=_positions(lots),
        working=tuple(Working(replace(order.intent, provenance={}), order.left) for order in going),
        known=tuple(sorted(known)),
        latches=latches,
        record=await floor.activity.record(day, symbols, mandate.limits.quality_window, live=True),
        settled=marks.last.session if marks.last else None,
        compared=await compared(floor, mandate.account, marks, latches),
        unknown=tuple(sorted({intent.symbol for intent in unclear})),
        unknown_exits=tuple(sorted({intent.symbol for intent in unclear if intent.reduces})),
        skew=skew,
    )


def _positions(lots: Sequence[Lot]) -> tuple[Position, ...]:
    found: dict[tuple[str, str], Position] = {}
    for lot in lots:
        before = found.get((lot.strategy, lot.symbol), Position(lot.strategy, lot.symbol, ZERO, ZERO))
        found[lot.strategy, lot.symbol] = Position(
            lot.strategy, lot.symbol, before.quantity + lot.quantity, before.cost + lot.cost
        )
    return tuple(each for _, each in sorted(found.items()))
