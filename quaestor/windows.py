"""Windows: what a strategy looks at when a bar closes, kept up to date one bar at a time.

There are two families. A *window* (Window, Mean, Deviation, Lowest, Highest) is a function of the last n values alone:
nothing that left it leaves a trace, however long it runs, so one that is restarted with those n values is the same to
the last bit. Means and deviations therefore add and take away in whole numbers, which do not round. A *smoothing* (Ema,
Rsi, Atr) remembers all it ever saw, each value a little less; it is a struct of a few numbers, and those are its state
(`msgspec.to_builtins`, `msgspec.convert`). Its rounding errors fade as its memory does: they never add up.

Each says None until it has seen enough. All refuse what is no number, and values beyond LARGEST: no market has them,
and below it nothing overflows. Values are given adjusted or as traded, but one or the other: on a split, feed anew.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from quaestor.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quaestor.barring import LiveBar

LARGEST = 1e15
SAME = 1e-12  # of a price: a difference that rounding makes, not the market (see `RsiReversion`)


def _checked(value: float, what: str) -> float:
    if not -LARGEST <= value <= LARGEST:
        raise BadInput(f"{what} was given {value!r}: give finite numbers of at most {LARGEST:g}.")
    return value


def _length(n: int, what: str, least: int = 1) -> int:
    if isinstance(n, bool) or not isinstance(n, int) or n < least:
        raise BadInput(f"{what} over {n!r} values: give a whole number of at least {least}.")
    return n


class Window:
    """The last n values, in any unit, oldest first, as one stretch of memory.

    Each is written twice, n places apart, so that every n in a row stand side by side somewhere: a push costs the same
    whatever n is, a look copies nothing. Source: the "mirrored" ring buffer. Errors: none, values stay as given.
    """

    __slots__ = ("_seen", "_slots", "count", "n")

    def __init__(self, n: int) -> None:
        import numpy as np

        self.n = _length(n, "A window")
        self.count = 0  # pushed so far
        self._slots: NDArray[np.float64] = np.zeros(2 * n)
        self._seen = self._slots.view()
        self._seen.flags.writeable = False

    def push(self, value: float) -> None:
        """Take in the newest value; the oldest leaves."""
        place = self.count % self.n
        self._slots[place] = self._slots[place + self.n] = _checked(value, "A window")
        self.count += 1

    @property
    def full(self) -> bool:
        """Whether n values are in."""
        return self.count >= self.n

    @property
    def values(self) -> NDArray[np.float64]:
        """What is in, oldest first: a read-only view, good until the next push (copy it to keep it)."""
        if self.count < self.n:
            return self._seen[: self.count]
        start = self.count % self.n
        return self._seen[start : start + self.n]

    def __len__(self) -> int:
        return min(self.count, self.n)


class Mean:
    """The mean of the last n values, in their unit: sum / n.

    Every float is a whole number over a power of two (IEEE 754), so the sum is kept as a whole number over the largest
    such power met so far: pushes add and take away exactly. Errors: the exact sum rounded once, then divided by n, as
    `math.fsum(values) / n` to the last bit, after any number of pushes.
    """

    __slots__ = ("_shift", "_sum", "_wholes", "n")

    def __init__(self, n: int) -> None:
        self.n = _length(n, "A mean")
        self._wholes: deque[int] = deque()
        self._shift = 0  # values are _wholes / 2 ** _shift
        self._sum = 0

    def push(self, value: float) -> float | None:
        """Take in the newest value; the mean, once there are n."""
        top, bottom = _checked(value, "A mean").as_integer_ratio()
        places = bottom.bit_length() - 1
        if places > self._shift:
            self._refine(places - self._shift)
        whole = top << (self._shift - places)
        if len(self._wholes) == self.n:
            self._drop(self._wholes.popleft())
        self._wholes.append(whole)
        self._add(whole)
        return self.value

    @property
    def value(self) -> float | None:
        """The mean of the last n values; None before there are n."""
        # A quotient of two whole numbers is rounded once, rightly (CPython, long_true_divide).
        return self._sum / (1 << self._shift) / self.n if len(self._wholes) == self.n else None

    def _add(self, whole: int) -> None:
        self._sum += whole

    def _drop(self, whole: int) -> None:
        self._sum -= whole

    def _refine(self, more: int) -> None:
        """Count in smaller parts: so rare (a finer value than all before) that it may cost n."""
        self._wholes = deque(whole << more for whole in self._wholes)
        self._shift += more
        self._sum <<= more


class Deviation(Mean):
    """The standard deviation of the last n values, in their unit; `value` is the deviation.

    Formula: sqrt(Σ(x − mean)² / (n − ddof)) = sqrt((n·Σx² − (Σx)²) / (n·(n − ddof))), of a sample with ddof = 1 (as
    polars), of a population with 0 (Bollinger's). Source: any textbook; in floats the second form is known to fail by
    cancellation (Chan, Golub and LeVeque, 1983), in whole numbers it is exact. Errors: the exact variance rounded once,
    its root once more: within 1 ulp. Values that are all the same have a deviation of 0, exactly.
    """

    __slots__ = ("_squares", "ddof")

    def __init__(self, n: int, ddof: int = 1) -> None:
        if ddof not in (0, 1):
            raise BadInput(f"A deviation with ddof = {ddof!r}: give 1 (of a sample) or 0 (of a population).")
        super().__init__(_length(n, "A deviation", 1 + ddof))
        self.ddof = ddof
        self._squares = 0

    @property
    def mean(self) -> float | None:
        """The mean of the same values, as Mean has it."""
        return super().value

    @property
    def value(self) -> float | None:
        """The deviation of the last n values; None before there are n."""
        n = self.n
        if len(self._wholes) < n:
            return None
        return math.sqrt((n * self._squares - self._sum**2) / (n * (n - self.ddof) << 2 * self._shift))

    def _add(self, whole: int) -> None:
        self._sum += whole
        self._squares += whole * whole

    def _drop(self, whole: int) -> None:
        self._sum -= whole
        self._squares -= whole * whole

    def _refine(self, more: int) -> None:
        super()._refine(more)
        self._squares <<= 2 * more


class Lowest:
    """The lowest of the last n values, in their unit.

    Kept are only values that can still become the lowest: each newcomer drives out those before it that are not below
    it, so they stand in rising order and the first is the answer; every value comes and goes once. Source: Lemire
    (2006), "Streaming Maximum-Minimum Filter Using No More than Three Comparisons per Element". Errors: none.
    """

    __slots__ = ("_kept", "count", "n")

    def __init__(self, n: int) -> None:
        self.n = _length(n, type(self).__name__)
        self.count = 0
        self._kept: deque[tuple[int, float]] = deque()  # (when it leaves, value)

    def push(self, value: float) -> float | None:
        """Take in the newest value; the lowest, once there are n."""
        _checked(value, type(self).__name__)
        kept = self._kept
        while kept and kept[-1][1] >= value:
            kept.pop()
        self.count += 1
        if kept and kept[0][0] < self.count:
            kept.popleft()
        kept.append((self.count + self.n - 1, value))
        return self.value

    @property
    def value(self) -> float | None:
        """The lowest of the last n values; None before there are n."""
        return self._kept[0][1] if self.count >= self.n else None


class Highest(Lowest):
    """The highest of the last n values, in their unit: the lowest of their negatives, turned round. Errors: none."""

    __slots__ = ()

    def push(self, value: float) -> float | None:
        """Take in the newest value; the highest, once there are n."""
        return super().push(-value)

    @property
    def value(self) -> float | None:
        """The highest of the last n values; None before there are n."""
        low = super().value
        return None if low is None else -low


class Ema(msgspec.Struct):
    """The exponential moving average of span n, in the values' unit: e ← e + (x − e) · 2/(n + 1), first e = first x.

    Source: as pandas and polars have it, `ewm_mean(span=n, adjust=False, min_samples=n)`. Errors: a step rounds by at
    most (1 + 8/(n + 1))·2⁻⁵³ of the largest value and the next keeps (n − 1)/(n + 1) of that: (n/2 + 5)·2⁻⁵³ together.
    """

    n: int
    count: int = 0
    average: float = 0.0

    def __post_init__(self) -> None:
        _length(self.n, "An EMA")

    def push(self, value: float) -> float | None:
        """Take in the newest value; the average, once n are seen."""
        _checked(value, "An EMA")
        self.average = self.average + (value - self.average) * 2 / (self.n + 1) if self.count else value
        self.count += 1
        return self.value

    @property
    def value(self) -> float | None:
        """The average of all values so far; None before there are n."""
        return self.average if self.count >= self.n else None


class Rsi(msgspec.Struct):
    """Wilder's relative strength index over n changes of the close: 100 · gain / (gain + loss), 0 to 100; no unit.

    Gain and loss are Wilder's averages: the simple mean of the first n moves, then a ← (a·(n − 1) + move) / n; without
    any loss it is 100. As in `RsiReversion`, changes of less than 1e-12 of the price are none and the answer is rounded
    to nine places, so that live and backtest agree. Source: J. Welles Wilder (1978), "New Concepts in Technical Trading
    Systems", section VI. Errors of the averages: a step rounds by at most 3·2⁻⁵³ of the largest move, the next keeps
    (n − 1)/n of that, and moves are rounded themselves: (3n + 1)·2⁻⁵³ of the largest move together.
    """

    n: int
    count: int = 0  # closes seen
    close: float = 0.0
    gain: float = 0.0  # before n changes their sum, then their average; dollars
    loss: float = 0.0

    def __post_init__(self) -> None:
        _length(self.n, "An RSI")

    def push(self, close: float) -> float | None:
        """Take in the newest close, dollars; the index, once n changes are seen."""
        if _checked(close, "An RSI") <= 0:
            raise BadInput(f"An RSI was given a close of {close!r}: prices are above 0.")
        change = close - self.close if self.count else 0.0
        if abs(change) <= SAME * close:
            change = 0.0
        self.close = close
        if self.count:
            self.gain = _wilder(self.gain, max(change, 0.0), self.count, self.n)
            self.loss = _wilder(self.loss, max(-change, 0.0), self.count, self.n)
        self.count += 1
        return self.value

    @property
    def value(self) -> float | None:
        """The index after all closes so far; None before n changes."""
        if self.count <= self.n:
            return None
        return round(100 * self.gain / (self.gain + self.loss), 9) if self.loss > 0 else 100.0


class Atr(msgspec.Struct):
    """Wilder's average true range over n bars, in dollars per share.

    The true range is the greatest of high − low, |high − last close| and |low − last close| (of the first bar: high −
    low); it is averaged as the moves of an RSI are. Source: Wilder (1978), section III. Errors: (3n + 1)·2⁻⁵³ of the
    largest range, as for an RSI's averages.
    """

    n: int
    count: int = 0
    close: float = 0.0
    average: float = 0.0  # before n bars their sum

    def __post_init__(self) -> None:
        _length(self.n, "An ATR")

    def push(self, high: float, low: float, close: float) -> float | None:
        """Take in the newest bar, dollars; the average, once n are seen."""
        for price in (high, low, close):
            _checked(price, "An ATR")
        if not low <= close <= high:
            raise BadInput(f"An ATR was given high {high!r}, low {low!r}, close {close!r}: they are out of order.")
        last = self.close if self.count else close
        self.count += 1
        self.average = _wilder(self.average, max(high, last) - min(low, last), self.count, self.n)
        self.close = close
        return self.value

    @property
    def value(self) -> float | None:
        """The average after all bars so far; None before there are n."""
        return self.average if self.count >= self.n else None


def _wilder(average: float, move: float, count: int, n: int) -> float:
    """Wilder's average after the count-th move: a plain sum until the n-th makes a mean of it."""
    if count > n:
        return (average * (n - 1) + move) / n
    return (average + move) / n if count == n else average + move


class History:
    """The last n bars of one symbol: a window each of closes, highs, lows (dollars per share) and volumes (shares)."""

    __slots__ = ("close", "high", "low", "volume")

    def __init__(self, n: int) -> None:
        self.close, self.high, self.low, self.volume = (Window(n) for _ in range(4))

    def push(self, close: float, high: float, low: float, volume: float) -> None:
        """Take in the newest bar, or, where one of its numbers is none, nothing of it."""
        for value in (close, high, low, volume):
            _checked(value, "A history")
        self.close.push(close)
        self.high.push(high)
        self.low.push(low)
        self.volume.push(volume)

    def __len__(self) -> int:
        return len(self.close)


class Histories:
    """The last n bars of each symbol, made when its first bar comes."""

    __slots__ = ("_of", "n")

    def __init__(self, n: int) -> None:
        self.n = _length(n, "Histories")
        self._of: dict[str, History] = {}

    def push(self, bar: LiveBar) -> History:
        """Take in a bar that closed: its symbol's history with it."""
        history = self.of(bar.symbol)
        history.push(bar.close, bar.high, bar.low, bar.volume)
        return history

    def of(self, symbol: str) -> History:
        """The history of a symbol; empty if it has had no bar."""
        if symbol not in self._of:
            self._of[symbol] = History(self.n)
        return self._of[symbol]

    def dump(self) -> dict[str, list[list[float]]]:
        """What is in, as plain values: by symbol the closes, highs, lows and volumes."""
        return {
            symbol: [window.values.tolist() for window in (one.close, one.high, one.low, one.volume)]
            for symbol, one in self._of.items()
        }

    def restore(self, plain: Mapping[str, Sequence[Sequence[float]]]) -> None:
        """Go on from a dump of as long a history, or a longer one: its last n count. Raises BadInput for another."""
        fresh: dict[str, Any] = {symbol: History(self.n) for symbol in plain}
        for symbol, columns in plain.items():
            if len(columns) != 4 or len({len(column) for column in columns}) != 1:
                raise BadInput(f"{symbol}: this is no dump of a history: give four lists of one length.")
            for row in zip(*columns, strict=True):
                fresh[symbol].push(*row)
        self._of = fresh
