"""A broker that is Robinhood, by the private API of its app."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.blocks.core import Block
from pydantic import Field, field_validator

from blocks.fields import SOURCE, VAULT, Vault
from quaestor.config import RobinhoodSection

if TYPE_CHECKING:
    from quaestor.ports import Broker
    from quaestor.ports_secrets import AccessTokens


class RobinhoodBroker(Block):
    """Robinhood, by the private API of its app, which is not endorsed; number and tokens are in the vault.

    Example:
        Load the form in a flow and open the broker with the access tokens of its login:
        ```python
        from blocks import RobinhoodBroker

        form = RobinhoodBroker.load("BLOCK_NAME")  # in async code: await RobinhoodBroker.aload("BLOCK_NAME")
        broker = form.open(tokens)
        ```
    """

    _block_type_name = "Quaestor Robinhood Broker"
    _block_type_slug = "quaestor-robinhood-broker"
    _documentation_url = f"{SOURCE}#quaestor-robinhood-broker"  # type: ignore[assignment] # Prefect parses it

    account: str = Field(
        default="paper", pattern=r"^[a-z][a-z0-9_-]{0,30}$", description="Alias of the account; never its number."
    )
    home: str = Field(default="", description="Data folder (QUAESTOR_HOME) with the vault, for the account's number.")
    symbols: list[str] = Field(
        default=["AAPL", "FB", "GOOG", "IBM", "MSFT"],
        min_length=1,
        description="The universe whose halts are asked for.",
    )
    aliases: dict[str, str] = Field(
        default_factory=dict, description="Our symbol and Robinhood's name for it, where it follows no rule."
    )
    robinhood: dict[str, Any] = Field(
        default_factory=dict, description="How Robinhood is asked, as in [robinhood]; secrets by the login's name."
    )

    vault: Vault = Field(default_factory=dict, description=VAULT)

    @field_validator("robinhood")
    @classmethod
    def _robinhood_is_known(cls, robinhood: dict[str, Any]) -> dict[str, Any]:
        return RobinhoodSection.model_validate(robinhood).model_dump(mode="json")

    def open(self, tokens: AccessTokens) -> Broker:
        """The broker; `tokens` is who hands out the login's access token."""
        from quaestor import wiring

        said = RobinhoodSection(**self.robinhood)
        named = said.model_copy(update={"login": said.login or self.account})
        vault = wiring.vault_in(Path(self.home), self.vault)
        broker: Broker = wiring.robinhood_door(named, tokens, vault, self.symbols, self.aliases)
        return broker
