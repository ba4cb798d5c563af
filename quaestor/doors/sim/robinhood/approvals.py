"""Approvals: a new device is let in by the person, in the app that he has already (since December 2024).

    POST /pathfinder/user_machine/                    device and workflow → a machine's id
    GET  /pathfinder/inquiries/{machine}/user_view/   → the challenge: prompt, sms or email
    GET  /push/{challenge}/get_prompts_status/        prompt: issued, until the person has answered
    POST /challenge/{challenge}/respond/              sms, email: the code
    POST /pathfinder/inquiries/{machine}/user_view/   → approved: from here on the device is trusted

What the person does is a knob: approve after some polls, refuse after as many, or never look at the phone.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from quaestor.doors.sim.robinhood.people import Person
from quaestor.doors.sim.robinhood.wire import Answer, Ask, Refused, Way

Does = Literal["approve", "refuse", "never"]
ATTEMPTS = 3  # wrong codes that a challenge bears
PENDING, APPROVED, DENIED = "issued", "validated", "denied"
WORKFLOW = {
    PENDING: "workflow_status_internal_pending",
    APPROVED: "workflow_status_approved",
    DENIED: "workflow_status_denied",
}


@dataclass
class Workflow:
    """One device that asks to be let in."""

    person: Person
    device: str
    status: str = PENDING
    polls: int = 0
    left: int = ATTEMPTS
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    machine: str = field(default_factory=lambda: str(uuid.uuid4()))
    challenge: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass
class Approvals:
    """The knobs, and the devices that ask. `trust` is told when one is let in.

    required: whether unknown devices need it at all; does: what the person does with a prompt, `after` how many polls;
    code: what he finds in his messages.
    """

    trust: Callable[[Person, str], None]
    required: bool = True
    kind: Literal["prompt", "sms", "email"] = "prompt"
    does: Does = "approve"
    after: int = 1
    code: str = "123456"
    asking: list[Workflow] = field(default_factory=list)

    def ways(self) -> list[Way]:
        """What is answered."""
        view = "/pathfinder/inquiries/{}/user_view/"
        return [
            Way("POST", "/pathfinder/user_machine/", self._machine, free=True),
            Way("GET", view, self._view, free=True),
            Way("POST", view, self._go_on, free=True),
            Way("GET", "/push/{}/get_prompts_status/", self._poll, free=True),
            Way("POST", "/challenge/{}/respond/", self._respond, free=True),
        ]

    def answer(self, status: str = APPROVED) -> int:
        """The person answers what waits, by hand: approves, or with "denied" refuses; how many."""
        waiting = [each for each in self.asking if each.status == PENDING]
        for each in waiting:
            each.status = status
        return len(waiting)

    def begin(self, person: Person, device: str) -> Refused:
        """The answer to a login from a device that nobody knows."""
        flow = Workflow(person, device)
        self.asking.append(flow)
        return Refused(403, {"verification_workflow": {"id": flow.id, "workflow_status": WORKFLOW[PENDING]}})

    def _machine(self, ask: Ask) -> Answer:
        asked = ask.body.get("input")
        flow = self._find("id", str(asked.get("workflow_id")) if isinstance(asked, dict) else "")
        if flow.device != ask.text("device_id") or ask.text("flow") != "suv":
            raise Refused(400, {"detail": "device_id does not match workflow"})
        return Answer({"id": flow.machine})

    def _view(self, ask: Ask) -> Answer:
        flow = self._find("machine", ask.parts[0])
        challenge = {"id": flow.challenge, "type": self.kind, "status": flow.status, "remaining_attempts": flow.left}
        return Answer({"sequence": 0, "context": {"sheriff_challenge": challenge}})

    def _poll(self, ask: Ask) -> Answer:
        flow = self._find("challenge", ask.parts[0])
        flow.polls += 1
        if flow.status == PENDING and flow.polls > self.after and self.does != "never":
            flow.status = APPROVED if self.does == "approve" else DENIED
        return Answer({"challenge_status": flow.status})

    def _respond(self, ask: Ask) -> Answer:
        flow = self._find("challenge", ask.parts[0])
        if ask.text("response") == self.code and flow.status == PENDING:
            flow.status = APPROVED
            return Answer({"id": flow.challenge, "status": APPROVED})
        flow.left = max(flow.left - 1, 0)
        flow.status = flow.status if flow.left else DENIED
        left = {"id": flow.challenge, "remaining_attempts": flow.left}
        raise Refused(400, {"detail": "Challenge response is invalid.", "challenge": left})

    def _go_on(self, ask: Ask) -> Answer:
        flow = self._find("machine", ask.parts[0])
        if flow.status == PENDING:
            return Answer({"verification_workflow": {"id": flow.id, "workflow_status": WORKFLOW[PENDING]}})
        if flow.status == APPROVED:
            self.trust(flow.person, flow.device)
        return Answer({"type_context": {"result": WORKFLOW[flow.status]}})

    def _find(self, name: str, value: str) -> Workflow:
        for each in self.asking:
            if getattr(each, name) == value:
                return each
        raise Refused(404, {"detail": "Not found."})
