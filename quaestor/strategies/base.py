"""What a strategy is.

A strategy turns a frame of bars into *targets*: for each symbol and session, the share (0 to 1) of its own sleeve of
the account that it wants in that symbol after that bar. It is a frozen dataclass: its fields are its parameters.

The frame holds the columns of `COLUMNS`: split-adjusted prices and volume (anchored at the first bar: see
`quaestor.splits`), the close as traded, and the factor between the two; sorted by symbol and ts. The answer has symbol,
session, target; rows it leaves out are no opinion, a target of 0 is "hold nothing".

Law 9: the target of a session depends on bars up to that session alone.

>>> from dataclasses import dataclass
>>> import polars as pl
>>> @dataclass(frozen=True)
... class AlwaysIn(Strategy):
...     '''An equal share of the sleeve in each symbol that trades.'''
...     name = "always_in"
...     share: float = 1.0
...     def targets(self, bars: pl.DataFrame) -> pl.DataFrame:
...         return bars.select("symbol", "session", target=self.share / pl.len().over("session"))
>>> AlwaysIn().targets(pl.DataFrame({"symbol": ["AAPL", "IBM"], "session": [1, 1]}))["target"].to_list()
[0.5, 0.5]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from quaestor.errors import BadInput

COLUMNS = ("symbol", "session", "ts", "open", "high", "low", "close", "volume", "as_traded_close", "factor")


@dataclass(frozen=True)
class Strategy(ABC):
    """Base of all strategies. `name` identifies it; `frames` says which kind of frame `targets` is given.

    `__post_init__` of a strategy checks its parameters and raises BadInput with the cure.
    """

    name: ClassVar[str]
    frames: ClassVar[Literal["polars", "pandas"]] = "polars"

    @abstractmethod
    def targets(self, bars: Any) -> Any:
        """Columns symbol, session, target (0 to 1 of the sleeve), as a polars or pandas frame."""

    def require_whole(self, parameter: str, least: int = 1) -> None:
        """Refuse a parameter that is no whole number of at least `least`; raises BadInput."""
        value = getattr(self, parameter)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise BadInput(f"{self.name}: {parameter} = {value!r}: give a whole number of at least {least}.")
