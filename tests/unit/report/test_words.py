from __future__ import annotations

import uuid
from decimal import Decimal

import pytest

from quaestor.devlog import words
from quaestor.orders import State


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param(words.money(Decimal("1234567.891")), "$1,234,567.89", id="dollars with thousands and cents"),
        pytest.param(words.money(Decimal("-0.5")), "−$0.50", id="a true minus before the sign"),
        pytest.param(words.money(Decimal("-0.004")), "$0.00", id="no negative nothing"),
        pytest.param(words.money(Decimal("0.125")), "$0.12", id="half to even"),
        pytest.param(words.money(None), "–", id="nothing to say"),
        pytest.param(words.gain(Decimal(5)), "+$5.00", id="a gain has its plus"),
        pytest.param(words.gain(Decimal("0.001")), "$0.00", id="less than a cent is none"),
        pytest.param(words.percent(-0.03101), "−3.10%", id="a loss in percent"),
        pytest.param(words.percent(-0.000001), "0.00%", id="no negative zero percent"),
        pytest.param(words.change(0.158355), "+15.84%", id="a return has its sign"),
        pytest.param(words.change(0.00004), "0.00%", id="a return that rounds to nothing has no sign"),
        pytest.param(words.change(0.00005), "0.00%", id="half to even has no sign either"),
        pytest.param(words.change(None), "–", id="no return"),
        pytest.param(words.share(0.25), "25%", id="no idle decimals"),
        pytest.param(words.share(1 / 3), "33.33%", id="a third"),
        pytest.param(words.share(1.0), "100%", id="the whole, not 1E+2"),
        pytest.param(words.ratio(-1.2345), "−1.23", id="a ratio"),
        pytest.param(words.shares(Decimal("1234.500000")), "1,234.5", id="fractional shares"),
        pytest.param(words.shares(Decimal(100)), "100", id="a round number is not 1E+2"),
        pytest.param(words.price(Decimal("405.0")), "$405.00", id="a price in cents"),
        pytest.param(words.price(Decimal("0.123450")), "$0.12345", id="a price below the cent"),
        pytest.param(words.counted(0, "order"), "no orders", id="none"),
        pytest.param(words.counted(1, "order"), "one order", id="one"),
        pytest.param(words.counted(12, "strategy", "strategies"), "twelve strategies", id="small numbers in words"),
        pytest.param(words.counted(1300, "order"), "1,300 orders", id="large ones in digits"),
        pytest.param(words.listed(["a"]), "a", id="one thing"),
        pytest.param(words.listed(["a", "b", "c"]), "a, b and c", id="a list as one says it"),
        pytest.param(words.listed([]), "nothing", id="an empty list"),
        pytest.param(words.ended(State.EXPIRED_UNSENT, 2), "were never sent", id="in plain words"),
        pytest.param(words.ended(State.REJECTED), "was rejected", id="a state that is a verb"),
        pytest.param(words.bar_day("2012-03-05T21:00:00+00:00"), "2012-03-05", id="the close of a winter's day"),
        pytest.param(words.bar_day("2012-03-06T00:30:00+00:00"), "2012-03-05", id="an evening in New York"),
        pytest.param(words.bar_day("soon"), "soon", id="no time at all"),
        pytest.param(
            words.why(uuid.UUID(int=0xABC << 100)), "`quaestor why 0000abc0`", id="the first eight of a ref_id"
        ),
        pytest.param(words.why(None), "an order placed by hand", id="an order without one"),
    ],
)
def test_figures_are_written_as_a_person_reads_them(written: str, expected: str) -> None:
    assert written == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("not marketable in the session", "not marketable in the session", id="plain words stay"),
        pytest.param("a\nb\r\n\tc", "a b c", id="one line"),
        pytest.param("[x](http://evil.example)", r"\[x\](http\://evil.example)", id="no link"),
        pytest.param("see www.evil.example", r"see www\.evil.example", id="no bare link"),
        pytest.param("<script>&amp;", r"\<script\>\&amp;", id="no HTML"),
        pytest.param("max_order_notional", "max_order_notional", id="an underscore inside a word is a letter"),
        pytest.param("_so_ *so*", r"\_so\_ \*so\*", id="no emphasis"),
        pytest.param("a|b", r"a\|b", id="no new cell"),
        pytest.param("`rm`", r"\`rm\`", id="no code"),
        pytest.param("\x1b[31mred\x07", r"\[31mred", id="no terminal codes"),
        pytest.param("pay\u202eyap\u200b", "payyap", id="no reversed or invisible signs"),
        pytest.param("x" * 500, "x" * 159 + "…", id="at most 160 characters"),
    ],
)
def test_somebody_elses_text_is_words_and_nothing_else(text: str, expected: str) -> None:
    assert words.said(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("sma_crossover", "`sma_crossover`", id="a name"),
        pytest.param("a`b|c\nd", "`a'b¦c d`", id="nothing ends the span or the cell"),
        pytest.param("", "`?`", id="no name is visible too"),
    ],
)
def test_a_name_stays_inside_its_code_span(text: str, expected: str) -> None:
    assert words.name(text) == expected


def test_parameters_are_sorted() -> None:
    assert words.parameters({"slow": 30, "fast": 10}) == "`fast=10, slow=30`"
    assert words.parameters(None) == words.parameters({}) == ""
