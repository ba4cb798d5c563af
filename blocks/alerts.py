"""How a person is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prefect.blocks.core import Block
from pydantic import Field

from blocks.fields import SOURCE

if TYPE_CHECKING:
    from quaestor import ports


class Alerts(Block):
    """The channels on which Quaestor speaks up: the console and a log file.

    Example:
        Load the form in a flow and send an alert:
        ```python
        from blocks import Alerts

        form = Alerts.load("BLOCK_NAME")  # in async code: await Alerts.aload("BLOCK_NAME")
        await form.open().send("Books disagree", "AAPL: 100 here, 90 at the broker.", urgent=True)
        ```
    """

    _block_type_name = "Quaestor Alerts"
    _block_type_slug = "quaestor-alerts"
    _documentation_url = f"{SOURCE}#quaestor-alerts"  # type: ignore[assignment] # Prefect parses it

    home: str = Field(description="Data folder (QUAESTOR_HOME) that a relative file name starts from.")
    console: bool = Field(default=True, description="Whether alerts go to the console.")
    file: str = Field(default="alerts.log", description="Log file, relative to the data folder; empty is none.")

    def open(self) -> ports.Alerts:
        """The channels."""
        from quaestor import wiring

        return wiring.alerts(Path(self.home), self.file, console=self.console)
