"""Answering over HTTP: a socket, and uvicorn on it until the process is told to end."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from quaestor.errors import BadConfig

if TYPE_CHECKING:
    import uvicorn

App = Callable[..., Awaitable[Any]]
GRACE = 5  # seconds for answers that are under way at the end
AT_ONCE = 100  # connections


class Listener:
    """A socket that listens at an address; port 0: a free one. Raises BadConfig where that cannot be."""

    def __init__(self, host: str, port: int) -> None:
        self._server: uvicorn.Server | None = None
        try:
            (family, kind, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            # asyncio leaves Nagle's algorithm on, 40 ms a request, for a socket that does not say that it is TCP's.
            self._socket = socket.socket(family, kind, socket.IPPROTO_TCP)
        except (OSError, UnicodeError, OverflowError) as error:
            raise _nowhere(host, port, error) from error
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(address)
            self._socket.listen(AT_ONCE)
        except (OSError, OverflowError) as error:
            self.close()
            raise _nowhere(host, port, error) from error

    def close(self) -> None:
        """Hear nobody any more."""
        self._socket.close()

    @property
    def url(self) -> str:
        """Such as http://127.0.0.1:4210."""
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def local(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self._socket.getsockname()[0].partition("%")[0]).is_loopback

    async def serve(self, app: App) -> None:
        """Until the process is told to end; then answers under way are given. No line is logged for a request."""
        import uvicorn

        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            limit_concurrency=AT_ONCE,
            timeout_graceful_shutdown=GRACE,
        )
        self._server = uvicorn.Server(config)
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Let `serve` come to its end."""
        if self._server is not None:
            self._server.should_exit = True


def _nowhere(host: str, port: int, error: Exception) -> BadConfig:
    return BadConfig(f"Nothing can listen at {host}:{port} ({error}); choose another --host or --port.")
