"""Logs: one JSON object on each line, with the run, the decision and the trace it belongs to, and without secrets.

    {"ts": "2026-11-20T14:35:00.123456Z", "level": "WARNING", "logger": "quaestor.outbox", "message": "…",
     "run": "1f0c…", "account": "paper", "decision": "5d3a…", "trace": "5d3a…"}

Whoever begins a run or a decision says so once (`within`); what is logged inside carries it, in every task that it
starts. Other fields (`extra={"symbol": …}`) pass where their names are on a list. Secrets are struck out by value, as
`know` was told them by whoever fetched them out of the vault, and by their looks.
"""

from __future__ import annotations

import copy
import datetime as dt
import logging
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from quaestor.jsons import as_json

HIDDEN = "***"
PASSING = 64  # tokens that are struck out by their value: those of the last weeks
SHORTEST = 5  # characters of a secret that is struck out by its value: a shorter one stands in too many words
FIELDS = ("symbol", "strategy", "side", "rule", "trigger", "state", "outcome", "line", "kind", "count", "seconds",
          "session", "error")  # fmt: skip
LOOKS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {HIDDEN}"),
    (
        re.compile(
            r"""(?ix) ( \b [\w-]* (?: passwor[dt] | passwd | passphrase | secret | token | api[_-]?key | authorization
            | credential | account[_-]?(?:number|no|id) ) [\w-]* ["']? \s* [:=] \s* ["']? ) (?! bearer\s | basic\s )
            [^\s"',;&}]+"""
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(\b[a-z][\w+.-]*://[^/\s:@]*:)[^/\s@]+@"), rf"\1{HIDDEN}@"),
)

run: ContextVar[str] = ContextVar("run", default="")
account: ContextVar[str] = ContextVar("account", default="")
decision: ContextVar[uuid.UUID | None] = ContextVar("decision", default=None)

_known: set[str] = set()
_passing: dict[str, None] = {}  # values that are replaced in days, the newest last
_pattern: re.Pattern[str] | None = None
_knowing = threading.Lock()


def know(secret: str, *, passing: bool = False) -> None:
    """Strike this value out of whatever is logged from now on.

    passing: one that is replaced every few days, such as a token. Of those the newest PASSING are struck out: a process
    runs for months, each of them costs every line a microsecond, and an old one opens nothing.
    """
    global _pattern  # noqa: PLW0603 - of the process, as its log is
    if len(secret) < SHORTEST or secret in _known:
        return
    with _knowing:
        if passing and secret in _passing:  # in use still: others go before it
            _passing[secret] = _passing.pop(secret)
            return
        if not passing:
            _known.add(secret)
        else:
            _passing[secret] = None
            if len(_passing) > PASSING:
                del _passing[next(iter(_passing))]
        _pattern = None  # made when it is needed: secrets come more often than texts that may hold them


def _struck() -> re.Pattern[str]:
    global _pattern  # noqa: PLW0603 - as above
    pattern = _pattern
    if pattern is None:
        with _knowing:
            values = sorted({*_known, *_passing}, key=len, reverse=True)
            pattern = re.compile("|".join(map(re.escape, values)))
            _pattern = pattern
    return pattern


def without_secrets(text: str) -> str:
    """The text, secrets struck out."""
    if _known or _passing:
        text = _struck().sub(HIDDEN, text)
    for looks, instead in LOOKS:
        text = looks.sub(instead, text)
    return text


class _Struck(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = without_secrets(_message(record)), ()
        return True


_STRUCK = _Struck()


def strike(logger: str) -> None:
    """Strike secrets out of what that logger says, whoever's handler it goes to; Prefect's are not ours."""
    logging.getLogger(logger).addFilter(_STRUCK)


@contextmanager
def within(
    run_id: uuid.UUID | None = None, alias: str | None = None, ref_id: uuid.UUID | None = None
) -> Iterator[None]:
    """What is logged inside belongs to that run, account, decision; what is not named stays as it is."""
    named: list[tuple[ContextVar[Any], Any]] = []
    if run_id is not None:
        named.append((run, str(run_id)))
    if alias is not None:
        named.append((account, alias))
    if ref_id is not None:
        named.append((decision, ref_id))
    tokens = [(variable, variable.set(value)) for variable, value in named]
    try:
        yield
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)


class AsJson(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; a value that JSON cannot hold is told as its text."""
        at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="microseconds")
        line = {"ts": at.replace("+00:00", "Z"), "level": record.levelname, "logger": record.name}
        line |= {"message": without_secrets(_message(record))} | _place() | _extra(record)
        if record.exc_info:
            line["exception"] = without_secrets(self.formatException(record.exc_info))
        return as_json(line)


class AsText(logging.Formatter):
    """A record for a person's eyes."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s  %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line, secrets struck out."""
        plain = copy.copy(record)
        plain.msg, plain.args = _message(record), ()
        return without_secrets(super().format(plain))


def _message(record: logging.LogRecord) -> str:
    """The message, also where its arguments do not fit it."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} {record.args}"


def _place() -> dict[str, str]:
    ref_id = decision.get()
    named = {"run": run.get(), "account": account.get()}
    if ref_id is not None:
        named |= {"decision": str(ref_id), "trace": ref_id.hex}
    return {name: value for name, value in named.items() if value}


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    named = {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
    return {name: without_secrets(v) if isinstance(v, str) else _plain(v) for name, v in named.items()}


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float) else without_secrets(str(value))
