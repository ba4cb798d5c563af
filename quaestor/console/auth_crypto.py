"""The keys of Robinhood's Crypto Trading API, by hand: the private one is never shown."""

from __future__ import annotations

import argparse
import sys

from quaestor import wiring
from quaestor.console import output
from quaestor.wiring.robinhood_crypto import make_robinhood_crypto_keys


def make(arguments: argparse.Namespace) -> int:
    """Make a pair; the public key alone goes to stdout, so that it can be piped."""
    loaded = wiring.load()
    said, public = loaded.config.robinhood_crypto, make_robinhood_crypto_keys(loaded)
    if arguments.json:
        output.print_json({"public_key": public, "private_key_secret": said.private_key_secret})
        return 0
    sys.stdout.write(f"{public}\n")
    sys.stdout.flush()
    sys.stderr.write(
        "This is the public key: enter it at Robinhood (Account, Crypto, API keys, Add key), and store the API key\n"
        f"that you are given: `quaestor secrets set {said.key_secret}`. "
        f"The private key is in the vault: {said.private_key_secret}.\n"
    )
    return 0
