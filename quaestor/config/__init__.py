"""The one configuration: `quaestor.toml` plus environment, validated; an unknown key is refused with its line.

This module only parses text; `wiring` finds the file and reads the environment.
"""

from __future__ import annotations

from quaestor.config.brokers import (
    AccountSection,
    BrokerSection,
    PaperSection,
    RobinhoodAgenticSection,
    RobinhoodCryptoSection,
    RobinhoodSection,
)
from quaestor.config.market import AlpacaSection, FeedSection, MarketSection, QualitySection
from quaestor.config.parts import AlertsSection, DatabaseSection, PrefectSection, TelemetrySection, VaultSection
from quaestor.config.reading import Config, digest, line_of, parse
from quaestor.config.trading import LiveSection, RiskSection, StrategiesSection, StrategyUse
from quaestor.config.words import Amount, Section

__all__ = [
    "AccountSection",
    "AlertsSection",
    "AlpacaSection",
    "Amount",
    "BrokerSection",
    "Config",
    "DatabaseSection",
    "FeedSection",
    "LiveSection",
    "MarketSection",
    "PaperSection",
    "PrefectSection",
    "QualitySection",
    "RiskSection",
    "RobinhoodAgenticSection",
    "RobinhoodCryptoSection",
    "RobinhoodSection",
    "Section",
    "StrategiesSection",
    "StrategyUse",
    "TelemetrySection",
    "VaultSection",
    "digest",
    "line_of",
    "parse",
]
