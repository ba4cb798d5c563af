"""The broker's login, by hand: seeded once by a person, looked at when he likes; no secret is ever shown."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quaestor import wiring
from quaestor.console import output
from quaestor.custody.login import Login
from quaestor.custody.machine import Custody, Standing
from quaestor.custody.tokens import Names
from quaestor.errors import BadInput, ChainBroken, NotFound

if TYPE_CHECKING:
    from quaestor.operations.custody.custodian import Custodian

LARGEST = 1_000_000  # characters of a browser's session


def seed(arguments: argparse.Namespace) -> int:
    """Log in, once."""
    from quaestor.operations.custody.seeding import seed as log_in

    def tells(text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    loaded = wiring.load()
    login = _typed(loaded, arguments.login or wiring.robinhood_login(loaded), wanted=arguments.typed)

    async def work() -> dict[str, Any]:
        async with wiring.configured_custodian(loaded, arguments.login or "", role="quaestor auth seed") as of:
            return await facts(of, await log_in(of, login, tells=tells))

    return _show(asyncio.run(work()), as_json=arguments.json)


def _typed(loaded: wiring.Loaded, alias: str, *, wanted: bool) -> Login | None:
    """What a person types, unseen; None where the vault's is to be taken."""
    if not sys.stdin.isatty():
        if wanted:
            raise BadInput("User name and password are typed in a terminal; here is none. Store them in the vault.")
        return None
    if not wanted and _stored(loaded, Names(alias).login):
        return None
    username = getpass.getpass("User name (unseen): ")
    password = getpass.getpass("Password (unseen): ")
    totp = getpass.getpass("TOTP seed of your authenticator app (unseen; empty: none): ")
    if not (username and password):
        raise BadInput("Nothing was typed; nothing was sent.")
    return Login(username, password, totp)


def _stored(loaded: wiring.Loaded, name: str) -> bool:
    try:
        wiring.configured_vault(loaded).get(name)  # not its names: a role may let us read what it does not let us list
    except NotFound:
        return False
    return True


def code(arguments: argparse.Namespace) -> int:
    """Hand in a code."""
    from quaestor.operations.custody.seeding import enter_code

    typed = getpass.getpass("Code (unseen): ") if sys.stdin.isatty() else sys.stdin.read()
    if not typed.strip():
        raise BadInput("No code was typed.")

    async def work() -> None:
        async with wiring.configured_custodian(wiring.load(), arguments.login or "", role="quaestor auth code") as of:
            await enter_code(of, typed)

    asyncio.run(work())
    sys.stdout.write("The login has it; `quaestor auth status` shows what comes of it.\n")
    return 0


def import_(arguments: argparse.Namespace) -> int:
    """Take over a browser's session."""
    from quaestor.operations.custody.importing import import_session

    text = _session(arguments.file)

    async def work() -> dict[str, Any]:
        async with wiring.configured_custodian(wiring.load(), arguments.login or "", role="quaestor auth import") as of:
            return await facts(of, await import_session(of, text))

    return _show(asyncio.run(work()), as_json=arguments.json)


def _session(file: str) -> str:
    if file == "-" and sys.stdin.isatty():
        sys.stderr.write("Paste the value of web:auth_state (unseen), then press Enter.\n")
        return getpass.getpass("Session: ")
    try:
        text = sys.stdin.read(LARGEST) if file == "-" else Path(file).read_text(encoding="utf-8")[:LARGEST]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} cannot be read ({type(error).__name__}).") from None
    if file != "-":
        sys.stderr.write(f"{file} opens the account to whoever reads it: remove it now.\n")
    return text


def status(arguments: argparse.Namespace) -> int:
    """How the login stands; the exit code is 1 where a person must act."""

    async def work() -> dict[str, Any]:
        async with wiring.configured_custodian(wiring.load(), arguments.login or "", create=False) as of:
            return await facts(of, await of.store.load(of.alias))

    found = asyncio.run(work())
    _show(found, as_json=arguments.json)
    return 1 if found["state"] in {Standing.BROKEN, Standing.UNSEEDED} else 0


def refresh(arguments: argparse.Namespace) -> int:
    """Change the tokens, where that is due or wanted."""
    from quaestor.operations.custody.refreshing import refresh as change

    async def work() -> dict[str, Any]:
        async with wiring.configured_custodian(
            wiring.load(), arguments.login or "", role="quaestor auth refresh"
        ) as of:
            custody = await of.store.load(of.alias)
            if arguments.now or custody.standing in {Standing.UNSEEDED, Standing.BROKEN}:
                custody = await change(of, custody.seq, wait_seconds=20.0)
            else:
                custody = await wiring.keeper(of).look()
            if custody.standing in {Standing.UNSEEDED, Standing.BROKEN}:
                raise ChainBroken(f"{custody.reason[:1].upper()}{custody.reason[1:]}. {custody.cure}")
            return await facts(of, custody)

    return _show(asyncio.run(work()), as_json=arguments.json)


async def facts(of: Custodian, custody: Custody) -> dict[str, Any]:
    """How a login stands, without any secret."""
    due = await of.due(custody)
    events = await of.store.events(of.alias, 5)
    return {
        "login": of.alias,
        "state": custody.standing.value,
        "since": custody.since,
        "number": custody.seq,
        "token_ends": custody.expires_at,
        "next_refresh": due.at if due else None,
        "last_refresh": custody.last_refresh_at,
        "deadline": custody.deadline,
        "no_login_before": custody.cool_until,
        "waits_for_the_vault": bool(custody.held),
        "reason": custody.reason,
        "cure": custody.cure,
        "events": [{"at": event.at, "state": event.now.value, "what": event.what, "by": event.by} for event in events],
    }


def _show(found: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        output.print_json(found)
        return 0
    named = {
        "state": found["state"].replace("_", " "),
        "since": _when(found["since"]),
        "token ends": _when(found["token_ends"]),
        "next refresh": _when(found["next_refresh"]),
        "approve by": _when(found["deadline"]),
        "no login before": _when(found["no_login_before"]),
        "reason": found["reason"],
        "do this": found["cure"],
    }
    output.facts([(name, value) for name, value in named.items() if value], title=f"Login {found['login']}")
    return 0


def _when(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment is not None else ""
