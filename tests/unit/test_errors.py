"""Errors: named by what happens next, with a message that helps."""

from __future__ import annotations

import inspect

import pytest

from quaestor import errors
from quaestor.errors import (
    BrokerAmbiguous,
    DatabaseDown,
    LeaseHeld,
    NotFound,
    Permanent,
    QuaestorError,
    Refused,
    Temporary,
)

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, QuaestorError)]


@pytest.mark.parametrize("kind", ALL)
def test_the_drawing_at_the_head_shows_every_error(kind: type[QuaestorError]) -> None:
    assert errors.__doc__ is not None
    assert kind.__name__ in errors.__doc__


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not QuaestorError])
def test_every_error_says_whether_to_try_again_to_call_a_person_or_that_we_chose(kind: type[QuaestorError]) -> None:
    assert sum(issubclass(kind, branch) for branch in (Temporary, Permanent, Refused)) == 1


@pytest.mark.parametrize("kind", [DatabaseDown, LeaseHeld, BrokerAmbiguous])
def test_what_passes_by_itself_is_temporary(kind: type[QuaestorError]) -> None:
    assert issubclass(kind, Temporary)


@pytest.mark.parametrize("kind", ALL)
def test_an_error_without_a_message_says_its_docstring(kind: type[QuaestorError]) -> None:
    assert str(kind()) == inspect.getdoc(kind)
    assert str(kind("The disk is full.")) == "The disk is full."


def test_an_unknown_name_answers_with_the_nearest_one_and_the_cure() -> None:
    error = NotFound.named("symbol", "APPL", ["MSFT", "AAPL"], "Ingest it first.")
    assert str(error) == "Unknown symbol 'APPL'. Did you mean 'AAPL'? Known: AAPL, MSFT. Ingest it first."


def test_an_unknown_name_that_is_near_to_none_lists_what_there_is() -> None:
    names = [f"strategy_{n:02}" for n in range(14)]
    message = str(NotFound.named("strategy", "zzz", names))
    assert "Did you mean" not in message
    assert message.endswith("strategy_10, strategy_11, ….")
    assert str(NotFound.named("secret", "token", [])) == "Unknown secret 'token'. None is known yet."
