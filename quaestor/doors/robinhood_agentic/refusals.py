"""What a refusal of the channel means: which of our errors, and so what happens next.

Robinhood answers a refused tool call as text, with its upstream's status and words in it, such as `409 "Reference ID
must be unique."` (seen on 2026-10-07). A clear no is a 4xx, or words that say what is wrong with the order; a 5xx, a
timeout or words of that sort say nothing about the order: it may be there.
"""

from __future__ import annotations

import re

from quaestor.errors import AccessLost, BrokerAmbiguous, BrokerBusy, BrokerRejected, Temporary
from quaestor.logs import without_secrets

STATUS = r"(?:^|status|http|code|error)[\s:=(\"]{0,3}"  # a number elsewhere may be of shares or dollars
THROTTLED = re.compile(STATUS + r"429\b|rate.?limit|throttl|too many requests", re.IGNORECASE)
STRANGER = re.compile(STATUS + r"401\b|unauthori[sz]ed|invalid[_ ]token|token.{0,20}expired", re.IGNORECASE)
KNOWN = re.compile(r"reference id must be unique|ref_id already exists|order with this ref_id", re.IGNORECASE)
UNCLEAR = re.compile(
    STATUS + r"(5\d\d|408)\b|timed? ?out|timeout|deadline|unavailable|internal (server )?error|bad gateway|try again|"
    r"temporar|upstream (connect|error|failure)|connection|unknown error|something went wrong",
    re.IGNORECASE,
)
LONGEST = 300  # characters of what is told on
WAIT = 5.0  # seconds, where a throttle does not say


class Known(BrokerRejected):
    """Robinhood has an order under this ref_id already."""


def refusal(text: str, tool: str, *, writes: bool) -> Temporary | BrokerRejected:
    """The error of a tool that answered so."""
    said = f"Robinhood refused {tool}: {without_secrets(' '.join(text.split()))[:LONGEST] or 'without a word'}"
    if KNOWN.search(text):
        return Known(said)
    if THROTTLED.search(text):
        return BrokerBusy(f"{said} Nothing was done.", WAIT)
    if STRANGER.search(text):
        return AccessLost(said)
    if not UNCLEAR.search(text):
        return BrokerRejected(said)
    return BrokerAmbiguous(f"{said} It may have been done.") if writes else BrokerBusy(said, WAIT)
