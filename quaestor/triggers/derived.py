"""Derived series: volume against earlier volume, the range of a window, the spread of two symbols.

They change with every accepted tick of their tracks, so those tracks let no tick pass unseen; one window serves all
triggers that watch it. A tick that comes late counts as of the last one: windows never run backwards.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from quaestor.ticks import SECOND, Tick, TradeTick
from quaestor.triggers.series import Series, Track


class Volume(Series):
    """The running window's volume ÷ the average of the windows before it; 0 until there are so many.

    Windows are aligned to 1970; one without a trade has volume 0.
    """

    __slots__ = ("current", "key", "length", "past", "tracks", "window")

    def __init__(self, track: Track, seconds: int, windows: int) -> None:
        super().__init__()
        self.key: Any = None  # its name in the market
        self.length, self.tracks = seconds * SECOND, (track,)
        self.window, self.current = -1, 0.0
        self.past: deque[float] = deque(maxlen=windows)

    def fed(self, track: Track, tick: Tick) -> float:  # noqa: ARG002
        """Its value after a trade."""
        window = tick.at // self.length
        if self.window < 0:
            self.window = window
        if window > self.window:
            self.past.append(self.current)
            for _ in range(min(window - self.window - 1, self.past.maxlen or 0)):
                self.past.append(0.0)
            self.window, self.current = window, 0.0
        self.current += tick.size if isinstance(tick, TradeTick) else 0.0
        total = sum(self.past) if len(self.past) == self.past.maxlen else 0.0
        return self.current * len(self.past) / total if total > 0 else 0.0

    def kept(self) -> list[Any]:
        """As JSON has it."""
        return [self.value, self.window, self.current, list(self.past)]

    def restore(self, kept: list[Any]) -> None:
        """Back to what was kept."""
        self.value, self.window, self.current = kept[:3]
        self.past.extend(kept[3])


class Range(Series):
    """Highest less lowest price of the last seconds, in percent of the lowest."""

    __slots__ = ("at", "highs", "key", "length", "lows", "tracks")

    def __init__(self, track: Track, seconds: int) -> None:
        super().__init__()
        self.key: Any = None  # its name in the market
        self.length, self.at, self.tracks = seconds * SECOND, 0, (track,)
        self.highs: deque[tuple[int, float]] = deque()
        self.lows: deque[tuple[int, float]] = deque()

    def fed(self, track: Track, tick: Tick) -> float:
        """Its value after a trade."""
        price, self.at = track.value or 0.0, max(self.at, tick.at)
        while self.highs and self.highs[-1][1] <= price:
            self.highs.pop()
        while self.lows and self.lows[-1][1] >= price:
            self.lows.pop()
        for ends in (self.highs, self.lows):
            ends.append((self.at, price))
            while ends[0][0] <= self.at - self.length:
                ends.popleft()
        low = self.lows[0][1]
        return (self.highs[0][1] - low) / low * 100

    def kept(self) -> list[Any]:
        """As JSON has it."""
        return [self.value, self.at, [list(end) for end in self.highs], [list(end) for end in self.lows]]

    def restore(self, kept: list[Any]) -> None:
        """Back to what was kept."""
        self.value, self.at = kept[:2]
        self.highs.extend((at, price) for at, price in kept[2])
        self.lows.extend((at, price) for at, price in kept[3])


class Apart(Series):
    """One track's price less, or divided by, another's; none while one of them is not known."""

    __slots__ = ("key", "measure", "tracks")

    def __init__(self, measure: str, one: Track, other: Track) -> None:
        super().__init__()
        self.key: Any = None  # its name in the market
        self.measure, self.tracks = measure, (one, other)
        for track in self.tracks:
            track.watch.tell()
        self.value = self._now()

    def fed(self, track: Track, tick: Tick) -> float | None:  # noqa: ARG002
        """Its value after a tick of either."""
        return self._now()

    def _now(self) -> float | None:
        one, other = self.tracks[0].value, self.tracks[-1].value
        if one is None or other is None:
            return None
        return one - other if self.measure == "difference" else one / other

    def kept(self) -> list[Any]:
        """As JSON has it."""
        return [self.value]

    def restore(self, kept: list[Any]) -> None:
        """Back to what was kept."""
        self.value = kept[0]


Derived = Volume | Range | Apart
