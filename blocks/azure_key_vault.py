"""Where secrets are, in production."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from prefect.blocks.core import Block
from pydantic import Field, field_validator

from blocks.fields import SOURCE

if TYPE_CHECKING:
    from quaestor.ports_secrets import SecretStore


class AzureKeyVault(Block):
    """An Azure Key Vault, opened by a managed identity or by who is logged in with `az login`. It holds no secret.

    Example:
        Load the form in a flow and fetch a secret when it is used:
        ```python
        from blocks import AzureKeyVault

        form = AzureKeyVault.load("BLOCK_NAME")  # in async code: await AzureKeyVault.aload("BLOCK_NAME")
        secret = form.open().get("database-password")
        ```
    """

    _block_type_name = "Quaestor Azure Key Vault"
    _block_type_slug = "quaestor-azure-key-vault"
    _documentation_url = f"{SOURCE}#quaestor-azure-key-vault"  # type: ignore[assignment] # Prefect parses it

    url: str = Field(description="Address of the vault, https://NAME.vault.azure.net.")
    identity: Literal["managed", "developer"] = Field(
        default="managed",
        description="'managed' is the machine's managed identity; 'developer' is who is logged in with `az login`.",
    )
    client_id: str = Field(
        default="", description="Client id of a user-assigned managed identity; empty is the machine's own identity."
    )
    certificate: str = Field(
        default="",
        description="PEM file that its certificate is checked with, for a protocol server; empty: the usual.",
    )

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if not url.startswith("https://"):
            raise ValueError(f"{url!r} is no address of a vault; write https://NAME.vault.azure.net")
        return url

    def open(self) -> SecretStore:
        """The vault; its client is kept for as long as you keep what this gives."""
        from quaestor import wiring
        from quaestor.config import VaultSection

        said = VaultSection(
            kind="azure",
            url=self.url,
            credential=self.identity,
            client_id=self.client_id,
            certificate=self.certificate,
        )
        return wiring.azure_vault(said)
