"""Faults: what goes wrong between us and a broker, as data: names, what each means, which calls it strikes.

A rehearsal asks a `Schedule` before every call. It is deterministic: the same seed or script strikes the same call (the
n-th of its kind), however calls of different kinds interleave.
"""

from __future__ import annotations

import enum
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Call(enum.StrEnum):
    """What we ask of a broker."""

    SUBMIT = "submit"
    CANCEL = "cancel"
    ORDERS = "orders"
    EXECUTIONS = "executions"
    ACCOUNT = "account"
    HALTED = "halted"


class Fault(enum.StrEnum):
    """One thing that goes wrong; `MEANING` says what, `STRIKES` where."""

    REPLY_LOST = "reply_lost"
    REQUEST_LOST = "request_lost"
    ARRIVES_LATE = "arrives_late"
    DELAY = "delay"
    HANG = "hang"
    SERVER_ERROR = "server_error"
    BAD_GATEWAY = "bad_gateway"
    THROTTLED = "throttled"
    TWICE = "twice"
    REORDERED = "reordered"
    STALE = "stale"
    LAG = "lag"
    SHRUNK = "shrunk"


MEANING: Mapping[Fault, str] = {
    Fault.REPLY_LOST: "The broker did it, and its answer never arrives.",
    Fault.REQUEST_LOST: "The connection ends before the broker sees the request.",
    Fault.ARRIVES_LATE: "We give up waiting, and the broker sees the request some calls later.",
    Fault.DELAY: "The answer takes a while.",
    Fault.HANG: "The broker did it and does not answer for longer than we wait.",
    Fault.SERVER_ERROR: "5xx: nothing was done, but nobody can tell from the answer.",
    Fault.BAD_GATEWAY: "502: the gateway gave up waiting for a broker that did it.",
    Fault.THROTTLED: "429 with Retry-After: surely nothing was done.",
    Fault.TWICE: "Every row is told twice.",
    Fault.REORDERED: "The rows come in another order.",
    Fault.STALE: "Orders that were listed before are told as they were then.",
    Fault.LAG: "What was not listed before is not listed yet.",
    Fault.SHRUNK: "The later half of the rows is missing, as if a page were lost.",
}

WRITES = frozenset({Call.SUBMIT, Call.CANCEL})
LISTS = frozenset({Call.ORDERS, Call.EXECUTIONS})
ALL = frozenset(Call)

STRIKES: Mapping[Fault, frozenset[Call]] = {
    Fault.REPLY_LOST: WRITES,
    Fault.REQUEST_LOST: ALL,
    Fault.ARRIVES_LATE: WRITES,
    Fault.DELAY: ALL,
    Fault.HANG: ALL,
    Fault.SERVER_ERROR: ALL,
    Fault.BAD_GATEWAY: WRITES,
    Fault.THROTTLED: ALL,
    Fault.TWICE: LISTS,
    Fault.REORDERED: LISTS,
    Fault.STALE: frozenset({Call.ORDERS}),
    Fault.LAG: LISTS,
    Fault.SHRUNK: LISTS,
}


def of(call: Call) -> list[Fault]:
    """The faults that can strike a call."""
    return [fault for fault in Fault if call in STRIKES[fault]]


class Schedule(Protocol):
    """Says what goes wrong with the next call of a kind."""

    def strikes(self, call: Call) -> Fault | None:
        """The fault of this call, or None; each question is one call."""
        ...


@dataclass
class Seeded:
    """A share (0–1) of all calls goes wrong, each by a fault drawn for it from `kinds` (all by default)."""

    share: float
    seed: int
    kinds: Sequence[Fault] = tuple(Fault)
    _asked: Counter[Call] = field(default_factory=Counter)

    def strikes(self, call: Call) -> Fault | None:
        """Drawn from the seed, the call and its number alone."""
        self._asked[call] += 1
        drawn = random.Random(f"{self.seed}|{call}|{self._asked[call]}")  # noqa: S311  # a rehearsal, no secret
        kinds = [fault for fault in of(call) if fault in self.kinds]
        return drawn.choice(kinds) if kinds and drawn.random() < self.share else None


class Scripted:
    """Faults in the order they strike each kind of call; None lets one pass, and so does a script that has ended.

    Raises ValueError for a fault that cannot strike its call.
    """

    def __init__(self, script: Mapping[Call, Iterable[Fault | None]]) -> None:
        self._script = {call: list(faults) for call, faults in script.items()}
        for call, faults in self._script.items():
            for fault in faults:
                if fault is not None and call not in STRIKES[fault]:
                    raise ValueError(f"{fault.value!r} cannot strike {call.value!r}; it can: {', '.join(of(call))}.")

    def strikes(self, call: Call) -> Fault | None:
        """The next of the script."""
        ahead = self._script.get(call)
        return ahead.pop(0) if ahead else None
