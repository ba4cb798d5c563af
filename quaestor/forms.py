"""What each Prefect block must say, as the one configuration has it: plain data, and how a server's block differs.

`deployments/register.py` writes these to the server; `doctor` reads them back and names what a person changed there.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from quaestor.config import Config

NAME = "quaestor"  # of the block document that flows load, whatever its type

Form = dict[str, Any]


def forms(config: Config, home: Path, base: Path) -> dict[str, Form]:
    """The fields of every block, as JSON has them, by block type.

    home: the data folder; base: the folder of quaestor.toml, where relative folders start.
    """
    account, market, strategies = config.account, config.market, config.strategies
    return {
        **_azure(config, base),
        "quaestor-database": {
            "home": str(home),
            "url": config.database.url,
            "password_secret": config.database.password_secret,
            "vault": _vault(config, base),
            "keep": dict(config.database.keep),
        },
        "quaestor-paper-broker": {"account": account.alias, **_texts(config.paper.model_dump())},
        "quaestor-recorded-feed": {
            "source": market.source,
            "folder": str(base / market.folder) if market.folder else "",
            "symbols": list(market.symbols),
            "home": str(home),
            "aliases": market.aliases,
            "alpaca": config.alpaca.model_dump(mode="json"),
            "robinhood": config.robinhood.model_dump(mode="json"),
            "vault": _vault(config, base),
            "quality": config.quality.model_dump(mode="json"),
        },
        "quaestor-robinhood-broker": {
            "account": account.alias,
            "home": str(home),
            "symbols": list(market.symbols),
            "aliases": market.aliases,
            "robinhood": config.robinhood.model_dump(mode="json"),
            "vault": _vault(config, base),
        },
        "quaestor-local-vault": {"home": str(home)},
        "quaestor-alerts": {"home": str(home), "console": config.alerts.console, "file": config.alerts.file},
        "quaestor-scale": {
            "home": str(home),
            "task_runner": config.prefect.task_runner,
            "address": config.prefect.task_runner_address,
            "workers": config.prefect.task_runner_workers,
        },
        "quaestor-trading-plan": {
            "account": account.alias,
            "broker": config.broker.kind,
            "cash": str(account.cash),
            "symbols": list(market.symbols),
            "strategies": [use.model_dump(mode="json") for use in strategies.use],
            "strategies_folder": str(base / strategies.folder) if strategies.folder else "",
            "first_session": strategies.first_session.isoformat() if strategies.first_session else None,
            "risk": config.risk.model_dump(mode="json"),
            "on_cancel": config.live.on_cancel,
        },
    }


def _vault(config: Config, base: Path) -> Form:
    """Where secrets are, with a certificate's full path."""
    said = config.vault.model_dump(mode="json")
    return said | {"certificate": str(base / said["certificate"]) if said["certificate"] else ""}


def _azure(config: Config, base: Path) -> dict[str, Form]:
    """The form of an Azure Key Vault, where that is the vault."""
    said = config.vault
    if said.kind != "azure":
        return {}
    form = {"url": said.url, "identity": said.credential, "client_id": said.client_id}
    return {
        "quaestor-azure-key-vault": {**form, "certificate": str(base / said.certificate) if said.certificate else ""}
    }


def differences(form: Form, found: Mapping[str, Any] | None) -> list[str]:
    """How a server's block differs from the file, field by field; empty when it says the same."""
    if found is None:
        return ["is not registered"]
    return [
        f"{key}: the file says {value!r}, the block {found.get(key)!r}"
        for key, value in form.items()
        if found.get(key) != value
    ]


def _texts(amounts: Mapping[str, object]) -> dict[str, object]:
    """Decimals as they are typed; whole numbers stay what they are."""
    return {key: str(amount) if isinstance(amount, Decimal) else amount for key, amount in amounts.items()}
