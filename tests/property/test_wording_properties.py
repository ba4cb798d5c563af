"""A trigger's words read back as the same trigger, whatever it is; and no words at all make a reader stumble."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from quaestor.triggers import (
    Above,
    Alert,
    AllOf,
    AnyOf,
    Below,
    Crossing,
    Drawdown,
    Flatten,
    Halt,
    Moved,
    OrderTemplate,
    RunDeployment,
    SessionTime,
    Spread,
    Trailing,
    Trigger,
    VolatilitySpike,
    VolumeSpike,
    read_trigger,
)
from quaestor.triggers.telling import told
from quaestor.triggers.tokens import BadWording
from quaestor.triggers.trigger import PRICES
from quaestor.triggers.wording import read_do, read_sentence, read_when, sentence, write_do, write_when

ID = uuid.UUID(int=7)
numbers = st.one_of(st.integers(1, 10**6), st.floats(1e-9, 1e12, exclude_min=True), st.sampled_from([0.1, 1e-7, 1e16]))
parts = st.floats(0, 100, exclude_min=True, exclude_max=True)
any_number = st.one_of(st.integers(-1000, 1000), st.floats(-1e9, 1e9))
seconds = st.one_of(st.integers(1, 10**6), st.sampled_from([60, 3600, 90, 86_400]))
symbols = st.from_regex(r"\A[A-Z][A-Z0-9.\-]{0,9}\Z")
texts = st.text(max_size=30)
leaves = st.one_of(
    st.builds(Above, numbers),
    st.builds(Below, numbers),
    st.builds(Crossing, numbers, st.sampled_from(["up", "down", "either"])),
    st.builds(Moved, st.one_of(numbers, parts.map(lambda p: -p)), st.sampled_from(["open", "entry"])),
    st.builds(Moved, st.one_of(numbers, parts.map(lambda p: -p)), reference=numbers),
    st.builds(Trailing, percent=parts),
    st.builds(Trailing, dollars=numbers),
    st.builds(SessionTime, after_open=st.one_of(st.just(0), numbers)),
    st.builds(SessionTime, before_close=st.one_of(st.just(0), numbers)),
    st.builds(VolumeSpike, numbers, seconds, st.integers(1, 100)),
    st.builds(VolatilitySpike, numbers, seconds),
    st.builds(Spread, symbols, any_number, st.just("difference"), st.sampled_from(["above", "below"])),
    st.builds(Spread, symbols, numbers, st.just("ratio"), st.sampled_from(["above", "below"])),
    st.builds(Drawdown, parts),
)
conditions = st.recursive(
    leaves,
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(tuple).flatmap(
        lambda each: st.sampled_from([AllOf(each), AnyOf(each)])
    ),
    max_leaves=7,
)  # fmt: skip
sizes = st.one_of(
    st.fixed_dictionaries({"quantity": numbers}),
    st.fixed_dictionaries({"fraction": st.one_of(st.just(1), st.floats(0, 1, exclude_min=True))}),
)


def order(side: str, size: dict[str, Any], kind: str, offsets: tuple[float, float]) -> OrderTemplate:
    named = {"limit_offset": offsets[0]} if "limit" in kind else {}
    named |= {"stop_offset": offsets[1]} if "stop" in kind else {}
    return OrderTemplate(side, order_type=kind, **size, **named)  # type: ignore[arg-type]


kinds = st.sampled_from(["market", "limit", "stop", "stop_limit"])
actions = st.one_of(
    st.builds(order, st.sampled_from(["buy", "sell"]), sizes, kinds, st.tuples(any_number, any_number)),
    st.builds(Flatten, st.booleans()),
    st.builds(Alert, texts),
    st.builds(RunDeployment, st.one_of(st.just("report/evening"), st.text(min_size=1, max_size=20))),
    st.builds(Halt, texts),
)
triggers = st.builds(
    Trigger,
    st.just(ID),
    symbols,
    conditions,
    actions,
    mode=st.sampled_from(["once", "rearm"]),
    price=st.sampled_from(PRICES),
    hysteresis=st.one_of(st.just(0), parts),
    cooldown=st.one_of(st.just(0), numbers),
    expires=st.one_of(st.none(), st.integers(1, 2**62), st.integers(10**18, 2 * 10**18), st.just(10**24)),
    max_age=numbers,
    band=parts,
)


@given(triggers)
def test_a_trigger_is_what_its_sentence_says(trigger: Trigger) -> None:
    words = sentence(trigger)
    assert read_sentence(words, ID) == trigger
    assert sentence(read_sentence(words, ID)) == words
    assert read_trigger(trigger.as_dict()) == read_sentence(words, ID)
    assert read_when(write_when(trigger.condition)) == trigger.condition
    assert read_do(write_do(trigger.action)) == trigger.action
    assert told(trigger)


SOME = """
price above trailing stop volume spike over all any and or ( ) , ; : 5% $2 3x 5m 190 -1 up from open AAPL when do sell
buy shares limit once rearm expires 2026-12-01T21:00:00Z @5 max age " ' \\ . \x00 é 1e999 1e-999 1e99999999s ² 1,000
"""
WORDS = SOME.split()


def refusal(read: Callable[[str], object], words: str) -> str:
    """What is said against them; "»" where they are understood."""
    try:
        read(words)
    except BadWording as error:
        return str(error)
    return "»"


@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)))
def test_any_words_are_read_or_refused_with_a_place(words: str) -> None:
    for read in (read_when, read_do, lambda text: read_sentence(text, ID)):
        assert "»" in refusal(read, words)


@given(triggers, st.data())
def test_a_word_left_out_is_no_trouble_of_another_kind(trigger: Trigger, data: st.DataObject) -> None:
    words = sentence(trigger).split(" ")
    gone = data.draw(st.integers(0, len(words) - 1))
    assert "»" in refusal(lambda text: read_sentence(text, ID), " ".join(words[:gone] + words[gone + 1 :]))
