"""What can be wrong with a bar: the gate's rules by id, the most elementary first.

A row with several faults appears in quarantine once, under the first of these that it breaks: a NaN high is not also
a spike. A *fault* cannot be right. A *doubt* contradicts the symbol's own history; a person who knows better releases
the row and vouches for its session.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: the id that quarantine stores, what it says to a person, and how sure it is."""

    id: str
    says: str
    severity: Literal["fault", "doubt"] = "fault"


ALL = (
    Rule("missing", "A field is empty."),
    Rule("unknown_timeframe", "The timeframe is none that Quaestor stores."),
    Rule("not_finite", "A field is no finite number."),
    Rule("not_positive", "A price is not above zero."),
    Rule("too_high", "A price or a volume is beyond any that a share ever had."),
    Rule("negative_volume", "The volume is below zero."),
    Rule("not_whole", "The volume is no whole number of shares."),
    Rule("high_below_low", "The high is below the low."),
    Rule("outside_range", "The open or the close lies outside low to high."),
    Rule("no_session", "The exchange does not trade on that day."),
    Rule("out_of_session", "The bar does not lie in its session's hours."),
    Rule("off_grid", "The bar does not end on its timeframe's grid."),
    Rule("future", "The bar ends after the moment it was received."),
    Rule("interpolated", "The vendor made the bar up where nothing was known."),
    Rule("no_volume", "The price moved inside the bar, yet no share was traded."),
    Rule("duplicate", "Two bars of one time differ, and nobody can say which is right."),
    Rule("stale", "The bar repeats the one before it, more exactly than a market does.", "doubt"),
    Rule("scale_error", "The price is off by 10 or 100 times: a lost point, or cents for dollars.", "doubt"),
    Rule("spike", "The price steps far outside its history and is back with the next bar.", "doubt"),
    Rule(
        "split_sized_step", "The price steps by a split's ratio and stays, without news and without a split.", "doubt"
    ),
    Rule(
        "step_unconfirmed",
        "The newest price steps far outside its history, and the bar itself does not confirm it.",
        "doubt",
    ),
)
RULES = {rule.id: rule for rule in ALL}
WORDS = ("rule", "field", "observed", "limit")  # what is said of a row; the row is the place in its batch


def no_faults() -> pl.DataFrame:
    """Nothing to say: the frame in which every stage of the gate answers."""
    import polars as pl

    return pl.DataFrame(schema={"row": pl.UInt32(), **{word: pl.String() for word in WORDS}})
