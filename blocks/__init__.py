"""Forms: one Prefect block per outside system. A form holds what a person may see; secrets only by their names."""

from __future__ import annotations

from blocks.alerts import Alerts
from blocks.azure_key_vault import AzureKeyVault
from blocks.database import QuaestorDatabase
from blocks.local_vault import LocalVault
from blocks.paper_broker import PaperBroker
from blocks.recorded_feed import RecordedFeed
from blocks.robinhood_broker import RobinhoodBroker
from blocks.scale import Scale
from blocks.trading_plan import TradingPlan

__all__ = [
    "Alerts",
    "AzureKeyVault",
    "LocalVault",
    "PaperBroker",
    "QuaestorDatabase",
    "RecordedFeed",
    "RobinhoodBroker",
    "Scale",
    "TradingPlan",
]
