"""What a person fills in to start a flow: the Prefect UI shows these as forms."""

from __future__ import annotations

import datetime as dt

from pydantic import BaseModel, ConfigDict, Field, model_validator


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


class SignalsRequest(Window):
    """For which sessions to compute signals."""


class ExecuteRequest(Window):
    """Which sessions to trade; sessions already settled are left alone."""


class ReconcileRequest(Window):
    """Since which session to compare books and broker; empty: since the first order."""


class ReportRequest(Window):
    """Which sessions to report on."""


class BackfillRequest(BaseModel):
    """Which history to fetch again."""

    model_config = ConfigDict(extra="forbid")

    symbols: list[str] = Field(min_length=1, description="Symbols to fetch again.")
    start: dt.date = Field(description="First session.")
    end: dt.date = Field(description="Last session.")
    dry_run: bool = Field(False, description="Only say what would be fetched.")

    @model_validator(mode="after")
    def _ordered(self) -> BackfillRequest:
        if self.start > self.end:
            raise ValueError(f"start {self.start} lies after end {self.end}; swap them")
        return self
