from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from quaestor.devlog import Evidence, Story
from quaestor.devlog.watch import MOST, watch
from quaestor.orders import State
from quaestor.ports import Latch, Reconciliation

D = Decimal


def first_order(evidence: Evidence, **changes: object) -> Evidence:
    return replace(evidence, orders=(replace(evidence.orders[0], **changes), *evidence.orders[1:]))  # type: ignore[arg-type]


def refused(evidence: Evidence, times: int) -> Evidence:
    return replace(evidence, refusals=evidence.refusals * times)


def last_close(evidence: Evidence, **changes: object) -> Evidence:
    *earlier, last = evidence.closes
    return replace(evidence, closes=(*earlier, replace(last, **changes)))  # type: ignore[arg-type]


def poorer(evidence: Evidence) -> Evidence:
    """The last close half as high, its shares worth nothing less: the cash is gone."""
    last = evidence.closes[-1]
    return last_close(evidence, equity=replace(last.equity, cash=D(5000), realized=last.equity.realized - D("4779.90")))


CASES: list[object] = [
    pytest.param(lambda e: e, [], id="a clean range asks for nothing"),
    pytest.param(
        lambda e: replace(e, latches=(Latch("halt", "hand on the switch", dt.datetime(2012, 1, 5, tzinfo=dt.UTC)),)),
        ["**Entries are stopped** by the latch `halt`: hand on the switch"],
        id="an open latch",
    ),
    pytest.param(
        lambda e: replace(e, reconciliation=None),
        ["Books and broker were not compared since this range began: run the `reconcile` flow."],
        id="no comparison with the broker",
    ),
    pytest.param(
        lambda e: replace(
            e,
            reconciliation=Reconciliation(
                None, [{"subject": "cash", "key": "USD", "ours": "1", "theirs": "2", "cure": "Find the fee."}], {}
            ),
        ),
        ["**Books and broker differ** in one point; the first is cash USD: ours 1, theirs 2. Find the fee."],
        id="a difference",
    ),
    pytest.param(
        lambda e: first_order(e, state=State.UNKNOWN),
        ["The fate of the order to buy 10 `AAPL` on 2012-01-03 is unknown (`quaestor why 000000a1`)."],
        id="an UNKNOWN order",
    ),
    pytest.param(
        lambda e: first_order(e, state=State.ACKED),
        ["One order is still open; ask `quaestor why 000000a1` about the first."],
        id="an order at work",
    ),
    pytest.param(
        lambda e: first_order(e, state=State.REJECTED, filled=D(0), reason="no buying power"),
        ["The order to buy 10 `AAPL` of 2012-01-03 was rejected: no buying power (`quaestor why 000000a1`)."],
        id="a rejected order",
    ),
    pytest.param(
        lambda e: refused(e, 2),
        ["The rule `cash` refused two orders, 40.00% of all decisions: is its limit meant so?"],
        id="a rule that refuses often",
    ),
    pytest.param(lambda e: refused(e, 1), [], id="a single refusal is no pattern"),
    pytest.param(
        lambda e: replace(e, runs=(replace(e.runs[0], commit="c0ffee+changes"),)),
        [
            "Three sessions were decided by code that no commit names: commit it, so that it can be found again.",
        ],
        id="uncommitted code",
    ),
    pytest.param(
        lambda e: replace(e, signals=(*e.signals, replace(e.signals[0], strategy="quiet"))),
        ["`quiet` gave signals, and no order came of them: are they configured to trade?"],
        id="signals that nobody trades",
    ),
]


@pytest.mark.parametrize(("change", "expected"), CASES)
def test_each_rule_speaks_when_its_threshold_is_crossed_and_not_before(
    evidence: Evidence, change: Callable[[Evidence], Evidence], expected: list[str]
) -> None:
    assert watch(Story(change(evidence))) == expected


def test_a_deep_fall_of_the_account_is_named(evidence: Evidence) -> None:
    assert "The account ended 47.50% below its highest close of the range." in watch(Story(poorer(evidence)))


def test_a_strategy_far_below_its_best_is_named_with_the_session_of_its_best(evidence: Evidence) -> None:
    first, second, third = evidence.closes
    high = replace(first, holdings=(replace(first.holdings[0], price=D(150)),))
    told = watch(Story(replace(evidence, closes=(high, second, third))))
    assert "`trend` stands $470.10 below its best of 2012-01-03." in told


def test_a_strategy_that_only_lost_is_measured_from_where_it_began(evidence: Evidence) -> None:
    first, _, third = evidence.closes
    low = replace(third, holdings=(replace(third.holdings[0], price=D(1)),))
    assert "`value` stands $245.00 below where it began." in watch(Story(replace(evidence, closes=(first, low))))


def test_a_heavy_position_is_named(evidence: Evidence) -> None:
    heavy = replace(evidence.closes[-1].holdings[0], price=D(1200))
    assert "`IBM` is 59.79% of the account." in watch(Story(last_close(evidence, holdings=(heavy,))))


def test_an_order_that_came_to_nothing_long_ago_is_history(evidence: Evidence) -> None:
    gone = first_order(evidence, state=State.EXPIRED, filled=D(0))
    later = [
        replace(c, equity=replace(c.equity, session=dt.date(2012, 1, 9 + n)))
        for n, c in enumerate([gone.closes[-1]] * 5)
    ]
    assert watch(Story(replace(gone, end=dt.date(2012, 1, 13), closes=(*gone.closes, *later)))) == []


def test_the_list_is_short_enough_to_be_read(evidence: Evidence) -> None:
    rejected = [
        replace(evidence.orders[0], ref_id=uuid.UUID(int=n), state=State.REJECTED, filled=D(0)) for n in range(50)
    ]
    assert len(watch(Story(replace(evidence, orders=tuple(rejected))))) == MOST
