"""The line before the broker's door: never above its rate, the more urgent first, and nobody waits for ever."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaestor.queueing import PASSED, Priority, Queue

CANCEL, EXIT, ENTRY, READ = Priority
COMINGS = st.lists(st.tuples(st.floats(0, 10), st.sampled_from(Priority)), min_size=1, max_size=60)
RATES = st.sampled_from([0.5, 1.0, 2.0, 7.0])
SPACINGS = st.sampled_from([0.0, 0.5, 2.5])


def play(queue: Queue, comings: list[tuple[float, Priority]]) -> list[tuple[float, Priority, float]]:
    """When each was let in, what it was, and since when it had waited; on a clock of our own."""
    coming, now, came = sorted(comings), 0.0, {}
    let_in: list[tuple[float, Priority, float]] = []
    while coming or queue.waiting:
        while coming and coming[0][0] <= now:
            at, priority = coming.pop(0)
            came[queue.ask(priority, now)] = (at, priority)
        ticket, wait = queue.next(now)
        if ticket is not None:
            at, priority = came[ticket]
            let_in.append((now, priority, at))
            continue
        now = min(now + wait, coming[0][0]) if coming else now + wait
    return let_in


@given(COMINGS, RATES, SPACINGS)
def test_no_window_sees_more_than_the_rate_and_no_two_orders_come_too_close(
    comings: list[tuple[float, Priority]], rate: float, spacing: float
) -> None:
    let_in = play(Queue(rate, spacing), comings)
    assert len(let_in) == len(comings)
    burst, times = max(1, int(rate)), [at for at, _, _ in let_in]
    for n, start in enumerate(times):
        for count, end in enumerate(times[n:], 1):
            assert count <= burst + rate * (end - start) + 1e-6
    orders = [at for at, priority, _ in let_in if priority.orders]
    assert all(later - earlier >= spacing - 1e-6 for earlier, later in itertools.pairwise(orders))


@given(st.lists(st.sampled_from(Priority), min_size=1, max_size=PASSED))
def test_of_those_who_wait_the_more_urgent_goes_first_and_of_equals_who_came_first(waiting: list[Priority]) -> None:
    queue = Queue()
    tickets = {queue.ask(priority, 0.0): priority for priority in waiting}
    order = [queue.next(0.0)[0] for _ in waiting]
    assert order == sorted(tickets, key=lambda ticket: (tickets[ticket], ticket))


@given(COMINGS, RATES)
def test_a_read_that_waits_is_passed_by_so_many_and_no_more(comings: list[tuple[float, Priority]], rate: float) -> None:
    queue = Queue(rate)
    read = queue.ask(READ, 0.0)
    passed, now = 0, 0.0
    while True:
        queue.ask(CANCEL, now)  # somebody more urgent, for ever
        ticket, wait = queue.next(now)
        if ticket == read:
            break
        passed += ticket is not None
        now += wait
    assert passed == PASSED


def test_who_lacks_an_orders_token_is_passed_over_by_who_needs_none() -> None:
    queue = Queue(None, spacing=2.5)
    for priority in (ENTRY, ENTRY, READ):
        queue.ask(priority, 0.0)
    assert [queue.next(0.0)[0], queue.next(0.0)[0], queue.next(0.0)] == [1, 3, (None, pytest.approx(2.5))]
    assert queue.next(2.5) == (2, 0.0)


@pytest.mark.parametrize(
    ("held", "free"),
    [
        pytest.param(READ, {CANCEL, EXIT, ENTRY}, id="too many reads"),
        pytest.param(ENTRY, {CANCEL, READ}, id="too many orders: an exit is an order"),
        pytest.param(CANCEL, {EXIT, ENTRY, READ}, id="too many cancels"),
    ],
)
def test_what_the_broker_holds_back_waits_and_the_rest_goes_on(held: Priority, free: set[Priority]) -> None:
    queue = Queue()
    tickets = {queue.ask(priority, 0.0): priority for priority in Priority}
    queue.hold(held, 15.0)
    going = [queue.next(1.0)[0] for _ in free]
    assert {tickets[ticket] for ticket in going if ticket} == free
    assert queue.next(1.0) == (None, 14.0)
    assert (queue.held(held, 1.0), queue.held(held, 20.0)) == (14.0, 0.0)


def test_who_leaves_is_not_let_in() -> None:
    queue = Queue()
    queue.leave(queue.ask(CANCEL, 0.0))
    assert queue.next(0.0) == (None, float("inf"))
