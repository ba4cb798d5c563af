"""What a person fills in to start a flow: the Prefect UI shows these as forms."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from quaestor.coverage import Redo
from quaestor.operations.backfill import Wanted

Timeframe = Literal["1d", "1h", "5m", "1m"]


class Window(BaseModel):
    """A range of sessions; empty ends mean: all there is."""

    model_config = ConfigDict(extra="forbid")

    start: dt.date | None = Field(None, description="First session; empty: from where the last run stopped.")
    end: dt.date | None = Field(None, description="Last session; empty: the newest there is.")

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"start {self.start} lies after end {self.end}; swap them")
        return self


class IngestRequest(Window):
    """Which symbols to bring up to date."""

    symbols: list[str] | None = Field(None, description="Symbols; empty: the configured universe.")
    timeframe: Timeframe = Field("1d", description="How long a bar is.")


class SignalsRequest(Window):
    """For which sessions to compute signals."""


class ExecuteRequest(Window):
    """Which sessions to trade; sessions already settled are left alone."""


class ReconcileRequest(Window):
    """Since which session to compare books and broker; empty: since the first order."""


class ReportRequest(Window):
    """Which sessions to report on."""


class UpkeepRequest(BaseModel):
    """What the database's housework may do."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(False, description="Only say which partitions would be dropped by age.")


class BackfillRequest(BaseModel):
    """Which history to fetch, and what of it to fetch again."""

    model_config = ConfigDict(extra="forbid")

    symbols: list[str] | None = Field(None, description="Symbols; empty: the configured universe.")
    start: dt.date = Field(description="First session.")
    end: dt.date = Field(description="Last session.")
    timeframe: Timeframe = Field("1d", description="How long a bar is.")
    source: Literal["configured", "recorded", "files", "alpaca", "robinhood"] = Field(
        "configured", description="Where from."
    )
    redo: Redo = Field(
        "missing",
        description="missing: what was never fetched with success; failed: what failed or has bars in quarantine; all.",
    )
    order: Literal["newest first", "oldest first"] = Field("newest first", description="What is fetched first.")
    dry_run: bool = Field(False, description="Only say what would be fetched, and what it costs.")

    @model_validator(mode="after")
    def _ordered(self) -> BackfillRequest:
        if self.start > self.end:
            raise ValueError(f"start {self.start} lies after end {self.end}; swap them")
        return self

    def wanted(self, universe: Sequence[str]) -> Wanted:
        """The same for the operation; `universe` where no symbol is named."""
        symbols = tuple(self.symbols or universe)
        newest_first = self.order == "newest first"
        return Wanted(symbols, self.timeframe, self.start, self.end, self.redo, newest_first=newest_first)
