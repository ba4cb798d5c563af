"""The steps of a login's custody. No token and no code passes through a parameter, a result or a log (law 10)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from quaestor import wiring
from quaestor.config import RobinhoodSection
from quaestor.custody.machine import Custody, Standing
from quaestor.operations.custody.custodian import Custodian
from quaestor.operations.custody.refreshing import refresh
from quaestor.operations.custody.seeding import seed
from tasks.desk import Desk, holder, passing

LOOKS = 6  # while a token that is refused waits for its successor
PAUSE = 10.0  # seconds between two


@asynccontextmanager
async def custodian(desk: Desk) -> AsyncIterator[Custodian]:
    """All doors of the login that the desk's forms name."""
    said = RobinhoodSection.model_validate(desk.feed.robinhood)
    async with desk.database.open() as database:
        alias = said.login or desk.account
        yield wiring.custodian(database, desk.vault.open(), alias, desk.account, said, desk.alerts.open(), holder())


# The state in the database says what was sent: another try never sends a token that was spent.
@task(
    name="keep the login",
    retries=3,
    retry_delay_seconds=[5, 30, 60],
    retry_condition_fn=passing,
    timeout_seconds=600,
    cache_policy=NO_CACHE,
    tags=["credentials", "database"],
)
async def keep_login(desk: Desk, *, now: bool) -> dict[str, Any]:
    """Change the tokens where that is due, was asked for, or is wanted now."""
    async with custodian(desk) as of:
        custody = await of.store.load(of.alias)
        if now:
            return await told(of, await refresh(of, custody.seq, wait_seconds=20.0))
        keeper = wiring.keeper(of)
        for _ in range(LOOKS):
            custody = await keeper.look()
            if not await of.store.requests(of.alias, max(custody.seq, 1)) or custody.standing == Standing.BROKEN:
                break
            await asyncio.sleep(PAUSE)
        return await told(of, custody)


# Never again by itself: the broker locks out who logs in too often.
@task(name="log in", retries=0, timeout_seconds=900, cache_policy=NO_CACHE, tags=["credentials", "database"])
async def log_in(desk: Desk) -> dict[str, Any]:
    """Log in with the vault's user name and password; a person approves it on his phone.

    A code that he is sent goes in by `quaestor auth code`: what is typed into a paused run, Prefect would keep.
    """
    logger = get_run_logger()
    async with custodian(desk) as of:
        return await told(of, await seed(of, tells=lambda text: logger.warning("%s", text)))


@task(name="show login", retries=3, retry_delay_seconds=[1, 5, 15], cache_policy=NO_CACHE, tags=["artifact"])
async def show_login(found: dict[str, Any]) -> None:
    """The page a person looks at: how the login stands, and the one thing to do."""
    await acreate_markdown_artifact(page(found), key="login", description="The broker's login")


def page(found: dict[str, Any]) -> str:
    """How a login stands, as Markdown."""
    head = f"# The login {found['login']} is {found['state'].replace('_', ' ')}\n\n"
    what = f"{found['reason']}\n\n**{found['cure']}**\n\n" if found["reason"] else ""
    rows = [
        ("tokens", found["number"]),
        ("the access token ends", found["token_ends"]),
        ("next", found["next_refresh"]),
    ]
    return head + what + "\n".join(f"- {name}: {value or '–'}" for name, value in rows) + "\n"


async def told(of: Custodian, custody: Custody) -> dict[str, Any]:
    """How a login stands, without any secret."""
    due = await of.due(custody)
    return {
        "login": of.alias,
        "state": custody.standing.value,
        "number": custody.seq,
        "token_ends": custody.expires_at.isoformat() if custody.expires_at else None,
        "next_refresh": due.at.isoformat() if due else None,
        "reason": custody.reason,
        "cure": custody.cure,
    }


def refused(alias: str) -> None:
    """Say that the broker refused the login's token: `wiring.access_tokens` calls it, and the refresh flow starts."""
    resource = {"prefect.resource.id": f"quaestor.login.{alias}", "prefect.resource.name": alias}
    emit_event("quaestor.auth.refused", resource=resource)
