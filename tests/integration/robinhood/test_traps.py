"""Every trap of robin_stocks 3.4.0 that we know: the plain library falls into it, our door does not.

A test that no longer shows the first half says that the library has changed: look whether the second is still needed.
Those of its login are in test_login_traps.py.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import requests
from robin_stocks.robinhood import globals as library

from quaestor.doors.robinhood import RobinhoodSource
from quaestor.doors.robinhood.crypto import Crypto
from quaestor.doors.sim.faults import Fault
from quaestor.errors import (
    AccessLost,
    BrokerAmbiguous,
    BrokerBusy,
    BrokerRejected,
    Permanent,
    QuaestorError,
    Temporary,
)
from quaestor.orders import Intent, Side, TimeInForce
from tests.integration.robinhood.plain import Plain, plain

D = Decimal
SESSION = dt.date(2026, 11, 20)
BUY = Intent("main", "m", "AAPL", SESSION, "cause", Side.BUY, D(1), D(100))
RAISED: dict[int, type[QuaestorError]] = {
    401: AccessLost,
    403: Permanent,
    404: Permanent,
    429: Temporary,
    500: Temporary,
}
SILENT = (401, 404, 429, 500)


@pytest.fixture
def theirs(site: Any) -> Iterator[Plain]:
    with plain(site.url) as found:
        found.log_in(site.tokens().current().header)
        yield found


def outcome(asking: Callable[[], Any]) -> Any:
    """What a call answers, or the kind of its exception."""
    try:
        return asking()
    except Exception as error:  # noqa: BLE001  # it is looked at
        return type(error)


# ── failures that look like answers ───────────────────────────────────────────────────────────────────────────────────

Ours = Callable[[Any], Awaitable[Any]]


async def history(site: Any) -> Any:
    source = RobinhoodSource(site.line(), lambda: "", now=lambda: site.at)
    return await source.history("AAPL", SESSION - dt.timedelta(days=7), SESSION)


@pytest.mark.parametrize(
    ("name", "arguments", "path", "lie", "ours"),
    [
        pytest.param("get_all_stock_orders", (), "/orders/", [], lambda s: s.broker().orders(), id="orders: none"),
        pytest.param(
            "get_open_stock_positions", (), "/positions/", [], lambda s: s.broker().account(), id="positions: none"
        ),
        pytest.param("get_all_positions", (), "/positions/", [], lambda s: s.broker().account(), id="all: none"),
        pytest.param(
            "get_crypto_positions", (), "/holdings/", [], lambda s: Crypto(s.line()).holdings(), id="coins: none"
        ),
        pytest.param("get_all_crypto_orders", (), "/orders/", [], lambda s: Crypto(s.line()).orders(), id="coins"),
        pytest.param(
            "get_all_open_stock_orders", (), "/orders/", TypeError, lambda s: s.broker().orders(), id="open orders"
        ),
        pytest.param("load_account_profile", (), "/accounts/", None, lambda s: s.broker().account(), id="account"),
        pytest.param("load_portfolio_profile", (), "/", None, lambda s: s.broker().account(), id="portfolio"),
        pytest.param(
            "get_market_hours",
            ("XNYS", "2026-11-20"),
            "/markets/",
            None,
            lambda s: s.broker().hours_differ(SESSION),
            id="hours",
        ),
        pytest.param("get_quotes", ("AAPL",), "/quotes/", [None], lambda s: s.broker().quotes(["AAPL"]), id="quotes"),
        pytest.param(
            "get_latest_price",
            ("AAPL",),
            "/quotes/",
            [None],
            lambda s: s.broker(universe=["AAPL"]).halted(),
            id="price",
        ),
        pytest.param("get_stock_historicals", ("AAPL",), "/quotes/", [None], history, id="historicals"),
        pytest.param("build_holdings", (), "/", {}, lambda s: s.broker().account(), id="holdings: none"),
        pytest.param("get_splits", ("AAPL",), "/splits/", [], lambda s: s.broker().splits("AAPL"), id="splits: none"),
    ],
)
async def test_a_failure_looks_like_nothing_there(
    site: Any, theirs: Plain, name: str, arguments: tuple[Any, ...], path: str, lie: Any, ours: Ours
) -> None:
    for status in SILENT:
        site.wrong(Fault("status", path=path, status=status))
        found = outcome(lambda: getattr(theirs.rh, name)(*arguments))
        assert found == lie, status
        with pytest.raises(RAISED[status]):
            await ours(site)


async def test_a_second_page_that_fails_shortens_the_list(site: Any, theirs: Plain) -> None:
    broker = site.broker()
    for leg in range(3):
        await broker.submit(replace(BUY, leg=leg))
    site.server.orders.page_size = 1
    site.wrong(Fault("status", path="/orders/", page=2, status=500))
    assert len(theirs.rh.get_all_stock_orders()) == 1
    with pytest.raises(Temporary):
        await broker.orders()


async def test_a_reading_has_no_timeout(site: Any, theirs: Plain) -> None:
    theirs.rh.get_all_stock_orders()
    assert [timeout for _, timeout in theirs.adapter.sent] == [None]
    site.wrong(Fault("hang"))
    began = time.monotonic()
    with pytest.raises(Temporary):
        await site.broker(site.line(timeout=0.1)).orders()
    assert time.monotonic() - began < 3


async def test_a_token_that_ends_ends_all_in_silence(site: Any, theirs: Plain) -> None:
    broker = site.broker()
    site.server.auth.revoke()
    assert theirs.rh.get_open_stock_positions() == []
    with pytest.raises(AccessLost):
        await broker.account()
    site.log_in(seq=2)
    assert (await site.broker().account()).cash == D(100_000)


async def test_the_next_page_may_be_anywhere_and_gets_the_token(
    site: Any, theirs: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = "https://evil.example/orders/"
    monkeypatch.setattr("quaestor.doors.sim.robinhood.orders.API", "https://evil.example")
    site.server.orders.page_size = 1
    for leg in range(2):
        await site.broker().submit(replace(BUY, leg=leg))
    theirs.rh.get_all_stock_orders()
    shown = [request.headers["Authorization"] for request, _ in theirs.adapter.sent if elsewhere in str(request.url)]
    assert shown == [site.tokens().current().header]
    with pytest.raises(Permanent, match=r"evil\.example, which is not Robinhood's"):
        await site.broker().orders()


# ── one session for all threads ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_post_that_breaks_leaves_its_content_type_for_all_that_follow(site: Any, theirs: Plain) -> None:
    def kinds() -> list[Any]:
        return [request.headers.get("Content-Type") for request, _ in theirs.adapter.sent if request.method == "POST"]

    site.wrong(Fault("lost", path="/orders/", times=1))
    theirs["helper"].request_post("https://api.robinhood.com/orders/", {"a": 1}, json=True)
    theirs["helper"].request_post("https://api.robinhood.com/orders/", {"a": 1})
    assert kinds() == ["application/json"] * 2, "the second is a form"
    library.SESSION.headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
    await site.broker().submit(BUY)
    assert site.server.orders.placed[0].ticket.ref_id == BUY.ref_id, "ours says what it is"


async def test_netrc_takes_the_place_of_the_token(
    site: Any, theirs: Plain, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine api.robinhood.com login somebody password else\n")
    monkeypatch.setenv("NETRC", str(file))
    theirs.rh.get_all_stock_orders()
    assert theirs.adapter.sent[0][0].headers["Authorization"].startswith("Basic ")
    assert await site.broker().orders() == []


# ── orders ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def order(theirs: Plain) -> Any:
    return theirs.rh.order_buy_limit("AAPL", 1, 90.0, timeInForce="gfd")


@pytest.mark.parametrize(
    ("fault", "theirs_say", "ours_say"),
    [
        pytest.param(Fault("status", status=400, words={"detail": "No."}), "detail", BrokerRejected, id="400"),
        pytest.param(Fault("status", status=401, words={"detail": "No."}), "detail", AccessLost, id="401"),
        pytest.param(Fault("status", status=404), None, BrokerAmbiguous, id="404"),
        pytest.param(Fault("status", status=429), None, BrokerBusy, id="429: nothing was done"),
        pytest.param(Fault("status", status=500), None, BrokerAmbiguous, id="500: who knows"),
        pytest.param(Fault("lost"), None, BrokerAmbiguous, id="no answer: the order is there"),
        pytest.param(Fault("html"), None, BrokerAmbiguous, id="a portal's answer"),
    ],
)
async def test_all_that_can_become_of_an_order_is_one_none(
    site: Any, theirs: Plain, fault: Fault, theirs_say: str | None, ours_say: type[QuaestorError]
) -> None:
    broker = site.broker()
    await broker.prepare(["AAPL"])
    site.wrong(replace(fault, path="/orders/", method="POST"))
    answer = order(theirs)
    assert answer is None if theirs_say is None else theirs_say in answer
    with pytest.raises(ours_say):
        await broker.submit(BUY)


async def test_a_second_try_is_a_second_order(site: Any, theirs: Plain) -> None:
    assert len({order(theirs)["ref_id"], order(theirs)["ref_id"]}) == 2
    broker = site.broker()
    assert len({(await broker.submit(BUY)).broker_id, (await broker.submit(BUY)).broker_id}) == 1


async def test_an_order_is_five_requests(site: Any, theirs: Plain) -> None:
    broker = site.broker()
    await broker.prepare(["AAPL"])
    order(theirs)
    assert len(theirs.adapter.sent) == 5
    before = len(site.asked())
    await broker.submit(BUY)
    assert len(site.asked()) - before == 1


async def test_an_order_goes_out_without_an_account_when_that_cannot_be_looked_up(site: Any, theirs: Plain) -> None:
    site.wrong(Fault("status", path="/accounts/", status=500))
    assert order(theirs) == {"account": ["This field is required."]}
    await site.broker().submit(BUY)
    assert site.server.orders.placed[0].account == "5QX00001"


async def test_the_account_is_the_first_that_is_listed(site: Any, theirs: Plain) -> None:
    order(theirs)
    site.vault.set("rh-main-account", "5QX00002")
    await site.broker().submit(BUY)
    assert [each.account for each in site.server.orders.placed] == ["5QX00001", "5QX00002"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [pytest.param("/quotes/", TypeError, id="quotes"), pytest.param("/instruments/", TypeError, id="instruments")],
)
async def test_a_lookup_that_fails_is_a_programmers_error(
    site: Any, theirs: Plain, path: str, kind: type[Exception]
) -> None:
    site.wrong(Fault("status", path=path, status=500))
    assert outcome(lambda: order(theirs)) in (kind, IndexError)
    if path == "/instruments/":
        with pytest.raises(BrokerBusy, match="Nothing was sent"):
            await site.broker().submit(BUY)
    else:
        assert (await site.broker().submit(BUY)).ref_id == BUY.ref_id, "ours needs no quote"


async def test_half_a_share_becomes_none(site: Any, theirs: Plain) -> None:
    theirs.rh.order("AAPL", 0.5, "buy", None, None, None, "gfd", True, True, "extended_hours")
    assert "quantity=0&" in str(theirs.adapter.sent[-1][0].body)
    await site.broker().submit(replace(BUY, quantity=D("0.5")))
    assert [each.quantity for each in site.server.orders.placed] == [D("0.5")]
    with pytest.raises(BrokerRejected, match="Parts of a share"):
        await site.broker().submit(replace(BUY, quantity=D("0.5"), time_in_force=TimeInForce.GTC))


async def test_a_share_of_dollars_is_rounded_like_a_price(site: Any, theirs: Plain) -> None:
    site.server.quote("AAPL", "189.50", "189.54", "189.52")
    theirs.rh.order_buy_fractional_by_price("AAPL", 250)
    assert "quantity=1.32&" in str(theirs.adapter.sent[-1][0].body), "250 / 189.54 is 1.318982"
    await site.broker().submit(replace(BUY, quantity=D("1.318982"), reference_price=D("189.54")))
    assert site.server.orders.placed[-1].quantity == D("1.318982")


async def test_hours_that_a_wrapper_cannot_name_are_refused(site: Any, theirs: Plain) -> None:
    answer = theirs.rh.order_buy_limit("AAPL", 1, 90.0, extendedHours=True)
    assert answer == {"non_field_errors": ["Extended hours and market hours mismatch."]}
    await site.broker().submit(BUY)
    assert [each.ticket.market_hours for each in site.server.orders.placed] == ["regular_hours"]


async def test_a_form_that_grows_old_cannot_be_renewed(site: Any, theirs: Plain) -> None:
    site.server.orders.oldest = 6
    assert "missing important stock trading updates" in order(theirs)["non_field_errors"][0]
    assert "app version" in theirs.rh.order_sell_trailing_stop("AAPL", 1, 5)["non_field_errors"][0]
    await site.broker(form_version=6).submit(BUY)


async def test_a_quote_that_is_not_there_is_a_price_of_nothing(site: Any, theirs: Plain) -> None:
    site.wrong(Fault("status", path="/quotes/", status=200, words={"results": []}))
    outcome(lambda: theirs.rh.order_buy_market("AAPL", 1))
    bodies = [str(request.body) for request, _ in theirs.adapter.sent if request.method == "POST"]
    assert all("price=0.0&" in body for body in bodies)
    await site.broker().submit(BUY)
    assert site.server.orders.placed[-1].ticket.price == D(105)


async def test_when_an_order_was_priced_is_told_in_the_machines_own_time(theirs: Plain) -> None:
    order(theirs)
    body = str(theirs.adapter.sent[-1][0].body)
    assert "bid_ask_timestamp=" in body
    assert "Z&" not in body
    assert "%2B00" not in body


async def test_a_cancel_that_was_refused_is_called_done(site: Any, theirs: Plain) -> None:
    broker = site.broker()
    site.server.orders.confirm_takes = dt.timedelta(seconds=5)
    placed = await broker.submit(BUY)
    answer = theirs.rh.cancel_stock_order(placed.broker_id)
    assert answer == {"detail": "Order cannot be cancelled at this time."}
    assert f"Order {placed.broker_id} cancelled" in theirs.said.getvalue()
    with pytest.raises(BrokerBusy):
        await broker.cancel(placed.broker_id)
    site.wrong(Fault("status", path="/cancel/", status=500))
    assert theirs.rh.cancel_stock_order(placed.broker_id) is None
    with pytest.raises(BrokerAmbiguous):
        await broker.cancel(placed.broker_id)


async def test_what_settled_shares_cost_is_nothing(site: Any, theirs: Plain) -> None:
    broker = site.broker()
    await broker.submit(BUY)
    site.trade(100)
    site.at += dt.timedelta(days=4)
    assert [D(each["average_buy_price"]) for each in theirs.rh.get_open_stock_positions()] == [0]
    assert dict((await broker.account()).costs) == {"AAPL": D(100)}


def test_the_spreads_swap_two_arguments(theirs: Plain) -> None:
    """Our door trades no options: who adds them must not use these."""
    orders = theirs["orders"]
    takes = orders.order_option_spread.__wrapped__.__code__.co_varnames[5:7]
    calls = {
        name: outcome(lambda name=name: _handed_on(theirs, name))
        for name in ("order_option_credit_spread", "order_option_debit_spread")
    }
    assert takes == ("account_number", "timeInForce")
    assert set(calls.values()) == {("gtc", None)}, "time in force comes as the account's number"


def _handed_on(theirs: Plain, name: str) -> tuple[Any, ...]:
    handed: list[Any] = []
    theirs["orders"].order_option_spread = lambda *arguments: handed.extend(arguments)
    getattr(theirs["orders"], name)(1.0, "AAPL", 1, [])
    return tuple(handed[5:7])


# ── what it prints ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_addresses_with_account_numbers_are_printed(site: Any, theirs: Plain, capsys: Any) -> None:
    site.wrong(Fault("status", path="/portfolios/", status=500))
    theirs.rh.load_portfolio_profile(account_number="5QX00001")
    assert "/portfolios/5QX00001" in theirs.said.getvalue()
    await history_fails(site)
    assert capsys.readouterr().out == ""


async def history_fails(site: Any) -> None:
    site.wrong(Fault("status", status=500))
    with pytest.raises(Temporary):
        await history(site)


def test_br_is_offered_and_cannot_be_read(theirs: Plain) -> None:
    assert "br" in theirs.session.headers["Accept-Encoding"]
    with pytest.raises(ImportError):
        __import__("brotli")


async def test_ours_offers_what_it_can_read(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    line = site.line()
    wire = line.wire._http.send

    def keep(request: requests.PreparedRequest, **how: Any) -> requests.Response:
        sent.append(request.headers["Accept-Encoding"])
        return wire(request, **how)

    monkeypatch.setattr(line.wire._http, "send", keep)
    await site.broker(line).orders()
    assert sent == ["gzip, deflate"]
