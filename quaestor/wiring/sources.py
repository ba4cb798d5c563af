"""History: who is asked for prices, with which secrets and how fast, and what an ingest of them needs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from quaestor.config import AlpacaSection, MarketSection, QualitySection, RobinhoodSection
from quaestor.custody.tokens import AccessToken, Names
from quaestor.errors import BadConfig
from quaestor.symbols import Symbology
from quaestor.wiring.configuration import Loaded
from quaestor.wiring.databases import bar_store
from quaestor.wiring.vaults import configured_vault

if TYPE_CHECKING:
    from quaestor.doors.http import Carrier
    from quaestor.doors.postgres.database import Database
    from quaestor.doors.robinhood.line import Line
    from quaestor.operations.ingest import Intake
    from quaestor.ports import Alerts, Source
    from quaestor.ports_secrets import SecretStore


def source(kind: str, folder: str | Path = "") -> Source:
    """Where history comes from, where no vendor is asked: `recorded` or `files`."""
    market = MarketSection.model_validate({"source": kind, "folder": str(folder)})
    return market_source(market, folder)


def market_source(
    market: MarketSection,
    folder: str | Path = "",
    alpaca: AlpacaSection | None = None,
    robinhood: RobinhoodSection | None = None,
    vault: SecretStore | None = None,
) -> Source:
    """Where history comes from; secrets of vendors are fetched out of `vault` at each call."""
    match market.source:
        case "recorded":
            from quaestor.doors.recorded import RecordedSource

            return RecordedSource()
        case "files":
            from quaestor.doors.files import FileSource

            return FileSource(Path(folder), Symbology("The folder", aliases=market.aliases))
        case "alpaca":
            return _alpaca(alpaca or AlpacaSection(), market.aliases, _secrets(vault))
    return _robinhood(robinhood or RobinhoodSection(), market.aliases, _secrets(vault))


def configured_source(loaded: Loaded) -> Source:
    """The configured source of history."""
    config, market = loaded.config, loaded.config.market
    folder = loaded.resolve(market.folder) if market.folder else ""
    return market_source(market, folder, config.alpaca, robinhood_section(loaded), configured_vault(loaded))


def robinhood_section(loaded: Loaded) -> RobinhoodSection:
    """How Robinhood is asked, with the login named: the account's alias where none is."""
    said = loaded.config.robinhood
    return said.model_copy(update={"login": said.login or loaded.config.account.alias})


def fed_by(loaded: Loaded, source: str | None) -> Loaded:
    """The same configuration with another source of history; None: the configured one."""
    if source is None:
        return loaded
    market = loaded.config.market.model_dump() | {"source": source}
    try:
        section = MarketSection.model_validate(market)
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise BadConfig(f"The source {source!r} cannot be used: {why}. Configure it under [market].") from error
    return replace(loaded, config=loaded.config.model_copy(update={"market": section}))


def intake(
    source: Source,
    database: Database,
    told: Alerts,
    gate: QualitySection | None = None,
    flow_run_id: str | None = None,
) -> Intake:
    """All that an ingest needs."""
    from quaestor.operations.ingest import Intake
    from quaestor.quality import Limits

    chosen = (gate or QualitySection()).model_dump()
    extended = chosen.pop("extended_hours")
    limits, now = Limits(**chosen), lambda: dt.datetime.now(dt.UTC)
    return Intake(source, bar_store(database), told, now, limits, extended=extended, flow_run_id=flow_run_id)


def _alpaca(said: AlpacaSection, aliases: Mapping[str, str], secret: Callable[[str], str]) -> Source:
    from quaestor.doors import alpaca
    from quaestor.ports import Capabilities

    names, per_second = (said.key_secret, said.secret_secret), said.requests_per_minute / 60
    carrier = _carrier("Alpaca", alpaca.HOST, names, said.base_url, said.in_flight, per_second)
    return alpaca.AlpacaSource(
        carrier,
        lambda: (secret(names[0]), secret(names[1])),
        feed=said.feed,
        base_url=said.base_url,
        capabilities=Capabilities(tuple(alpaca.FRAMES), alpaca.PAGE, per_second, said.in_flight, beside=1),
        symbology=Symbology("Alpaca", aliases=aliases),
    )


def _robinhood(said: RobinhoodSection, aliases: Mapping[str, str], secret: Callable[[str], str]) -> Source:
    from quaestor.doors import robinhood
    from quaestor.ports import Capabilities

    name = Names(said.login).access if said.login else ""
    return robinhood.RobinhoodSource(
        robinhood_line(said),
        lambda: AccessToken.read(secret(name), name).value if name else "",
        capabilities=Capabilities(
            tuple(robinhood.PAIRS), robinhood.MOST, said.requests_per_minute / 60, said.in_flight, beside=2
        ),
        symbology=Symbology("Robinhood", aliases=aliases),
    )


@lru_cache(maxsize=8)
def robinhood_line(said: RobinhoodSection) -> Line:
    """One for all who ask Robinhood for a login from this process: its pace is theirs together."""
    from quaestor.doors.robinhood.line import Line

    return Line(
        None,
        base_url=said.base_url,
        timeout=said.timeout,
        app_version=said.app_version,
        in_flight=said.in_flight,
        per_minute=said.requests_per_minute,
        spacing=said.order_spacing,
        secrets=(Names(said.login).access,) if said.login else (),
    )


@lru_cache(maxsize=8)
def _carrier(
    vendor: str, host: str, secrets: tuple[str, ...], base_url: str, in_flight: int, per_second: float
) -> Carrier:
    """One for all who ask a vendor from this process: they share its threads, and its rate is theirs together."""
    from quaestor.doors import http

    return http.Carrier(vendor, [host], secrets=secrets, base_url=base_url, in_flight=in_flight, per_second=per_second)


def _secrets(vault: SecretStore | None) -> Callable[[str], str]:
    def value(name: str) -> str:
        if vault is None:
            raise BadConfig(f"The secret {name!r} is asked for, but no data folder with a vault is named.")
        return vault.get(name).value

    return value
