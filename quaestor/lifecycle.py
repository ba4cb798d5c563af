"""The life of an order: which state follows which, and how news of it converge (laws 1–4).

    PLANNED ──▶ SUBMITTING ──▶ ACKED ──▶ PARTIALLY_FILLED ──▶ FILLED | CANCELED | EXPIRED | REJECTED
       │          │ no  │ ambiguous │            │                    ▲
       │          ▼     ▼           └──── PENDING_CANCEL | PENDING_REPLACE   a cancel races a fill
       │    REJECTED  UNKNOWN ──▶ listed: the broker's own state; else SUBMITTING again with the same ref_id
       └──▶ EXPIRED_UNSENT   its band ended, or a halt came, before it could be sent, with proof

Two kinds of step. A *command* is our own doing, and the table `COMMANDS` allows it or not. *News* is what the broker
says, and it may come twice, late and in any order: it joins. The later state by `RANK` stands, and the larger number
of shares filled; so every order and every repetition of the same news ends in the same standing (a join of a
semilattice: commutative, associative, idempotent). A broker's final word outranks a request of ours that is pending,
and FILLED outranks every other end: an order that was filled is not canceled, whatever was said first.

What the broker shows of an order that we had given up (EXPIRED_UNSENT) is news like any other: its books are the truth
about its orders. An order that it first refused and shows later is no news but a contradiction: only a reconciliation
adopts it (`ADOPTED`).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from quaestor.orders import State

ZERO = Decimal(0)

# Our own doing. REJECTED is the broker's clear no to a submit; ACKED and PARTIALLY_FILLED its no to a cancel.
COMMANDS: dict[State, frozenset[State]] = {state: frozenset() for state in State} | {
    State.PLANNED: frozenset({State.SUBMITTING, State.EXPIRED_UNSENT}),
    State.SUBMITTING: frozenset({State.UNKNOWN, State.REJECTED}),
    State.UNKNOWN: frozenset({State.SUBMITTING, State.EXPIRED_UNSENT, State.REJECTED}),
    State.ACKED: frozenset({State.PENDING_CANCEL, State.PENDING_REPLACE}),
    State.PARTIALLY_FILLED: frozenset({State.PENDING_CANCEL, State.PENDING_REPLACE}),
    State.PENDING_REPLACE: frozenset({State.PENDING_CANCEL, State.ACKED, State.PARTIALLY_FILLED}),
    State.PENDING_CANCEL: frozenset({State.ACKED, State.PARTIALLY_FILLED}),
}

# What the broker has told outranks what we only intend or fear.
RANK: dict[State, int] = {
    State.PLANNED: 0,
    State.SUBMITTING: 0,
    State.UNKNOWN: 0,
    State.EXPIRED_UNSENT: 0,
    State.ACKED: 1,
    State.PARTIALLY_FILLED: 2,
    State.PENDING_REPLACE: 3,
    State.PENDING_CANCEL: 4,
    State.REJECTED: 5,
    State.EXPIRED: 6,
    State.CANCELED: 7,
    State.FILLED: 8,
}
TOLD = frozenset(
    {State.ACKED, State.PARTIALLY_FILLED, State.REJECTED, State.EXPIRED, State.CANCELED, State.FILLED}
)  # states that a broker speaks of
PENDING = frozenset({State.PENDING_CANCEL, State.PENDING_REPLACE})


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an order stands: its state, the shares filled, and their average price in dollars."""

    state: State
    filled: Decimal = ZERO
    average_price: Decimal | None = None


def commanded(known: Standing, state: State) -> Standing:
    """The standing once we did this; the same standing where the table does not allow it."""
    return Standing(state, known.filled, known.average_price) if state in COMMANDS[known.state] else known


def told(known: Standing, news: Standing) -> Standing:
    """The standing once the broker's news are heard; the same standing where they tell nothing new.

    Raises ValueError for a state that no broker speaks of.
    """
    if news.state not in TOLD:
        raise ValueError(f"A broker never says {news.state.value!r}; this is a step of our own.")
    state = news.state if RANK[news.state] > RANK[known.state] else known.state
    if news.filled > known.filled:
        return Standing(
            state, news.filled, news.average_price if news.average_price is not None else known.average_price
        )
    return Standing(state, known.filled, known.average_price)


def adopted(known: Standing, news: Standing) -> Standing:
    """The broker's standing, taken over by a reconciliation where news alone do not lead: after a refusal."""
    return news if known.state is State.REJECTED and news.state is not State.REJECTED else told(known, news)
