"""Pacing: how fast a vendor may be asked, and how long to wait before asking again. Pure: time and chance are given.

A `Bucket` holds `burst` tokens and gains `rate` a second: any window of T seconds sees at most burst + rate·T grants.
It is kept as one instant, the moment at which it would be full again (GCRA), and reserves ahead: `take` answers how
long to wait, in the order of asking, so nobody starves. `hold` lets nobody through before an instant: when a vendor
says "wait", all wait.

Waits after a failure grow twofold, drawn evenly between none and the bound ("full jitter"): those who failed together
do not come back together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tokens: `rate` a second (None: any number), at most `burst` at once; `full` and `held` are instants, seconds."""

    rate: float | None = None
    burst: float = 1.0
    full: float = -math.inf
    held: float = -math.inf

    def take(self, now: float) -> tuple[Bucket, float]:
        """The bucket without one token, and the seconds to wait before it may be used."""
        if self.rate is None:
            return self, max(0.0, self.held - now)
        full = max(self.full, now)
        granted = max(now, full - (self.burst - 1) / self.rate, self.held)
        return replace(self, full=max(full, granted) + 1 / self.rate), granted - now

    def hold(self, until: float) -> Bucket:
        """The bucket that grants nothing before that instant."""
        return replace(self, held=max(self.held, until))


def bucket(per_second: float | None) -> Bucket:
    """A bucket of that rate; at once it gives what a second would, at least one."""
    return Bucket(per_second, max(1.0, math.floor(per_second or 1)))


def backoff(failures: int, chance: float, first: float = 0.5, longest: float = 20.0) -> float:
    """Seconds to wait after so many failures in a row (from 1); `chance` is drawn evenly from 0 to 1."""
    return chance * min(longest, first * 2.0 ** min(failures - 1, 30))


def retry_after(text: str | None, now: dt.datetime) -> float | None:
    """The seconds that a Retry-After header asks for, in seconds or as a date; None without one that can be read."""
    if text is None:
        return None
    if re.fullmatch(r"\s*\d{1,9}(\.\d{1,6})?\s*", text, re.ASCII):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = date if date.tzinfo else date.replace(tzinfo=dt.UTC)  # "-0000" reads as naive, and means UTC
    return max(0.0, (aware - now).total_seconds())
