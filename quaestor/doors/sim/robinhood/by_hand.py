"""By hand: what a person does beside the API while the server runs as a process of its own, at /sim/….

POST /sim/approve   the phone is looked at, and the new device let in     POST /sim/refuse   … and not
POST /sim/quote     {"symbol", "bid", "ask", "last", "size"}: the market moves
POST /sim/halt      {"symbol", "reason"}                                  POST /sim/end-halt {"symbol"}
POST /sim/revoke    access tokens end now                                 POST /sim/break    refresh tokens, too
POST /sim/fault     {"kind", "method", "path", "times", "status", …}: it goes wrong from now on
POST /sim/clear     it goes right again
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from quaestor.doors.sim.faults import Fault
from quaestor.doors.sim.robinhood.approvals import APPROVED, DENIED
from quaestor.doors.sim.robinhood.auth import Auth
from quaestor.doors.sim.robinhood.wire import Answer, Ask, Refused, Way


class Driven(Protocol):
    """The server that is driven."""

    auth: Auth
    faults: list[Fault]

    def quote(self, symbol: str, bid: Any, ask: Any, last: Any = None, *, size: int | None = None) -> None:
        """The market moves."""
        ...

    def halt(self, symbol: str, reason: str = "") -> None:
        """No trade."""
        ...

    def end_halt(self, symbol: str) -> None:
        """Trade again."""
        ...


class ByHand:
    """The ways; each answers with what it did."""

    def __init__(self, server: Driven) -> None:
        self._server = server

    def ways(self) -> list[Way]:
        """What is answered."""
        auth, faults = self._server.auth, self._server.faults
        does: dict[str, Callable[[Ask], Any]] = {
            "approve": lambda _: auth.approvals.answer(APPROVED),
            "refuse": lambda _: auth.approvals.answer(DENIED),
            "quote": self._quote,
            "halt": lambda ask: self._server.halt(ask.text("symbol"), ask.text("reason") or "by hand"),
            "end-halt": lambda ask: self._server.end_halt(ask.text("symbol")),
            "revoke": lambda _: auth.revoke(),
            "break": lambda _: auth.break_chains(),
            "fault": self._fault,
            "clear": lambda _: faults.clear(),
        }
        return [Way("POST", f"/sim/{name}", _answering(do), free=True) for name, do in does.items()]

    def _quote(self, ask: Ask) -> None:
        prices = (ask.body.get(name) or None for name in ("bid", "ask", "last"))
        size = ask.text("size")
        try:
            self._server.quote(ask.text("symbol").upper(), *prices, size=int(size) if size else None)
        except ArithmeticError:
            raise Refused(400, {"detail": "bid, ask and last are dollars, such as 189.54."}) from None

    def _fault(self, ask: Ask) -> None:
        try:
            self._server.faults.append(Fault(**ask.body))
        except TypeError as error:
            raise Refused(400, {"detail": str(error)}) from None


def _answering(do: Callable[[Ask], Any]) -> Callable[[Ask], Answer]:
    return lambda ask: Answer({"done": do(ask)})
