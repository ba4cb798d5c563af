"""What follows from each event, for orders in each state."""

from __future__ import annotations

import uuid
from dataclasses import replace
from decimal import Decimal

import pytest

from quaestor.engine import (
    OUTDONE,
    TOGETHER,
    Act,
    Adopt,
    AskAgain,
    Due,
    Engine,
    Listed,
    Lost,
    News,
    Send,
    Step,
    Stopped,
    TakeBack,
    grouped,
)
from quaestor.orders import Intent, State
from quaestor.ports import StoredOrder
from tests.stored import DAY, by_hand, entry, leave, stored, update

D = Decimal
PLANNED, SUBMITTING, UNKNOWN, UNSENT = State.PLANNED, State.SUBMITTING, State.UNKNOWN, State.EXPIRED_UNSENT
ACKED, PARTLY, FILLED, CANCELED = State.ACKED, State.PARTIALLY_FILLED, State.FILLED, State.CANCELED
CANCELING, REPLACING, REJECTED = State.PENDING_CANCEL, State.PENDING_REPLACE, State.REJECTED


def moves(acts: list[Act]) -> list[tuple[Intent, State]]:
    return [(act.order.intent, act.transition.state) for act in acts if isinstance(act, Step)]


def sent(acts: list[Act]) -> list[list[Intent]]:
    return [[order.intent for order in act.orders] for act in acts if isinstance(act, Send)]


def taken_back(acts: list[Act]) -> list[Intent]:
    return [act.order.intent for act in acts if isinstance(act, TakeBack)]


def test_no_engine_knows_every_event() -> None:
    with pytest.raises(TypeError, match="No engine knows of str"):
        Engine().on("rain")  # type: ignore[arg-type]


# ── due ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_planned_goes_out_exits_first_in_one_group_at_a_time() -> None:
    buy, sell = entry("AAPL"), leave("IBM")
    engine = Engine([stored(buy), stored(sell)])
    assert engine.on(Due()) == [Send((stored(sell),))], "an entry keeps no exit waiting, however they were planned"
    engine.know([stored(sell, ACKED)])
    assert sent(engine.on(Due())) == [[buy]]
    engine.know([stored(buy, ACKED)])
    assert engine.on(Due()) == []


@pytest.mark.parametrize("state", [state for state in State if state is not PLANNED])
def test_nothing_but_a_planned_order_is_due(state: State) -> None:
    assert Engine([stored(entry(), state)]).on(Due()) == []


def test_an_order_whose_band_is_over_ends_with_the_reason_and_the_others_go() -> None:
    late, good = stored(entry("AAPL")), stored(entry("IBM"))
    step, send = Engine([late, good]).on(Due({late.ref_id: "its session was over"}))
    assert isinstance(step, Step)
    assert (step.order, step.transition.state) == (late, UNSENT)
    assert step.transition.reason == "its session was over before it could be sent"
    assert send == Send((good,))


@pytest.mark.parametrize("state", [SUBMITTING, UNKNOWN])
@pytest.mark.parametrize(
    ("unclear", "due", "goes"),
    [
        pytest.param(entry("AAPL", "first"), entry(), False, id="an entry waits for an entry"),
        pytest.param(leave("AAPL", "first"), entry(), False, id="an entry waits for an exit"),
        pytest.param(leave("AAPL", "first"), leave(), False, id="an exit waits for an exit"),
        pytest.param(entry("AAPL", "first"), leave(), True, id="an exit waits for no entry"),
        pytest.param(entry("IBM", "first"), entry(), True, id="another symbol keeps nothing waiting"),
        pytest.param(leave("IBM", "first"), leave(), True, id="nor its exits"),
    ],
)
def test_what_is_unclear_keeps_its_symbol_waiting(state: State, unclear: Intent, due: Intent, goes: bool) -> None:
    assert sent(Engine([stored(unclear, state), stored(due)]).on(Due())) == ([[due]] if goes else [])


def test_an_order_is_not_sent_once_the_other_one_of_its_pair_has_filled() -> None:
    stop, limit = leave(cause="stop", oco="p"), leave(cause="limit", oco="p")
    acts = Engine([stored(stop, PARTLY, 4), stored(limit)]).on(Due())
    assert acts == [TakeBack(stored(limit), OUTDONE)]


def test_groups_hold_no_symbol_twice_no_exits_beside_entries_and_not_too_many() -> None:
    many = [stored(entry(f"S{n}")) for n in range(TOGETHER + 1)]
    assert [len(group) for group in grouped(many)] == [TOGETHER, 1]
    mixed = [
        stored(leave("A")),
        stored(leave("B")),
        stored(leave("A", "again")),
        stored(entry("C")),
        stored(entry("A")),
    ]
    assert [[order.intent.symbol for order in group] for group in grouped(mixed)] == [["A", "B"], ["A"], ["C", "A"]]
    assert grouped([]) == []


# ── a halt ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", list(State))
def test_a_halt_takes_back_entries_that_are_planned_or_working_and_no_exit(state: State) -> None:
    acts = Engine([stored(entry(), state), stored(leave("IBM"), state)]).on(Stopped("halt"))
    expected = [entry()] if state in {PLANNED, ACKED, PARTLY, REPLACING} else []
    assert taken_back(acts) == expected, (
        "what is unclear is resolved first; what is being canceled is asked for already"
    )
    assert all(isinstance(act, TakeBack) and act.cause == "halt" for act in acts)


# ── news ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("known", "told", "moved"),
    [
        pytest.param(ACKED, FILLED, True, id="a further state"),
        pytest.param(FILLED, ACKED, False, id="an older one"),
        pytest.param(ACKED, ACKED, False, id="the same"),
        pytest.param(SUBMITTING, ACKED, True, id="the answer that was lost"),
        pytest.param(UNSENT, ACKED, True, id="given up, and yet there"),
        pytest.param(PLANNED, ACKED, True, id="books older than the broker's"),
        pytest.param(REJECTED, ACKED, False, id="refused, and yet there: a reconciliation adopts it, no news"),
        pytest.param(CANCELING, CANCELED, True, id="the cancel that we asked for"),
        pytest.param(ACKED, CANCELING, False, id="a state that no broker speaks of"),
    ],
)
def test_news_move_an_order_that_they_tell_something_new_of(known: State, told: State, moved: bool) -> None:
    acts = Engine([stored(entry(), known)]).on(News([update(entry(), told)]))
    assert moves(acts) == ([(entry(), told)] if moved else [])


@pytest.mark.parametrize("states", [(FILLED, ACKED), (ACKED, FILLED), (FILLED, FILLED), (ACKED, FILLED, PARTLY)])
def test_a_list_that_tells_an_order_twice_moves_it_once_to_the_further_state(states: tuple[State, ...]) -> None:
    acts = Engine([stored(entry(), SUBMITTING)]).on(News([update(entry(), state) for state in states]))
    assert moves(acts) == [(entry(), FILLED)]


def test_what_is_told_without_our_name_is_known_by_the_brokers() -> None:
    known = stored(entry(), ACKED)
    nameless = replace(update(entry(), FILLED, 10), ref_id=None)
    assert moves(Engine([known]).on(News([nameless]))) == [(entry(), FILLED)]


def test_orders_placed_by_hand_are_adopted_those_of_lost_books_are_not() -> None:
    app = by_hand("B-2", ref_id=uuid.uuid4())
    lost = by_hand("B-3", ref_id=entry("IBM").ref_id)
    assert Engine().on(News([by_hand("B-1"), by_hand("B-1"), app, lost])) == [Adopt(by_hand("B-1")), Adopt(app)]


# ── pairs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

STOP, LIMIT = leave(cause="stop", oco="p"), leave(cause="limit", oco="p")


@pytest.mark.parametrize("told", [PARTLY, FILLED])
@pytest.mark.parametrize(
    ("state", "ended"),
    [(PLANNED, True), (ACKED, True), (PARTLY, True), (REPLACING, True), (CANCELING, False), (UNKNOWN, False)],
)
def test_of_a_pair_one_that_fills_ends_the_other(told: State, state: State, ended: bool) -> None:
    engine = Engine([stored(STOP, ACKED), stored(LIMIT, state)])
    acts = engine.on(News([update(STOP, told, 4)]))
    assert moves(acts) == [(STOP, told)]
    assert taken_back(acts) == ([LIMIT] if ended else [])


def test_the_other_one_ends_also_where_its_end_was_lost_with_the_process_or_it_was_unclear_then() -> None:
    engine = Engine([stored(STOP, FILLED, 10), stored(LIMIT, ACKED)])
    assert taken_back(engine.on(News([]))) == [LIMIT]


def test_a_sibling_that_is_found_working_by_the_same_news_ends_too() -> None:
    acts = Engine([stored(STOP, ACKED), stored(LIMIT, UNKNOWN)]).on(
        News([update(STOP, FILLED, 10), update(LIMIT, ACKED)])
    )
    (back,) = (act for act in acts if isinstance(act, TakeBack))
    assert (back.order.intent, back.order.state, back.order.broker_id) == (LIMIT, ACKED, f"B-{LIMIT.ref_id}")


def test_an_order_that_is_canceled_ends_no_other() -> None:
    engine = Engine([stored(STOP, CANCELING), stored(LIMIT, ACKED)])
    assert taken_back(engine.on(News([update(STOP, CANCELED)]))) == []


def test_what_goes_on_for_a_replaced_order_is_not_its_sibling() -> None:
    old = stored(STOP, CANCELED, 4)
    rest = stored(replace(STOP, leg=1, replaces=old.ref_id, quantity=D(6)))
    engine = Engine([old, rest, stored(LIMIT, ACKED)])
    assert taken_back(engine.on(News([]))) == [LIMIT]
    assert sent(engine.on(Due())) == [[rest.intent]]


def test_a_pair_of_another_session_with_the_same_name_is_another_pair() -> None:
    yesterday = replace(STOP, session=DAY.replace(day=3))
    assert Engine([stored(yesterday, FILLED, 10), stored(LIMIT, ACKED)]).on(News([])) == []


def test_both_that_filled_are_taken_back_rather_than_sold_twice() -> None:
    known = [stored(STOP, ACKED), stored(LIMIT, ACKED)]
    acts = Engine(known).on(News([update(STOP, PARTLY, 4), update(LIMIT, PARTLY, 5)]))
    assert taken_back(acts) == [STOP, LIMIT]


# ── doubt ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_older_writers_left_in_flight_is_in_doubt_and_their_cancels_are_asked_again() -> None:
    old, ours = stored(entry("A"), SUBMITTING, epoch=1), stored(entry("B"), SUBMITTING, epoch=2)
    canceling, replacing = stored(entry("C"), CANCELING), stored(leave("D"), REPLACING)
    acts = Engine([old, ours, canceling, replacing]).on(Lost(2))
    assert acts[:2] == [AskAgain(canceling), AskAgain(replacing)]
    assert moves(acts) == [(old.intent, UNKNOWN)], "our own call is still to end"


def test_a_doubted_order_is_what_the_broker_lists_or_goes_again_or_ends_with_the_proof() -> None:
    there, again, late = (stored(entry(symbol), UNKNOWN) for symbol in ("A", "B", "C"))
    listing = [update(entry("A"), PARTLY, 3)]
    acts = Engine([there, again, late, stored(entry("D"), ACKED)]).on(
        Listed([[], listing], {late.ref_id: "its session was over"})
    )
    assert moves(acts) == [(there.intent, PARTLY), (late.intent, UNSENT)]
    assert sent(acts) == [[again.intent]], "one at a time: each is its own question"
    (proof,) = (act.transition for act in acts if isinstance(act, Step) and act.order == late)
    assert proof.reason == "not among the broker's orders, and its session was over"
    assert proof.detail == {"listings": 2, "orders_listed": [0, 1]}


def test_a_doubted_order_that_never_arrived_does_not_go_again_once_its_pair_has_filled() -> None:
    engine = Engine([stored(STOP, FILLED, 10), stored(LIMIT, UNKNOWN)])
    (step,) = engine.on(Listed([[], []], {}))
    assert isinstance(step, Step)
    assert (step.transition.state, step.transition.reason) == (
        UNSENT,
        "not among the broker's orders, and its pair filled",
    )


def test_an_act_that_was_lost_is_found_again() -> None:
    engine = Engine([stored(entry())])
    assert engine.on(Due()) == engine.on(Due()) == [Send((stored(entry()),))]
    assert isinstance(engine.orders[entry().ref_id], StoredOrder)
