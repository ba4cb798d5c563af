"""Acts: what follows from an event. The engine performs none; whoever drives it does, in this order.

Every act is a value that JSON can hold, and `as_line` writes it as one line: two runs that decided the same wrote the
same bytes.
"""

from __future__ import annotations

import uuid

import msgspec

from quaestor.jsons import as_json
from quaestor.orders import Intent
from quaestor.risk import Refusal


class Place(msgspec.Struct, frozen=True, tag="place"):
    """Commit these intents and send them (law 1). `tick`: when the exchange told what caused it, ns (0: no tick)."""

    intents: tuple[Intent, ...]
    tick: int = 0


class Refuse(msgspec.Struct, frozen=True, tag="refuse"):
    """Keep these refusals."""

    refusals: tuple[Refusal, ...]


class Signalled(msgspec.Struct, frozen=True, tag="signalled"):
    """A strategy wants another share of its sleeve in a symbol; `at`: the bar's end, ns."""

    strategy: str
    symbol: str
    timeframe: str
    at: int
    target: float


class Fired(msgspec.Struct, frozen=True, tag="fired"):
    """A trigger fired: keep it with what its latch is now. What it does comes as acts of its own, after it."""

    id: uuid.UUID
    trigger: uuid.UUID
    number: int
    symbol: str
    price: float | None
    at: int
    action: str
    latch: dict[str, object]


class Notify(msgspec.Struct, frozen=True, tag="notify"):
    """Tell a person, once per `id`."""

    id: uuid.UUID
    title: str
    body: str
    urgent: bool = False


class Run(msgspec.Struct, frozen=True, tag="run"):
    """Start a flow by its deployment's name, once per `id`."""

    id: uuid.UUID
    deployment: str


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Latch a halt; nobody but a person ends it."""

    reason: str


Act = Place | Refuse | Signalled | Fired | Notify | Run | Stop


def as_line(act: Act) -> str:
    """One line of JSON, the same for the same act."""
    plain = msgspec.to_builtins(act, builtin_types=(), str_keys=True, order="sorted")
    return as_json(plain)
