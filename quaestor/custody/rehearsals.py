"""What goes wrong in a rehearsal of a login, and when: drawn from a seed, so that the same words play the same story.

    at a refresh   reply_lost, vault_down, vault_throttled, two_refreshers, login_throttled, clock_skew     in turns
    in a session   revoked_mid_order, login_throttled, vault_down     at a minute in its middle, in turns
    afterwards     chain_broken: a stretch of its own, for it is the one thing that a person must heal

The first refreshes and sessions each meet another fault; later ones only now and then, for calm days belong to it, too.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from quaestor import calendar
from quaestor.errors import BadInput, NotFound

AT_REFRESH = {
    "reply_lost": "the answer to a refresh is lost; Robinhood gives it again to who asks at once",
    "vault_down": "the vault is away for 30 minutes: when tokens are due, and while a session trades",
    "vault_throttled": "the vault takes nothing for 5 minutes, just when new tokens came",
    "two_refreshers": "two refreshers begin at the same moment",
    "login_throttled": "Robinhood throttles: a login that is tried, and a refresh that is due",
    "clock_skew": "our clock and the vault's are 90 s off Robinhood's, for a day",
}
IN_SESSION = {
    "revoked_mid_order": "the access token is revoked while an order is on its way",
    "login_throttled": AT_REFRESH["login_throttled"],
    "vault_down": AT_REFRESH["vault_down"],
}
BROKEN = "chain_broken"
FAULTS = {**AT_REFRESH, **IN_SESSION, BROKEN: "the answer to a refresh is lost for good: a person must log in again"}

BEGINS = dt.date(2026, 10, 26)  # a Monday: summer time ends, and half days and holidays come, within 90 days
LONG, SHORT = dt.timedelta(days=6), dt.timedelta(hours=36)  # that an access token lives
SHORTER = 45  # days: a shorter rehearsal's tokens live shorter, so that each fault meets a refresh
MOST = 366  # days
CALM = {"refresh": 1, "session": 3}  # between two faults, once each had its turn
EARLIEST, LATEST = 45, 150  # minutes after an open


@dataclass(frozen=True)
class Plan:
    """A rehearsal from `begins` until `ends` (aware UTC), and then the fault that a person heals.

    life: of access tokens; at_refresh: the fault of each refresh, "" for none; in_session: moment and fault.
    """

    days: int
    seed: int
    faults: frozenset[str]
    begins: dt.datetime
    ends: dt.datetime
    life: dt.timedelta
    at_refresh: tuple[str, ...]
    in_session: tuple[tuple[dt.datetime, str], ...]

    @property
    def sessions(self) -> list[dt.date]:
        """The exchange sessions in it."""
        first, last = (each.astimezone(calendar.NEW_YORK).date() for each in (self.begins, self.ends))
        return calendar.sessions(first, last - dt.timedelta(days=1))


def named(text: str) -> frozenset[str]:
    """Faults as a person names them: all, none, or names with commas between; raises NotFound."""
    if text in {"all", "none"}:
        return frozenset(FAULTS if text == "all" else ())
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in FAULTS:
            raise NotFound.named("fault", name, ["all", "none", *FAULTS])
    return frozenset(names)


def planned(days: int, faults: Collection[str], seed: int = 0) -> Plan:
    """The rehearsal of so many days; raises BadInput."""
    if not 1 <= days <= MOST:
        raise BadInput(f"A rehearsal plays 1 to {MOST} days, not {days}.")
    chance = random.Random(seed)  # noqa: S311  # a story, not a secret
    begins, ends = _midnight(BEGINS), _midnight(BEGINS + dt.timedelta(days=days))
    bare = Plan(days, seed, frozenset(faults), begins, ends, LONG if days >= SHORTER else SHORT, (), ())
    nightly = [name for name in AT_REFRESH if name in faults]
    daily = [name for name in IN_SESSION if name in faults]
    turns = _turns(daily, chance, CALM["session"])
    moments = tuple((_moment(day, chance), what) for day in bare.sessions if (what := next(turns)))
    nights = _turns(nightly, chance, CALM["refresh"])
    at_refresh = tuple(next(nights) for _ in range(4 * days))
    return Plan(days, seed, bare.faults, begins, ends, bare.life, at_refresh, moments)


def _turns(names: Sequence[str], chance: random.Random, between: int) -> Iterator[str]:
    """Each once, one after the other; then again and again, with calm ones between."""
    calm = 0
    while True:
        order = list(names)
        chance.shuffle(order)
        for name in order:
            yield from [""] * calm
            yield name
        calm = between
        if not order:
            yield ""


def _moment(day: dt.date, chance: random.Random) -> dt.datetime:
    return calendar.session_open(day) + dt.timedelta(minutes=chance.randint(EARLIEST, LATEST), seconds=20)


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), calendar.NEW_YORK).astimezone(dt.UTC)
