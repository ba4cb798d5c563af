"""News of an order may come late, twice and in any order: the order ends in the same standing.

And whatever we do in between (doubt, send again, ask to cancel or to replace, hear a no to that) changes no end.
"""

from __future__ import annotations

from decimal import Decimal
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from quaestor.lifecycle import PENDING, RANK, TOLD, Standing, commanded, told
from quaestor.orders import State

D = Decimal
SHARES = 100

standings = st.builds(
    lambda state, filled: Standing(state, D(filled), D(filled + 1) / 7 if filled else None),
    st.sampled_from(sorted(TOLD)),
    st.integers(0, SHARES),
)
known = st.builds(Standing, st.sampled_from(list(State)), st.integers(0, SHARES).map(D))


@st.composite
def lives(draw: st.DrawFn) -> list[Standing]:
    """What happened to an order at the broker, in order: the last piece is its end."""
    steps = sorted(draw(st.sets(st.integers(1, SHARES - 1), max_size=4)))
    parts = [Standing(State.PARTIALLY_FILLED, D(filled), D(100 + filled) / 7) for filled in steps]
    ends = [State.FILLED, State.CANCELED, State.EXPIRED, *([] if parts else [State.REJECTED])]
    end = draw(st.sampled_from(ends))
    if end is State.FILLED:
        return [Standing(State.ACKED), *parts, Standing(end, D(SHARES), D(42))]
    last = parts[-1] if parts else Standing(end)
    return [Standing(State.ACKED), *parts, Standing(end, last.filled, last.average_price)]


@st.composite
def rumours(draw: st.DrawFn) -> tuple[list[Standing], list[Standing]]:
    """A life, and its news as they arrive: some lost, some twice, in any order, but the end arrives some time."""
    life = draw(lives())
    heard = [news for news in life[:-1] for _ in range(draw(st.integers(0, 3)))]
    return life, draw(st.permutations([*heard, *life[-1:] * draw(st.integers(1, 2))]))


@given(rumours(), st.sampled_from([State.SUBMITTING, State.UNKNOWN, State.ACKED, State.PENDING_CANCEL]))
def test_all_ways_of_hearing_of_an_order_end_in_the_same_standing(
    both: tuple[list[Standing], list[Standing]], first: State
) -> None:
    life, heard = both
    assert reduce(told, heard, Standing(first)) == life[-1]


@given(known, standings, standings, standings)
def test_news_join_in_any_grouping_and_any_order(first: Standing, a: Standing, b: Standing, c: Standing) -> None:
    ways = [(a, b, c), (c, b, a), (b, a, c), (a, a, b, c, c, b)]
    ends = {(end.state, end.filled) for end in (reduce(told, way, first) for way in ways)}
    assert len(ends) == 1


@given(known, st.lists(standings, max_size=6))
def test_what_is_known_never_goes_back(first: Standing, heard: list[Standing]) -> None:
    for news in heard:
        after = told(first, news)
        assert after.filled >= first.filled
        assert RANK[after.state] >= RANK[first.state]
        assert told(after, news) == after, "the same news again tells nothing"
        first = after


@given(rumours(), st.data())
def test_whatever_we_do_meanwhile_changes_no_end(
    both: tuple[list[Standing], list[Standing]], data: st.DataObject
) -> None:
    life, heard = both
    ours = [State.UNKNOWN, State.SUBMITTING, State.EXPIRED_UNSENT, *PENDING, State.ACKED, State.PARTIALLY_FILLED]
    standing = Standing(State.SUBMITTING)
    for news in heard:
        for step in data.draw(st.lists(st.sampled_from(ours), max_size=3)):
            standing = commanded(standing, step)
        standing = told(standing, news)
    assert standing == life[-1]


@given(known, st.sampled_from(list(State)))
def test_a_command_changes_no_share_and_touches_nothing_that_ended(first: Standing, step: State) -> None:
    after = commanded(first, step)
    assert (after.filled, after.average_price) == (first.filled, first.average_price)
    assert not (first.state.final and after != first)
