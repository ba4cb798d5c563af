"""A trigger's words: the sentences of the documentation, and what is said to those who err."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from quaestor.errors import BadInput
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
    Latch,
    Moved,
    OrderTemplate,
    RunDeployment,
    SessionTime,
    Spread,
    Trailing,
    Trigger,
    VolatilitySpike,
    VolumeSpike,
)
from quaestor.triggers.conditions import LEAVES
from quaestor.triggers.keeping import checked_name, checked_note
from quaestor.triggers.telling import distance, state, told
from quaestor.triggers.trigger import ACTIONS
from quaestor.triggers.wording import read_do, read_sentence, read_when, sentence, write_do, write_when, written

ID = uuid.UUID(int=1)
NOW = 1_700_000_000_000_000_000
PAGE = Path(__file__).resolve().parents[3] / "docs" / "live.md"


def rule(**fields: Any) -> Trigger:
    return Trigger(ID, **{"symbol": "AAPL", "condition": Above(190), "action": Flatten(), **fields})


CONDITIONS: list[tuple[str, Any]] = [
    ("price above 190", Above(190)),
    ("price below 180.5", Below(180.5)),
    ("price crosses 190", Crossing(190)),
    ("price crosses above 190", Crossing(190, "up")),
    ("price crosses below 190", Crossing(190, "down")),
    ("price up 5% from open", Moved(5, "open")),
    ("price down 3% from entry", Moved(-3, "entry")),
    ("price up 5% from 180", Moved(5, reference=180)),
    ("trailing stop 5%", Trailing(percent=5)),
    ("trailing stop $2.5", Trailing(dollars=2.5)),
    ("30m after open", SessionTime(after_open=30)),
    ("15m before close", SessionTime(before_close=15)),
    ("volume spike 3x over 5m", VolumeSpike(3, 300)),
    ("volume spike 3x over 5m against 20 windows", VolumeSpike(3, 300, 20)),
    ("volatility spike 2% over 90s", VolatilitySpike(2, 90)),
    ("spread to MSFT above -5", Spread("MSFT", -5)),
    ("ratio to BRK.B below 0.8", Spread("BRK.B", 0.8, "ratio", "below")),
    ("drawdown 5%", Drawdown(5)),
    ("price above 1 and drawdown 5%", AllOf((Above(1), Drawdown(5)))),
    ("(price above 1 and drawdown 5%) or price below 2", AnyOf((AllOf((Above(1), Drawdown(5))), Below(2)))),
    ("all (price above 1)", AllOf((Above(1),))),
]
DOINGS: list[tuple[str, Any]] = [
    ("sell 50%", OrderTemplate("sell", fraction=0.5)),
    ("sell all", OrderTemplate("sell", fraction=1)),
    ("buy 100 shares", OrderTemplate("buy", 100)),
    ("buy 1 share", OrderTemplate("buy", 1)),
    ("sell 50% limit -0.1", OrderTemplate("sell", fraction=0.5, order_type="limit", limit_offset=-0.1)),
    ("buy 10 shares stop +0.5", OrderTemplate("buy", 10, order_type="stop", stop_offset=0.5)),
    (
        "sell all stop -0.5 limit -0.6",
        OrderTemplate("sell", fraction=1, order_type="stop_limit", stop_offset=-0.5, limit_offset=-0.6),
    ),
    ("flatten", Flatten()),
    ("flatten everything", Flatten(True)),
    ("alert", Alert()),
    ('alert "he said \\"go\\""', Alert('he said "go"')),
    ("run report/evening", RunDeployment("report/evening")),
    ('run "my flow/x"', RunDeployment("my flow/x")),
    ('halt "too wild"', Halt("too wild")),
]


def test_every_kind_has_words() -> None:
    leaves = {type(leaf) for _, meant in CONDITIONS for leaf in meant.leaves()}
    assert leaves == set(LEAVES.values())
    assert {type(meant) for _, meant in DOINGS} == set(ACTIONS.values())


@pytest.mark.parametrize(("words", "meant"), CONDITIONS)
def test_a_condition_has_its_words(words: str, meant: object) -> None:
    assert read_when(words) == meant
    assert write_when(read_when(words)) == words


@pytest.mark.parametrize(("words", "meant"), DOINGS)
def test_an_action_has_its_words(words: str, meant: object) -> None:
    assert read_do(words) == meant
    assert write_do(read_do(words)) == words


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        pytest.param("PRICE Above $190", Above(190), id="capitals and a dollar sign"),
        pytest.param("volume spike 3 over 5m", VolumeSpike(3, 300), id="times may be left out"),
        pytest.param("((price above 190))", Above(190), id="parentheses too many"),
        pytest.param("2h after open", SessionTime(after_open=120), id="hours"),
        pytest.param("spread to msft above $2.50", Spread("MSFT", 2.5), id="a symbol in small letters"),
        pytest.param("trailing 5%", Trailing(percent=5), id="stop may be left out"),
    ],
)
def test_what_a_person_may_write_too(words: str, meant: object) -> None:
    assert read_when(words) == meant


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param("", "when: »end«: expected 'price', 'trailing'", id="nothing"),
        pytest.param("price abve 190", "price »abve« 190: expected 'above', 'below', 'crosses', 'up' or 'down'. "
                     "Did you mean 'above'?", id="a typing error"),
        pytest.param("prize above 190", "»prize« above 190: expected 'price'", id="in the first word"),
        pytest.param("price above", "price above»end«: expected a price in dollars like 190 or 189.5", id="no level"),
        pytest.param("price above 190%", "»190%«: expected a price in dollars", id="a unit that is none of it"),
        pytest.param("price above 0", "»0«: above.level: 0 is not above zero", id="a level that is none"),
        pytest.param("price above -5", "»-5«: expected a price in dollars", id="a negative level"),
        pytest.param("price above 1,000", "price above 1»,«000: expected nothing more, or 'and' or 'or'", id="a comma"),
        pytest.param("price up 5 from open", "»5« from open: expected percent like 5%", id="percent without its sign"),
        pytest.param("price up 5% from opne", "»opne«: expected 'open', 'entry'", id="no basis"),
        pytest.param("price down 100% from open", "»100%« from open: moved.percent", id="a fall to nothing"),
        pytest.param("trailing stop 5", "»5«: expected how far below its highest price", id="percent or dollars"),
        pytest.param("volume spike 3 over 5", "»5«: expected a duration like 30s, 5m or 2h", id="no unit of time"),
        pytest.param("volume spike 3 over 5min", "»5min«: expected a duration", id="another unit of time"),
        pytest.param("volume spike 3 over 0.5s", "»0.5s«: expected whole seconds", id="half a second"),
        pytest.param("price above 1 and price below 2 or drawdown 5%", "»or« drawdown 5%: expected parentheses",
                     id="and, or"),
        pytest.param("(price above 1", "(price above 1»end«: expected 'and', 'or' or ')'", id="a parenthesis open"),
        pytest.param("price above 1 price below 2", "1 »price« below 2: expected nothing more, or 'and'", id="no and"),
        pytest.param("price above 1 adn price below 2", "Did you mean 'and'?", id="a typing error between two"),
        pytest.param("spread to M$FT above 5", "»M$FT« above 5: expected a symbol", id="no symbol"),
        pytest.param("price above 1e999", "»1e999«: expected a price", id="a number without end"),
        pytest.param("price above nan", "»nan«: expected a price", id="no number"),
        pytest.param("price above ١٩٠", "expected a price", id="digits of another script"),
        pytest.param("all (" * 9 + "price above 1" + ")" * 9, "at most 8 groups", id="too deep"),
        pytest.param("(" * 60 + "price above 1" + ")" * 60, "fewer parentheses", id="far too deep"),
        pytest.param("price above 1 and " * 400, "no sentence; write at most 4000", id="too long"),
    ],
)  # fmt: skip
def test_a_condition_that_is_not_understood_is_pointed_at(words: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_when(words)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 330


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param("sel 50%", "»sel« 50%: expected 'buy', 'sell'", id="a typing error"),
        pytest.param("sell", "sell»end«: expected how many shares", id="no size"),
        pytest.param("sell 150%", "»150%«: action.fraction: 1.5 is more than the position", id="more than there is"),
        pytest.param("sell 50% limit 189.5", "»189.5«: expected dollars from the price that fires it, with their sign",
                     id="a price in the place of an offset"),
        pytest.param("sell 50% at 189", "»at« 189: expected 'stop', 'limit', or nothing more", id="another word"),
        pytest.param("sell 50% limt -1", "Did you mean 'limit'?", id="an order type mistyped"),
        pytest.param("sell -5 shares", "»-5« shares: expected how many shares", id="fewer than none"),
        pytest.param("alert hello", "»hello«: expected nothing more", id="a text without quotes"),
        pytest.param('alert "hello', "expected", id="a quote that stays open"),
        pytest.param("run", "expected a deployment's name", id="no deployment"),
        pytest.param("flatten all", "»all«: expected nothing more", id="a word too many"),
    ],
)  # fmt: skip
def test_an_action_that_is_not_understood_is_pointed_at(words: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_do(words)
    assert said in str(caught.value)


def test_a_whole_sentence_says_all_that_differs_from_the_defaults() -> None:
    whole = rule(
        mode="rearm",
        price="bid",
        hysteresis=0.5,
        cooldown=300,
        expires=NOW + 1,
        max_age=5,
        band=3,
    )
    assert sentence(rule()) == "AAPL: when price above 190 do flatten; once"
    assert sentence(whole) == (
        "AAPL: when price above 190 do flatten; rearm, on bid, hysteresis 0.5%, cooldown 5m, "
        "expires 2023-11-14T22:13:20.000000001Z, max age 5s, band 3%"
    )
    assert read_sentence(sentence(whole), ID) == whole


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param("when price above 1 do flatten", "when »price« above 1", id="no symbol"),
        pytest.param("AAPL: when price above 1 flatten", "»flatten«: expected 'and', 'or' or 'do'", id="no do"),
        pytest.param("AAPL: when price above 1 do flatten; cooldown 5", "»5«: expected a duration", id="no unit"),
        pytest.param("AAPL: when price above 1 do flatten; once, rearm", "»rearm«: expected mode once only", id="both"),
        pytest.param("AAPL: when price above 1 do flatten; expires 2026-12-01T21:00:00", "no time zone", id="no zone"),
        pytest.param("AAPL: when price above 1 do flatten; expires 2026-13-01T21:00:00Z", "is no time", id="no month"),
        pytest.param("AAPL: when price above 1 do flatten; band 200%", "leave no price", id="a band of everything"),
    ],
)
def test_a_sentence_that_is_not_understood_is_pointed_at(words: str, said: str) -> None:
    with pytest.raises(BadInput, match="»") as caught:
        read_sentence(words, ID)
    assert said in str(caught.value)


# ── fields of a form ──────────────────────────────────────────────────────────────────────────────────────────────────

FORM = {"symbol": " aapl ", "when": "price above 190", "do": "sell 50%"}


def test_a_form_is_read_field_by_field() -> None:
    options = {"mode": "rearm", "price": "mid", "hysteresis": "0.5%", "cooldown": "5m", "max_age": 3, "band": "5"}
    found = written({**FORM, **options, "expires": "5d"}, NOW, id_=ID)
    assert found == rule(
        action=OrderTemplate("sell", fraction=0.5),
        mode="rearm",
        price="mid",
        hysteresis=0.5,
        cooldown=300,
        max_age=3,
        band=5,
        expires=NOW + 5 * 86_400 * 10**9,
    )
    changed = written({"when": "drawdown 5%", "expires": "never"}, NOW, base=found)
    assert (changed.condition, changed.expires, changed.id, changed.mode) == (Drawdown(5), None, ID, "rearm")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"when": 5}, "when: '5' is no text", id="no text"),
        pytest.param({"symbol": "??"}, "no symbol", id="no symbol"),
        pytest.param({"mode": "twice"}, "mode: unknown 'twice'", id="no mode"),
        pytest.param({"cooldown": "5"}, "cooldown: »5«: expected a duration", id="a cooldown without its unit"),
        pytest.param({"cooldown": True}, "cooldown: True is no finite number", id="a cooldown that is none"),
        pytest.param({"hysteresis": "x"}, "hysteresis: »x«: expected percent", id="no percent"),
        pytest.param({"expires": "tomorrow"}, "expires: »tomorrow«: expected a time with its zone", id="no time"),
        pytest.param({"expires": "2026-12-01T10:00"}, "has no time zone", id="a time without zone"),
        pytest.param({"expires": 5}, "expires: '5' is no text", id="a number"),
        pytest.param({"max_age": 10**400}, "no finite number", id="a number of four hundred digits"),
    ],
)
def test_a_field_that_is_not_understood_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        written({**FORM, **change}, NOW)
    assert said in str(caught.value)


@pytest.mark.parametrize("field", ["symbol", "when", "do"])
def test_a_form_needs_its_fields(field: str) -> None:
    with pytest.raises(BadInput, match=f"{field}: it is missing"):
        written({name: value for name, value in FORM.items() if name != field}, NOW)


# ── plain words ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_plain_words_say_what_would_happen() -> None:
    condition = AllOf((Above(190), AnyOf((VolumeSpike(3, 300), Moved(-3, reference=200)))))
    action = OrderTemplate("sell", fraction=0.5, order_type="limit", limit_offset=-0.1)
    waits = (
        "Waits until a trade's price of AAPL is $190.00 or more, and (AAPL trades 3 times the average of the 10 windows"
        " of 5m before, or a trade's price of AAPL is 3% or more below $200.00 ($194.00))."
    )
    assert told(rule(condition=condition, action=action, mode="rearm", hysteresis=1, cooldown=60))[:-1] == [
        waits,
        "Then it would sell 50% of the shares held of AAPL, a limit $0.10 below the price that fired it.",
        "It fires again each time after this has ceased to hold by more than 1% of its level.",
        "Between two firings lie 1m at least.",
    ]


@pytest.mark.parametrize(
    ("condition", "memory", "expected"),
    [
        pytest.param(Above(110), None, 0.1, id="a level above"),
        pytest.param(AnyOf((Above(150), Below(95), Drawdown(5))), [None] * 3, -0.05, id="the nearest of several"),
        pytest.param(Moved(20, reference=100), None, 0.2, id="a move from a price"),
        pytest.param(Moved(20, "open"), None, None, id="a move from what is not known"),
        pytest.param(Trailing(percent=10), [120.0], 0.08, id="a stop that is passed already"),
        pytest.param(Trailing(dollars=2), None, -0.02, id="a trail that begins"),
        pytest.param(Drawdown(5), None, None, id="no price at all"),
    ],
)
def test_the_distance_to_the_nearest_level(condition: Any, memory: Any, expected: float | None) -> None:
    found = distance(rule(condition=condition), Latch(memory=memory or []), 100.0)
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("latch", "expires", "expected"),
    [
        pytest.param(Latch(), None, "armed", id="new"),
        pytest.param(Latch(armed=False, fired=1), None, "fired", id="not armed again yet"),
        pytest.param(Latch(armed=False, done=True, fired=1), NOW, "done", id="done, whatever the time"),
        pytest.param(Latch(), NOW, "expired", id="expired"),
        pytest.param(Latch(), NOW + 1, "armed", id="not expired yet"),
    ],
)
def test_how_a_trigger_stands(latch: Latch, expires: int | None, expected: str) -> None:
    assert state(rule(expires=expires), latch, NOW) == expected


@pytest.mark.parametrize("name", ["two words", "-x", "a" * 61, str(uuid.uuid4()), "näme", "a\n", "a/b"])
def test_a_name_that_could_be_mistaken_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="name: "):
        checked_name(name)


def test_names_and_notes_that_may_be() -> None:
    assert [checked_name(name) for name in ("", "take-profit", "dip.2", "A_b")] == ["", "take-profit", "dip.2", "A_b"]
    assert checked_note("why: earnings") == "why: earnings"
    with pytest.raises(BadInput, match="at most 500"):
        checked_note("x" * 501)


def test_a_duration_counts_from_the_second_that_has_begun() -> None:
    assert written({**FORM, "expires": "1h"}, NOW + 999_999_999).expires == NOW + 3600 * 10**9


def test_every_sentence_of_the_page_is_understood() -> None:
    """Rows of the tables on conditions and actions, and whole sentences; each in backticks."""
    if not PAGE.exists():
        pytest.skip("docs/live.md is not written yet")
    page = PAGE.read_text(encoding="utf-8")
    for title, read, kinds in (("Conditions", read_when, len(LEAVES)), ("Actions", read_do, len(ACTIONS))):
        section = page.partition(f"### {title}\n")[2].partition("\n#")[0]
        rows = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
        assert len({type(read(words)) for words in rows}) >= kinds, title
    assert all(read_sentence(words, ID) for words in re.findall(r"`([A-Z]+: when [^`]+)`", page))


def test_the_documentation_of_times_is_true() -> None:
    at = dt.datetime(2026, 12, 1, 21, tzinfo=dt.UTC)
    found = written({**FORM, "expires": "2026-12-01T16:00-05:00"}, NOW)
    assert found.expires == int(at.timestamp()) * 10**9
