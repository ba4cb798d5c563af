"""A broker that fills on recorded prices."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from prefect.blocks.core import Block
from pydantic import Field

from blocks.fields import SOURCE, Amount

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Database
    from quaestor.ports import Broker


class PaperBroker(Block):
    """The paper broker: fills against recorded or live prices, at these costs.

    Example:
        Load the form in a flow and open the broker on the database:
        ```python
        from blocks import PaperBroker

        form = PaperBroker.load("BLOCK_NAME")  # in async code: await PaperBroker.aload("BLOCK_NAME")
        broker = form.open(database)
        ```
    """

    _block_type_name = "Quaestor Paper Broker"
    _block_type_slug = "quaestor-paper-broker"
    _documentation_url = f"{SOURCE}#quaestor-paper-broker"  # type: ignore[assignment] # Prefect parses it

    account: str = Field(
        default="paper", pattern=r"^[a-z][a-z0-9_-]{0,30}$", description="Alias of the account; never its number."
    )
    slippage_bps: Amount = Field(default="1", description="Slippage against us, basis points of the price.")
    commission: Amount = Field(default="0", description="Commission, dollars per order.")
    sec_fee: Amount = Field(default="0.0000278", description="SEC fee, dollars per dollar sold.")
    taf: Amount = Field(default="0.000166", description="FINRA trading activity fee, dollars per share sold.")

    def open(self, database: Database) -> Broker:
        """The broker, whose own books are in that database."""
        from quaestor import wiring
        from quaestor.exchange import Costs

        costs = Costs(Decimal(self.slippage_bps), Decimal(self.commission), Decimal(self.sec_fee), Decimal(self.taf))
        broker: Broker = wiring.paper_broker(database, self.account, costs)
        return broker
