"""What is traded, where its prices come from, and how they are judged."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from quaestor.config.words import Section, safe, streams


class MarketSection(Section):
    """What is traded and where its prices come from."""

    source: Literal["recorded", "files", "alpaca", "robinhood"] = Field(
        "recorded",
        description="recorded: bokeh_sampledata; files: CSV/Parquet; alpaca, robinhood: their historical bars.",
    )
    folder: str = Field("", description="Folder of SYMBOL.csv or SYMBOL.parquet files, for source = 'files'.")
    symbols: tuple[str, ...] = Field(("AAPL", "FB", "GOOG", "IBM", "MSFT"), min_length=1, description="The universe.")
    aliases: dict[str, str] = Field(
        default_factory=dict, description="Our symbol = the source's name for it, where it follows no rule."
    )

    @model_validator(mode="after")
    def _folder_is_named(self) -> MarketSection:
        if self.source == "files" and not self.folder:
            raise ValueError("source = 'files' needs a folder")
        if self.source == "recorded" and self.aliases:
            raise ValueError("aliases need another source than 'recorded'")
        return self


class AlpacaSection(Section):
    """How Alpaca is asked, for source = 'alpaca'."""

    feed: Literal["iex", "sip"] = Field(
        "iex", description="iex: one exchange, free; sip: all of them, by subscription."
    )
    key_secret: str = Field("alpaca-key", min_length=1, description="Name of the API key in the vault.")
    secret_secret: str = Field("alpaca-secret", min_length=1, description="Name of the key's secret in the vault.")
    requests_per_minute: int = Field(200, gt=0, le=60_000, description="Requests a minute; the free plan allows 200.")
    in_flight: int = Field(8, gt=0, le=64, description="Symbols that are asked for at a time at Alpaca.")
    base_url: Annotated[str, AfterValidator(safe)] = Field(
        "", description="Another address than https://data.alpaca.markets, such as a protocol server's; empty: that."
    )


class QualitySection(Section):
    """The quality gate's limits; docs/data.md has its rules."""

    k: float = Field(12.0, gt=1, description="A step is judged beyond k median absolute deviations of the returns.")
    window: int = Field(60, ge=10, le=500, description="Returns before a step, from which the deviation is taken.")
    history: int = Field(20, ge=5, description="Returns that must be known, else only scale errors are judged.")
    daily_step: float = Field(0.20, gt=0, description="The smallest step of daily bars worth judging, as a logarithm.")
    intraday_step: float = Field(0.05, gt=0, description="The same of intraday bars.")
    news: float = Field(3.0, gt=1, description="Times the usual turnover: something happened, the step is real.")
    extended_hours: bool = Field(False, description="Whether bars before the opening and after the close are wanted.")

    @model_validator(mode="after")
    def _history_fits(self) -> QualitySection:
        if self.history > self.window:
            raise ValueError("history is longer than window; the window holds the history")
        return self


class FeedSection(Section):
    """Where a live run's prices come from."""

    kind: Literal["none", "alpaca", "alpaca-py", "kraken", "poll", "replay"] = Field(
        "none",
        description="alpaca: its stream; alpaca-py: the same by its own client, slower; kraken: crypto; poll: the "
        "broker's quotes, asked for again and again; replay: a recording; none: none.",
    )
    url: Annotated[str, AfterValidator(streams)] = Field(
        "", description="Another address than the vendor's, such as that of `quaestor sim feed`; empty: the vendor's."
    )
    data: Literal["iex", "sip"] = Field(
        "iex", description="Alpaca's: iex: one exchange, free; sip: all of them, by subscription."
    )
    trades: bool = Field(True, description="Whether trades are wanted: bars and most triggers are made of them.")
    quotes: bool = Field(True, description="Whether quotes are wanted: entries need one.")
    hours: Literal["regular", "extended", "always"] = Field(
        "regular", description="When silence is a fault: the session, with pre- and postmarket, always (as for kraken)."
    )
    mute: float = Field(10.0, ge=1, le=600, description="Seconds without any tick after which the line is left.")
    stale: float = Field(60.0, ge=1, le=86_400, description="Seconds without a tick of a symbol that are told of.")
    calm: int = Field(4096, ge=256, description="Ticks that may wait before older quotes give way to newer ones.")
    most: int = Field(1_000_000, ge=1000, description="Ticks that may wait before the feed is read no more.")
    every: float = Field(1.0, ge=0.1, le=60, description="Seconds between two rounds, for kind = 'poll'.")
    speed: float = Field(1.0, ge=0, le=100_000, description="A replay's, times the clock's; 0: as fast as it is read.")
    recording: Literal["recorded", "minutes", "ticks"] = Field(
        "recorded",
        description="What a replay plays: recorded: daily prices, with a made-up way between them; minutes: stored "
        "bars of a minute; ticks: stored trades.",
    )
    session: dt.date | None = Field(
        None, description="The session that a replay plays, at the clock's hours; empty: the clock's, or the newest."
    )
    spread: float = Field(
        2.0, ge=0, le=1000, description="Basis points between bid and ask of quotes made for a replay; 0: no quotes."
    )

    @model_validator(mode="after")
    def _something_is_wanted(self) -> FeedSection:
        if not self.trades and not self.quotes:
            raise ValueError("neither trades nor quotes are wanted; choose one, or kind = 'none'")
        if self.kind in {"poll", "replay"} and self.url:
            raise ValueError(f"kind = {self.kind!r} has no address; leave the url empty")
        return self
