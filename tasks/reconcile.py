"""The step of reconciliation."""

from __future__ import annotations

import datetime as dt

from prefect import get_run_logger, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE

from quaestor import wiring
from quaestor.live.watching import HEARTBEAT
from quaestor.operations.reconcile import reconcile
from quaestor.ports import Reconciliation
from tasks.desk import Desk, flow_run_id, holder, passing

FRESH = dt.timedelta(hours=1)  # how old a live run's comparison may be to be the answer


# Reading and comparing: safe to try again while broker or database are away.
@task(
    name="compare books and broker",
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=passing,
    timeout_seconds=600,
    cache_policy=NO_CACHE,
    tags=["orders", "database"],
)
async def compare(desk: Desk, since: dt.date | None) -> Reconciliation:
    """Compare cash, positions, fills and orders; latch entries on a difference.

    While a live run holds the account, it does that itself every few minutes: its newest comparison is the answer.
    """
    async with desk.database.open() as database:
        floor, live = desk.on(database), wiring.live_store(database)
        if await live.alive(desk.account, HEARTBEAT) is not None:
            newest = await floor.control.last_reconciliation(desk.account)
            if newest is not None and newest.at is not None and dt.datetime.now(dt.UTC) - newest.at < FRESH:
                get_run_logger().info("The live run compared at %s.", newest.at)
                return newest
        return await reconcile(floor, desk.plan().mandate.limits, holder(), since or dt.date.min, flow_run_id())


@task(name="show reconciliation", retries=3, retry_delay_seconds=[1, 5, 15], cache_policy=NO_CACHE, tags=["artifact"])
async def show_reconciliation(outcome: Reconciliation) -> None:
    """The page a person looks at: agreed, or each difference with its cure."""
    await acreate_markdown_artifact(page(outcome), key="reconciliation", description="Books against broker")


def page(outcome: Reconciliation) -> str:
    """The comparison as Markdown."""
    counted = ", ".join(f"{count:,} {what}" for what, count in sorted(outcome.checked.items()))
    anchor = f"The log of orders ends at `{outcome.anchor}` (see `quaestor audit verify`).\n" if outcome.anchor else ""
    if outcome.ok:
        return f"# Books and broker agree\n\nCompared up to {outcome.session}: {counted}. No difference.\n\n{anchor}"
    head = f"# {len(outcome.differences)} differences: entries are stopped\n\nCompared: {counted}.\n"
    rows = [f"| {d['subject']} | {d['key']} | {d['ours']} | {d['theirs']} | {d['cure']} |" for d in outcome.differences]
    titles = ["| what | which | ours | broker | what would fix it |", "|---|---|---|---|---|"]
    return "\n".join([head, *titles, *rows, "", anchor])
