"""Three sessions of an account, worked out by hand.

| session    | what happened                          | cash     | AAPL at | IBM at | equity   |
|------------|----------------------------------------|---------:|--------:|-------:|---------:|
| 2012-01-03 | 10,000 paid in; trend buys 10 AAPL @100 | 9,000.00 |     101 |        | 10,010.00 |
| 2012-01-04 | value buys 5 IBM @50                    | 8,750.00 |      99 |     52 | 10,000.00 |
| 2012-01-05 | trend sells 10 AAPL @103, fee 0.10      | 9,779.90 |         |     51 | 10,034.90 |
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from decimal import Decimal

import pytest

from quaestor.devlog import Evidence
from quaestor.devlog.evidence import DecidedOrder, DecidingRun, StrategySignals
from quaestor.ledger import Equity
from quaestor.orders import Execution, Side, State
from quaestor.ports import Reconciliation
from quaestor.risk import Refusal
from quaestor.trades import Close, Fill, Holding

DAYS = [dt.date(2012, 1, 3), dt.date(2012, 1, 4), dt.date(2012, 1, 5)]
BUY, ENTRY, SELL = (uuid.UUID(int=n << 96 | n) for n in (0xA1, 0xB2, 0xC3))


@pytest.fixture
def equity() -> Callable[..., Equity]:
    """The account at a close; what is realised follows from the rest."""

    def build(
        session: dt.date, cash: str, market: str, *, cost: str = "0", fees: str = "0", capital: str = "10000"
    ) -> Equity:
        in_cash, value, spent, paid, put_in = map(Decimal, (cash, market, cost, fees, capital))
        realized = in_cash + spent - put_in + paid
        return Equity(session, in_cash, value, realized, value - spent, paid, put_in)

    return build


@pytest.fixture
def fill() -> Callable[..., Fill]:
    """A fill of a strategy's order, at the open of a session."""

    def build(
        strategy: str,
        symbol: str,
        side: str,
        quantity: str,
        price: str,
        session: dt.date,
        fee: str = "0",
        ref: uuid.UUID | None = None,
    ) -> Fill:
        at = dt.datetime.combine(session, dt.time(14, 30), dt.UTC)
        key = f"{strategy}-{symbol}-{side}-{session}-{quantity}@{price}"
        amounts = (Decimal(quantity), Decimal(price), Decimal(fee))
        return Fill(strategy, Execution(key, f"broker-{key}", ref, symbol, Side(side), *amounts, session, at))

    return build


def _order(
    ref: uuid.UUID, day: dt.date, strategy: str, symbol: str, side: Side, quantity: int, price: str
) -> DecidedOrder:
    return DecidedOrder(
        ref_id=ref,
        session=day,
        strategy=strategy,
        symbol=symbol,
        side=side,
        quantity=Decimal(quantity),
        reference_price=Decimal(price),
        reduces=side is Side.SELL,
        state=State.FILLED,
        filled=Decimal(quantity),
        average_price=Decimal(price),
        reason="",
        version=f"{strategy}-1234567890",
        digest="d1",
        parameters={"fast": 10},
        target=0.0 if side is Side.SELL else 0.25,
        bar_end="2011-12-30T21:00:00+00:00",
        bar_close=Decimal(price),
        checks=5 if side is Side.SELL else 15,
    )


@pytest.fixture
def evidence(equity: Callable[..., Equity], fill: Callable[..., Fill]) -> Evidence:
    """The table above as evidence, with one refusal and a clean comparison with the broker."""
    first, second, third = DAYS
    apple = Holding("trend", "AAPL", Decimal(10), Decimal(1000), Decimal(101))
    ibm = Holding("value", "IBM", Decimal(5), Decimal(250), Decimal(52))
    return Evidence(
        account="paper",
        start=first,
        end=third,
        closes=(
            Close(equity(first, "9000", "1010", cost="1000"), (apple,)),
            Close(
                equity(second, "8750", "1250", cost="1250"),
                (Holding("trend", "AAPL", Decimal(10), Decimal(1000), Decimal(99)), ibm),
            ),
            Close(
                equity(third, "9779.90", "255", cost="250", fees="0.10"),
                (Holding("value", "IBM", Decimal(5), Decimal(250), Decimal(51)),),
            ),
        ),
        orders=(
            _order(BUY, first, "trend", "AAPL", Side.BUY, 10, "100"),
            _order(ENTRY, second, "value", "IBM", Side.BUY, 5, "50"),
            _order(SELL, third, "trend", "AAPL", Side.SELL, 10, "103"),
        ),
        journal=(
            fill("trend", "AAPL", "buy", "10", "100", first, ref=BUY),
            fill("value", "IBM", "buy", "5", "50", second, ref=ENTRY),
            fill("trend", "AAPL", "sell", "10", "103", third, "0.10", ref=SELL),
        ),
        refusals=(
            Refusal(
                second,
                "value",
                "AAPL",
                Side.BUY,
                Decimal(7),
                "cash",
                "dollars",
                "500.00",
                "700.00",
                "cash: observed 700.00, limit 500.00 (dollars). Cash at hand.",
            ),
        ),
        signals=(StrategySignals("trend", "trend-1234567890", "d1", {"fast": 10}, 6, first, third, ("run-s",)),),
        runs=(DecidingRun("run-e", "c0ffee", "cfg1", 3, first, third),),
        reconciliation=Reconciliation(third, [], {"orders": 3, "fills": 3, "positions": 1, "cash": 1}),
    )
