"""What trades, with how much, within which limits."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from prefect.blocks.core import Block
from pydantic import Field, field_validator

from blocks.fields import SOURCE, Amount
from quaestor.config import RiskSection, StrategiesSection

if TYPE_CHECKING:
    from quaestor.wiring import Plan


class TradingPlan(Block):
    """The strategies in use, each with its share of equity, and the limits of the risk gate.

    Example:
        Load the form in a flow and open the plan:
        ```python
        from blocks import TradingPlan

        form = TradingPlan.load("BLOCK_NAME")  # in async code: await TradingPlan.aload("BLOCK_NAME")
        plan = form.open()
        ```
    """

    _block_type_name = "Quaestor Trading Plan"
    _block_type_slug = "quaestor-trading-plan"
    _documentation_url = f"{SOURCE}#quaestor-trading-plan"  # type: ignore[assignment] # Prefect parses it

    account: str = Field(
        default="paper", pattern=r"^[a-z][a-z0-9_-]{0,30}$", description="Alias of the account; never its number."
    )
    broker: Literal["paper", "robinhood", "robinhood-agentic", "robinhood-crypto"] = Field(
        default="paper", description="Who gets the orders; all but 'paper' trade in the live run alone."
    )
    cash: Amount = Field(default="100000.00", description="Opening deposit of a paper account, dollars.")
    symbols: list[str] = Field(min_length=1, description="The universe that may be traded.")
    strategies: list[dict[str, Any]] = Field(
        description="Strategies in use: name, weight (share of equity, 0 to 1; together at most 1) and parameters."
    )
    strategies_folder: str = Field(default="", description="Folder of your own strategies; empty is none.")
    first_session: dt.date | None = Field(
        default=None, description="Trade from this session on; empty is the day after history starts."
    )
    risk: dict[str, Any] = Field(
        default_factory=dict, description="Limits of the risk gate by name; what is not named keeps its default."
    )
    on_cancel: Literal["hold", "flatten"] = Field(
        default="hold", description="What a canceled live flow asks of the runner, where its own form leaves it open."
    )

    @field_validator("strategies")
    @classmethod
    def _strategies_are_uses(cls, uses: list[dict[str, Any]]) -> list[dict[str, Any]]:
        checked = StrategiesSection.model_validate({"use": uses})
        return [use.model_dump(mode="json") for use in checked.use]

    @field_validator("risk")
    @classmethod
    def _risk_is_known(cls, risk: dict[str, Any]) -> dict[str, Any]:
        return RiskSection.model_validate(risk).model_dump(mode="json")

    def open(self) -> Plan:
        """The plan, with the strategies found and checked."""
        from quaestor import wiring

        chosen = StrategiesSection.model_validate({"use": self.strategies, "first_session": self.first_session})
        return wiring.plan(
            self.account,
            Decimal(self.cash),
            self.symbols,
            chosen,
            Path(self.strategies_folder) if self.strategies_folder else None,
            RiskSection.model_validate(self.risk),
        )
