"""Approvals: orders that their owner must approve in the Robinhood app before they are placed.

An account may ask its owner to approve each trade in the app. Until he does, nothing is placed: `submit` raises
ApprovalPending, which is a BrokerBusy, so the outbox keeps the order UNKNOWN: it counts neither as placed nor as lost,
its symbol takes no new entries, and it is resolved as law 2 says. Approved, it is in the list and is followed from
there; not approved, the same ref_id is asked for again while its band lasts (at most once a minute, so that his phone
keeps quiet), and after it the order is given up. The channel has no tool that withdraws a request for approval: one
that is approved after the band is placed all the same, appears in the list under its name, and is booked as what it is.
That is why the alert says to approve soon or not at all, and why such an account is none for unattended trading.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from quaestor.errors import BrokerAmbiguous, BrokerBusy, BrokerRejected
from quaestor.orders import Intent, trimmed
from quaestor.ports import Alerts

ASK_AGAIN = 60.0  # seconds until an order that waits for its approval is asked for again
PENDING = "APPROVAL_STATE_PENDING"
GIVEN = frozenset({"", "APPROVAL_STATE_APPROVED", "APPROVAL_STATE_NOT_REQUIRED", "APPROVAL_STATE_UNSPECIFIED"})
DENIED = frozenset({"APPROVAL_STATE_DENIED", "APPROVAL_STATE_REJECTED", "APPROVAL_STATE_EXPIRED"})


class ApprovalPending(BrokerBusy):
    """The order waits for its owner's approval in the Robinhood app; it is not placed."""


class Approvals:
    """Which orders wait; `alerts`: who is told."""

    def __init__(self, alerts: Alerts | None = None) -> None:
        self._alerts = alerts
        self._asked: dict[uuid.UUID, float] = {}

    def may_ask(self, ref_id: uuid.UUID) -> None:
        """Raise ApprovalPending where it was asked for just now."""
        asked = self._asked.get(ref_id)
        wait = 0.0 if asked is None else asked + ASK_AGAIN - time.monotonic()
        if wait > 0:
            raise ApprovalPending(None, wait)

    def over(self, ref_id: uuid.UUID) -> None:
        """It waits no more."""
        self._asked.pop(ref_id, None)

    async def mind(self, intent: Intent, data: Mapping[str, Any], order: Any) -> None:
        """Look at the answer: raise ApprovalPending where its owner has not answered, BrokerRejected where he said no.

        BrokerAmbiguous for what nobody knows.
        """
        said = data.get("approval") or (order.get("approval") if isinstance(order, dict) else None) or {}
        state = str(said.get("state") or "") if isinstance(said, dict) else str(said)
        if state in GIVEN:
            return
        if state in DENIED:
            self.over(intent.ref_id)
            raise BrokerRejected(f"You did not approve the order in the Robinhood app ({state}).")
        if state != PENDING:
            raise BrokerAmbiguous(f"Robinhood answered with the approval state {state[:60]!r}, which nobody knows.")
        first = intent.ref_id not in self._asked
        self._asked[intent.ref_id] = time.monotonic()
        if first:
            await self._tell(intent)
        raise ApprovalPending(None, ASK_AGAIN)

    async def _tell(self, intent: Intent) -> None:
        if self._alerts is not None:
            what = f"{intent.side.value} {trimmed(intent.quantity):f} {intent.symbol}"
            body = f"Session {intent.session}. Approve it soon or not at all: approved late, it is placed all the same."
            await self._alerts.send(f"Robinhood asks you to approve: {what}", body, urgent=True)
