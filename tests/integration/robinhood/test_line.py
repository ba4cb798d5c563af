"""The line to Robinhood: no failure is silent, no write goes twice, nothing secret goes elsewhere or stays behind."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from fractions import Fraction
from typing import Any

import pytest
from robin_stocks.robinhood import globals as library
from robin_stocks.robinhood import helper

from quaestor.doors.robinhood.line import Line
from quaestor.doors.robinhood.wire import HOST
from quaestor.doors.sim.faults import Fault
from quaestor.errors import (
    AccessLost,
    BadInput,
    BrokerAmbiguous,
    BrokerBusy,
    Permanent,
    QuaestorError,
    Temporary,
)
from quaestor.queueing import Priority
from quaestor.splits import Split

API = f"https://{HOST}"
QUOTES, ORDERS = f"{API}/quotes/", f"{API}/orders/"
AAPL, NOTHING = {"symbols": "NONE"}, {"results": [None]}
ENTRY, CANCEL, EXIT = Priority.ENTRY, Priority.CANCEL, Priority.EXIT


@pytest.fixture
def splits(site: Any) -> str:
    """The address of a list of two pages."""
    site.server.instruments.add(["AAPL"])
    days = (dt.date(2020, 8, 31), dt.date(2024, 6, 10))
    site.server.history.splits[:] = [Split("AAPL", day, Fraction(4)) for day in days]
    return f"{site.server.instruments.address('AAPL')}splits/"


async def test_a_listing_is_all_its_pages(site: Any, splits: str) -> None:
    rows = await site.line().listing("AAPL", splits)
    assert [row["execution_date"] for row in rows] == ["2020-08-31", "2024-06-10"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(Fault("status", page=2, status=500), Temporary, id="the second page fails"),
        pytest.param(Fault("status", page=2, status=404), Permanent, id="the second page is not there"),
        pytest.param(Fault("status", page=2, status=403), Permanent, id="the second page is refused"),
        pytest.param(Fault("truncated", page=2), BadInput, id="the second page breaks off"),
        pytest.param(Fault("dropped", page=2), Temporary, id="the line breaks in the second page"),
        pytest.param(Fault("html", page=2), BadInput, id="the second page is a portal's"),
        pytest.param(Fault("circle"), BadInput, id="the pages turn in a circle"),
    ],
)
async def test_a_listing_of_which_a_page_fails_is_no_answer(
    site: Any, splits: str, fault: Fault, error: type[QuaestorError]
) -> None:
    site.wrong(fault)
    with pytest.raises(error, match="AAPL"):
        await site.line().listing("AAPL", splits)


async def test_a_next_page_at_another_host_gets_no_token(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    line = site.line()

    async def page(*_: Any) -> Any:
        return {"results": [], "next": "https://api.robinhood.com.example/orders/"}

    with monkeypatch.context() as patched:
        patched.setattr(line, "get", page)
        get, asked = Line.get, []

        async def first(subject: str, url: str, params: Any = None) -> Any:
            asked.append(url)
            return await (page() if len(asked) == 1 else get(line, subject, url, params))

        patched.setattr(line, "get", first)
        with pytest.raises(Permanent, match=r"asked at https://api\.robinhood\.com\.example, which is not"):
            await line.listing("Orders", ORDERS)
    assert site.asked() == []
    assert line.exchanges == []


@pytest.mark.parametrize(
    ("fault", "tries"),
    [
        pytest.param(Fault("status", status=503, times=1), 2, id="503"),
        pytest.param(Fault("status", status=429, headers={"Retry-After": "0.1"}, times=1), 2, id="429"),
        pytest.param(Fault("lost", times=2), 3, id="no answer, twice"),
        pytest.param(Fault("truncated", times=1), 2, id="half an answer"),
    ],
)
async def test_a_read_is_asked_again(site: Any, fault: Fault, tries: int) -> None:
    site.wrong(fault)
    assert await site.line().get("Quotes", QUOTES, AAPL) == NOTHING
    assert len(site.asked("/quotes/")) == tries


async def test_a_read_that_hangs_ends_in_time(site: Any) -> None:
    site.wrong(Fault("hang"))
    began = time.monotonic()
    with pytest.raises(Temporary, match=r"Quotes: Robinhood does not answer \(ReadTimeout.*3 times"):
        await site.line(timeout=0.1).get("Quotes", QUOTES, AAPL)
    assert time.monotonic() - began < 3


async def test_a_read_that_is_told_to_wait_for_long_says_for_how_long(site: Any) -> None:
    site.wrong(Fault("status", status=429, headers={"Retry-After": "48"}))
    with pytest.raises(BrokerBusy) as told:
        await site.line().get("Quotes", QUOTES, AAPL)
    assert told.value.retry_after == 48
    assert len(site.asked("/quotes/")) == 1


async def test_a_refused_token_is_changed_for_the_newer_one_and_the_read_goes_once_more(site: Any) -> None:
    line = site.line()
    await line.get("Quotes", QUOTES, AAPL)
    site.server.auth.revoke()
    site.log_in(seq=2)
    assert await line.get("Quotes", QUOTES, AAPL) == NOTHING
    assert [each.status for each in site.server.requests] == [200, 401, 200]
    assert site.refresher.asked == []


async def test_without_a_newer_token_access_is_lost_and_the_refresher_is_told(site: Any) -> None:
    line = site.line()
    await line.get("Quotes", QUOTES, AAPL)
    site.server.auth.revoke()
    with pytest.raises(AccessLost, match="Quotes: Robinhood refused our access token"):
        await line.get("Quotes", QUOTES, AAPL)
    assert [each.status for each in site.server.requests] == [200, 401]
    assert site.refresher.asked == [1]


async def test_a_write_that_is_refused_is_never_replayed_even_with_a_newer_token(site: Any) -> None:
    line = site.line()
    await line.get("Quotes", QUOTES, AAPL)
    site.server.auth.revoke()
    site.log_in(seq=2)
    with pytest.raises(AccessLost, match="nothing was done"):
        await line.write("AAPL", ORDERS, {"symbol": "AAPL"}, ENTRY)
    assert len(site.asked("/orders/")) == 1
    assert await line.get("Quotes", QUOTES, AAPL) == NOTHING, "what comes next has the newer one"
    assert [each.status for each in site.server.requests] == [200, 401, 200]


async def test_where_nobody_logged_in_nothing_is_sent(site: Any) -> None:
    site.vault.delete("rh-main-access")
    for asking in (site.line().get("Quotes", QUOTES, AAPL), site.line().write("AAPL", ORDERS, {}, ENTRY)):
        with pytest.raises(AccessLost, match=r"nothing was done.*`quaestor auth seed`"):
            await asking
    assert site.asked() == []


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("lost"), id="the work is done, the answer lost"),
        pytest.param(Fault("hang"), id="no answer"),
        pytest.param(Fault("dropped"), id="half an answer"),
    ],
)
async def test_a_write_without_an_answer_is_ambiguous_and_is_not_sent_again(site: Any, fault: Fault) -> None:
    site.wrong(fault)
    with pytest.raises(BrokerAmbiguous, match="AAPL: no answer to what was sent"):
        await site.line(timeout=0.1).write("AAPL", ORDERS, {"symbol": "AAPL"}, ENTRY)
    site.wrong()
    assert len(site.asked("/orders/")) <= 1, "the server may not have finished with it"


async def test_a_write_that_never_left_is_no_riddle(site: Any) -> None:
    line = site.line(base_url="http://127.0.0.1:9")
    with pytest.raises(BrokerBusy, match="no connection, nothing was sent"):
        await line.write("AAPL", ORDERS, {"symbol": "AAPL"}, ENTRY)
    with pytest.raises(Temporary, match="does not answer"):
        await line.get("Quotes", QUOTES, AAPL)


async def test_a_write_that_is_told_to_wait_holds_back_orders_and_nothing_else(site: Any) -> None:
    line = site.line()
    site.wrong(Fault("status", path="/orders/", method="POST", status=429, headers={"Retry-After": "30"}, times=1))
    with pytest.raises(BrokerBusy, match="nothing was done") as told:
        await line.write("AAPL", ORDERS, {}, ENTRY)
    assert told.value.retry_after == 30
    with pytest.raises(BrokerBusy, match="nothing was sent"):
        await line.write("AAPL", ORDERS, {}, EXIT)
    await line.get("Quotes", QUOTES, AAPL)
    await line.write("Cancel", f"{ORDERS}x/cancel/", {}, CANCEL)
    assert site.asked() == ["POST /orders/", "GET /quotes/", "POST /orders/x/cancel/"]


async def test_a_redirected_write_is_not_followed(site: Any) -> None:
    site.wrong(Fault("status", status=302, headers={"Location": f"{API}/quotes/"}))
    assert (await site.line().write("AAPL", ORDERS, {}, ENTRY)).status == 302
    assert site.asked() == ["POST /orders/"]


async def test_a_cancel_waits_for_no_read(site: Any) -> None:
    line = site.line(in_flight=2, timeout=2.0, patience=None)
    site.wrong(Fault("hang", path="/quotes/"))
    reads = [asyncio.create_task(line.get("Quotes", QUOTES, AAPL)) for _ in range(4)]
    await asyncio.sleep(0.05)
    began = time.monotonic()
    await line.write("Cancel", f"{ORDERS}x/cancel/", {}, CANCEL)
    assert time.monotonic() - began < 1
    for read in reads:
        read.cancel()
    await asyncio.gather(*reads, return_exceptions=True)


async def test_orders_are_spaced_and_exits_go_before_entries(site: Any) -> None:
    line, order = site.line(spacing=0.15), []

    async def write(name: str, rank: Priority) -> None:
        await line.write(name, ORDERS, {}, rank)
        order.append((name, time.monotonic()))

    first = asyncio.create_task(write("entry 0", ENTRY))
    await first
    await asyncio.gather(write("entry 1", ENTRY), write("entry 2", ENTRY), write("exit", EXIT))
    assert [name for name, _ in order] == ["entry 0", "exit", "entry 1", "entry 2"]
    assert order[-1][1] - order[0][1] > 0.4


async def test_entries_that_wait_are_called_back_and_exits_are_not(site: Any) -> None:
    line = site.line(spacing=0.15)
    await line.write("AAPL", ORDERS, {}, ENTRY)
    waiting = [asyncio.create_task(line.write(f"entry {n}", ORDERS, {}, ENTRY)) for n in range(8)]  # more than threads
    leaves = asyncio.create_task(line.write("exit", ORDERS, {}, EXIT))
    await asyncio.sleep(0.02)
    line.recall(ENTRY)
    said = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(each) for each in said} == {BrokerBusy}
    assert "nothing was sent" in str(said[0])
    await leaves
    await line.write("later", ORDERS, {}, ENTRY)
    assert len(site.asked("/orders/")) == 3


async def test_who_is_no_longer_waited_for_sends_nothing(site: Any) -> None:
    line = site.line(spacing=0.3)
    await line.write("AAPL", ORDERS, {}, ENTRY)
    late = asyncio.create_task(line.write("AAPL", ORDERS, {}, ENTRY))
    await asyncio.sleep(0.05)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    await asyncio.sleep(0.4)
    assert len(site.asked("/orders/")) == 1


async def test_what_is_kept_of_a_request_is_no_secret(site: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "quaestor.robinhood")
    line, token = site.line(), site.tokens().current().value
    for path in ("accounts", "portfolios", "positions"):
        with pytest.raises(QuaestorError):
            await line.get("Account", f"{API}/{path}/5QX00001/none/?account_number=5QX00001")
    kept = f"{line.exchanges} {caplog.text}"
    assert [(each.method, each.host, each.status) for each in line.exchanges] == [("GET", HOST, 404)] * 3
    assert line.exchanges[0].path == "/accounts/***/none/"
    assert "GET api.robinhood.com/positions/***/none/: 404" in caplog.text
    assert not {secret for secret in ("5QX00001", token) if secret in kept}


async def test_the_librarys_session_holds_no_token_and_believes_no_file(site: Any) -> None:
    line = site.line()
    helper.update_session("Authorization", "Bearer somebody's")
    try:
        assert await line.get("Quotes", QUOTES, AAPL) == NOTHING, "it went with our own"
    finally:
        library.SESSION.headers.pop("Authorization")
    assert library.SESSION.trust_env is False
    assert "X-Original-Host" not in library.SESSION.headers


async def test_the_library_asks_nobody_outside_of_our_calls(site: Any) -> None:
    site.line()
    with pytest.raises(Permanent, match="by itself, outside of a source"):
        helper.request_get(QUOTES, "pagination", AAPL, jsonify_data=False)
    assert site.asked() == []


async def test_two_lines_of_two_logins_do_not_meet(site: Any) -> None:
    theirs = Line(None, base_url=site.url, per_minute=60_000)
    ours = site.line()
    answers = await asyncio.gather(
        *(line.get("Quotes", QUOTES, AAPL) for line in (ours, theirs) * 10), return_exceptions=True
    )
    assert [isinstance(answer, dict) for answer in answers] == [True, False] * 10
