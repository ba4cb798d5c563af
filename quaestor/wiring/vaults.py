"""Secrets: the vault of the data folder or an Azure Key Vault, and how the database's password comes to lie in it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quaestor.config import Config, VaultSection
from quaestor.errors import BadConfig
from quaestor.wiring.configuration import Loaded

if TYPE_CHECKING:
    from quaestor.doors.env_file import EnvFile
    from quaestor.doors.sim.keyvault import KeyVaultServer
    from quaestor.ports_secrets import SecretStore


DATABASE_PASSWORD = "database-password"  # noqa: S105  # the secret's name in the vault


def vault(home: Path, *, use_keyring: bool = False) -> SecretStore:
    """The local vault."""
    from quaestor.doors.vault_local import LocalVault

    return LocalVault(home, use_keyring=use_keyring)


def azure_vault(said: VaultSection) -> SecretStore:
    """An Azure Key Vault. Its client is kept in the object: open it once, for as long as it is used."""
    from quaestor.doors.vault_azure import AzureKeyVault

    return AzureKeyVault(said.url, credential=said.credential, client_id=said.client_id, certificate=said.certificate)


def key_vault_server(clock: Callable[[], dt.datetime] | None = None, token_life: float = 86_400) -> KeyVaultServer:
    """A protocol server of Azure Key Vault; the machine's own identity may do all there.

    clock: what time it is there (None: now); token_life: seconds that an identity's token lives.
    """
    from quaestor.doors.sim.keyvault import KeyVaultServer

    return KeyVaultServer(clock=clock or (lambda: dt.datetime.now(dt.UTC)), token_life=token_life)


def configured_vault(loaded: Loaded) -> SecretStore:
    """The configured vault."""
    said = loaded.config.vault
    shown = str(loaded.resolve(said.certificate)) if said.certificate else ""
    return _opened(loaded.home, said.model_copy(update={"certificate": shown}))


def vault_in(home: Path, said: Mapping[str, Any]) -> SecretStore:
    """The vault as a form says it; `home`: the data folder, of a local one."""
    return _opened(home, VaultSection.model_validate(said))


def _opened(home: Path, said: VaultSection) -> SecretStore:
    return azure_vault(said) if said.kind == "azure" else vault(home, use_keyring=said.key == "keyring")


def vault_place(loaded: Loaded) -> dict[str, str]:
    """Which vault it is, and where, for people."""
    said = loaded.config.vault
    where = said.url if said.kind == "azure" else str(loaded.home / "vault")
    return {"kind": said.kind, "where": where}


def rotate_vault_key(loaded: Loaded) -> None:
    """Give the local vault a new key; raises BadConfig where the vault is another's."""
    from quaestor.doors.vault_local import LocalVault

    said = loaded.config.vault
    if said.kind != "local":
        raise BadConfig("An Azure Key Vault changes its own keys: only a local vault has one that we keep.")
    LocalVault(loaded.home, use_keyring=said.key == "keyring").rotate_key()


def env_file(path: Path) -> EnvFile:
    """A file of environment variables, as it is now."""
    from quaestor.doors.env_file import EnvFile

    return EnvFile(path)


def shareable(loaded: Loaded) -> Config:
    """The configuration as blocks may hold it: the name of the database's password in the place of the password."""
    from quaestor.doors.postgres.database import without_password

    url, password = without_password(loaded.config.database.url)
    if password is None:
        return loaded.config
    secret = DATABASE_PASSWORD if password else ""  # an empty one is none
    database = loaded.config.database.model_copy(update={"url": url, "password_secret": secret})
    return loaded.config.model_copy(update={"database": database})


def keep_password(loaded: Loaded) -> None:
    """Put a password that stands in the database's URL into the vault, where `shareable` says it is."""
    from quaestor.doors.postgres.database import without_password

    _, password = without_password(loaded.config.database.url)
    if password:
        configured_vault(loaded).set(DATABASE_PASSWORD, password)


def console_token(loaded: Loaded) -> tuple[str, Path]:
    """What a caller of the HTTP API must know, and the file where it stands; made where there is none."""
    from quaestor.doors import token_file

    return token_file.token(loaded.home), token_file.place(loaded.home)
