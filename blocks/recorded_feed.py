"""Where prices come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from prefect.blocks.core import Block
from pydantic import Field, model_validator

from blocks.fields import SOURCE

if TYPE_CHECKING:
    from quaestor.ports import Source


class RecordedFeed(Block):
    """Recorded daily prices: those that come with Quaestor, or a folder of CSV and Parquet files.

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

    source: Literal["recorded", "files"] = Field(
        default="recorded", description="'recorded' are the prices that come with Quaestor; 'files' are yours."
    )
    folder: str = Field(default="", description="Folder of SYMBOL.csv or SYMBOL.parquet files, for 'files'.")
    symbols: list[str] = Field(
        default=["AAPL", "FB", "GOOG", "IBM", "MSFT"], min_length=1, description="The universe that is ingested."
    )

    @model_validator(mode="after")
    def _folder_is_named(self) -> RecordedFeed:
        if self.source == "files" and not self.folder:
            raise ValueError("source 'files' needs a folder")
        return self

    def open(self) -> Source:
        """The source of history."""
        from quaestor import wiring

        return wiring.source(self.source, self.folder)
