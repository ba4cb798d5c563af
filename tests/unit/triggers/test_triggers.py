"""Triggers: what is refused, what is believed, what fires and what a restart keeps, worked out by hand."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from fractions import Fraction
from typing import Any

import pytest

from quaestor.errors import BadInput, NotFound
from quaestor.splits import Split
from quaestor.ticks import SECOND, QuoteTick, TradeTick
from quaestor.triggers import (
    Above,
    Alert,
    AllOf,
    Below,
    Condition,
    Crossing,
    Firing,
    Latch,
    OrderTemplate,
    SessionTime,
    Spread,
    Trailing,
    Trigger,
    TriggerBook,
    firing_id,
    read_condition,
    read_trigger,
    restored,
)

NOW = 1_700_000_000 * SECOND
ONE = uuid.UUID(int=1)
STORED: dict[str, Any] = {
    "id": str(ONE),
    "symbol": "AAPL",
    "condition": {
        "kind": "all",
        "conditions": [{"kind": "above", "level": 100.0}, {"kind": "trailing", "percent": 3.0}],
    },
    "action": {"kind": "order", "side": "sell", "fraction": 0.5, "order_type": "limit", "limit_offset": -0.05},
    "mode": "rearm",
    "cooldown": 60.0,
}


def rule(condition: Condition, **other: Any) -> Trigger:
    return Trigger(ONE, "AAPL", condition, Alert(), **other)


def book_of(condition: Condition, **other: Any) -> TriggerBook:
    book = TriggerBook(NOW)
    book.add(rule(condition, **other))
    return book


def trade(price: float, symbol: str = "AAPL", at: int = NOW, size: float = 100.0) -> TradeTick:
    return TradeTick(symbol, at, price, size)


def fired(book: TriggerBook, *prices: float) -> list[float]:
    return [price for price in prices if book.on_trade(trade(price))]


def test_a_stored_trigger_is_read_and_written_without_a_difference() -> None:
    assert read_trigger(read_trigger(STORED).as_dict()) == read_trigger(STORED)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"cooldwon": 3}, "unknown key 'cooldwon'. Did you mean 'cooldown'", id="a misspelt key"),
        pytest.param({"id": "seven"}, "is no UUID", id="an id that is none"),
        pytest.param({"symbol": "aapl!"}, "is no symbol", id="a symbol that is none"),
        pytest.param({"mode": "rearmed"}, "Did you mean 'rearm'", id="an unknown mode"),
        pytest.param({"band": 0}, "not above zero", id="no band"),
        pytest.param({"max_age": math.nan}, "no finite number", id="an age that is NaN"),
        pytest.param({"action": {"kind": "sell"}}, "action.kind", id="an unknown action"),
        pytest.param({"action": {"kind": "order", "side": "buy"}}, "quantity", id="an order of nothing"),
        pytest.param({"condition": 7}, "kind", id="a condition that is none"),
    ],
)
def test_a_stored_trigger_that_is_not_understood_is_refused_with_the_cure(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_trigger(STORED | change)


@pytest.mark.parametrize("level", [math.nan, math.inf, 0, -1, "100", True, None])
@pytest.mark.parametrize("kind", ["above", "below", "crossing"])
def test_a_level_that_is_no_price_is_refused(kind: str, level: object) -> None:
    with pytest.raises(BadInput, match=f"{kind}.level"):
        read_condition({"kind": kind, "level": level})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "abvoe", "level": 1}, "Did you mean 'above'"),
        ({"kind": "above"}, "'level' is missing"),
        ({"kind": "above", "levle": 1}, "Did you mean 'level'"),
        ({"kind": "trailing"}, "either 'percent' or 'dollars'"),
        ({"kind": "trailing", "percent": 100}, "between 0 and 100"),
        ({"kind": "moved", "percent": 5}, "moved.reference"),
        ({"kind": "session_time"}, "after_open"),
        ({"kind": "volume_spike", "factor": 2, "seconds": 1.5}, "whole number"),
        ({"kind": "spread", "other": "ibm", "level": 1}, "is no symbol"),
        ({"kind": "all", "conditions": []}, "combines none"),
        ({"kind": "any", "conditions": [{"kind": "above", "level": 0}]}, "above.level"),
    ],
)
def test_a_condition_that_is_not_understood_is_refused_with_the_cure(data: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_condition(data)


@pytest.mark.parametrize(
    ("tick", "rule_id"),
    [
        pytest.param(trade(math.nan), "bad_price", id="NaN"),
        pytest.param(trade(0.0), "bad_price", id="zero"),
        pytest.param(trade(-101.0), "bad_price", id="below zero"),
        pytest.param(trade(math.inf), "bad_price", id="infinite"),
        pytest.param(trade(101.0, size=math.nan), "bad_price", id="a size that is NaN"),
        pytest.param(trade(101.0, at=NOW + 60 * SECOND), "future", id="from the future"),
        pytest.param(trade(101.0, at=NOW - 86_400 * SECOND), "stale", id="a day old"),
        pytest.param(trade(990.0), "held_back", id="a spike of ten times"),
    ],
)
def test_a_tick_that_cannot_be_believed_fires_nothing_and_is_counted(tick: TradeTick, rule_id: str) -> None:
    book = book_of(Above(100))
    book.on_trade(trade(99.0))
    assert book.on_trade(tick) == []
    assert book.refused == {rule_id: 1}
    assert fired(book, 100.0) == [100.0]


def test_a_crossed_quote_is_counted_and_a_sound_one_fires_by_its_middle() -> None:
    book = book_of(Above(100), price="mid")
    assert book.on_quote(QuoteTick("AAPL", NOW, 101.0, 100.0, 1, 1)) == []
    assert book.refused == {"bad_price": 1}
    assert [firing.price for firing in book.on_quote(QuoteTick("AAPL", NOW, 99.5, 100.5, 1, 1))] == [100.0]


def test_a_symbol_without_triggers_costs_the_book_nothing() -> None:
    book = book_of(Above(100))
    assert book.on_trade(trade(500.0, "MSFT")) == []
    assert set(book._trades) == {"AAPL"}


def test_a_second_print_near_the_first_confirms_it() -> None:
    assert fired(book_of(Below(60)), 100.0, 50.0, 100.0, 50.0, 51.0) == [51.0]


def test_once_fires_once() -> None:
    assert fired(book_of(Above(100)), 99.0, 100.0, 99.0, 101.0) == [100.0]


def test_one_that_rearms_waits_until_the_price_is_back_beyond_the_hysteresis() -> None:
    book = book_of(Above(100), mode="rearm", hysteresis=1.0)
    assert fired(book, 99.9, 100.0, 99.5, 100.1, 98.9, 100.2) == [100.0, 100.2]


def test_a_crossing_needs_the_other_side_first() -> None:
    assert fired(book_of(Crossing(100, "up"), mode="rearm"), 101.0, 99.0, 100.0, 101.0, 99.0, 102.0) == [100.0, 102.0]


def test_a_trailing_stop_follows_the_highest_price() -> None:
    assert fired(book_of(Trailing(percent=5)), 100.0, 104.0, 108.0, 103.0, 102.6) == [102.6]
    assert fired(book_of(Trailing(dollars=5)), 100.0, 104.0, 108.0, 103.01, 103.0) == [103.0]


def test_it_fires_at_the_end_of_the_cooldown_when_it_holds_then() -> None:
    book = book_of(Above(100), mode="rearm", cooldown=5)
    assert fired(book, 100.0, 99.0, 101.0) == [100.0]
    assert book.on_time(NOW + 4 * SECOND) == []
    assert [firing.number for firing in book.on_time(NOW + 5 * SECOND)] == [2]


def test_an_old_tick_does_not_fire_and_the_next_fresh_one_does() -> None:
    book = book_of(Above(100), max_age=2)
    assert book.on_trade(trade(101.0, at=NOW - 3 * SECOND)) == []
    assert fired(book, 101.0) == [101.0]


def test_an_expired_trigger_does_not_fire() -> None:
    book = book_of(Above(100), expires=NOW + SECOND)
    book.on_time(NOW + SECOND)
    assert fired(book, 101.0) == []


def test_five_minutes_before_the_close_come_without_a_tick() -> None:
    book = book_of(SessionTime(before_close=5))
    book.on_session(NOW, NOW + 600 * SECOND)
    assert book.on_time(NOW + 299 * SECOND) == []
    assert [firing.at for firing in book.on_time(NOW + 300 * SECOND)] == [NOW + 300 * SECOND]


def test_a_trigger_is_added_replaced_and_removed_while_the_book_runs() -> None:
    book = book_of(Above(100), mode="rearm")
    assert fired(book, 99.0, 100.0) == [100.0]
    book.replace(rule(Above(103)))
    assert [firing.number for firing in book.on_trade(trade(103.0))] == [2]
    assert book.remove(ONE).fired == 2
    assert fired(book, 99.0, 104.0) == []
    with pytest.raises(NotFound, match="not in the book"):
        book.remove(ONE)


def test_an_id_is_taken_once() -> None:
    with pytest.raises(BadInput, match="replace it"):
        book_of(Above(100)).add(rule(Above(101)))


def test_a_firing_has_the_same_name_whenever_it_is_found_and_none_is_found_twice_after_a_restart() -> None:
    book = book_of(Above(100), mode="rearm")
    book.on_trade(trade(99.0))
    kept = book.dump()
    again = restored(list(book), kept)
    ids = [[firing.id for price in (100.0, 101.0) for firing in each.on_trade(trade(price))] for each in (book, again)]
    assert ids == [[firing_id(ONE, 1)], [firing_id(ONE, 1)]]
    assert fired(restored(list(book), book.dump()), 101.0) == []


def test_firings_of_one_tick_come_in_the_order_of_their_ids() -> None:
    book = TriggerBook(NOW)
    for n in (3, 1, 2):
        book.add(Trigger(uuid.UUID(int=n), "AAPL", Above(90 + n), Alert()))
    found: list[Firing] = book.on_trade(trade(100.0))
    assert [firing.trigger.id.int for firing in found] == [1, 2, 3]


def test_levels_orders_and_marks_rescale_on_a_split() -> None:
    split = Split("AAPL", dt.date(2014, 6, 9), Fraction(7))
    order = OrderTemplate("sell", quantity=10.0, order_type="limit", limit_offset=-1.75)
    both = AllOf((Above(700), Trailing(dollars=7), Spread("IBM", 7.0, "ratio")))
    found = Trigger(ONE, "AAPL", both, order).rescaled(split)
    assert found.condition == AllOf((Above(100), Trailing(dollars=1), Spread("IBM", 1.0, "ratio")))
    assert found.action == OrderTemplate("sell", quantity=70.0, order_type="limit", limit_offset=-0.25)
    assert rule(Above(100)).rescaled(Split("IBM", split.session, split.ratio)) == rule(Above(100))


def test_a_difference_of_two_symbols_has_no_meaning_across_a_split() -> None:
    with pytest.raises(BadInput, match="replace the trigger"):
        rule(Spread("IBM", 7.0)).rescaled(Split("IBM", dt.date(2014, 6, 9), Fraction(2)))


def test_a_book_after_a_split_goes_on_with_the_same_marks_and_no_print_is_held_back() -> None:
    book = book_of(Trailing(percent=5))
    fired(book, 690.0, 700.0)
    after = book.rescaled([Split("AAPL", dt.date(2014, 6, 9), Fraction(7))])
    assert after.latch(ONE) == Latch(memory=[100.0])
    assert fired(after, 96.0, 95.0) == [95.0]
    assert not after.refused


def test_the_band_is_about_the_last_price_also_where_no_trigger_had_to_look_at_it() -> None:
    book = book_of(Above(200))
    fired(book, 100.0, 104.0, 108.0, 95.0)
    assert book.refused == {"held_back": 1}
