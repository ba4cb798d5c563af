"""A broker that says nothing of the day, or nothing that can be read: entries wait, exits go on, and the run lives."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quaestor.doors.postgres.database import Database
from quaestor.errors import BadInput, Temporary
from quaestor.live.events import Session
from quaestor.operations.live.deck import Deck
from quaestor.operations.live.runner import Runner
from tests.integration.live.test_runner import MORNING, Clock, Hand, Stage, _accounts, until


def session(runner: Runner) -> Session:
    """As the engine was told of it."""
    known = runner.engine.standing.session
    assert known is not None
    return known


class Odd:
    """A broker of which some calls go wrong."""

    def __init__(self, broker: Any) -> None:
        self.within, self.wrong = broker, dict[str, Exception]()

    def __getattr__(self, name: str) -> Any:
        if error := self.wrong.get(name):
            raise error
        return getattr(self.within, name)


class Day(Stage):
    """A stage whose broker is asked about the day; `says`: its words, or its fault."""

    says: str | Exception = ""
    asked = 0
    odd: Odd

    def deck(self, run: uuid.UUID) -> Deck:
        deck = super().deck(run)
        self.odd = Odd(deck.floor.broker)

        async def prepare(day: dt.date, symbols: Sequence[str]) -> str:
            self.asked += 1
            if isinstance(self.says, Exception):
                raise self.says
            return self.says

        return replace(deck, prepare=prepare, floor=replace(deck.floor, broker=self.odd))


@pytest.fixture
def day(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Day:
    monkeypatch.setattr("quaestor.operations.live.routine.LOOK", 0.1)
    return Day(database, tmp_path, Clock(MORNING), Hand(), next(_accounts))


async def test_while_it_does_not_say_how_it_sees_the_day_nothing_is_entered_and_afterwards_it_is(day: Day) -> None:
    day.says = Temporary("nobody answers")
    async with day.running() as runner:
        await until(lambda: runner.engine.standing.session is not None)
        assert "AAPL" in session(runner).blocked
        day.says = ""
        await until(lambda: not session(runner).blocked)
    assert day.asked >= 2


@pytest.mark.parametrize("error", [Temporary("away"), BadInput("another form")])
async def test_while_it_does_not_say_what_is_halted_nothing_is_entered_and_exits_are_free(
    day: Day, error: Exception
) -> None:
    async with day.running() as runner:
        await until(lambda: runner.engine.standing.session is not None)
        assert not session(runner).blocked
        day.odd.wrong["halted"] = error
        await until(lambda: "AAPL" in session(runner).blocked)
        assert session(runner).halted == ()
        day.odd.wrong.clear()
        await until(lambda: not session(runner).blocked)


async def test_a_list_that_cannot_be_read_stops_entries_and_ends_no_run(day: Day) -> None:
    async with day.running() as runner:
        day.odd.wrong["orders"] = BadInput("an order without a quantity")
        runner.course.stirred.set()
        await until(lambda: "entries" in runner.engine.standing.latches)
        day.odd.wrong.clear()
        await runner._bookkeeping.compare()
        runner.course.stirred.set()
        await until(lambda: "entries" not in runner.engine.standing.latches)
