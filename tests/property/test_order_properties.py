"""News of an order may come late, twice and in any order: the order ends in the same state.

`told` is what the book store does with one piece of news; tests/integration/test_books.py holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from quaestor.orders import State, moves

D = Decimal
SHARES, ZERO = 100, D(0)


@dataclass(frozen=True)
class News:
    """A state, shares filled by then, and their average price in dollars."""

    state: State
    filled: Decimal = ZERO
    average: Decimal | None = None


def told(known: News, news: News) -> News:
    if not moves(known.state, known.filled, news.state, news.filled):
        return known
    average = news.average if news.average is not None else known.average
    return News(news.state, max(known.filled, news.filled), average)


@st.composite
def lives(draw: st.DrawFn) -> list[News]:
    """What happened to an order at the broker, in order: the last piece is its end."""
    steps = sorted(draw(st.sets(st.integers(1, SHARES - 1), max_size=4)))
    parts = [News(State.PARTIALLY_FILLED, D(filled), D(100 + filled) / 7) for filled in steps]
    ends = [State.FILLED, State.CANCELED, State.EXPIRED, *([] if parts else [State.REJECTED])]
    end = draw(st.sampled_from(ends))
    filled = D(SHARES) if end is State.FILLED else D(steps[-1]) if steps else D(0)
    average = D(42) if filled else None
    return [News(State.ACKED), *parts, News(end, filled, average)]


@st.composite
def rumours(draw: st.DrawFn) -> tuple[list[News], list[News]]:
    """A life, and its news as they arrive: some lost, some twice, in any order, but the end arrives some time."""
    life = draw(lives())
    heard = [news for news in life[:-1] for _ in range(draw(st.integers(0, 3)))]
    return life, draw(st.permutations([*heard, *life[-1:] * draw(st.integers(1, 2))]))


@given(rumours(), st.sampled_from([State.SUBMITTING, State.UNKNOWN, State.ACKED]))
def test_all_ways_of_hearing_of_an_order_end_in_the_same_state(
    both: tuple[list[News], list[News]], first: State
) -> None:
    life, heard = both
    known = News(first)
    for news in heard:
        known = told(known, news)
    assert known == life[-1]


@given(rumours())
def test_what_is_known_never_goes_back(both: tuple[list[News], list[News]]) -> None:
    known = News(State.SUBMITTING)
    for news in both[1]:
        after = told(known, news)
        assert after.filled >= known.filled
        assert not (known.state.final and after != known)
        known = after


@given(rumours())
def test_the_same_news_again_moves_nothing(both: tuple[list[News], list[News]]) -> None:
    known = News(State.SUBMITTING)
    for news in both[1]:
        known = told(known, news)
        assert told(known, news) == known


@given(rumours(), st.data())
def test_a_recovery_that_doubts_in_between_changes_nothing(
    both: tuple[list[News], list[News]], data: st.DataObject
) -> None:
    life, heard = both
    doubts = [News(State.UNKNOWN), News(State.SUBMITTING)]
    known = News(State.SUBMITTING)
    for news in heard:
        for doubt in data.draw(st.lists(st.sampled_from(doubts), max_size=3)):
            known = told(known, doubt)
        known = told(known, news)
    assert known == life[-1]
