"""Conditions: what a trigger waits for, as values.

Every leaf is a level on one *series* of numbers: a symbol's price, its volume over a window against the windows before,
its range over a window, a spread of two symbols, the session's clock, the account's drawdown. A leaf judges one value
of its series, and says more than yes or no: between which values its answer stays the same. That interval is what
the index is made of: a tick inside it need not be shown to the leaf at all.

A leaf may remember one number of the past: on which side of the level the price was (crossing), how high it has been
(trailing). Judging the same value twice changes nothing. `AllOf` and `AnyOf` combine conditions.

*Holds* is the condition itself; it *lingers* within the hysteresis beyond its level. A trigger that has fired arms
again when its condition lingers no more.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

from quaestor.bars import SYMBOL
from quaestor.errors import BadInput
from quaestor.triggers.reading import build, keys, not_negative, number, one_of, part, plain, positive, whole

INF = math.inf
MINUTE = 60_000_000_000  # nanoseconds
CLOCK = ("clock",)
DRAWDOWN = ("drawdown",)
Key = tuple[str | int, ...]  # of a series: its kind, its symbol or symbols, its window


class Judged(NamedTuple):
    """A leaf's answer; what counts of it stays the same for all values strictly between `low` and `high`."""

    holds: bool
    lingers: bool
    memory: float | None = None
    low: float = -INF
    high: float = INF


class Scale(NamedTuple):
    """A split of `ratio` new shares for one old in symbol `split`, for a trigger on `symbol`."""

    symbol: str
    split: str
    ratio: float

    @property
    def own(self) -> float:
        """By which prices of the trigger's own symbol are divided."""
        return self.ratio if self.symbol == self.split else 1.0


UNKNOWN = Judged(False, False)  # there is nothing to judge yet


@dataclass(slots=True)
class Facts:
    """What the caller knows and no tick tells: prices in dollars by symbol, the session's hours in ns since 1970."""

    opens: dict[str, float] = field(default_factory=dict)
    entries: dict[str, float] = field(default_factory=dict)
    session: tuple[int, int] | None = None


class Seen(NamedTuple):
    """What a leaf judges: a value of its series, what it remembers, what is known; hysteresis in percent of a level."""

    value: float
    memory: float | None
    facts: Facts
    symbol: str
    hysteresis: float
    armed: bool = True  # else it is of no account whether it holds, only whether it lingers


class Leaf(ABC):
    """A condition on one series."""

    kind: ClassVar[str]

    def series(self, symbol: str) -> Key:
        """The series it looks at."""
        return ("price", symbol)

    @abstractmethod
    def judge(self, seen: Seen) -> Judged:
        """Its answer to a value."""

    def scaled(self, _: Scale) -> Leaf:
        """The same after a split."""
        return self

    def leaves(self) -> tuple[Leaf, ...]:
        """Itself."""
        return (self,)

    def combine(self, truths: Iterator[bool]) -> bool:
        """Its own truth, the next in the order of `leaves`."""
        return next(truths)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"kind": self.kind, **plain(self)}


@dataclass(frozen=True, slots=True)
class Above(Leaf):
    """The price is at the level, in dollars, or above."""

    kind = "above"
    level: float

    def __post_init__(self) -> None:
        positive("above.level", self.level)

    def judge(self, seen: Seen) -> Judged:
        """See `Leaf`."""
        return _above(seen, self.level)

    def scaled(self, by: Scale) -> Above:
        """See `Leaf`."""
        return Above(self.level / by.own)


@dataclass(frozen=True, slots=True)
class Below(Leaf):
    """The price is at the level, in dollars, or below."""

    kind = "below"
    level: float

    def __post_init__(self) -> None:
        positive("below.level", self.level)

    def judge(self, seen: Seen) -> Judged:
        """See `Leaf`."""
        return _below(seen, self.level)

    def scaled(self, by: Scale) -> Below:
        """See `Leaf`."""
        return Below(self.level / by.own)


@dataclass(frozen=True, slots=True)
class Crossing(Leaf):
    """The price reaches the level from the other side: a moment, not a state. It remembers the side, −1, 0 or 1."""

    kind = "crossing"
    level: float
    direction: Literal["up", "down", "either"] = "either"

    def __post_init__(self) -> None:
        positive("crossing.level", self.level)
        one_of("crossing.direction", self.direction, ("up", "down", "either"))

    def judge(self, seen: Seen) -> Judged:
        """See `Leaf`."""
        value, memory, level, reach = seen.value, seen.memory, self.level, self.level * seen.hysteresis / 100
        side = (value > level) - (value < level)
        up = memory == -1 and side >= 0 and self.direction != "down"
        down = memory == 1 and side <= 0 and self.direction != "up"
        near = level - reach < value < level + reach
        edges = (level, _next(level), *(() if seen.armed else (_next(level - reach), level + reach)))
        return Judged(up or down, up or down or near, side, *_quiet(value, edges))

    def scaled(self, by: Scale) -> Crossing:
        """See `Leaf`."""
        return Crossing(self.level / by.own, self.direction)


@dataclass(frozen=True, slots=True)
class Moved(Leaf):
    """The price is so many percent from a price: +5 or more above it, −5 or more below it.

    `basis`: a `reference` in dollars, the session's `open`, the `entry` price of the position.
    """

    kind = "moved"
    percent: float
    basis: Literal["reference", "open", "entry"] = "reference"
    reference: float | None = None

    def __post_init__(self) -> None:
        if number("moved.percent", self.percent) <= -100 or self.percent == 0:
            raise BadInput(f"moved.percent: {self.percent!r} is no move; write one like 5 or -5, above -100.")
        one_of("moved.basis", self.basis, ("reference", "open", "entry"))
        if (self.basis == "reference") != (self.reference is not None):
            raise BadInput("moved.reference: give it, in dollars, for basis 'reference' and for no other.")
        if self.reference is not None:
            positive("moved.reference", self.reference)

    def judge(self, seen: Seen) -> Judged:
        """See `Leaf`."""
        base = self.reference
        if self.basis != "reference":
            base = (seen.facts.opens if self.basis == "open" else seen.facts.entries).get(seen.symbol)
        if base is None:
            return UNKNOWN
        level = base * (1 + self.percent / 100)
        return _above(seen, level) if self.percent > 0 else _below(seen, level)

    def scaled(self, by: Scale) -> Moved:
        """See `Leaf`."""
        return self if self.reference is None else Moved(self.percent, self.basis, self.reference / by.own)


@dataclass(frozen=True, slots=True)
class Trailing(Leaf):
    """The price has fallen from its high-water mark by percent of it, or by dollars. It remembers the mark."""

    kind = "trailing"
    percent: float | None = None
    dollars: float | None = None

    def __post_init__(self) -> None:
        if (self.percent is None) == (self.dollars is None):
            raise BadInput("trailing: give either 'percent' or 'dollars'.")
        if self.percent is not None:
            part("trailing.percent", self.percent)
        else:
            positive("trailing.dollars", self.dollars)

    def stop(self, mark: float) -> float:
        """The price, in dollars, at which it holds for a mark."""
        return mark * (1 - self.percent / 100) if self.percent is not None else mark - (self.dollars or 0.0)

    def judge(self, seen: Seen) -> Judged:
        """See `Leaf`."""
        value = seen.value
        mark = value if seen.memory is None or value > seen.memory else seen.memory
        stop = self.stop(mark)
        release = stop + abs(stop) * seen.hysteresis / 100
        quiet = _quiet(value, (_next(stop if seen.armed else release), _next(mark)))
        return Judged(value <= stop, value <= release, mark, *quiet)

    def scaled(self, by: Scale) -> Trailing:
        """See `Leaf`."""
        return self if self.dollars is None else Trailing(dollars=self.dollars / by.own)


@dataclass(frozen=True, slots=True)
class SessionTime(Leaf):
    """From so many minutes after the open, or before the close, until the close."""

    kind = "session_time"
    after_open: float | None = None
    before_close: float | None = None

    def __post_init__(self) -> None:
        if (self.after_open is None) == (self.before_close is None):
            raise BadInput("session_time: give either 'after_open' or 'before_close', in minutes.")
        name = "after_open" if self.after_open is not None else "before_close"
        not_negative(f"session_time.{name}", getattr(self, name))

    def series(self, _: str) -> Key:
        """See `Leaf`."""
        return CLOCK

    def judge(self, seen: Seen) -> Judged:
        """See `Leaf`."""
        if seen.facts.session is None:
            return UNKNOWN
        opens, closes = seen.facts.session
        start = closes - round((self.before_close or 0) * MINUTE)
        if self.after_open is not None:
            start = opens + round(self.after_open * MINUTE)
        holds = start <= seen.value < closes
        later = [instant for instant in (start, closes) if instant > seen.value]
        return Judged(holds, holds, None, high=min(later, default=INF))


@dataclass(frozen=True, slots=True)
class VolumeSpike(Leaf):
    """This window's volume is at least `factor` × the average of the `windows` before, each of so many seconds."""

    kind = "volume_spike"
    factor: float
    seconds: int
    windows: int = 10

    def __post_init__(self) -> None:
        positive("volume_spike.factor", self.factor)
        whole("volume_spike.seconds", self.seconds)
        whole("volume_spike.windows", self.windows)

    def series(self, symbol: str) -> Key:
        """See `Leaf`."""
        return ("volume", symbol, self.seconds, self.windows)

    def judge(self, seen: Seen) -> Judged:
        """See `Leaf`."""
        return _above(seen, self.factor)


@dataclass(frozen=True, slots=True)
class VolatilitySpike(Leaf):
    """Within the last so many seconds, highest and lowest price lie that percent of the lowest apart."""

    kind = "volatility_spike"
    percent: float
    seconds: int

    def __post_init__(self) -> None:
        positive("volatility_spike.percent", self.percent)
        whole("volatility_spike.seconds", self.seconds)

    def series(self, symbol: str) -> Key:
        """See `Leaf`."""
        return ("range", symbol, self.seconds)

    def judge(self, seen: Seen) -> Judged:
        """See `Leaf`."""
        return _above(seen, self.percent)


@dataclass(frozen=True, slots=True)
class Spread(Leaf):
    """The price less (`difference`, dollars) or divided by (`ratio`) another symbol's is above or below a level."""

    kind = "spread"
    other: str
    level: float
    measure: Literal["difference", "ratio"] = "difference"
    side: Literal["above", "below"] = "above"

    def __post_init__(self) -> None:
        symbol("spread.other", self.other)
        one_of("spread.measure", self.measure, ("difference", "ratio"))
        one_of("spread.side", self.side, ("above", "below"))
        (number if self.measure == "difference" else positive)("spread.level", self.level)

    def series(self, symbol: str) -> Key:
        """See `Leaf`."""
        return (self.measure, symbol, self.other)

    def judge(self, seen: Seen) -> Judged:
        """See `Leaf`."""
        return (_above if self.side == "above" else _below)(seen, self.level)

    def scaled(self, by: Scale) -> Spread:
        """See `Leaf`."""
        if by.split not in {by.symbol, self.other}:
            return self
        if self.measure == "difference":
            raise BadInput(f"spread: {by.split} split, so its difference has a new meaning; replace the trigger.")
        level = self.level / by.ratio if by.split == by.symbol else self.level * by.ratio
        return Spread(self.other, level, "ratio", self.side)


@dataclass(frozen=True, slots=True)
class Drawdown(Leaf):
    """The account's equity lies so many percent below its peak."""

    kind = "drawdown"
    percent: float

    def __post_init__(self) -> None:
        part("drawdown.percent", self.percent)

    def series(self, _: str) -> Key:
        """See `Leaf`."""
        return DRAWDOWN

    def judge(self, seen: Seen) -> Judged:
        """See `Leaf`."""
        return _above(seen, self.percent)


@dataclass(frozen=True, slots=True)
class _Several:
    conditions: tuple[Condition, ...]
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        if not self.conditions:
            raise BadInput(f"{self.kind}.conditions: it combines none; give one at least.")

    def leaves(self) -> tuple[Leaf, ...]:
        """All leaves, from left to right."""
        return tuple(leaf for each in self.conditions for leaf in each.leaves())

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"kind": self.kind, "conditions": [each.as_dict() for each in self.conditions]}


@dataclass(frozen=True, slots=True)
class AllOf(_Several):
    """Each of them holds."""

    kind = "all"

    def combine(self, truths: Iterator[bool]) -> bool:
        """Of the leaves' truths, in the order of `leaves`."""
        return all([each.combine(truths) for each in self.conditions])  # noqa: C419

    def scaled(self, by: Scale) -> AllOf:
        """Each after a split."""
        return AllOf(tuple(each.scaled(by) for each in self.conditions))


@dataclass(frozen=True, slots=True)
class AnyOf(_Several):
    """One of them holds, or more."""

    kind = "any"

    def combine(self, truths: Iterator[bool]) -> bool:
        """Of the leaves' truths, in the order of `leaves`."""
        return any([each.combine(truths) for each in self.conditions])  # noqa: C419

    def scaled(self, by: Scale) -> AnyOf:
        """Each after a split."""
        return AnyOf(tuple(each.scaled(by) for each in self.conditions))


Condition = Leaf | AllOf | AnyOf
LEAVES: dict[str, type[Leaf]] = {
    cls.kind: cls
    for cls in (
        *(Above, Below, Crossing, Moved, Trailing, SessionTime),
        *(VolumeSpike, VolatilitySpike, Spread, Drawdown),
    )
}
SEVERAL: dict[str, type[AllOf | AnyOf]] = {"all": AllOf, "any": AnyOf}
DEEPEST = 8  # levels of all / any within each other


def read_condition(data: object, place: str = "condition", depth: int = 0) -> Condition:
    """A condition from its dict; raises BadInput, with the place, for what is not understood."""
    if not isinstance(data, dict) or "kind" not in data:
        raise BadInput(f"{place}: a condition needs its 'kind': {', '.join([*LEAVES, *SEVERAL])}.")
    kind = one_of(f"{place}.kind", data["kind"], [*LEAVES, *SEVERAL])
    rest = {key: value for key, value in data.items() if key != "kind"}
    if kind in LEAVES:
        return build(LEAVES[kind], f"{place} ({kind})", rest)
    inner = keys(f"{place} ({kind})", rest, ["conditions"], ["conditions"])["conditions"]
    if not isinstance(inner, list | tuple) or depth >= DEEPEST:
        raise BadInput(f"{place}.conditions: give a list, at most {DEEPEST} levels deep.")
    return SEVERAL[kind](tuple(read_condition(each, f"{place}.{n}", depth + 1) for n, each in enumerate(inner, 1)))


def symbol(place: str, value: object) -> str:
    """A canonical symbol."""
    if not isinstance(value, str) or not re.fullmatch(SYMBOL, value):
        raise BadInput(f"{place}: {value!r} is no symbol; write it like AAPL or BRK.B.")
    return value


def _above(seen: Seen, level: float) -> Judged:
    value, release = seen.value, level - abs(level) * seen.hysteresis / 100
    return Judged(value >= level, value >= release, None, *_quiet(value, (level if seen.armed else release,)))


def _below(seen: Seen, level: float) -> Judged:
    value, release = seen.value, level + abs(level) * seen.hysteresis / 100
    return Judged(value <= level, value <= release, None, *_quiet(value, (_next(level if seen.armed else release),)))


def _next(level: float) -> float:
    return math.nextafter(level, INF)


def _quiet(value: float, edges: tuple[float, ...]) -> tuple[float, float]:
    """Between which values no edge is passed; an edge is the lowest value of its upper side."""
    low, high = -INF, INF
    for edge in edges:
        if value >= edge:
            low = max(low, edge)
        else:
            high = min(high, edge)
    return math.nextafter(low, -INF), high
