"""Triggers: stored rules on prices that act at once.

conditions   what a trigger waits for: levels on series of numbers, combined by all and any
reading      strict reading of stored dicts
trigger      the rule with its action; its latch: what it has lived through; a firing
series       numbers with the nearest values at which anything can change: the index
derived      volume and range of windows, spreads
market       all series, and what the caller tells of hours and prices
index        the book: events in, firings out

For people:
wording      a trigger as a sentence, read and written back (when, doing, figures, tokens: its parts)
telling      what it would do in plain words, how far the price is from it, how it stands
keeping      names and notes; what becomes of a latch when its rule is replaced or shares split
"""

from quaestor.triggers.conditions import (
    Above,
    AllOf,
    AnyOf,
    Below,
    Condition,
    Crossing,
    Drawdown,
    Moved,
    SessionTime,
    Spread,
    Trailing,
    VolatilitySpike,
    VolumeSpike,
    read_condition,
)
from quaestor.triggers.index import TriggerBook, restored
from quaestor.triggers.trigger import (
    Action,
    Alert,
    Firing,
    Flatten,
    Halt,
    Latch,
    OrderTemplate,
    RunDeployment,
    Trigger,
    firing_id,
    read_latch,
    read_trigger,
)

__all__ = [
    "Above",
    "Action",
    "Alert",
    "AllOf",
    "AnyOf",
    "Below",
    "Condition",
    "Crossing",
    "Drawdown",
    "Firing",
    "Flatten",
    "Halt",
    "Latch",
    "Moved",
    "OrderTemplate",
    "RunDeployment",
    "SessionTime",
    "Spread",
    "Trailing",
    "Trigger",
    "TriggerBook",
    "VolatilitySpike",
    "VolumeSpike",
    "firing_id",
    "read_condition",
    "read_latch",
    "read_trigger",
    "restored",
]
