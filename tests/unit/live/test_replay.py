"""A replay finds every decision again, and the first that is not what it was."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quaestor.console.cli import main
from quaestor.doors.journal import JournalReader, JournalWriter
from quaestor.errors import BadInput, NotFound
from quaestor.exchange import Costs
from quaestor.live.account import AccountState, Position
from quaestor.live.acts import Act, Notify, Place
from quaestor.live.changing import read_changes
from quaestor.live.engine import Engine
from quaestor.live.events import Clock, Event, Limits, Player, Rules, Session, Setup, Ticks, Told
from quaestor.live.replaying import Decides
from quaestor.operations.replay import Checked, check, replay
from quaestor.orders import Intent, Side
from quaestor.risk import Record
from quaestor.strategies.catalogue import Catalogue
from quaestor.ticks import SECOND, QuoteTick, TradeTick
from tasks.replay_check import page

RUN = uuid.UUID("0190a4c1-5b1e-7a55-9a0e-6f1f5b1d7c11")
DAY = dt.date(2026, 11, 20)
BEFORE = DAY - dt.timedelta(days=1)
OPENS = int(dt.datetime(2026, 11, 20, 14, 30, tzinfo=dt.UTC).timestamp()) * SECOND
CLOSES = OPENS + 23_400 * SECOND
BUYING = uuid.UUID("11111111-0000-4000-8000-000000000001")
SELLING = uuid.UUID("22222222-0000-4000-8000-000000000002")
DIPPED = {
    "id": str(BUYING),
    "symbol": "AAPL",
    "condition": {"kind": "below", "level": 188.0},
    "action": {"kind": "order", "side": "buy", "quantity": 20.0},
}
ROSE = {
    "id": str(SELLING),
    "symbol": "IBM",
    "condition": {"kind": "any", "conditions": [{"kind": "above", "level": 131.0}]},
    "action": {"kind": "order", "side": "sell", "fraction": 1.0},
}
LIMITS: dict[str, Any] = {"max_order_notional": "50000", "quiet_open": 0, "min_order_notional": "1"}


def setup(**changed: Any) -> Setup:
    said = Setup(OPENS - SECOND, RUN, "paper", ("AAPL", "IBM"), LIMITS, (), (DIPPED, ROSE), "abc1234", "digest")
    return msgspec.structs.replace(said, **changed)


def market() -> Iterator[Event]:
    """A minute in which AAPL falls through 188 and IBM rises through 131."""
    yield Session(OPENS, DAY, OPENS, CLOSES, {"AAPL": Decimal(190), "IBM": Decimal(130)}, {"AAPL": 1, "IBM": 1})
    held = (Position("momentum", "IBM", Decimal(10), Decimal(1200)),)
    cash, equity = Decimal(98_700), Decimal(100_000)
    account = AccountState(
        DAY, equity, equity, equity, cash, held, (), (), (), Record(), BEFORE, BEFORE, skew=Decimal(0)
    )
    yield Told(OPENS, account)
    for n in range(120):
        now = OPENS + SECOND + n * SECOND // 2
        aapl, ibm = 190.0 - n * 0.05, 130.0 + n * 0.02
        batch = [QuoteTick("AAPL", now, aapl - 0.01, aapl + 0.01, 300.0, 300.0), TradeTick("AAPL", now, aapl, 100.0)]
        batch += [QuoteTick("IBM", now, ibm - 0.01, ibm + 0.01, 300.0, 300.0), TradeTick("IBM", now, ibm, 50.0)]
        yield Ticks(now + 1_000_000, batch)
        if n % 10 == 0:
            yield Clock(now + SECOND // 4)


def engine() -> Engine:
    return Engine(Catalogue().build)


def record(folder: Path, events: Sequence[Event], decides: Decides, *, ended: bool = True, until: int = 10**9) -> None:
    """What the runner does: the journal before the engine, the decisions after it; those of event `until` are lost."""
    with JournalWriter(folder, RUN) as journal:
        for number, event in enumerate(events, 1):
            acts = decides.on(journal.append(event))
            if number < until:
                journal.decided(acts)
        journal.close(ended=ended)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The journal of a run that bought and sold."""
    folder = tmp_path / "journals" / str(RUN)
    record(folder, [setup(), *market()], engine())
    return folder


def test_the_same_events_decide_the_same_byte_for_byte(run: Path) -> None:
    done = replay(JournalReader(run), engine)
    assert done.same
    assert (done.diverged, done.unrecorded) == (0, 0)
    assert (done.events, done.ticks) == (135, 480)
    assert sorted((order.symbol, order.side, order.quantity) for order in done.now.orders.values()) == [
        ("AAPL", Side.BUY, 20),
        ("IBM", Side.SELL, 10),
    ]
    assert done.now == done.recorded
    assert done.recorded.acts["fired"] == 2
    assert check(JournalReader(run), engine, Costs()).ok


def test_another_process_decides_the_same_whatever_its_hashes_are(tmp_path: Path) -> None:
    """Sets of symbols have another order there."""
    symbols = [f"S{n:02}" for n in range(30)]
    everything = {"kind": "flatten", "everything": True}
    rules = [
        {**DIPPED, "id": str(uuid.UUID(int=n)), "symbol": symbol, "condition": {"kind": "below", "level": 99.0}}
        for n, symbol in enumerate(symbols)
    ]
    rules[7]["action"] = everything
    prices = dict.fromkeys(symbols, Decimal(100))
    money, held = Decimal(100_000), tuple(Position("momentum", s, Decimal(3), Decimal(300)) for s in symbols)
    account = AccountState(DAY, money, money, money, money, held, (), (), (), Record(), BEFORE, BEFORE, skew=Decimal(0))
    events: list[Event] = [setup(symbols=tuple(symbols), triggers=tuple(rules))]
    events += [Session(OPENS, DAY, OPENS, CLOSES, prices, dict.fromkeys(symbols, 1)), Told(OPENS, account)]
    for now in (OPENS + SECOND, OPENS + 2 * SECOND):
        dear = 100.0 if now == OPENS + SECOND else 98.5
        events.append(Ticks(now, [QuoteTick(symbol, now, dear - 0.01, dear + 0.01, 9.0, 9.0) for symbol in symbols]))
        events.append(Ticks(now, [TradeTick(symbol, now, dear, 9.0) for symbol in symbols]))
        events.append(Told(now, account))
    record(tmp_path / "run", events, engine())
    command = [sys.executable, "-m", "quaestor.console.cli", "replay", str(tmp_path / "run"), "--json"]
    env = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["recorded"]["orders"] >= 30


class Notes:
    """A small engine: it says every tenth event, and tells a person of an order at the fifth."""

    def __init__(self, word: str = "ten", raises: int = 0, extra: int = 0) -> None:
        self.seen, self.word, self.raises, self.extra = 0, word, raises, extra

    def on(self, _: Event) -> list[Act]:
        self.seen += 1
        if self.seen == self.raises:
            raise ZeroDivisionError("no volume")
        acts: list[Act] = [Notify(uuid.UUID(int=self.seen), self.word, "")] if self.seen % 10 == 0 else []
        if self.seen == 5:
            intent = Intent("paper", "s", "AAPL", DAY, "cause", Side.BUY, Decimal(10 + self.extra), Decimal(190))
            acts.append(Place((intent,), 5))
        return acts


EVENTS: list[Event] = [setup(), *(Clock(OPENS + n) for n in range(2, 36))]


def noted(folder: Path, **settings: Any) -> Path:
    record(folder, EVENTS, Notes(), **settings)
    return folder


def test_the_first_decision_that_is_not_what_it_was_is_told_key_by_key(tmp_path: Path) -> None:
    done = replay(JournalReader(noted(tmp_path)), lambda: Notes(extra=1))
    assert done.first is not None
    assert (done.first.number, done.first.kind, done.first.at, done.diverged) == (5, "clock", OPENS + 5, 1)
    assert [tuple(each) for each in done.first.differences] == [("place.intents.0.quantity", "10", "11")]
    ((was, now),) = done.other
    assert (was.quantity, now.quantity) == (10, 11)


@pytest.mark.parametrize(
    ("decides", "diverged", "expected"),
    [
        pytest.param(Notes("ZEHN"), 3, [("notify.title", "ten", "ZEHN")], id="another word, and how often"),
        pytest.param(
            Notes(raises=10), 1, [("decision 1", "notify", "–"), ("error", "–", "ZeroDivisionError: no volume")],
            id="an error where there was an answer",
        ),
    ],
)  # fmt: skip
def test_what_differs_is_counted(tmp_path: Path, decides: Notes, diverged: int, expected: list[Any]) -> None:
    done = replay(JournalReader(noted(tmp_path)), lambda: decides)
    assert done.first is not None
    assert (done.first.number, done.diverged) == (10, diverged)
    assert [tuple(each) for each in done.first.differences] == expected


def test_a_decision_too_many_or_too_few_is_a_divergence(tmp_path: Path) -> None:
    record(tmp_path / "few", EVENTS, Notes(), until=10)
    first = replay(JournalReader(tmp_path / "few"), Notes).first
    assert first is not None
    assert [tuple(each) for each in first.differences] == [("decision 1", "–", "notify")]


@pytest.mark.parametrize(
    ("ended", "same", "unrecorded"),
    [
        pytest.param(False, True, 1, id="killed between the event and what was decided on it"),
        pytest.param(True, False, 0, id="a run that ended by itself has recorded all"),
    ],
)
def test_of_a_run_that_was_cut_off_the_newest_decision_may_be_missing(
    tmp_path: Path, ended: bool, same: bool, unrecorded: int
) -> None:
    record(tmp_path, EVENTS[:10], Notes(), until=10, ended=ended)
    done = replay(JournalReader(tmp_path), Notes)
    assert (done.same, done.unrecorded) == (same, unrecorded)


def test_a_run_that_ended_by_an_error_ends_so_again(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        record(tmp_path, EVENTS, Notes(raises=12))
    done = replay(JournalReader(tmp_path), lambda: Notes(raises=12))
    assert (done.same, done.events, done.raised) == (True, 12, "ZeroDivisionError: no volume")


def test_a_strategy_that_is_not_the_one_of_then_is_a_problem_and_no_divergence(tmp_path: Path) -> None:
    player = Player("sma_crossover", {"fast": 10, "slow": 30}, "sma_crossover-0000000000", "0" * 12, 0.3)
    with JournalWriter(tmp_path, RUN) as journal:
        journal.append(setup(players=(player,)))
    checked = check(JournalReader(tmp_path), engine, Costs())
    assert not checked.ok
    assert "Check out the commit" in checked.problem


# ── with changes ──────────────────────────────────────────────────────────────────────────────────────────────────────


def changed(run: Path, *texts: str, names: dict[str, uuid.UUID] | None = None) -> tuple[list[str], list[str], int]:
    """Symbols of orders that are gone, that are new; how many are other."""
    done = replay(JournalReader(run), engine, read_changes(texts, names))
    return [order.symbol for order in done.gone], [order.symbol for order in done.new], len(done.other)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param(["risk.max_order_notional=3000"], (["AAPL"], [], 0), id="a limit refuses what was bought"),
        pytest.param(["risk.max_order_notional=40000"], ([], [], 0), id="a limit that nothing comes near"),
        pytest.param([f"trigger.{BUYING}.condition.level=100"], (["AAPL"], [], 0), id="a level that is never met"),
        pytest.param(["trigger.1111.action.quantity=7"], ([], [], 1), id="an id's beginning; another size"),
        pytest.param(["trigger.dip.condition.level=187"], ([], [], 1), id="a name; met later, at another price"),
        pytest.param(["trigger.2222.condition.conditions.0.level=140"], (["IBM"], [], 0), id="a place in a list"),
        pytest.param(['risk.deny=["AAPL"]', "risk.max_order_shares=5"], (["AAPL"], [], 0), id="two, one a list"),
    ],
)
def test_a_change_shows_which_orders_would_differ(run: Path, texts: list[str], expected: Any) -> None:
    assert changed(run, *texts, names={"dip": BUYING}) == expected


def test_changes_hold_for_limits_and_rules_that_came_while_it_ran(tmp_path: Path) -> None:
    rest = list(market())
    late: list[Event] = [
        Limits(OPENS, {**LIMITS, "max_order_shares": 99}, "other"),
        Rules(OPENS + 1, put=(DIPPED,), removed=(SELLING,)),
    ]
    record(tmp_path, [setup(triggers=(ROSE,)), *rest[:2], *late, *rest[2:]], engine())
    assert changed(tmp_path) == ([], [], 0)
    assert changed(tmp_path, "risk.max_order_notional=3000") == (["AAPL"], [], 0)
    assert changed(tmp_path, "trigger.1111.condition.level=100") == (["AAPL"], [], 0)


def test_a_strategys_parameter_is_written_with_the_digest_that_names_it() -> None:
    built = Catalogue().build("sma_crossover", {"fast": 5, "slow": 8})
    player = Player("sma_crossover", dict(built.parameters), built.version, built.digest, 0.5)
    texts = ["strategy.sma_crossover.fast=4", "strategy.sma_crossover.weight=0.25"]
    told = read_changes(texts).applied(setup(players=(player,)))
    assert isinstance(told, Setup)
    (made,) = told.players
    assert made.digest == Catalogue().build("sma_crossover", {"fast": 4, "slow": 8}).digest
    assert (made.parameters["fast"], made.weight) == (4, 0.25)


PLAYERS = (Player("sma", {"fast": 5, "name": "x", "band": 0.5}, "v", "d", 0.5),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("risc.max_order_notional=1", "Did you mean 'risk'", id="a slip in the first word"),
        pytest.param("risk.max_order_notionl=1", "Did you mean 'max_order_notional'", id="a limit's name"),
        pytest.param("risk.max_order_notional=-1", "greater than 0", id="a limit out of its bounds"),
        pytest.param("risk.max_order_notional=lots", "valid decimal", id="a limit that is no number"),
        pytest.param("risk.max_order_notional", "is no change", id="nothing to change it to"),
        pytest.param("risk=5", "is no change", id="nothing to be changed"),
        pytest.param("strategy.sma=5", "is no change", id="a strategy without its parameter"),
        pytest.param("strategy.sna.fast=5", "Did you mean 'sma'", id="a strategy's name"),
        pytest.param("strategy.sma.fats=5", "Did you mean 'fast'", id="a parameter's name"),
        pytest.param("strategy.sma.fast=2.5", "give an int", id="another kind of number"),
        pytest.param("strategy.sma.band=true", "give a float", id="true is no number"),
        pytest.param("strategy.sma.weight=1.5", "at most 1", id="more than all"),
        pytest.param("trigger.1111.condition.levle=5", "Did you mean 'level'", id="a trigger's key"),
        pytest.param("trigger.1111.conditions.level=5", "Did you mean 'condition'", id="a way that leads nowhere"),
        pytest.param("trigger.1111.condition.level=-5", "above zero", id="a level that is none"),
        pytest.param("trigger.2222.condition.conditions.3.level=5", "count from 0", id="a place that a list lacks"),
    ],
)
def test_a_change_that_cannot_be_made_says_why(text: str, words: str) -> None:
    with pytest.raises((BadInput, NotFound), match=words):
        read_changes([text]).applied(setup(players=PLAYERS))


def test_a_trigger_that_the_run_never_had_is_told_at_the_end(run: Path) -> None:
    with pytest.raises(NotFound, match="the run had no trigger '9999'"):
        changed(run, "trigger.9999.condition.level=5")


# ── on the console ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def home(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUAESTOR_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("named", ["last", "0190a4", str(RUN)])
def test_a_trader_reads_that_nothing_differs(home: Path, capsys: pytest.CaptureFixture[str], named: str) -> None:
    assert main(["replay", named]) == 0
    said = capsys.readouterr().out
    assert "The same decisions, byte for byte." in said
    assert "2 orders (buy 3,760.00, sell 1,310.00), 2 firings" in said
    assert "135, with 480 ticks" in said
    assert "abc1234 then," in said


def tampered(run: Path, folder: Path) -> Path:
    """A journal in which the purchase was recorded with 21 shares."""
    with JournalWriter(folder, RUN) as journal:
        for _, event, lines in JournalReader(run).entries():
            journal.append(event)
            journal.decided([Recorded(line.replace('"quantity":"20"', '"quantity":"21"')) for line in lines])
    return folder


class Recorded(msgspec.Struct):
    """A line as it was recorded."""

    line: str


def test_a_divergence_is_shown_and_is_the_exit_code(
    home: Path, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quaestor.doors.journal.writing.as_line", lambda act: act.line)
    folder = tampered(run, home / "tampered")
    monkeypatch.undo()
    monkeypatch.setenv("QUAESTOR_HOME", str(home))
    assert main(["replay", str(folder)]) == 1
    said = capsys.readouterr().out
    assert "DIVERGED first at event" in said
    assert "place.intents.0.quantity" in said
    assert main(["replay", str(folder), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["same"], told["diverged"], told["first"]["kind"]) == (False, 1, "ticks")
    assert told["first"]["differences"] == [{"key": "place.intents.0.quantity", "recorded": "21", "now": "20"}]


def test_with_changes_a_trader_reads_what_would_have_been_decided(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "replay",
        "last",
        "--with",
        "risk.max_order_notional=3000",
        "--with",
        "trigger.2222.condition.conditions.0.level=130.5",
    ]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "only then" in said
    assert "1 refusal (max_order_notional 1)" in said
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [order["symbol"] for order in told["only_recorded"]] == ["AAPL"]
    assert [order["now"]["symbol"] for order in told["other"]] == ["IBM"]
    assert main(["replay", "last", "--with", "risk.max_order_notional=49999"]) == 0
    assert "No order would differ; 1 decision would name another value" in capsys.readouterr().out
    assert main(["replay", "last", "--with", "risk.cooldown=0"]) == 0
    assert "Nothing would have changed." in capsys.readouterr().out


def test_a_slip_is_answered(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "lasst"]) == 1
    assert "Did you mean 'last'" in capsys.readouterr().err


# ── at night ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_of_a_night_says_what_differs(run: Path, tmp_path: Path) -> None:
    same = check(JournalReader(run), engine, Costs())
    other = check(JournalReader(noted(tmp_path / "noted")), lambda: Notes("a|b"), Costs())
    shown = page(DAY, [same, other, Checked(None, "it is damaged")])
    assert shown.startswith("# 2 of 3 replays came out otherwise\n")
    assert "0190a4c1: the same, 4 decisions on 135 events." in shown
    assert "| notify.title | ten | a\\|b |" in shown
    assert "a journal: cannot be replayed: it is damaged." in shown
    assert page(DAY, []).startswith("# No live run on 2026-11-20\n")
    assert page(DAY, [same]).startswith("# 1 replayed: all the same\n")
