"""Where the books are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prefect.blocks.core import Block
from pydantic import Field, field_validator

from blocks.fields import SOURCE, VAULT, Vault

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Database


class QuaestorDatabase(Block):
    """The PostgreSQL that holds bars, signals, orders, fills and the ledger: embedded, or any server.

    Example:
        Load the form in a flow and open the database:
        ```python
        from blocks import QuaestorDatabase

        form = QuaestorDatabase.load("BLOCK_NAME")  # in async code: await QuaestorDatabase.aload("BLOCK_NAME")
        async with form.open() as database:
            ...
        ```
    """

    _block_type_name = "Quaestor Database"
    _block_type_slug = "quaestor-database"
    _documentation_url = f"{SOURCE}#quaestor-database"  # type: ignore[assignment] # Prefect parses it when it registers

    home: str = Field(description="Data folder (QUAESTOR_HOME); the embedded server lives in it.")
    url: str = Field(
        default="", description="postgresql://user@host:5432/name without a password; empty is the embedded server."
    )
    password_secret: str = Field(default="", description="Name of the password in the vault; empty if none is needed.")

    keep: dict[str, int] = Field(
        default_factory=dict, description="Days that bars are kept, by timeframe; what is not named is kept for ever."
    )

    vault: Vault = Field(default_factory=dict, description=VAULT)

    @field_validator("url")
    @classmethod
    def _no_password(cls, url: str) -> str:
        from quaestor.doors.postgres.database import without_password
        from quaestor.errors import BadConfig

        try:
            _, password = without_password(url)
        except BadConfig as error:
            raise ValueError(str(error)) from None
        if password is not None:
            raise ValueError("the url holds a password; put it in the vault and name it in password_secret")
        return url

    def open(self) -> Database:
        """The database, to be entered with `async with`; the password comes out of the vault at this moment."""
        from quaestor import wiring

        home = Path(self.home)
        secret = self.password_secret
        password = wiring.vault_in(home, self.vault).get(secret).value if secret else None
        return wiring.open_database(home, self.url, password)
