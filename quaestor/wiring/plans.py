"""What an account trades: the strategies that can be named, the chosen ones built, the mandate, who acts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from quaestor.config import RiskSection, StrategiesSection, StrategyUse, digest
from quaestor.errors import BadConfig, BadInput, NotFound
from quaestor.wiring.configuration import Loaded

if TYPE_CHECKING:
    from quaestor.live.engine import Engine
    from quaestor.operations.decide import Mandate
    from quaestor.ports import Run
    from quaestor.strategies.catalogue import Built, Catalogue


@dataclass(frozen=True)
class Plan:
    """What an account trades: its mandate, the strategies built, the digest of what decides."""

    mandate: Mandate
    built: tuple[Built, ...]
    digest: str

    @property
    def daily(self) -> tuple[Built, ...]:
        """Those that are asked once a session; the others follow the live run's bars."""
        return tuple(each for each in self.built if not each.is_live)


def plan(
    account: str,
    cash: Decimal,
    symbols: Sequence[str],
    chosen: StrategiesSection,
    folder: Path | None,
    risk: RiskSection,
    place: Callable[[list[str]], str] = ".".join,
) -> Plan:
    """Find and build the chosen strategies, and write the mandate that trades them over `symbols`.

    Raises BadConfig for an unknown strategy or a parameter that cannot be used; `place` says where a key stands.
    """
    from quaestor.doors import strategy_folder
    from quaestor.operations.decide import Mandate
    from quaestor.strategies.catalogue import Catalogue

    catalogue = Catalogue(strategy_folder.read(folder))
    built = tuple(_build(catalogue, n, use, place) for n, use in enumerate(chosen.use))
    mandate = Mandate(
        account=account,
        symbols=tuple(symbols),
        weights={use.name: use.weight for use in chosen.use},
        digests=tuple(b.digest for b in built if not b.is_live),
        limits=risk,
        cash=cash,
        first_session=chosen.first_session,
        live=frozenset(b.name for b in built if b.is_live),
    )
    named = {"account": account, "cash": cash, "symbols": list(symbols), "digests": mandate.digests}
    return Plan(mandate, built, digest({**named, "weights": mandate.weights, "risk": risk}))


def configured_plan(loaded: Loaded) -> Plan:
    """What the configured account trades."""
    config = loaded.config
    folder = loaded.resolve(config.strategies.folder) if config.strategies.folder else None
    account, symbols = config.account, config.market.symbols
    return plan(account.alias, account.cash, symbols, config.strategies, folder, config.risk, loaded.place)


def _build(catalogue: Catalogue, number: int, use: StrategyUse, place: Callable[[list[str]], str]) -> Built:
    """The strategy of the n-th `[[strategies.use]]`."""
    from quaestor.strategies.catalogue import BadParameter

    key = ["strategies", "use", str(number)]
    try:
        catalogue.definition(use.name)
    except NotFound as error:
        raise BadConfig(f"{place([*key, 'name'])}: {error}") from error
    try:
        return catalogue.build(use.name, use.parameters)
    except BadInput as error:
        named = [error.parameter] if isinstance(error, BadParameter) else []
        raise BadConfig(f"{place([*key, 'parameters', *named])}: {error}") from error


def catalogue(loaded: Loaded) -> Catalogue:
    """All strategies that can be named: the built-in ones, and those of the configured folder."""
    from quaestor.doors import strategy_folder
    from quaestor.strategies.catalogue import Catalogue

    named = loaded.config.strategies.folder
    return Catalogue(strategy_folder.read(loaded.resolve(named) if named else None))


def live_engine(strategies: Path | None) -> Callable[[], Engine]:
    """Fresh engines, with the built-in strategies and those of a folder."""
    from quaestor.doors import strategy_folder
    from quaestor.live.engine import Engine
    from quaestor.strategies.catalogue import Catalogue

    found = Catalogue(strategy_folder.read(strategies))
    return lambda: Engine(found.build)


def configured_engine(loaded: Loaded) -> Callable[[], Engine]:
    """Fresh engines, with the strategies that the configuration knows."""
    named = loaded.config.strategies.folder
    return live_engine(loaded.resolve(named) if named else None)


def run_info(flow_run_id: str | None, config_digest: str) -> Run:
    """Who acts, for provenance."""
    from quaestor.doors.code import commit
    from quaestor.ports import Run

    return Run(flow_run_id, commit(), config_digest)
