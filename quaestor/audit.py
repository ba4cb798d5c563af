"""Audit: whether the log of an account's orders is what was written, event by event.

Each event carries a hash over the one before and its own fields, so a changed, missing, added or moved event breaks
the chain at its place. What the chain says is then compared with the tables beside it: each order's standing is what
its events lead to; each intent is the one whose digest its first event holds; each fill is an event.

A chain proves order and integrity against everybody who cannot write a whole new one. Against somebody who can, keep
an `Anchor` elsewhere: each reconciliation shows one in Prefect, whose database is another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from operator import attrgetter
from typing import Any
from uuid import UUID

from quaestor.orders import Intent

SEPARATOR = "\x1f"
VERBATIM = "sha256:"
_terms = attrgetter(*(each.name for each in fields(Intent) if each.name != "provenance"))
COVERED = ("seq", "ref_id", "state", "epoch", "cause", "causation", "detail", "at")


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place in the chain: how many events it had, and the hash of the last."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """Out of "SEQ:HASH"; raises ValueError."""
        seq, _, value = text.partition(":")
        if not seq.isdigit() or len(value) != 64 or set(value) - set("0123456789abcdef"):
            raise ValueError(f"{text!r} is no anchor; it looks like 42:9f86d0… (64 hexadecimal digits).")
        return cls(int(seq), value)


@dataclass(frozen=True, slots=True)
class Flaw:
    """Where the log and the books contradict each other; seq: the event's number, 0 for none."""

    seq: int
    subject: str
    problem: str


@dataclass
class Audit:
    """A reading of one account's chain: feed it events in order, then ask for flaws."""

    account: str
    anchor: Anchor | None = None
    flaws: list[Flaw] = field(default_factory=list)
    seq: int = 0
    states: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    fills: dict[str, str] = field(default_factory=dict)
    _hash: bytes = b""

    def __post_init__(self) -> None:
        self._hash = hashlib.sha256(self.account.encode()).digest()

    @property
    def head(self) -> Anchor:
        """Where the reading stands."""
        return Anchor(self.seq, self._hash.hex())

    def read(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Follow the chain over these events: fields as text as the hash covers them, and the stored hash."""
        for event in events:
            self._link(event)
            self._follow(event)

    def _link(self, event: Mapping[str, Any]) -> None:
        if event["seq"] != self.seq + 1:
            gap = f"events {self.seq + 1} to {event['seq'] - 1} are missing"
            self.flaws.append(Flaw(event["seq"], event["ref_id"], gap))
        expected = link(self._hash, event)
        if expected != bytes(event["hash"]):
            self.flaws.append(Flaw(event["seq"], event["ref_id"], "it is not what was written: its hash does not fit"))
        self.seq, self._hash = event["seq"], bytes(event["hash"])  # the next one is judged for itself
        if self.anchor is not None and self.anchor.seq == self.seq and self.anchor != self.head:
            self.flaws.append(Flaw(self.seq, event["ref_id"], f"the anchor says {self.anchor.hash}: another chain"))

    def _follow(self, event: Mapping[str, Any]) -> None:
        ref_id, detail = event["ref_id"], json.loads(event["detail"])
        self.states[ref_id] = event["state"]
        if "digest" in detail:
            self.digests[ref_id] = detail["digest"]
        if event["cause"] == "fill":
            told = SEPARATOR.join(str(detail[name]) for name in ("quantity", "price", "fee"))
            self.fills[detail["execution_id"]] = told

    def end(self, stored: Anchor | None) -> None:
        """Compare the end of the chain with the one that is kept, and with the anchor."""
        if stored is not None and stored != self.head:
            self.flaws.append(Flaw(self.seq, self.account, f"the chain ends at {stored.seq}, but {self.seq} was read"))
        if self.anchor is not None and self.anchor.seq > self.seq:
            problem = f"the anchor knows {self.anchor.seq} events, the log {self.seq}"
            self.flaws.append(Flaw(self.seq, self.account, problem))

    def compare_orders(self, orders: Iterable[tuple[UUID, str, Intent, str]]) -> None:
        """Each order's standing and intent against its events; (ref_id, state, intent, its evidence as it is kept)."""
        seen = set()
        for ref_id, state, intent, evidence in orders:
            name = str(ref_id)
            seen.add(name)
            self.flaws += self._order(name, state, intent, evidence)
        self.flaws += [Flaw(0, name, "it has events, but no order") for name in sorted(set(self.states) - seen)]

    def _order(self, name: str, state: str, intent: Intent, evidence: str) -> Iterator[Flaw]:
        if self.states.get(name) != state:
            yield Flaw(0, name, f"it stands at {state}, but its events end at {self.states.get(name, 'nothing')}")
        kept = self.digests.get(name)
        if kept is not None and kept != (
            digest(intent, evidence) if kept.startswith(VERBATIM) else _first_digest(intent)
        ):
            yield Flaw(0, name, "its intent is not the one that was planned")

    def compare_fills(self, fills: Iterable[tuple[str, str, str, str]]) -> None:
        """Each fill against its event: (execution id, quantity, price, fee), amounts as text."""
        told = {execution_id: SEPARATOR.join(amounts) for execution_id, *amounts in fills}
        for name in sorted(set(told) | set(self.fills)):
            if told.get(name) != self.fills.get(name):
                self.flaws.append(Flaw(0, name, "this fill and its event differ, or one of them is missing"))


def link(previous: bytes, event: Mapping[str, Any]) -> bytes:
    """The hash of an event: SHA-256 over the hash before and its fields (`COVERED`), apart by a unit separator."""
    text = SEPARATOR.join(str(event[name]) for name in COVERED)
    return hashlib.sha256(previous + text.encode()).digest()


def digest(intent: Intent, evidence: str) -> str:
    """A short name of all that an intent says, and of its evidence, letter by letter, as the books keep it."""
    terms = SEPARATOR.join([_amount(each) if type(each) is Decimal else str(each) for each in _terms(intent)])
    return VERBATIM + hashlib.sha256(f"{terms}{SEPARATOR}{evidence}".encode()).hexdigest()


def _first_digest(intent: Intent) -> str:
    """How intents were named when the books kept their evidence in a form of their own."""
    said = {each.name: getattr(intent, each.name) for each in fields(intent)}
    return hashlib.sha256(json.dumps(_plain(said), sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Numbers as a database may write them back: 100, 1E+2 and 100.000000 are one."""
    if value is None or isinstance(value, str | bool):
        return value
    if type(value) is dict or isinstance(value, Mapping):  # most that it holds is text
        return {key: each if type(each) is str else _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Decimal | float | int):
        return _amount(Decimal(str(value)))
    return str(value)


def _amount(value: Decimal) -> str:
    return f"{value.normalize():f}"
