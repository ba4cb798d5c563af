"""Rehearsals: vendors' protocol servers, put together with an exchange behind them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from quaestor.doors.sim.robinhood import Person, RobinhoodServer
    from quaestor.exchange import Costs
    from quaestor.splits import Split


def robinhood_server(
    *people: Person,
    cash: Decimal = Decimal(100_000),
    held: Mapping[str, Decimal] | None = None,
    symbols: Sequence[str] = (),
    costs: Costs | None = None,
    clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    bars: pl.DataFrame | None = None,
    splits: Sequence[Split] = (),
) -> RobinhoodServer:
    """Robinhood's server, with a book in memory for each account of these people (nobody named: one of its own).

    cash, held: what each account begins with; costs: of trading there (None: nothing, as at Robinhood).
    """
    from quaestor.doors.memory.broker import Broker, Exchange, Quotes
    from quaestor.doors.sim.robinhood import Person, RobinhoodServer
    from quaestor.exchange import Costs

    free = Costs(Decimal(0), sec_fee=Decimal(0), taf=Decimal(0))
    whose = people or (Person(),)
    server = RobinhoodServer(bars, splits, people=whose, symbols=[*symbols, *(held or {})], clock=clock)
    for number in (number for person in whose for number in person.accounts.values()):
        exchange = Exchange(cash, held=dict(held or {}))
        server.floor.books[number] = Broker(exchange, number, Quotes({}), costs or free, clock=server.now)
    return server


def serving(app: Any, port: int) -> AbstractContextManager[str]:
    """The address of a protocol server, until the block ends; port 0: a free one."""
    from quaestor.doors.sim.serving import serving as served

    return served(app, port)
