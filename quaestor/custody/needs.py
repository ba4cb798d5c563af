"""Which secrets a configuration names: for what, in which form, and what becomes of an old one at the vendor."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from quaestor.config import Config
from quaestor.custody.tokens import Names

Shape = Literal["text", "access", "refresh", "login", "spool", "ed25519"]

ALPACA = "At Alpaca, delete the old key once `quaestor secrets check` and a fetch are well."
DATABASE = "At the database: ALTER ROLE … PASSWORD makes it the new one for all who connect from then on; do it now."
SINK = "At the sink, revoke the old one once traces arrive."
CRYPTO = "At Robinhood (Crypto, API keys), delete the old key once `quaestor secrets check` is well."
LOGIN = "Run `quaestor auth seed`: a changed password ends every token that the old one made."
TOKENS = "The refresher stores it; a person runs `quaestor auth seed` or `quaestor auth import`."
SPOOL = "The refresher makes it where it is missing."
ACCOUNT = "Nothing is to be done."


@dataclass(frozen=True)
class Need:
    """A secret that the configuration names."""

    name: str
    used_by: tuple[str, ...]  # as a person finds them: "[alpaca]", "broker robinhood"
    shape: Shape = "text"
    optional: bool = False  # nothing stops without it
    after: str = ""  # what to do with the old one, once a new one is stored


def needs(config: Config) -> list[Need]:
    """Those of what is chosen: source, feed, broker, database, telemetry; each name once, sorted."""
    found: dict[str, Need] = {}
    for need in (*_general(config), *_alpaca(config), *_robinhood(config)):
        known = found.get(need.name, need)
        users = tuple(dict.fromkeys((*known.used_by, *need.used_by)))
        found[need.name] = replace(known, used_by=users, optional=known.optional and need.optional)
    return [found[name] for name in sorted(found)]


def _general(config: Config) -> Iterator[Need]:
    if config.database.url and config.database.password_secret:
        yield Need(config.database.password_secret, ("[database]",), after=DATABASE)
    if config.telemetry.authorization_secret:
        yield Need(config.telemetry.authorization_secret, ("[telemetry]",), after=SINK)


def _alpaca(config: Config) -> Iterator[Need]:
    users = [f"source {config.market.source}"] if config.market.source == "alpaca" else []
    rehearsed = config.feed.url.startswith("ws://")  # a protocol server takes any key
    users += [f"feed {config.feed.kind}"] if config.feed.kind in {"alpaca", "alpaca-py"} and not rehearsed else []
    if users:
        for name in (config.alpaca.key_secret, config.alpaca.secret_secret):
            yield Need(name, tuple(users), after=ALPACA)


def _robinhood(config: Config) -> Iterator[Need]:
    broker, alias = config.broker.kind, config.account.alias
    asks = {f"source {config.market.source}": config.market.source, f"broker {broker}": broker}
    users = [user for user, kind in asks.items() if kind == "robinhood"]
    if users:
        yield from _tokens(config.robinhood.login or alias, tuple(users))
        number = Names(config.robinhood.login or alias).account
        yield Need(number, tuple(users), optional=broker != "robinhood", after=ACCOUNT)  # prices belong to nobody
    if broker == "robinhood-agentic":
        yield from _tokens(config.robinhood_agentic.login or alias, (f"broker {broker}",))
    if broker == "robinhood-crypto":
        said = config.robinhood_crypto
        yield Need(said.key_secret, (f"broker {broker}",), after=CRYPTO)
        yield Need(said.private_key_secret, (f"broker {broker}",), "ed25519", after=CRYPTO)


def _tokens(login: str, users: tuple[str, ...]) -> Iterator[Need]:
    names = Names(login)
    yield Need(names.access, users, "access", after=TOKENS)
    yield Need(names.refresh, ("the refresher", *users), "refresh", after=TOKENS)
    yield Need(names.login, ("quaestor auth seed",), "login", optional=True, after=LOGIN)
    yield Need(names.spool, ("the refresher", "quaestor auth code"), "spool", optional=True, after=SPOOL)


def shape_of(name: str) -> Shape:
    """The form of a secret that no configuration names, by its name."""
    told = re.fullmatch(r"rh-[a-z0-9-]+-(access|refresh|login|spool)", name)
    kinds: dict[str, Shape] = {"access": "access", "refresh": "refresh", "login": "login", "spool": "spool"}
    return kinds[told[1]] if told else "text"
