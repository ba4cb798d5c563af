"""When a trade is settled: the day on which the money of a sale is ours.

Exchanges and banks keep different holidays: on Columbus Day and Veterans Day stocks trade and no money moves, so that
neither is a day of settlement (NASD Notices to Members 92-54 and 99-83 show it for two years). How many days it takes,
SEC rule 15c6-1 says: three from 1995-06-07, two from 2017-09-05, one from 2024-05-28; before, by custom, five.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from functools import lru_cache

from quaestor.calendar.days import next_session

CYCLES = {
    dt.date.min: 5,
    dt.date(1995, 6, 7): 3,
    dt.date(2017, 9, 5): 2,
    dt.date(2024, 5, 28): 1,
}


@lru_cache(maxsize=4096)
def settles(session: dt.date) -> dt.date:
    """The day of settlement of what was traded in that session."""
    begun = list(CYCLES)
    days, day = CYCLES[begun[bisect_right(begun, session) - 1]], session
    while days:
        day = next_session(day)
        days -= not banks_rest(day)
    return day


def banks_rest(day: dt.date) -> bool:
    """Whether the Federal Reserve is closed while stocks trade: Columbus Day, and Veterans Day.

    A holiday on a Sunday is kept on Monday; on a Saturday, it is not kept at all.
    """
    columbus = day.month == 10 and day.weekday() == 0 and 8 <= day.day <= 14
    veterans = day.month == 11 and (day.day == 11 or (day.day == 12 and day.weekday() == 0))
    return columbus or veterans
