"""The protocol server of Robinhood's crypto API by hand, for rehearsals without a dollar."""

from __future__ import annotations

import argparse

from quaestor import wiring
from quaestor.console import sim_words
from quaestor.wiring.robinhood_crypto import robinhood_crypto_server


def serve(arguments: argparse.Namespace) -> int:
    """Serve until told to end; the first line says where, which secrets open it, and how the market is moved."""
    loaded = wiring.load()
    cash = sim_words.dollars("--cash", arguments.cash)
    quotes = sim_words.quotes(arguments.quotes, "BTC-USD=64000/64010", ending="-USD")
    server = robinhood_crypto_server(loaded, cash, quotes, make_keys=arguments.make_keys)
    return sim_words.serve(server.app, arguments.port, lambda url: _said(loaded, url, arguments))


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
