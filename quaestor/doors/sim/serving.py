"""Serving a protocol server on the loopback: in a thread, for the length of a `with` block."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class _CuttingServer(uvicorn.Server):
    """Ends without the farewell of TLS, for which a client that keeps its connection would have to wake."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, once every line is cut."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


@contextmanager
def serving(
    app: Callable[..., Awaitable[Any]], port: int = 0, certificate: tuple[Path, Path] | None = None
) -> Iterator[str]:
    """The address of the app, at http://127.0.0.1, until the block ends; port 0: a free one.

    certificate: the files of a certificate and its key; the address is https then.
    """
    # asyncio leaves Nagle's algorithm on, 40 ms a request, for a socket that does not say that it is TCP's.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    server = (_CuttingServer if certificate else uvicorn.Server)(
        uvicorn.Config(
            app,
            log_level="critical",
            access_log=False,
            server_header=False,
            date_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
            ssl_certfile=certificate[0] if certificate else None,
            ssl_keyfile=certificate[1] if certificate else None,
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True, name="protocol-server")
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
