"""Books against broker: a difference is named, stops entries and nothing else, and is gone when it is gone."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from quaestor.errors import BadInput, BooksDisagree

if TYPE_CHECKING:
    from tests.integration.trading.conftest import Desk

DAY = dt.date
FIRST, LAST = DAY(2005, 2, 1), DAY(2005, 3, 15)
AFTER = "from intent where session > '2005-02-25'"


async def test_books_and_broker_agree(desk: Desk) -> None:
    await desk.trade(FIRST, LAST)
    outcome = await desk.reconcile()
    assert (outcome.ok, outcome.session) == (True, LAST)
    assert outcome.checked["orders"] == len(desk.state()["broker"]) > 20
    assert desk.fetch("select ok, differences from reconcile") == [(True, [])]
    assert desk.alerts() == []


async def test_a_broker_without_an_account_says_how_it_is_opened(desk: Desk) -> None:
    with pytest.raises(BadInput, match="no account 'paper' yet; the first execute run opens it"):
        await desk.reconcile()


@pytest.mark.parametrize(
    ("table", "change", "found", "cure"),
    [
        pytest.param(
            "paper.account",
            "cash = cash {} 0.01",
            ("cash", "USD"),
            "Find the missing fill, fee or transfer of -0.01 dollars in the broker's statement",
            id="a cent is missing",
        ),
        pytest.param(
            "paper.position",
            "quantity = quantity - {} 0.000001 where symbol = 'GOOG'",
            ("position", "GOOG"),
            "Look for a split, a transfer or an order placed by hand in this symbol",
            id="a millionth of a share is too much",
        ),
    ],
)
async def test_a_difference_is_named_with_its_cure_and_stops_entries_until_it_is_gone(
    desk: Desk, table: str, change: str, found: tuple[str, str], cure: str
) -> None:
    await desk.trade(FIRST, DAY(2005, 2, 25))
    desk.execute(f"update {table} set {change.format('-')}")
    for _ in range(2):
        (difference,) = (await desk.reconcile()).differences
        assert (difference["subject"], difference["key"]) == found
        assert difference["cure"].startswith(cure)
        assert await desk.latches() == ["entries"]
    (alert,) = desk.alerts()
    assert (alert["urgent"], alert["title"]) == (True, "paper: books and broker disagree; entries are stopped")
    assert " ".join(found) in alert["body"]

    done = await desk.trade(FIRST, LAST)
    assert done.last == LAST, "sessions are settled all the same"
    assert desk.fetch(f"select distinct side {AFTER}") == [("sell",)], "exits go on"
    refused = desk.fetch("select distinct rule, side, observed from refusal where session > '2005-02-25'")
    assert refused == [("latch", "buy", "entries")]
    assert len(desk.alerts()) == 1, "told once"

    desk.execute(f"update {table} set {change.format('+')}")
    assert (await desk.reconcile()).ok
    assert await desk.latches() == []
    await desk.trade(FIRST, DAY(2005, 4, 15))
    assert ("buy",) in desk.fetch("select side from intent where session > '2005-03-15'"), "entries again"


async def test_trading_finds_a_difference_by_itself(desk: Desk) -> None:
    await desk.trade(FIRST, DAY(2005, 2, 24))
    desk.execute("update paper.account set cash = cash - 0.01")
    await desk.trade(FIRST, DAY(2005, 2, 25))
    assert await desk.latches() == ["entries"]
    (alert,) = desk.alerts()
    assert "Run the reconcile flow" in alert["body"]


def trade_by_hand(desk: Desk, side: str, symbol: str, quantity: int, session: dt.date) -> None:
    """An order placed in the broker's own app: it has no ref_id of ours; filled at 90."""
    order, sign = uuid.uuid4(), 1 if side == "buy" else -1
    at = dt.datetime.combine(session, dt.time(15), dt.UTC)
    desk.execute(
        """insert into paper."order" (id, alias, symbol, side, order_type, time_in_force, quantity, reference_price,
               state, filled, average_price, session, created_at, updated_at)
           values (%s, 'paper', %s, %s, 'market', 'gfd', %s, 90, 'filled', %s, 90, %s, %s, %s)""",
        order, symbol, side, quantity, quantity, session, at, at,
    )  # fmt: skip
    execution = "insert into paper.execution (id, order_id, alias, quantity, price, fee, session, at) "
    desk.execute(f"{execution} values (%s, %s, 'paper', %s, 90, 0, %s, %s)", uuid.uuid4(), order, quantity, session, at)
    desk.execute("update paper.account set cash = cash - %s", sign * quantity * 90)
    desk.execute(
        """insert into paper.position as p values ('paper', %s, %s, %s)
           on conflict (alias, symbol) do update set quantity = p.quantity + excluded.quantity""",
        symbol, sign * quantity, session,
    )  # fmt: skip


async def test_a_purchase_by_hand_is_booked_to_nobody_and_is_no_difference(desk: Desk) -> None:
    await desk.trade(FIRST, DAY(2005, 2, 24))
    trade_by_hand(desk, "buy", "AAPL", 10, DAY(2005, 2, 24))
    assert (await desk.reconcile()).ok
    await desk.trade(FIRST, LAST)
    mine = desk.fetch("select strategy, quantity from lot where strategy = 'external'")
    assert mine == [("external", 20)], "it splits with the others, and no strategy sells it"
    assert (await desk.reconcile()).ok


@pytest.mark.parametrize("finder", ["reconcile", "trade"])
async def test_a_sale_by_hand_of_a_strategys_shares_stops_entries_and_nothing_else(desk: Desk, finder: str) -> None:
    await desk.trade(FIRST, DAY(2005, 2, 24))
    trade_by_hand(desk, "sell", "AAPL", 10, DAY(2005, 2, 25))
    if finder == "trade":
        await desk.trade(FIRST, DAY(2005, 2, 25))
        assert await desk.latches() == ["entries"]
    outcome = await desk.reconcile()
    assert [difference["subject"] for difference in outcome.differences] == ["cash", "position", "fill"]
    assert outcome.differences[-1]["theirs"] == "sell 10 AAPL @ 90"
    assert (await desk.latches(), len(desk.alerts())) == (["entries"], 1)
    done = await desk.trade(FIRST, LAST)
    assert done.last == LAST
    assert desk.fetch(f"select distinct side {AFTER}") == [("sell",)]


async def test_what_is_held_without_a_price_stops_trading_with_its_name(desk: Desk) -> None:
    await desk.trade(FIRST, DAY(2005, 2, 24))
    trade_by_hand(desk, "buy", "ZZZ", 1, DAY(2005, 2, 25))
    with pytest.raises(BooksDisagree, match="ZZZ is held, but no close of it is stored"):
        await desk.trade(FIRST, LAST)
    assert await desk.latches() == ["entries"]
    assert "ZZZ" in desk.alerts()[-1]["body"]


async def test_a_fill_that_the_broker_forgets_is_a_difference(desk: Desk) -> None:
    await desk.trade(FIRST, DAY(2005, 2, 8))
    ((gone,),) = desk.fetch("select execution_id from fill order by execution_id limit 1")
    desk.execute("delete from paper.execution where id = %s", gone)
    (difference,) = (await desk.reconcile()).differences
    assert (difference["subject"], difference["key"], difference["theirs"]) == ("fill", gone, "not listed")


async def test_an_order_that_stands_otherwise_at_the_broker_is_a_difference(desk: Desk) -> None:
    await desk.trade(FIRST, DAY(2005, 2, 8))
    desk.execute("update paper.\"order\" set state = 'canceled', filled = 0 where symbol = 'IBM'")
    differences = (await desk.reconcile()).differences
    assert {(d["subject"], d["theirs"]) for d in differences} == {("order", "canceled 0")}
    assert differences[0]["ours"].startswith("filled ")
    assert differences[0]["cure"].startswith("The books gave this order up")


async def test_an_order_that_the_broker_does_not_know_is_a_difference(desk: Desk) -> None:
    await desk.trade(FIRST, FIRST)
    desk.execute("delete from paper.execution where true")
    desk.execute('delete from paper."order" where true')
    found = {(d["subject"], d["theirs"]) for d in (await desk.reconcile()).differences}
    assert found == {("order", "not listed"), ("fill", "not listed")}


async def test_a_fill_that_the_books_missed_is_booked_and_is_no_difference(desk: Desk) -> None:
    class Deaf:
        """The real broker, who tells of no fill."""

        def __init__(self, real: Any) -> None:
            self.real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        async def executions(self, since: dt.date) -> list[Any]:
            assert since == FIRST
            return []

    await desk.trade(FIRST, FIRST, broker=Deaf(desk.floor().broker))
    assert (await desk.latches(), desk.state()["fills"]) == (["entries"], []), "cash and shares differ"
    assert (await desk.reconcile()).ok
    assert await desk.latches() == []
    assert len(desk.state()["fills"]) == len(desk.state()["broker"]) > 0


async def test_a_halt_stops_entries_and_lets_exits_go_on(desk: Desk) -> None:
    await desk.trade(FIRST, DAY(2005, 2, 25))
    await desk.floor().control.set_latch("paper", "halt", "a person pulled the switch")
    await desk.trade(FIRST, LAST)
    assert desk.fetch(f"select distinct side {AFTER}") == [("sell",)]
    assert (await desk.reconcile()).ok
    assert await desk.latches() == ["halt"], "a clean comparison does not clear a person's switch"


async def test_positions_of_a_strategy_that_is_no_longer_in_use_are_told(desk: Desk) -> None:
    await desk.trade(FIRST, DAY(2005, 2, 24))
    trade_by_hand(desk, "buy", "AAPL", 10, DAY(2005, 2, 24))
    ((gone,),) = desk.fetch("select strategy from lot where quantity > 0 order by strategy limit 1")
    mandate = desk.plan.mandate
    pairs = zip(mandate.weights, mandate.digests, strict=True)
    left = {name: (mandate.weights[name], digest) for name, digest in pairs if name != gone}
    weights, digests = {name: w for name, (w, _) in left.items()}, tuple(digest for _, digest in left.values())
    desk.plan = replace(desk.plan, mandate=replace(mandate, weights=weights, digests=digests))
    await desk.trade(FIRST, DAY(2005, 2, 25))
    (told,) = [alert["body"] for alert in desk.alerts() if "nobody looks after" in alert["title"]]
    assert f" of {gone}" in told
    assert "external" not in told, "what a person bought is his to look after"
