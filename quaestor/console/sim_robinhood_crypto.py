"""The protocol server of Robinhood's crypto API by hand, for rehearsals without a dollar."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from decimal import Decimal, InvalidOperation

from quaestor import wiring
from quaestor.errors import BadInput
from quaestor.wiring.robinhood_crypto import robinhood_crypto_server, serving


def serve(arguments: argparse.Namespace) -> int:
    """Serve until told to end; the first line says where, which secrets open it, and how the market is moved."""
    loaded = wiring.load()
    cash, quotes = _dollars("--cash", arguments.cash), _quotes(arguments.quotes)
    server = robinhood_crypto_server(loaded, cash, quotes, make_keys=arguments.make_keys)
    try:
        with serving(server.app, arguments.port) as url:
            sys.stdout.write(json.dumps(_said(loaded, url, arguments)) + "\n")
            sys.stdout.flush()
            threading.Event().wait()
    except (OSError, OverflowError) as error:
        raise BadInput(f"--port {arguments.port}: nobody can listen there ({error}).") from error
    return 0


def _said(loaded: wiring.Loaded, url: str, arguments: argparse.Namespace) -> dict[str, object]:
    said = loaded.config.robinhood_crypto
    return {
        "url": url,
        "cash": arguments.cash,
        "quotes": arguments.quotes,
        "key_secret": said.key_secret,
        "private_key_secret": said.private_key_secret,
        "configure": f'[robinhood_crypto] base_url = "{url}"',
        "move": f'curl -X PUT {url}/sim/quotes/ -d \'{{"symbol":"BTC-USD","bid":"63000","ask":"63010"}}\'',
    }


def _quotes(text: str) -> dict[str, tuple[Decimal, Decimal]]:
    found: dict[str, tuple[Decimal, Decimal]] = {}
    for each in filter(None, (part.strip() for part in text.split(","))):
        symbol, _, prices = each.partition("=")
        bid, _, ask = prices.partition("/")
        if not symbol.upper().endswith("-USD"):
            raise BadInput(f"--quotes {each!r} names no pair; write BTC-USD=64000/64010.")
        found[symbol.upper()] = (_dollars("--quotes", bid), _dollars("--quotes", ask))
    if not found:
        raise BadInput("--quotes names none; write BTC-USD=64000/64010.")
    return found


def _dollars(name: str, text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        raise BadInput(f"{name}: {text!r} are no dollars; write them like 64000.50.")
    return amount
