"""A trigger: a stored rule that acts at once; and its latch, what it has lived through.

    waiting ──condition holds──▶ fired ──once──▶ done
       ▲                           │
       └── condition lingers no more (rearm); fires again after the cooldown at the earliest

The trigger is what a person wrote and never changes by itself; the latch changes by what the market does. Stored and
restored together, they go on as if nothing had happened: the number of firings is part of the latch, and a firing's
id follows from trigger and number, so that the same firing twice is one.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from quaestor.errors import BadInput
from quaestor.splits import Split
from quaestor.triggers.conditions import Condition, Scale, Trailing, read_condition, symbol
from quaestor.triggers.reading import build, keys, not_negative, number, one_of, part, plain, positive, whole

Price = Literal["trade", "bid", "ask", "mid"]
PRICES = ("trade", "bid", "ask", "mid")
TYPES = ("market", "limit", "stop", "stop_limit")


@dataclass(frozen=True, slots=True)
class OrderTemplate:
    """An order: `quantity` in shares, or a `fraction` of the position; offsets in dollars from the firing's price."""

    side: Literal["buy", "sell"]
    quantity: float | None = None
    fraction: float | None = None
    order_type: Literal["market", "limit", "stop", "stop_limit"] = "market"
    limit_offset: float | None = None
    stop_offset: float | None = None

    def __post_init__(self) -> None:
        one_of("action.side", self.side, ("buy", "sell"))
        one_of("action.order_type", self.order_type, TYPES)
        if (self.quantity is None) == (self.fraction is None):
            raise BadInput("action: give either 'quantity', in shares, or 'fraction' of the position.")
        if self.quantity is not None:
            positive("action.quantity", self.quantity)
        elif positive("action.fraction", self.fraction) > 1:
            raise BadInput(f"action.fraction: {self.fraction!r} is more than the position; write at most 1.")
        self._offset("limit_offset", "limit" in self.order_type)
        self._offset("stop_offset", "stop" in self.order_type)

    def _offset(self, name: str, needed: bool) -> None:
        if (value := getattr(self, name)) is not None:
            number(f"action.{name}", value)
        if (value is not None) != needed:
            cure = "give it, in dollars" if needed else "leave it out"
            raise BadInput(f"action.{name}: {cure}, for a {self.order_type} order.")

    def rescaled(self, ratio: float) -> OrderTemplate:
        """After a split of `ratio` new shares for one old."""
        limit, stop = (None if o is None else o / ratio for o in (self.limit_offset, self.stop_offset))
        quantity = None if self.quantity is None else self.quantity * ratio
        return replace(self, quantity=quantity, limit_offset=limit, stop_offset=stop)


@dataclass(frozen=True, slots=True)
class Flatten:
    """Sell what is held: of the trigger's symbol, or of all."""

    everything: bool = False


@dataclass(frozen=True, slots=True)
class Alert:
    """Tell a person."""

    message: str = ""


@dataclass(frozen=True, slots=True)
class RunDeployment:
    """Start a flow by its deployment's name."""

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise BadInput("action.name: name the deployment, like 'report/evening'.")


@dataclass(frozen=True, slots=True)
class Halt:
    """Stop entries until a person clears it."""

    reason: str = ""


Action = OrderTemplate | Flatten | Alert | RunDeployment | Halt
ACTIONS: dict[str, type[Action]] = {
    "order": OrderTemplate,
    "flatten": Flatten,
    "alert": Alert,
    "run": RunDeployment,
    "halt": Halt,
}


@dataclass(frozen=True, slots=True)
class Trigger:
    """A stored rule. `cooldown` and `max_age` (of a tick that may fire it) in seconds, `expires` in ns since 1970,
    `hysteresis` in percent of a level, `band` in percent of the last accepted price.
    """

    id: uuid.UUID
    symbol: str
    condition: Condition
    action: Action
    mode: Literal["once", "rearm"] = "once"
    price: Price = "trade"
    hysteresis: float = 0.0
    cooldown: float = 0.0
    expires: int | None = None
    max_age: float = 10.0
    band: float = 10.0

    def __post_init__(self) -> None:
        symbol("symbol", self.symbol)
        one_of("mode", self.mode, ("once", "rearm"))
        one_of("price", self.price, PRICES)
        not_negative("cooldown", self.cooldown)
        positive("max_age", self.max_age)
        part("band", self.band)
        if not_negative("hysteresis", self.hysteresis) >= 100:
            raise BadInput(f"hysteresis: {self.hysteresis!r} percent leave no price; write a number below 100.")
        if self.expires is not None:
            whole("expires", self.expires)

    @property
    def trails(self) -> Trailing | None:
        """Its condition, where that is a trailing stop and nothing else."""
        return self.condition if isinstance(self.condition, Trailing) else None

    @property
    def buys(self) -> bool:
        """Whether it enters: nothing is sold short, so each purchase does."""
        return isinstance(self.action, OrderTemplate) and self.action.side == "buy"

    def rescaled(self, split: Split) -> Trigger:
        """Its levels and order after a split; raises BadInput where they have no meaning any more."""
        ratio = float(split.ratio)
        condition = self.condition.scaled(Scale(self.symbol, split.symbol, ratio))
        mine = split.symbol == self.symbol and isinstance(self.action, OrderTemplate)
        action = self.action.rescaled(ratio) if mine and isinstance(self.action, OrderTemplate) else self.action
        return replace(self, condition=condition, action=action)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        kind = next(name for name, cls in ACTIONS.items() if isinstance(self.action, cls))
        action = {"kind": kind, **plain(self.action)}
        return plain(self) | {"id": str(self.id), "condition": self.condition.as_dict(), "action": action}


def read_trigger(data: object) -> Trigger:
    """A trigger from its dict; raises BadInput, with the place, for what is not understood."""
    given = dict(keys("trigger", data, Trigger.__dataclass_fields__, ("id", "symbol", "condition", "action")))
    try:
        given["id"] = uuid.UUID(given["id"])
    except (ValueError, TypeError, AttributeError):
        raise BadInput(f"id: {str(given['id'])[:60]!r} is no UUID; leave making it to `uuid.uuid4()`.") from None
    given["condition"] = read_condition(given["condition"])
    given["action"] = read_action(given["action"])
    return build(Trigger, "trigger", given)


def read_action(data: object) -> Action:
    """An action from its dict; raises BadInput."""
    if not isinstance(data, dict) or "kind" not in data:
        raise BadInput(f"action: it needs its 'kind': {', '.join(ACTIONS)}.")
    cls: type[Any] = ACTIONS[one_of("action.kind", data["kind"], ACTIONS)]
    found: Action = build(cls, "action", {key: value for key, value in data.items() if key != "kind"})
    return found


@dataclass(slots=True)
class Latch:
    """What a trigger has lived through: `memory` has a number for each leaf (a side, a high-water mark) or None."""

    armed: bool = True
    done: bool = False
    fired: int = 0
    last_fired: int | None = None  # ns since 1970
    memory: list[float | None] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: getattr(self, name) for name in self.__slots__} | {"memory": list(self.memory)}


def read_latch(data: object) -> Latch:
    """A latch from its dict; raises BadInput for unknown keys."""
    latch = build(Latch, "latch", data)
    latch.memory = list(latch.memory)
    return latch


class Firing(NamedTuple):
    """A trigger fired: `price` in dollars (None: no price was seen), `at` in ns since 1970. The id is for ever."""

    id: uuid.UUID
    trigger: Trigger
    number: int
    symbol: str
    price: float | None
    at: int


def firing_id(trigger: uuid.UUID, number: int) -> uuid.UUID:
    """The firing's name, the same however often it is found again."""
    return uuid.uuid5(trigger, str(number))
