"""Robinhood's crypto account: its door with the configured keys, and a protocol server to rehearse with."""

from __future__ import annotations

import re
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

from quaestor.errors import BadInput
from quaestor.symbols import Symbology
from quaestor.wiring.configuration import Loaded
from quaestor.wiring.vaults import configured_vault

if TYPE_CHECKING:
    from quaestor.doors.robinhood_crypto.broker import RobinhoodCryptoBroker
    from quaestor.doors.robinhood_crypto.keys import KeyRing
    from quaestor.doors.sim.robinhood_crypto.server import RobinhoodCryptoServer
    from quaestor.ports_secrets import SecretStore


def robinhood_crypto_broker(loaded: Loaded, vault: SecretStore | None = None) -> RobinhoodCryptoBroker:
    """The broker, and the quotes to poll; its keys are fetched when they are used. vault: the configured one, open."""
    from quaestor.doors.robinhood_crypto.broker import RobinhoodCryptoBroker
    from quaestor.doors.robinhood_crypto.line import Line

    said = loaded.config.robinhood_crypto
    ring = _ring(loaded, vault or configured_vault(loaded))
    line = Line(ring, base_url=said.base_url, requests_per_minute=said.requests_per_minute, timeout=said.timeout)
    return RobinhoodCryptoBroker(line, symbology=_names(loaded))


def make_robinhood_crypto_keys(loaded: Loaded, vault: SecretStore | None = None) -> str:
    """Make a pair of keys: the private one goes into the vault, the public one is answered, to enter at Robinhood.

    Raises BadInput where the vault has a private key of that name.
    """
    from quaestor.doors.robinhood_crypto import signing

    vault, name = vault or configured_vault(loaded), loaded.config.robinhood_crypto.private_key_secret
    if name in vault.names():
        raise BadInput(
            f"The vault has a secret {name!r} already, and it stays. For another pair, name another one as "
            "private_key_secret under [robinhood_crypto]."
        )
    private, public = signing.pair()
    vault.set(name, private)
    return public


def robinhood_crypto_server(
    loaded: Loaded, cash: Decimal, quotes: dict[str, tuple[Decimal, Decimal]], *, make_keys: bool = False
) -> RobinhoodCryptoServer:
    """A protocol server that takes the configured keys, by the public half of what is in the vault.

    make_keys: put keys of no worth there first, where there are none. Raises VaultRefused without.
    """
    from quaestor.doors.sim.robinhood_crypto.book import Pair
    from quaestor.doors.sim.robinhood_crypto.server import RobinhoodCryptoServer

    said, vault = loaded.config.robinhood_crypto, configured_vault(loaded)
    if make_keys and not {said.key_secret, said.private_key_secret} & set(vault.names()):
        make_robinhood_crypto_keys(loaded, vault)
        vault.set(said.key_secret, f"rh-api-{uuid.uuid4()}")
    keys = _ring(loaded, vault).current()
    server = RobinhoodCryptoServer(pairs=[Pair(symbol) for symbol in quotes])
    server.register(keys.api_key, keys.public, cash=cash)
    for symbol, (bid, ask) in quotes.items():
        server.quote(symbol, bid, ask)
    return server


def _ring(loaded: Loaded, vault: SecretStore) -> KeyRing:
    from quaestor.doors.robinhood_crypto.keys import KeyRing

    said = loaded.config.robinhood_crypto
    return KeyRing(vault, said.key_secret, said.private_key_secret)


def _names(loaded: Loaded) -> Symbology:
    """Aliases that are names of Robinhood's pairs; the others are a feed's, such as Kraken's BTC/USD."""
    aliases = loaded.config.market.aliases.items()
    return Symbology(
        "Robinhood", aliases={ours: name for ours, name in aliases if re.fullmatch(r"[A-Z0-9]+-USD", name)}
    )
