"""What vendors tell of corporate actions, held against what is known.

Each told action ends in one of four ways. It is *new*. It *agrees* with a known one, and nothing is to do. It is
*better* than one that we derived from adjusted closes: the vendor's word takes its place. Or it is in *conflict*:
another ratio or amount, the same action a session earlier or later, another word from the vendor who told the first, or
a day without trading, on which nothing can take effect. We do not vote: a split in conflict blocks its symbol until a
person decides, because either choice may double every return across it. A dividend in conflict is told and blocks
nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from quaestor import calendar
from quaestor.dividends import Dividend
from quaestor.splits import TOLERANCE, Split

Action = Split | Dividend
Kind = Literal["split", "dividend"]
Reason = Literal["value", "session", "changed", "no_session"]

WORD = 0.0005  # of the ratio, and dollars: how far two vendors' words may differ by their rounding alone
ROUGH = (Decimal("0.02"), Decimal("0.06"))  # dollars, or of the amount: dividends derived from closes kept to cents


@dataclass(frozen=True, slots=True)
class Told:
    """An action, and who told it."""

    action: Action
    source: str

    @property
    def kind(self) -> Kind:
        """What sort of action it is."""
        return "split" if isinstance(self.action, Split) else "dividend"

    @property
    def value(self) -> Fraction | Decimal:
        """The split's ratio or the dividend's amount."""
        return self.action.ratio if isinstance(self.action, Split) else self.action.amount


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two words that cannot both be true (`ours` is None where theirs cannot be by itself)."""

    symbol: str
    session: dt.date
    kind: Kind
    ours: Told | None
    theirs: Told
    source: str
    reason: Reason

    def says(self) -> str:
        """The conflict in a sentence with its cure."""
        they = f"{self.symbol}: {self.source} tells {_words(self.theirs)}"
        if self.ours is None:
            return f"{they}, but {calendar.why_closed(self.theirs.action.session)}; correct its date."
        return f"{they}, but {self.ours.source} told {_words(self.ours)}; decide which is right."


@dataclass(frozen=True)
class Agreement:
    """What became of the told actions; `better` are (what we derived, the word that takes its place)."""

    new: tuple[Told, ...] = ()
    agreed: tuple[Told, ...] = ()
    better: tuple[tuple[Told, Told], ...] = ()
    conflicts: tuple[Conflict, ...] = ()

    @property
    def blocked(self) -> frozenset[str]:
        """Symbols that take no new bars and no orders until a person decides: their splits are in conflict."""
        return frozenset(conflict.symbol for conflict in self.conflicts if conflict.kind == "split")


def reconcile(known: Iterable[Told], told: Iterable[Told]) -> Agreement:
    """Hold each told action against the known ones, and against those told before it."""
    books = _Books()
    for each in known:
        books.keep(each)
    for each in told:
        books.hear(each)
    return Agreement(tuple(books.new), tuple(books.agreed), tuple(books.better), tuple(books.conflicts))


@dataclass
class _Books:
    """What is known so far, by symbol and kind; and what became of what was told."""

    known: dict[tuple[str, Kind], list[Told]] = field(default_factory=dict)
    new: list[Told] = field(default_factory=list)
    agreed: list[Told] = field(default_factory=list)
    better: list[tuple[Told, Told]] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)

    def keep(self, told: Told) -> None:
        self.known.setdefault((told.action.symbol, told.kind), []).append(told)

    def hear(self, told: Told) -> None:
        if not calendar.is_session(told.action.session):
            self._conflict(told, None, "no_session")
        elif ours := _same(self.known.get((told.action.symbol, told.kind), []), told):
            self._compare(ours, told)
        else:
            self.new.append(told)
            self.keep(told)

    def _compare(self, ours: Told, told: Told) -> None:
        if reason := _difference(ours, told):
            self._conflict(told, ours, reason)
        elif ours.action.origin == "derived" and told.action.origin == "source":
            self.better.append((ours, told))
            self.known[told.action.symbol, told.kind].remove(ours)
            self.keep(told)
        else:
            self.agreed.append(told)

    def _conflict(self, told: Told, ours: Told | None, reason: Reason) -> None:
        action = told.action
        self.conflicts.append(Conflict(action.symbol, action.session, told.kind, ours, told, told.source, reason))


def _same(known: Sequence[Told], told: Told) -> Told | None:
    """The known action that is meant: of the same session, or of one beside it.

    No company splits on two sessions running. It may pay twice, a special dividend beside the regular one: so a
    dividend beside another is the same one only if the amounts agree.
    """
    day = told.action.session
    here = [each for each in known if each.action.session == day]
    near = [
        each for each in known if each.action.session in _beside(day) and (told.kind == "split" or _agree(each, told))
    ]
    return next(iter([*sorted(here, key=lambda each: not _agree(each, told)), *near]), None)


def _beside(day: dt.date) -> tuple[dt.date, dt.date]:
    return calendar.previous_session(day), calendar.next_session(day)


def _difference(ours: Told, told: Told) -> Reason | None:
    if not _agree(ours, told):
        both = ours.source == told.source and ours.action.origin == told.action.origin
        return "changed" if both else "value"
    return None if ours.action.session == told.action.session else "session"


def _agree(ours: Told, told: Told) -> bool:
    """Whether the values mean the same; what was derived is as exact as the closes it came from."""
    derived = "derived" in {ours.action.origin, told.action.origin}
    if isinstance(ours.value, Fraction) and isinstance(told.value, Fraction):
        return abs(float(told.value / ours.value) - 1) <= (TOLERANCE if derived else WORD)
    mine, theirs = Decimal(str(float(ours.value))), Decimal(str(float(told.value)))
    rough = max(ROUGH[0], max(mine, theirs) * ROUGH[1])
    return abs(theirs - mine) <= (rough if derived else Decimal(str(WORD)))


def _words(told: Told) -> str:
    action = told.action
    if isinstance(action, Split):
        return f"a split of {action.ratio.numerator}:{action.ratio.denominator} on {action.session} ({action.origin})"
    return f"a dividend of ${action.amount} on {action.session} ({action.origin})"
