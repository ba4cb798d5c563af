"""What a person fills in to start a flow: the Prefect UI shows these as forms."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from quaestor.coverage import Redo
from quaestor.errors import BadInput
from quaestor.operations.backfill import Wanted
from quaestor.operations.triggers import read_asked

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


class LiveRequest(BaseModel):
    """How a session is watched, and what a cancel of the watch means."""

    model_config = ConfigDict(extra="forbid")

    on_cancel: Literal["configured", "hold", "flatten"] = Field(
        "configured", description="What a cancel asks of the runner: enter nothing new, or sell all that is held."
    )
    start_runner: bool = Field(
        True, description="Whether a runner is started on this machine where none lives; no: a service does it."
    )
    at: dt.datetime | None = Field(
        None, description="Rehearsal on the paper broker: the runner's clock starts there; empty: it is now."
    )
    speed: float = Field(1.0, gt=0, le=1000, description="How fast a rehearsal's clock runs.")
    feed: str = Field(
        "",
        pattern=r"^(wss?://\S+)?$",
        description="Address of another feed, such as `quaestor sim feed`; empty: as configured.",
    )

    @model_validator(mode="after")
    def _is_a_moment(self) -> LiveRequest:
        if self.at is not None and self.at.tzinfo is None:
            raise ValueError(f"{self.at} has no time zone; write it like 2026-11-20T09:35-05:00")
        if self.at is None and self.speed != 1:
            raise ValueError("only a rehearsal's clock runs faster; say when it starts (at)")
        return self

    def options(self, now: Callable[[], dt.datetime]) -> Callable[[], list[str]]:
        """What a runner is started with, at the moment it is: a rehearsal goes on where its clock stands."""

        def options() -> list[str]:
            rehearsed = [f"--at={now().isoformat()}", f"--speed={self.speed:g}"] if self.at else []
            return rehearsed + ([f"--feed={self.feed}"] if self.feed else [])

        return options


class ReplayRequest(BaseModel):
    """Which live runs to fold again."""

    model_config = ConfigDict(extra="forbid")

    day: dt.date | None = Field(None, description="Runs whose journal was last written on that day; empty: today.")
    keep_days: int = Field(0, ge=0, description="Days that journals are kept; 0: for ever.")


class EditTriggerRequest(BaseModel):
    """A rule on prices that acts at once; how its words are written stands in docs/live.md."""

    model_config = ConfigDict(extra="forbid")

    what: Literal["add or replace", "remove"] = Field(
        "add or replace", description="Write it, in the place of the one that has its name; or take it out."
    )
    name: str = Field("", description="How it is called; to remove one, its name or id.")
    symbol: str = Field("", description="What it trades and watches, such as AAPL.")
    when: str = Field("", description="When it fires, such as: price above 190 and volume spike 3x over 5m")
    do: str = Field("", description='What it does, such as: sell 50%; or: flatten; or: alert "look"')
    mode: Literal["once", "rearm"] = Field("once", description="Once, or again each time after it ceased to hold.")
    price: Literal["trade", "bid", "ask", "mid"] = Field("trade", description="Which price it watches.")
    hysteresis: str = Field("", description="How far beyond its level the price must go back to rearm it, such as 0.5%")
    cooldown: str = Field("", description="Between two firings, such as 5m; empty: nothing.")
    expires: str = Field("", description="A time with its zone, or a duration such as 5d; empty: never.")
    max_age: str = Field("", description="How old a price may be that fires it; empty: 10s.")
    band: str = Field("", description="A price so far from the last needs a second one; empty: 10%.")
    note: str = Field("", description="Why, for you and your team.")

    @model_validator(mode="after")
    def _is_understood(self) -> EditTriggerRequest:
        if self.what == "remove":
            if not self.name:
                raise ValueError("name: which trigger is to be removed? Give its name or its id")
            return self
        try:
            read_asked(self.asked(), 0)
        except BadInput as error:
            raise ValueError(str(error)) from error
        return self

    def asked(self) -> dict[str, str]:
        """What was filled in, as `operations.triggers` reads it."""
        return {name: value for name, value in self.model_dump(exclude={"what"}).items() if value != ""}


class UpkeepRequest(BaseModel):
    """What the database's housework may do."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(False, description="Only say which partitions would be dropped by age.")


class RefreshCredentialsRequest(BaseModel):
    """What is to be done for the broker's login; no field takes a secret: Prefect keeps what is typed here."""

    model_config = ConfigDict(extra="forbid")

    what: Literal["look", "refresh now", "seed"] = Field(
        "look",
        description="look: change the tokens where that is due or was asked for; refresh now: in any case; seed: log "
        "in with the vault's user name and password, your phone at hand.",
    )


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
