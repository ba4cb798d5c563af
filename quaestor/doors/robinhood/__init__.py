"""Robinhood's private API, through robin_stocks in strict mode (see `line`): history, quotes, and the broker's door."""

from quaestor.doors.robinhood.history import MOST, PAIRS, RobinhoodSource
from quaestor.doors.robinhood.wire import HOST

__all__ = ["HOST", "MOST", "PAIRS", "RobinhoodSource"]
