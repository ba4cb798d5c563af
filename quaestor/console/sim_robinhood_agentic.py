"""The protocol server of Robinhood's Agentic channel by hand, for rehearsals without a dollar."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
from decimal import Decimal, InvalidOperation

from quaestor import wiring
from quaestor.errors import BadInput
from quaestor.wiring.robinhood_agentic import Prices, robinhood_agentic_server, serving


def serve(arguments: argparse.Namespace) -> int:
    """Serve until told to end; the first line says where, what to configure, and how the market is moved."""
    wiring.load()
    cash, prices = _dollars("--cash", arguments.cash), _prices(arguments.quotes)
    server = asyncio.run(robinhood_agentic_server(cash, prices))
    server.knobs.approval = arguments.approve
    try:
        with serving(server, arguments.port) as url:
            sys.stdout.write(json.dumps(_said(url, arguments)) + "\n")
            sys.stdout.flush()
            threading.Event().wait()
    except (OSError, OverflowError) as error:
        raise BadInput(f"--port {arguments.port}: nobody can listen there ({error}).") from error
    return 0


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


def _prices(text: str) -> Prices:
    found: dict[str, tuple[Decimal, Decimal]] = {}
    for each in filter(None, (part.strip() for part in text.split(","))):
        symbol, _, prices = each.partition("=")
        bid, _, ask = prices.partition("/")
        found[symbol.upper()] = (_dollars("--quotes", bid), _dollars("--quotes", ask))
    if not found:
        raise BadInput("--quotes names none; write AAPL=189.50/189.54.")
    return found


def _dollars(name: str, text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        raise BadInput(f"{name}: {text!r} are no dollars; write them like 64000.50.")
    return amount
