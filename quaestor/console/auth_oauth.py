"""The login to Robinhood's Agentic channel, by hand: a person agrees in his browser, once."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys
from typing import Any

from quaestor import wiring
from quaestor.console import auth, output
from quaestor.wiring.robinhood_agentic import agentic_consent, agentic_login


def oauth(arguments: argparse.Namespace) -> int:
    """Show the address to open, wait until the person agreed, keep the tokens."""
    from quaestor.operations.custody.consenting import consent

    loaded = wiring.load()
    ask = agentic_consent(loaded, _show, _pasted if arguments.paste else None)

    async def work() -> dict[str, Any]:
        alias = arguments.login or agentic_login(loaded)
        async with wiring.configured_custodian(loaded, alias, role="quaestor auth oauth") as of:
            return await auth.facts(of, await consent(of, ask))

    found = asyncio.run(work())
    if arguments.json:
        output.print_json(found)
    else:
        ends = f"{found['token_ends']:%Y-%m-%d %H:%M} UTC"
        output.facts([("state", found["state"]), ("token ends", ends)], title=f"Login {found['login']}")
    return 0


def _show(address: str) -> None:
    told = "Open this in a browser on a desktop (on a phone it ends in the app), and agree:"
    sys.stderr.write(f"{told}\n\n{address}\n\n")
    sys.stderr.flush()


def _pasted() -> str:
    """The address that the browser was sent to: it holds a code, so it is typed unseen."""
    if not sys.stdin.isatty():
        return sys.stdin.readline()
    return getpass.getpass("When the browser says that it cannot open localhost, paste its address here (unseen): ")
