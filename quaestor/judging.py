"""Judging: candidates pass the gate one after the other, and each keeps why.

A decision is the same whether a flow makes it for a session or the live run for a tick: what is wanted, with its
reasons; every rule's verdict; and who decided. The verdicts are part of the evidence of what passes and of what does
not. What passes counts for those after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from quaestor.bars import exact
from quaestor.exchange import cents
from quaestor.orders import Intent, trimmed
from quaestor.ports import Run
from quaestor.risk import Picture, Refusal, refusal, verdicts
from quaestor.sizing import Wanted

if TYPE_CHECKING:
    from quaestor.config import RiskSection


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """An order that somebody wants, and the reasons for it; they come first in its evidence."""

    intent: Intent
    why: Mapping[str, Any]


def judge(
    candidates: Iterable[Candidate], picture: Picture, limits: RiskSection, run: Run
) -> tuple[list[Intent], list[Refusal]]:
    """What may be sent, with its evidence, and what is refused, with the first rule that failed."""
    intents: list[Intent] = []
    refusals: list[Refusal] = []
    decided = {"flow_run_id": run.flow_run_id, "code_commit": run.commit, "config_digest": run.config_digest}
    asked = list(candidates)
    for number, candidate in enumerate(asked, 1):
        intent = candidate.intent
        checks, failed = verdicts(intent, picture, limits)
        evidence = {**candidate.why, "checks": checks, **decided}
        if failed is not None:
            refusals.append(refusal(intent, failed, evidence))
            continue
        intents.append(intent.on_evidence(evidence))
        if number < len(asked):
            picture = picture.after(intent)
    return intents, refusals


def of_target(want: Wanted, equity: Decimal) -> Candidate:
    """The order that a strategy's target asks for: the bars seen, version and parameters, target and sizing."""
    signal = want.signal
    seen = {**signal.seen, "close": str(exact(signal.seen["close"]))}
    bar = {"symbol": signal.symbol, "timeframe": signal.timeframe, "bar_end": signal.bar_end.isoformat(), **seen}
    strategy = {
        "name": signal.strategy,
        "version": signal.version,
        "parameters": dict(signal.parameters),
        "digest": signal.digest,
    }
    target = {
        "weight": signal.target,
        "revision": signal.revision,
        "equity": str(cents(equity)),
        "sleeve": str(cents(want.sleeve)),
        "reference_price": str(want.intent.reference_price),
        "held": str(trimmed(want.held)),
        "wanted": str(trimmed(want.wanted)),
    }
    why = {"bars": [bar], "strategy": strategy, "target": target, "signal_flow_run_id": signal.flow_run_id}
    return Candidate(want.intent, why)
