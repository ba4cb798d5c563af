"""A broker that fills on recorded prices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.blocks.core import Block
from pydantic import Field

from blocks.fields import SOURCE, Amount

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Database
    from quaestor.ports import Broker


class PaperBroker(Block):
    """The paper broker: fills against recorded or live prices, at these costs, over a line as bad as you want.

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
    taf_cap: Amount = Field(default="8.30", description="The most of that fee that one sale pays, dollars.")

    spread_bps: Amount = Field(
        default="0", description="Basis points between bid and ask; half of them are against us."
    )
    participation: Amount = Field(
        default="1", description="Share (above 0, at most 1) of a bar's volume that orders take; 1: no limit."
    )
    faults: Amount = Field(
        default="0", description="Share (0 to 1) of calls that go wrong, for rehearsals; 0: the line is good."
    )
    faults_seed: int = Field(
        default=0, ge=0, description="Which calls go wrong, and how: the same seed, the same faults."
    )

    def open(self, database: Database) -> Broker:
        """The broker, whose own books are in that database."""
        from quaestor import wiring
        from quaestor.config import PaperSection

        paper = PaperSection.model_validate({name: getattr(self, name) for name in PaperSection.model_fields})
        broker: Broker = wiring.paper_broker(database, self.account, paper.costs, paper.faults, paper.faults_seed)
        return broker
