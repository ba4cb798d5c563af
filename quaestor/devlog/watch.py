"""What to look at tomorrow: fixed rules over the story, the gravest first. The same evidence, the same advice.

A rule answers with sentences that name the figure, where it comes from, and what a person can do; it never guesses at
causes. When nothing crosses a threshold, nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from quaestor.devlog.story import Story
from quaestor.devlog.words import capital, counted, ended, listed, money, name, percent, said, shares, why
from quaestor.ledger import ZERO
from quaestor.orders import State

MOST = 8  # sentences: a longer list is not read
DEEP = 0.05  # of the peak: a fall of the account that is worth a look
SLIPPED = Decimal("0.02")  # of the opening equity: a strategy's fall from its own best that is worth a look
HEAVY = Decimal("0.30")  # of equity in one symbol
RECENT = 5  # sessions: an order that came to nothing longer ago is history
OFTEN = 0.05  # of all decisions refused by one rule


def watch(story: Story) -> list[str]:
    """Sentences in Markdown, at most `MOST`."""
    return [sentence for rule in RULES for sentence in rule(story)][:MOST]


def _latches(story: Story) -> Iterator[str]:
    for latch in story.evidence.latches:
        yield f"**Entries are stopped** by the latch {name(latch.name)}: {said(latch.reason)}"


def _proofs(story: Story) -> Iterator[str]:
    for proof in story.proofs:
        if not proof.ok:
            cases = f"{proof.held} of {proof.cases} {proof.of}"
            yield f"**A proof fails**: {proof.claim} holds in {cases}. Trade nothing until the cause is found."


def _broker(story: Story) -> Iterator[str]:
    compared = story.evidence.reconciliation
    if compared is None:
        if story.evidence.closes:
            yield "Books and broker were not compared since this range began: run the `reconcile` flow."
    elif not compared.ok:
        first = compared.differences[0]
        what = (
            f"{said(first['subject'])} {said(first['key'])}: ours {said(first['ours'])}, theirs {said(first['theirs'])}"
        )
        points = counted(len(compared.differences), "point")
        yield f"**Books and broker differ** in {points}; the first is {what}. {said(first['cure'])}"


def _working(story: Story) -> Iterator[str]:
    for order in (order for order in story.working if order.state is State.UNKNOWN):
        what = f"{order.side} {shares(order.quantity)} {name(order.symbol)} on {order.session}"
        yield f"The fate of the order to {what} is unknown ({why(order.ref_id)})."
    others = [order for order in story.working if order.state is not State.UNKNOWN]
    if others:
        many = capital(counted(len(others), "order is", "orders are"))
        yield f"{many} still open; ask {why(others[0].ref_id)} about the first."


def _unfilled(story: Story) -> Iterator[str]:
    recent = {close.session for close in story.evidence.closes[-RECENT:]}
    for order in story.evidence.orders:
        if order.state.final and not order.filled and order.session in recent:
            what = f"{order.side} {shares(order.quantity)} {name(order.symbol)} of {order.session}"
            because = f": {said(order.reason)}" if order.reason else ""
            yield f"The order to {what} {ended(order.state)}{because} ({why(order.ref_id)})."


def _refusals(story: Story) -> Iterator[str]:
    decided = len(story.evidence.orders) + len(story.evidence.refusals)
    for group in story.refused:
        if group.count > 1 and group.count > OFTEN * decided:
            share = percent(group.count / decided)
            orders = counted(group.count, "order")
            yield f"The rule {name(group.kind)} refused {orders}, {share} of all decisions: is its limit meant so?"


def _account_down(story: Story) -> Iterator[str]:
    if story.below_peak >= DEEP:
        yield f"The account ended {percent(story.below_peak)} below its highest close of the range."


def _strategies_down(story: Story) -> Iterator[str]:
    for line in story.strategies:
        if line.below_best >= SLIPPED * story.base and story.base:
            best = f"its best of {line.best_session}" if line.best_session else "where it began"
            yield f"{name(line.name)} stands {money(line.below_best)} below {best}."


def _silent(story: Story) -> Iterator[str]:
    silent = [line.name for line in story.strategies if line.signals and not line.orders and not line.profit]
    if silent and story.evidence.orders:
        yield f"{listed(map(name, silent))} gave signals, and no order came of them: are they configured to trade?"


def _concentration(story: Story) -> Iterator[str]:
    equity = story.last.equity.equity if story.last else ZERO
    for symbol, value in story.values:
        if equity and value >= HEAVY * equity:
            yield f"{name(symbol)} is {percent(float(value / equity))} of the account."


def _nameless_code(story: Story) -> Iterator[str]:
    loose = sum(run.sessions for run in story.evidence.runs if not _names_code(run.commit))
    if loose:
        many = capital(counted(loose, "session was", "sessions were"))
        yield f"{many} decided by code that no commit names: commit it, so that it can be found again."


def _names_code(commit: str | None) -> bool:
    """A commit alone does: "unknown" and "…+changes" do not say what ran."""
    return bool(commit) and str(commit).isalnum() and commit != "unknown"


RULES: tuple[Callable[[Story], Iterator[str]], ...] = (
    _latches,
    _proofs,
    _broker,
    _working,
    _unfilled,
    _refusals,
    _account_down,
    _strategies_down,
    _concentration,
    _silent,
    _nameless_code,
)
