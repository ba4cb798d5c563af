"""A process that trades, to be killed: `trading_process.py START END FOLDER`.

Each line is the URI of a database with bars and signals: a child is forked that trades what is pending there, and its
pid is printed. `wait` prints how it ended: its exit code, or minus the signal. What takes long to import is imported
before the fork, so that a child is in the middle of trading within milliseconds.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import sys
from dataclasses import replace
from pathlib import Path

from quaestor import calendar, wiring
from quaestor.config import Config
from quaestor.doors.postgres import bars, books, control, paper, signals  # noqa: F401 - before the fork
from quaestor.doors.postgres.database import Database
from quaestor.exchange import Costs
from quaestor.operations.trade import pending, trade

TTL = dt.timedelta(seconds=0.7)  # an abandoned lease soon runs out


def main() -> None:
    start, end = (dt.date.fromisoformat(word) for word in sys.argv[1:3])
    config = Config()
    plan = wiring.plan("paper", config.account.cash, config.market.symbols, config.strategies, None, config.risk)
    calendar.session_open(start)
    child = 0
    for line in sys.stdin:
        if line.strip() == "wait":
            answer = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        else:
            child = answer = os.fork() or traded(line.strip(), plan, start, end)
        print(answer, flush=True)


def traded(uri: str, plan: wiring.Plan, start: dt.date, end: dt.date) -> int:
    """The child: trade, then end without a word."""
    os.close(0)
    os.close(1)
    code = 1
    try:
        asyncio.run(trading(uri, plan, start, end))
        code = 0
    finally:
        os._exit(code)


async def trading(uri: str, plan: wiring.Plan, start: dt.date, end: dt.date) -> None:
    async with Database(uri) as database:
        broker = wiring.paper_broker(database, "paper", Costs())
        told = wiring.alerts(Path(sys.argv[3]), "alerts.log", console=False)
        floor = replace(wiring.floor(database, "paper", broker, told), leases=control.LeaseStore(database, TTL))
        days = await pending(floor, plan.mandate, start, end)
        await trade(floor, plan.mandate, days, wiring.run_info(None, plan.digest), f"process {os.getpid()}")


if __name__ == "__main__":
    main()
