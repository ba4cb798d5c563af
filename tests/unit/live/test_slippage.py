"""What live fills cost, against the paper broker's model: worked out by hand."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from quaestor.console.cli import main
from quaestor.doors.journal import JournalWriter
from quaestor.exchange import Costs
from quaestor.live.acts import Act, Place, as_line
from quaestor.live.events import Clock, Event, Filled, Moved, Setup, Ticks
from quaestor.live.journaling import Entry
from quaestor.live.slippage import Line, compare
from quaestor.orders import Intent, OrderType, Side, State
from quaestor.ticks import QuoteTick, TradeTick

D = Decimal
DAY = dt.date(2026, 11, 20)
FREE = Costs(slippage_bps=D(0), sec_fee=D(0), taf=D(0))
NAIVE = Costs(slippage_bps=D(0))


def order(cause: str, side: Side = Side.BUY, quantity: int = 100, **more: Any) -> Intent:
    return Intent("paper", "s", more.pop("symbol", "AAPL"), DAY, cause, side, D(quantity), D(100), **more)


def quote(bid: float, ask: float, size: float = 1000.0, symbol: str = "AAPL") -> Ticks:
    return Ticks(1, [QuoteTick(symbol, 1, bid, ask, size, size)])


def trade(price: float) -> Ticks:
    return Ticks(1, [TradeTick("AAPL", 1, price, 5.0)])


def filled(price: str, quantity: int = 100, side: Side = Side.BUY, fee: str = "0", symbol: str = "AAPL") -> Filled:
    return Filled(2, "s", symbol, side, D(quantity), D(price), D(fee))


Step = Event | tuple[Event, Intent]


def entries(steps: Sequence[Step]) -> list[Entry]:
    found = []
    for number, step in enumerate(steps, 1):
        event, acts = (step[0], [Place((step[1],))]) if isinstance(step, tuple) else (step, list[Act]())
        found.append(Entry(number, event, tuple(map(as_line, acts))))
    return found


MARKET, SOLD = order("a"), order("b", Side.SELL)
LIMIT = order("c", order_type=OrderType.LIMIT, limit_price=D("99.50"))
STOP = order("d", Side.SELL, order_type=OrderType.STOP, stop_price=D("99.00"))


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param(
            [quote(99.9, 100.0), (Clock(2), MARKET), filled("100.10")], ("10.00", "0.00"),
            id="bought ten basis points over the ask",
        ),
        pytest.param(
            [quote(100.0, 100.1), (Clock(2), SOLD), filled("99.95", side=Side.SELL, fee="1.5")], ("5.00", "1.50"),
            id="sold five below the bid, and paid a fee that the model does not know",
        ),
        pytest.param(
            [quote(99.9, 100.0), (quote(100.1, 100.2), MARKET), filled("100.20")], ("0.00", "0.00"),
            id="the quote that it was decided on counts, not the one before",
        ),
        pytest.param(
            [quote(99.9, 100.0, 50.0), (Clock(2), MARKET), trade(100.0), quote(100.1, 100.2), filled("100.10")],
            ("0.00", "0.00"), id="a small quote gives half, the next one the rest; a trade gives nothing",
        ),
        pytest.param(
            [quote(99.9, 100.0), (Clock(2), MARKET), filled("100.00", 40), filled("100.50", 60)], ("30.00", "0.00"),
            id="fills of an order are averaged",
        ),
        pytest.param(
            [quote(99.9, 100.0), (Clock(2), LIMIT), quote(99.3, 99.4), filled("99.50")], ("10.06", "0.00"),
            id="a limit waits for its price",
        ),
        pytest.param(
            [quote(99.9, 100.0), (Clock(2), STOP), trade(98.9), quote(98.7, 98.8), filled("98.60", side=Side.SELL)],
            ("10.13", "0.00"), id="a stop waits for a print, and then takes the quote",
        ),
    ],
)  # fmt: skip
def test_an_order_costs_more_than_the_model_says(steps: list[Step], expected: tuple[str, str]) -> None:
    (line,) = compare(entries(steps), FREE).lines
    assert (line.symbol, line.orders, line.compared, line.quantity) == ("AAPL", 1, 1, 100)
    assert (str(line.mean), str(line.median), str(line.fees.quantize(D("0.01")))) == (expected[0], *expected)


def test_what_the_model_never_fills_is_counted_and_not_compared() -> None:
    found = compare(entries([quote(99.9, 100.0), (Clock(2), LIMIT), filled("99.50")]), FREE)
    assert found.lines == (Line("AAPL", 1, 0, D(100), None, None, D(0)),)


def test_fills_go_to_the_oldest_order_that_can_have_them_those_that_are_over_last() -> None:
    first, second = order("first"), order("second", quantity=50)
    steps: list[Step] = [quote(99.9, 100.0), (Clock(2), first), Moved(3, first.ref_id, State.CANCELED, D(0))]
    steps += [
        quote(100.9, 101.0),
        (Clock(4), second),
        filled("101.00", 50),
        filled("7.00", 500),
        filled("1.0", 1, Side.SELL),
    ]
    found = compare(entries(steps), FREE)
    assert (found.total.orders, found.total.mean, found.apart) == (1, D("0.00"), 2)


def fills(number: int, worse: str, fee: str = "0") -> list[Step]:
    steps: list[Step] = [quote(99.9, 100.0)]
    for n in range(number):
        steps += [(quote(99.9, 100.0), order(str(n))), filled(worse, fee=fee)]
    return steps


@pytest.mark.parametrize(
    ("steps", "costs", "expected"),
    [
        pytest.param(fills(12, "100.03"), NAIVE, {"slippage_bps": D("3.0")}, id="three basis points more"),
        pytest.param(fills(12, "100.01"), Costs(slippage_bps=D(4)), {"slippage_bps": D("1.0")}, id="three less"),
        pytest.param(fills(12, "100.00", "0.65"), NAIVE, {"commission": D("0.65")}, id="a commission"),
        pytest.param(fills(12, "100.00"), NAIVE, {}, id="the model is right"),
        pytest.param(fills(9, "100.03"), NAIVE, {}, id="too few orders to say"),
    ],
)
def test_the_table_ends_in_values_that_would_have_been_nearer(steps: list[Step], costs: Costs, expected: Any) -> None:
    assert compare(entries(steps), costs).suggested == expected


def test_a_trader_reads_it_by_symbol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUAESTOR_HOME", str(tmp_path))
    run = uuid.uuid4()
    setup = Setup(1, run, "paper", ("AAPL",), {}, (), (), "c", "d")
    with JournalWriter(tmp_path / "journals" / "a", run) as journal:
        journal.append(setup)
        for step in fills(12, "100.05"):
            event, acts = (step[0], [Place((step[1],))]) if isinstance(step, tuple) else (step, [])
            journal.append(event)
            journal.decided(acts)
    assert main(["replay", "last", "--slippage"]) == 0
    said = capsys.readouterr().out
    assert "positive is worse" in said
    assert "[paper] slippage_bps = 5.0 would have been nearer." in said
    assert main(["replay", "last", "--slippage", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["all"] == {
        "symbol": "all", "orders": 12, "compared": 12, "quantity": "1200", "mean_bps": "4", "median_bps": "4",
        "fees": "0.00",
    }  # fmt: skip
    assert [line["symbol"] for line in told["symbols"]] == ["AAPL"]
