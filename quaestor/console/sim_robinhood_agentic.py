"""The protocol server of Robinhood's Agentic channel by hand, for rehearsals without a dollar."""

from __future__ import annotations

import argparse
import asyncio

from quaestor import wiring
from quaestor.console import sim_words
from quaestor.wiring.robinhood_agentic import robinhood_agentic_server


def serve(arguments: argparse.Namespace) -> int:
    """Serve until told to end; the first line says where, what to configure, and how the market is moved."""
    wiring.load()
    cash = sim_words.dollars("--cash", arguments.cash)
    prices = sim_words.quotes(arguments.quotes, "AAPL=189.50/189.54")
    server = asyncio.run(robinhood_agentic_server(cash, prices))
    server.knobs.approval = arguments.approve
    return sim_words.serve(server.app, arguments.port, lambda url: _said(url, arguments))


def _said(url: str, arguments: argparse.Namespace) -> dict[str, object]:
    return {
        "url": url,
        "cash": arguments.cash,
        "quotes": arguments.quotes,
        "configure": [f'[robinhood_agentic] url = "{url}/mcp/trading"', f'[robinhood] base_url = "{url}"'],
        "log in": "quaestor auth oauth",
        "move": f'curl {url}/sim/quote -d \'{{"symbol":"AAPL","bid":"189","ask":"189.02"}}\'',
        "approve": f"curl -X POST {url}/sim/approve",
    }
