"""The kill switch (law 6): a halt stops and cancels entries, protective exits go on, and only a person ends it.

It is a latch in the database, and a file beside it where there is a disk: whichever of the two is set, entries stop.
Whoever holds the account's lease carries it out at once (`carry_out`); where nobody does, the halting process takes the
lease and does it. With `flatten` everything that is held is sold as soon as the market takes orders.
"""

from __future__ import annotations

from dataclasses import dataclass

from quaestor.engine import Engine, Stopped, TakeBack
from quaestor.errors import BadInput, LeaseHeld
from quaestor.latches import FLATTEN, HALT
from quaestor.operations.outbox import Band, Pause, at_once, cancel, resolve
from quaestor.ports import Alerts, BookStore, Broker, ControlStore, Lease, LeaseStore, Recalling

WAIT = 1.0  # seconds that a halt waits for the lease before it leaves the rest to the lease's holder


@dataclass(frozen=True, slots=True)
class Halted:
    """What a halt did: whether it is new, entries taken back, and who carries out the rest, if another process does."""

    new: bool
    canceled: int
    left_to: str = ""


def require_reason(reason: str) -> None:
    """Raises BadInput without one."""
    if not reason.strip():
        raise BadInput("It needs a reason: that stays in the log, and is what you read when you decide how to go on.")


async def halt(
    control: ControlStore,
    books: BookStore,
    broker: Broker,
    leases: LeaseStore,
    alerts: Alerts,
    reason: str,
    holder: str,
    *,
    flatten: bool = False,
    band: Band | None = None,
    pause: Pause = at_once,
) -> Halted:
    """Latch first, then take back what is on its way. Raises BadInput without a reason.

    With a `band`, orders that a dead writer left in doubt are resolved, too: an entry that the broker has is canceled.
    """
    require_reason(reason)
    account = books.account
    new = await control.set_latch(account, HALT, reason)
    if flatten:
        new = await control.set_latch(account, FLATTEN, reason) or new
    if new:
        what = "entries are stopped and everything is to be sold" if flatten else "entries are stopped"
        await alerts.send(f"{account}: halted; {what}", reason, urgent=True)
    try:
        async with leases.hold(account, holder, WAIT) as lease:
            canceled = await carry_out(control, books, broker, lease)
            if band is not None and await resolve(books, broker, lease, band, pause):
                canceled += await carry_out(control, books, broker, lease)
            return Halted(new, canceled)
    except LeaseHeld as error:
        return Halted(new, 0, error.holder or str(error))


async def carry_out(control: ControlStore, books: BookStore, broker: Broker, lease: Lease) -> int:
    """While a halt is latched: take back every entry that is planned or working; how many.

    A halt that only the file knows, since the database was away, is latched there first: its writes ask for it there.
    """
    found = next((latch for latch in await control.latches(books.account) if latch.name == HALT), None)
    if found is None:
        return 0
    if isinstance(broker, Recalling):
        broker.recall()
    if not found.kept:  # a latch that is set again for no need could undo a resume that has just come
        await books.latch(HALT, found.reason, lease)
    acts = Engine(await books.open_orders()).on(Stopped(HALT))
    orders = [act.order for act in acts if isinstance(act, TakeBack)]
    return await cancel(orders, books, broker, lease, HALT, reason=found.reason)


async def resume(control: ControlStore, account: str, alerts: Alerts, reason: str) -> list[str]:
    """End a halt, with a reason; what was cleared. Other stops, such as books that disagree, stay."""
    require_reason(reason)
    cleared = [name for name in (HALT, FLATTEN) if await control.clear_latch(account, name, reason)]
    if cleared:
        await alerts.send(f"{account}: resumed; entries may be made again", reason)
    return cleared
