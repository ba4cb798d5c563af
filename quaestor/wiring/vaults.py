"""Secrets: the vault of the data folder, and how the database's password comes to lie in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quaestor.config import Config
from quaestor.wiring.configuration import Loaded

if TYPE_CHECKING:
    from quaestor.ports import Vault


DATABASE_PASSWORD = "database-password"  # noqa: S105  # the secret's name in the vault


def vault(home: Path, *, use_keyring: bool = False) -> Vault:
    """The local vault."""
    from quaestor.doors.vault_local import LocalVault

    return LocalVault(home, use_keyring=use_keyring)


def configured_vault(loaded: Loaded) -> Vault:
    """The configured vault."""
    return vault(loaded.home, use_keyring=loaded.config.vault.key == "keyring")


def shareable(loaded: Loaded) -> Config:
    """The configuration as blocks may hold it: the name of the database's password in the place of the password."""
    from quaestor.doors.postgres.database import without_password

    url, password = without_password(loaded.config.database.url)
    if password is None:
        return loaded.config
    database = loaded.config.database.model_copy(update={"url": url, "password_secret": DATABASE_PASSWORD})
    return loaded.config.model_copy(update={"database": database})


def keep_password(loaded: Loaded) -> None:
    """Put a password that stands in the database's URL into the vault, where `shareable` says it is."""
    from quaestor.doors.postgres.database import without_password

    _, password = without_password(loaded.config.database.url)
    if password is not None:
        configured_vault(loaded).set(DATABASE_PASSWORD, password)


def console_token(loaded: Loaded) -> tuple[str, Path]:
    """What a caller of the HTTP API must know, and the file where it stands; made where there is none."""
    from quaestor.doors import token_file

    return token_file.token(loaded.home), token_file.place(loaded.home)
