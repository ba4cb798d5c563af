"""robin_stocks as it comes, a copy for each test: its state is global, and the usual one has our door's adapter.

The only thing that is done to it: addresses of Robinhood's go to the protocol server.
"""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter


class Redirect(HTTPAdapter):
    """Sends all to the server, and notes what was asked and with which timeout."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url, self.sent = url, list[tuple[requests.PreparedRequest, Any]]()

    def send(self, request: requests.PreparedRequest, **how: Any) -> requests.Response:  # type: ignore[override]
        parts, asked = urlsplit(str(request.url)), str(request.url)
        self.sent.append((request, how.get("timeout")))
        request.headers["X-Original-Host"] = parts.netloc
        request.url = self.url + parts.path + (f"?{parts.query}" if parts.query else "")
        how["timeout"] = how.get("timeout") or 5  # a test must end
        response = super().send(request, **how)
        request.url = response.url = asked
        return response


@dataclass
class Plain:
    """The library, the adapter beneath it, and what it printed where it was told to."""

    rh: Any
    modules: dict[str, Any]
    adapter: Redirect
    said: io.StringIO = field(default_factory=io.StringIO)

    def __getitem__(self, name: str) -> Any:
        return self.modules[f"robin_stocks.robinhood.{name}"]

    @property
    def session(self) -> requests.Session:
        found: requests.Session = self["globals"].SESSION
        return found

    def log_in(self, header: str) -> None:
        """With a token that somebody else got: what its login does is a chapter of its own."""
        self["helper"].update_session("Authorization", header)
        self["helper"].set_login_state(True)


@contextmanager
def plain(url: str) -> Iterator[Plain]:
    """A fresh copy of the library; the usual one is put back afterwards."""
    ours = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "robin_stocks"}
    try:
        rh = importlib.import_module("robin_stocks.robinhood")
        modules = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "robin_stocks"}
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "robin_stocks"]:
            del sys.modules[name]
        sys.modules.update(ours)
    found = Plain(rh, modules, Redirect(url))
    found.session.mount("https://", found.adapter)
    found["helper"].set_output(found.said)
    yield found
    found.session.close()
