"""Where secrets are, on one machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prefect.blocks.core import Block
from pydantic import Field

from blocks.fields import SOURCE

if TYPE_CHECKING:
    from quaestor.ports_secrets import SecretStore


class LocalVault(Block):
    """The encrypted file of secrets in the data folder. The form names the folder; it never holds a secret.

    Example:
        Load the form in a flow and fetch a secret when it is used:
        ```python
        from blocks import LocalVault

        form = LocalVault.load("BLOCK_NAME")  # in async code: await LocalVault.aload("BLOCK_NAME")
        secret = form.open().get("database-password")
        ```
    """

    _block_type_name = "Quaestor Local Vault"
    _block_type_slug = "quaestor-local-vault"
    _documentation_url = f"{SOURCE}#quaestor-local-vault"  # type: ignore[assignment] # Prefect parses it

    home: str = Field(description="Data folder (QUAESTOR_HOME) that holds the encrypted file.")

    def open(self) -> SecretStore:
        """The vault."""
        from quaestor import wiring

        return wiring.vault(Path(self.home))
