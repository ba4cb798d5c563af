"""Where prices come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from prefect.blocks.core import Block
from pydantic import Field, field_validator, model_validator

from blocks.fields import SOURCE, VAULT, Vault
from quaestor.config import AlpacaSection, MarketSection, QualitySection, RobinhoodSection

if TYPE_CHECKING:
    from quaestor.ports import Source


class RecordedFeed(Block):
    """Past prices: those that come with Quaestor, a folder of CSV and Parquet files, Alpaca's, or Robinhood's.

    Example:
        Load the form in a flow and read a symbol's history:
        ```python
        from blocks import RecordedFeed

        form = RecordedFeed.load("BLOCK_NAME")  # in async code: await RecordedFeed.aload("BLOCK_NAME")
        history = await form.open().history("AAPL", start, end)
        ```
    """

    _block_type_name = "Quaestor Recorded Feed"
    _block_type_slug = "quaestor-recorded-feed"
    _documentation_url = f"{SOURCE}#quaestor-recorded-feed"  # type: ignore[assignment] # Prefect parses it

    source: Literal["recorded", "files", "alpaca", "robinhood"] = Field(
        default="recorded",
        description="'recorded' are the prices that come with Quaestor; 'files' are yours; or a vendor's name.",
    )
    folder: str = Field(default="", description="Folder of SYMBOL.csv or SYMBOL.parquet files, for 'files'.")
    symbols: list[str] = Field(
        default=["AAPL", "FB", "GOOG", "IBM", "MSFT"], min_length=1, description="The universe that is ingested."
    )
    home: str = Field(default="", description="Data folder (QUAESTOR_HOME) with the vault, for a vendor's secrets.")
    aliases: dict[str, str] = Field(
        default_factory=dict, description="Our symbol and the source's name for it, where it follows no rule."
    )
    alpaca: dict[str, Any] = Field(
        default_factory=dict, description="How Alpaca is asked, as in [alpaca]; secrets by their names in the vault."
    )
    robinhood: dict[str, Any] = Field(
        default_factory=dict, description="How Robinhood is asked, as in [robinhood]; secrets by name."
    )
    vault: Vault = Field(default_factory=dict, description=VAULT)

    quality: dict[str, Any] = Field(
        default_factory=dict, description="Limits of the quality gate by name; what is not named keeps its default."
    )

    @field_validator("quality")
    @classmethod
    def _quality_is_known(cls, quality: dict[str, Any]) -> dict[str, Any]:
        return QualitySection.model_validate(quality).model_dump(mode="json")

    @field_validator("alpaca")
    @classmethod
    def _alpaca_is_known(cls, alpaca: dict[str, Any]) -> dict[str, Any]:
        return AlpacaSection.model_validate(alpaca).model_dump(mode="json")

    @field_validator("robinhood")
    @classmethod
    def _robinhood_is_known(cls, robinhood: dict[str, Any]) -> dict[str, Any]:
        return RobinhoodSection.model_validate(robinhood).model_dump(mode="json")

    @model_validator(mode="after")
    def _is_a_market(self) -> RecordedFeed:
        self._market()
        if self.source in {"alpaca", "robinhood"} and not self.home:
            raise ValueError(f"source {self.source!r} needs the data folder, for its secrets")
        return self

    def open(self) -> Source:
        """The source of history."""
        from quaestor import wiring

        alpaca, robinhood = AlpacaSection(**self.alpaca), RobinhoodSection(**self.robinhood)
        vault = wiring.vault_in(Path(self.home), self.vault) if self.home else None
        return wiring.market_source(self._market(), self.folder, alpaca, robinhood, vault)

    def gate(self) -> QualitySection:
        """How its bars are judged."""
        return QualitySection.model_validate(self.quality)

    def _market(self) -> MarketSection:
        said = {"source": self.source, "folder": self.folder, "symbols": self.symbols, "aliases": self.aliases}
        return MarketSection.model_validate(said)
