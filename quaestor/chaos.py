"""Chaos: what a trader should fear, as scenarios, and how a rehearsal of one is judged.

Each scenario names a threat and what must hold. It is played by real processes against a real database, and what it
leaves is compared with the same stretch played undisturbed: the same orders at the broker, each once; the same fills,
lots, cash and equity; a ledger that agrees with the broker; a log of orders that proves itself.

A *point* is a place at which a process that trades waits for the outside: before and after each statement, before,
while and after each commit, before and after each send. Points are noted by watching, never listed by hand. The *kind*
of a point is the step that waits and what it waits for (`send: before commit`); its *label* adds which one of that kind
it is (`send: before commit #2`).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any

SAME = "the same orders, each once; the same fills and books; ledger = broker; the log proves itself"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A threat: its name, what is done, what must hold, and the design's law that says so."""

    name: str
    threat: str
    expected: str
    law: str


@dataclass(frozen=True, slots=True)
class Played:
    """How a rehearsal went: what was seen, and each contradiction to what was expected."""

    scenario: Scenario
    seen: str
    wrong: Sequence[str] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return not self.wrong


@dataclass(frozen=True)
class Picture:
    """What a stretch of trading left: rows as text, in an order of their own.

    `broker` are the broker's orders, `fills` its executions, `orders` ours, `books` cash, shares and lots, `equity` one
    row a session; `flaws` are contradictions that the audit found, `differences` those of a reconciliation.
    """

    broker: tuple[str, ...] = ()
    fills: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()
    books: tuple[str, ...] = ()
    equity: tuple[str, ...] = ()
    flaws: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    latches: tuple[str, ...] = ()

    def proven(self) -> list[str]:
        """What is wrong with it by itself: it contradicts the broker, its own log, or sent an order twice."""
        twice = [row for row, count in Counter(row.split()[0] for row in self.broker).items() if count > 1]
        return [
            *(f"order {name} is at the broker twice" for name in twice),
            *(f"reconciliation: {difference}" for difference in self.differences),
            *(f"audit: {flaw}" for flaw in self.flaws),
        ]

    def against(self, undisturbed: Picture) -> list[str]:
        """What is wrong with it beside the same stretch undisturbed."""
        wrong = self.proven()
        for name in ("broker", "fills", "orders", "books", "equity"):
            wrong += _unlike(name, getattr(self, name), getattr(undisturbed, name))
        return wrong


def _unlike(what: str, ours: Iterable[str], theirs: Iterable[str]) -> list[str]:
    lost, more = sorted(set(theirs) - set(ours)), sorted(set(ours) - set(theirs))
    return [*(f"{what}: missing {row}" for row in lost), *(f"{what}: unexpected {row}" for row in more)]


# ── points ────────────────────────────────────────────────────────────────────────────────────────────────────────────

SENDS = ("submit", "cancel")
WRITES = ("insert_", "move_", "place_", "adopt_", "upsert_", "update_", "set_", "mark_", "change_", "add_", "lease")


def label(kind: str, number: int) -> str:
    """One point of a kind; the first one has the number 1."""
    return f"{kind} #{number}"


def labels(points: Iterable[str]) -> list[str]:
    """The label of each point, in the order in which they were passed."""
    seen = Counter[str]()
    found = []
    for kind in points:
        seen[kind] += 1
        found.append(label(kind, seen[kind]))
    return found


def kind_of(label: str) -> str:
    """The kind of the point with that label."""
    return label.rpartition(" #")[0]


def weight(kind: str) -> int:
    """How much an order's fate hangs on it, the smallest first: sends, commits, what is written, all else."""
    what = kind.rpartition(" ")[2]
    if what in SENDS:
        return 0
    if what == "commit":
        return 1
    return 2 if any(word in what for word in WRITES) else 3


def chosen(points: Iterable[str], runs: int, dice: random.Random, *, broad: bool = False) -> list[str]:
    """The labels of so many points: one of each kind, the weightiest first, then a second of each; at most all.

    A broad choice first takes the weightiest kind of every step, then the second of every step, and so on.
    """
    kinds: dict[str, list[str]] = {}
    for each in dict.fromkeys(points):
        kinds.setdefault(kind_of(each), []).append(each)
    for same in kinds.values():
        dice.shuffle(same)
    order = sorted(kinds, key=weight)
    if broad:
        before = Counter[str]()
        ranks = {}
        for kind in order:
            step = kind.partition(":")[0]
            ranks[kind] = before[step]
            before[step] += 1
        order.sort(key=ranks.__getitem__)
    rounds = zip_longest(*(kinds[kind] for kind in order))
    return [each for each in chain.from_iterable(rounds) if each is not None][:runs]


def following(points: Sequence[str], statement: str, what: str) -> str:
    """The label of the first `what` (such as "after commit") that follows the last such statement."""
    found = labels(points)
    last = max(number for number, kind in enumerate(points) if kind.endswith(f" {statement}"))
    return next(each for each in found[last:] if kind_of(each).endswith(f": {what}"))


# ── scenarios ─────────────────────────────────────────────────────────────────────────────────────────────────────────

RIGHT_TIME = f"{SAME}; a lease lives as long as it should, and the log has the right time"
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("kill-at-each-step", "kill -9 at every statement, commit and send of the order path", SAME, "1, 2, 4"),
        Scenario("kill-while-recovering", "kill -9 again while the next process recovers", SAME, "1, 2, 4"),
        Scenario(
            "database-restart",
            "the database dies in mid-order, while a commit is under way, after one; it is away for 3 s",
            SAME,
            "1, 4",
        ),
        Scenario("broker-reply-lost", "the broker takes orders, its answers are lost", SAME, "2"),
        Scenario("broker-hangs", "the broker does not answer for longer than we wait", SAME, "2"),
        Scenario("broker-errors", "5xx, 429 and refused connections", SAME, "2"),
        Scenario("broker-muddles", "its lists come late, short, reordered, with rows twice", SAME, "2, 5"),
        Scenario("lease-stolen", "a paused writer (SIGSTOP) wakes up after another took over (SIGCONT)", SAME, "3"),
        Scenario("run-duplicated", "two runs trade the same sessions at once", SAME, "3, 4"),
        Scenario("clock-ahead", "this machine's clock is 90 s ahead", RIGHT_TIME, "3, 7"),
        Scenario("clock-behind", "this machine's clock is 90 s behind", RIGHT_TIME, "3, 7"),
        Scenario(
            "log-disk-full",
            "the disk of the alert log is full while somebody places an order by hand",
            "that order is adopted in the broker's own state; ledger = broker; nothing stops, nothing is lost",
            "5",
        ),
        Scenario(
            "halt-in-flight",
            "a person halts between decision and sending, and between sending and the answer",
            "no entry fills, exits do; after the resume trading goes on to the end; ledger = broker",
            "6",
        ),
    )
}
