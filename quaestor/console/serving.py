"""`quaestor console`: the HTTP API in the foreground, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from quaestor import wiring
from quaestor.errors import BadInput

if TYPE_CHECKING:
    from quaestor.doors.web import Listener


def console(arguments: argparse.Namespace) -> int:
    """Answer until told to end."""
    if arguments.port > 65_535:
        raise BadInput(f"--port: {arguments.port} is none; write a number up to 65535, or 0 for a free one.")
    loaded = wiring.load()
    with closing(wiring.listener(arguments.host, arguments.port)) as listener:
        asyncio.run(_serve(loaded, listener, arguments.allow_host or ()))
    return 0


async def _serve(loaded: wiring.Loaded, listener: Listener, names: Sequence[str]) -> None:
    from quaestor.console.api import app

    token, file = wiring.console_token(loaded)
    async with wiring.configured_database(loaded, create=False) as database:
        sys.stdout.write(f"Listening at {listener.url}; the token is in {file}\n")
        sys.stdout.flush()
        if not listener.local:
            sys.stderr.write(
                "quaestor: other machines can reach it, and the token travels in the clear: put TLS before.\n"
            )
        await listener.serve(app(loaded, database, token, names))
