"""Every fault of a vendor, against its real client library: a clear error for the symbol, and never half a history."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from typing import Any

import polars as pl
import pytest

from quaestor.doors.sim.faults import Fault
from quaestor.errors import BadConfig, BadInput, NotFound, Permanent, QuaestorError, Temporary
from quaestor.fetching import Patience
from quaestor.ports import History

START, END = dt.date(2026, 10, 1), dt.date(2026, 11, 20)
IN_AN_HOUR = {"Retry-After": "3600"}


async def history(site: Any, symbol: str = "AAPL", **settings: Any) -> History:
    answer: History = await site.source(**settings).history(symbol, START, END)
    return answer


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        pytest.param(Fault("html"), BadInput, "answered with HTML: a proxy or a portal", id="a portal's page"),
        pytest.param(Fault("truncated"), BadInput, r"JSON that breaks off .*3 times", id="half of the JSON"),
        pytest.param(Fault("dropped"), Temporary, r"does not answer .*3 times", id="the connection breaks off"),
        pytest.param(Fault("naive"), BadInput, r"the time '2026-10-01T0\d:00:00' .* has no zone", id="no zone"),
        pytest.param(Fault("text", every=True), BadInput, "not one bar has a number in its field", id="only words"),
        pytest.param(Fault("status"), Temporary, r"answered 503: status 503 .*, 3 times", id="down"),
        pytest.param(Fault("status", status=500, page=2), Temporary, "answered 500", id="down from page two on"),
        pytest.param(Fault("html", page=2), BadInput, "HTML", id="a portal from page two on"),
        pytest.param(Fault("status", status=429), Temporary, "answered 429", id="throttled without a word"),
        pytest.param(
            Fault("status", status=429, headers=IN_AN_HOUR), Temporary, "to wait 3600 s", id="throttled for an hour"
        ),
        pytest.param(Fault("status", status=401), BadConfig, r"shown: 'the-key'", id="a secret that is none"),
        pytest.param(Fault("status", status=403), BadConfig, r"shown: 'the-key'", id="a secret that may not"),
        pytest.param(Fault("status", status=404), NotFound, "market.aliases", id="unknown there"),
        pytest.param(Fault("status", status=422), BadInput, "status 422 was asked for", id="refused"),
        pytest.param(Fault("status", status=302), BadInput, "answered 302", id="sent elsewhere"),
        pytest.param(Fault("hang"), Temporary, "does not answer", id="no answer"),
        pytest.param(Fault("drip"), Temporary, "did not end its answer", id="an answer without end, slowly"),
        pytest.param(Fault("huge"), BadInput, "more than 16,777,216 bytes", id="an answer without end, fast"),
        pytest.param(Fault("circle"), BadInput, "turns its pages in a circle", id="pages in a circle"),
    ],
)
async def test_a_fault_is_a_clear_error_of_its_symbol(
    site: Any, fault: Fault, kind: type[QuaestorError], says: str
) -> None:
    site.wrong(Fault(**vars(fault)))
    with pytest.raises(kind, match=says) as caught:
        await history(site)
    assert str(caught.value).startswith(f"AAPL: {site.name}")
    assert "secret" not in str(caught.value).replace("valid secret", "")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("truncated", times=2), id="half of the JSON, twice"),
        pytest.param(Fault("dropped", times=2), id="broken off, twice"),
        pytest.param(Fault("status", times=2), id="down, twice"),
        pytest.param(Fault("status", status=500, page=2, times=2), id="down on page two, twice"),
        pytest.param(Fault("hang", times=1), id="no answer, once"),
    ],
)
async def test_a_passing_fault_is_sat_out(site: Any, fault: Fault) -> None:
    whole = await history(site)
    site.wrong(Fault(**vars(fault)))
    again = await history(site)
    assert again.bars.equals(whole.bars)
    assert again.splits == whole.splits


async def test_only_the_page_that_failed_is_asked_for_again(at_alpaca: Any) -> None:
    at_alpaca.wrong(Fault("status", page=2, times=1))
    await history(at_alpaca)
    pages = [path.rpartition("page_token=")[2] for path in at_alpaca.server.asked if "bars" in path]
    assert [page if page.isdigit() else "first" for page in pages] == ["first", "15", "15", "30"]


async def test_retry_after_is_honoured_by_all_who_ask(site: Any) -> None:
    site.wrong(Fault("status", status=429, headers={"Retry-After": "1"}, times=1))
    begun = time.monotonic()
    source = site.source()
    await asyncio.gather(*(source.history(symbol, START, END) for symbol in ("AAPL", "IBM")))
    assert 1 <= time.monotonic() - begun < 3


async def test_words_among_numbers_become_nulls_and_their_rows_stay(site: Any) -> None:
    whole = await history(site)
    site.wrong(Fault("text"))
    bars = (await history(site)).bars
    assert bars.height == whole.bars.height
    assert 0 < bars["open"].null_count() < bars.height
    assert bars["close"].null_count() == 0
    kept = bars["open"].is_not_null()
    assert bars.filter(kept)["open"].equals(whole.bars.filter(kept)["open"])


async def test_bars_in_the_future_are_kept_for_the_gate(site: Any) -> None:
    whole = await history(site)
    site.wrong(Fault("future"))
    bars = (await history(site)).bars
    assert bars.height == whole.bars.height
    assert bars["session"].max() > dt.date(2030, 1, 1)


async def test_pages_without_end_are_found_out_by_what_the_window_can_hold(at_alpaca: Any) -> None:
    at_alpaca.wrong(Fault("endless"))
    with pytest.raises(BadInput, match=r"more than 102 1d bars for 2026-10-01 … 2026-11-20\. Ask for a smaller window"):
        await history(at_alpaca)
    assert len(at_alpaca.server.asked) <= 8


async def test_one_bad_symbol_does_not_fail_its_batch(site: Any) -> None:
    site.wrong(Fault("html", symbol="IBM"))
    source, symbols = site.source(), ("AAPL", "IBM", "BRK.B")
    answers = await asyncio.gather(*(source.history(s, START, END) for s in symbols), return_exceptions=True)
    told = dict(zip(symbols, answers, strict=True))
    assert isinstance(told["IBM"], BadInput)
    assert str(told["IBM"]).startswith("IBM: ")
    for symbol in ("AAPL", "BRK.B"):
        answer = told[symbol]
        assert isinstance(answer, History)
        assert answer.bars["symbol"].unique().to_list() == [symbol]
        assert answer.bars.height == 37


async def test_no_more_than_allowed_are_in_flight(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.server, "latency", 0.02)
    site.server.busiest = 0
    source = site.source(in_flight=3)
    await asyncio.gather(*(source.history("IBM", START, END) for _ in range(9)))
    assert site.server.busiest == 3


async def test_requests_keep_to_the_rate(at_alpaca: Any) -> None:
    source = at_alpaca.source(per_second=20)  # twenty at once, then one each 50 ms
    begun = time.monotonic()
    await asyncio.gather(*(source.history("IBM", START, END) for _ in range(7)))  # four requests each
    assert len(at_alpaca.server.asked) == 28
    assert time.monotonic() - begun >= 7 / 20


async def test_whoever_is_no_longer_waited_for_stops_at_once(site: Any) -> None:
    site.wrong(Fault("status", status=429, headers={"Retry-After": "30"}))
    source = site.source()
    task = asyncio.create_task(source.history("AAPL", START, END))
    while not site.server.asked:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    begun, busy = time.monotonic(), source._fetcher._threads
    await asyncio.to_thread(busy.shutdown)
    assert time.monotonic() - begun < 1


async def test_a_key_goes_nowhere_but_to_its_vendor(at_alpaca: Any) -> None:
    source = at_alpaca.source(base_url="")  # the carrier knows Alpaca's own host alone, and the library asks elsewhere
    with pytest.raises(Permanent, match=r"was to be asked at http://127\.0\.0\.1:\d+, which is not the vendor's"):
        await source.history("AAPL", START, END)
    assert at_alpaca.server.asked == []


def test_a_library_that_asks_by_itself_is_refused(at_robinhood: Any) -> None:
    from robin_stocks.robinhood import stocks

    at_robinhood.source()
    with pytest.raises(Permanent, match=r"asked api\.robinhood\.com by itself, outside of a source's call"):
        stocks.get_stock_historicals("AAPL")


async def test_what_a_library_swallows_is_raised(at_robinhood: Any) -> None:
    """robin_stocks returns the first page of the splits when the second fails; half would un-adjust wrongly."""
    at_robinhood.wrong(Fault("status", path="splits", page=2, status=500))
    with pytest.raises(Temporary, match="answered 500"):
        await history(at_robinhood)


async def test_an_answer_of_another_form_is_refused(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(request: Any, payload: Any, struck: Any) -> Any:
        from starlette.responses import JSONResponse

        return JSONResponse({"surprise": [1, 2]} if "next_page_token" in payload else {"results": {"no": "list"}})

    monkeypatch.setattr(site.server, "answer", answer)
    with pytest.raises((BadInput, NotFound), match=r"cannot read|knows no symbol|could not read"):
        await history(site)


async def test_a_long_patience_is_not_needed_for_what_cannot_get_better(site: Any) -> None:
    site.wrong(Fault("html"))
    with pytest.raises(BadInput):
        await history(site, patience=Patience(50, 60, 60))
    assert len(site.server.asked) == 1


def test_frames_have_the_columns_of_a_bars_frame(site: Any) -> None:
    from quaestor import bars

    frame = asyncio.run(history(site)).bars
    assert dict(list(frame.schema.items())[:9]) == dict(pl.Schema(bars.schema()))
