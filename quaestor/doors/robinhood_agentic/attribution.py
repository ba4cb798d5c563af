"""Attribution: whose order a listed one is.

Since September 2026 the channel's orders carry the `ref_id` that they were placed with; before, they did not, and
nobody promises that they will. Where one lacks it, it is named in this order:

1. by its broker's id, which we were told when we placed it, in this process or (by the books) in an earlier one;
2. by its terms: it was placed by an agent, no other order of ours has its id, and one of ours is in doubt that asked
   for exactly this (symbol, side, shares, type, prices, time in force), no later than it came to be. Of several such
   the older order takes the older intent: they are the same to the last word, so what is owned comes out right;
3. else it has no name, and is an order that was placed by hand or by another agent.

So an order whose answer was lost is found in the list, and law 2's two listings mean what they say. What cannot be
told apart is an order with the same terms that ANOTHER agent placed in the same account meanwhile: let no other agent
trade there.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from quaestor.doors.robinhood_agentic.reading import Row, same_terms
from quaestor.orders import Intent, State
from quaestor.ports import StoredOrder

SKEW = dt.timedelta(seconds=30)  # how far the two clocks may differ
AGENTS = frozenset({"agentic", ""})


@dataclass(frozen=True)
class Doubt:
    """An order that we sent, or were about to, and no answer to it."""

    intent: Intent
    since: dt.datetime


class Attribution:
    """What this process knows of its orders at the broker."""

    def __init__(self) -> None:
        self._doubts: dict[uuid.UUID, Doubt] = {}
        self._names: dict[str, uuid.UUID] = {}

    def sending(self, intent: Intent, now: dt.datetime) -> bool:
        """This order is about to be sent, and in doubt until its answer comes; whether it is the first time."""
        first = intent.ref_id not in self._doubts
        self._doubts.setdefault(intent.ref_id, Doubt(intent, now))
        return first

    def answered(self, ref_id: uuid.UUID, broker_id: str | None) -> None:
        """It is that order there; None: there is none, for certain."""
        self._doubts.pop(ref_id, None)
        if broker_id is not None:
            self._names[broker_id] = ref_id

    def name_of(self, broker_id: str) -> uuid.UUID | None:
        """Whose order that is."""
        return self._names.get(broker_id)

    def named(self, rows: Sequence[Row], stored: Iterable[StoredOrder] = ()) -> list[Row]:
        """The rows, oldest first as given, each with its name; `stored`: the open orders of the books."""
        doubts = dict(self._doubts)
        for order in stored:
            if order.broker_id is not None:
                self._names.setdefault(order.broker_id, order.ref_id)
            elif order.state in {State.UNKNOWN, State.SUBMITTING}:
                doubts.setdefault(order.ref_id, Doubt(order.intent, order.planned_at))
        for each in rows:
            if each.update.ref_id is not None:
                self._names[each.update.broker_id] = each.update.ref_id
        waiting = self._without(doubts, set(self._names.values()))
        return [self._one(each, waiting) for each in rows]

    def _one(self, row: Row, waiting: dict[uuid.UUID, Doubt]) -> Row:
        name = self._names.get(row.update.broker_id)
        if name is None and row.agent in AGENTS:
            fits = [n for n, d in waiting.items() if same_terms(row, d.intent) and row.created_at >= d.since - SKEW]
            name = min(fits, key=lambda n: waiting[n].since, default=None)
            if name is not None:
                del waiting[name]
                self._names[row.update.broker_id] = name
        if name is None:
            return row
        self._doubts.pop(name, None)
        fills = tuple(replace(fill, ref_id=name) for fill in row.fills)
        return replace(row, update=replace(row.update, ref_id=name), fills=fills)

    @staticmethod
    def _without(doubts: dict[uuid.UUID, Doubt], known: set[uuid.UUID]) -> dict[uuid.UUID, Doubt]:
        return {name: doubt for name, doubt in doubts.items() if name not in known}
