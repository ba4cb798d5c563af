"""The risk gate: every order passes it, or is refused with the rule, the limit and what was observed.

    picture    the account and the market as the gate sees them, frozen
    record     what the account did lately: sends, sales, losses in a row, proceeds that are not settled
    sanity     judges every order: is it one that a market could take, now, once?
    exits      judges orders that reduce a position: never through zero, never twice
    trust      entries: are books, broker, data and clock in a state to act on?
    market     entries: is the market, this moment, one to buy in?
    exposure   entries: how much, of what, with which money
    rate       entries: how many
    loss       entries: how much was lost
    gate       all rules in their order; what a refusal says

A rule has a name (its reason code, for ever), a unit, a scope and a sentence; its limits are keys of `[risk]`. Sanity
rules judge all orders; limits on loss, exposure and rate judge entries alone: an order that reduces a position must
never be kept in by a limit (law 5). The gate is pure: the same in a replay as in live trading. What cannot be judged
for lack of data is not passed over: it stops entries, or says "n/a" where there is no such thing to judge (daily bars
have no quotes).
"""

from quaestor.risk.gate import RULES, Check, Refusal, gate, refusal, refused_by, verdicts
from quaestor.risk.picture import Attempt, Live, Picture, Quote, Working
from quaestor.risk.record import Record, Sale
from quaestor.risk.rule import Rule, Scope, Verdict
from quaestor.risk.sanity import price_band

__all__ = [
    "RULES",
    "Attempt",
    "Check",
    "Live",
    "Picture",
    "Quote",
    "Record",
    "Refusal",
    "Rule",
    "Sale",
    "Scope",
    "Verdict",
    "Working",
    "gate",
    "price_band",
    "refusal",
    "refused_by",
    "verdicts",
]
