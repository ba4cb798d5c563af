"""Ingest: history from a source through the quality gate into the bar store, symbol by symbol.

    source.history ─▶ gate: good bars ────────▶ one transaction: new bars, new versions, cells
                        │    refused bars ──────▶ quarantine, with rule, value and limit
                        └─── a split nobody told ▶ alert: the symbol's bars wait until a person vouches

An ingest goes on after a symbol's newest stored bar, with a few sessions of overlap so that late corrections of the
vendor are seen; a first ingest takes all. A symbol that fails leaves the others alone, and its cells say why it failed.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from quaestor.actions import Conflict, Told, reconcile
from quaestor.bars import DAILY, empty
from quaestor.calendar import previous_session, session_close, sessions
from quaestor.coverage import Stretch
from quaestor.dividends import Dividend
from quaestor.errors import BadInput, DatabaseDown, Permanent, Temporary
from quaestor.ports import Alerts, BarStore, Batch, History, Source, Stored
from quaestor.quality import Context, Limits, Sifted, sift
from quaestor.splits import Split

if TYPE_CHECKING:
    import polars as pl

DAY = dt.timedelta(days=1)
OVERLAP = dt.timedelta(days=7)
DEPTH = {DAILY: dt.timedelta(days=5 * 365 - 14)}  # of a first ingest where a source cannot say what it has; Robinhood
# has five years up to today, and the last close may lie some days back
SHALLOW = dt.timedelta(days=30)  # the same for intraday bars
BEFORE = {DAILY: dt.timedelta(days=130)}  # the gate looks back over so many days
BEFORE_INTRADAY = dt.timedelta(days=5)
PART = 250_000  # rows of one transaction
IN_FLIGHT = 2  # parts at a time: one is encoded while the other is written


@dataclass(frozen=True)
class Intake:
    """What an ingest needs: where bars come from and go to, how they are judged, whom to tell, and the clock."""

    source: Source
    store: BarStore
    alerts: Alerts
    now: Callable[[], dt.datetime]
    limits: Limits = field(default_factory=Limits)
    extended: bool = False
    flow_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ingested:
    """What an ingest of one symbol did: bars read, new, changed, refused; first and last session read; splits told.

    `repaired` are the keys of changed bars, `error` says why the symbol failed.
    """

    symbol: str
    read: int = 0
    new: int = 0
    changed: int = 0
    quarantined: int = 0
    first: dt.date | None = None
    last: dt.date | None = None
    splits: int = 0
    repaired: tuple[str, ...] = ()
    error: str = ""


async def ingest_symbol(
    intake: Intake,
    symbol: str,
    start: dt.date | None,
    end: dt.date | None,
    timeframe: str = DAILY,
    *,
    again: bool = False,
) -> Ingested:
    """Bring one symbol up to date within [start, end]; `again` re-reads the whole of it.

    A symbol that was not listed before `end` has nothing yet, which is no error. Raises NotFound for an unknown symbol,
    BadInput for a window that was asked for and holds no data, and for unusable data; nothing is written then.
    """
    closed = last_closed(intake.now())
    span = await intake.source.span(symbol, timeframe)
    first, last = span or (closed - DEPTH.get(timeframe, SHALLOW), closed)
    if start is None and end is not None and end < first:
        return Ingested(symbol)  # not listed yet
    since = start or first
    until = end or max(last, since)
    if not again and since <= last:
        since = await _resume(intake.store, symbol, timeframe, since, until)
    return await take(intake, symbol, since, until, timeframe)


async def try_window(
    intake: Intake, symbol: str, start: dt.date, end: dt.date, timeframe: str, *, last_try: bool = False
) -> Ingested:
    """Fetch and store a window; a symbol that fails is told in `error`, and its cells remember it.

    Raises what is Temporary, once the cells remember it: another try may help. `last_try`: none will be made, so that
    is told like any other failure. A database that is away raises DatabaseDown, on the last try too.
    """
    work = _window(intake, symbol, start, end, timeframe)
    return await guarded(intake, symbol, (start, end), timeframe, work, last_try=last_try)


async def _window(intake: Intake, symbol: str, start: dt.date, end: dt.date, timeframe: str) -> Ingested:
    """A window of a backfill: before a symbol's first bar there is nothing, which is an answer and no fault."""
    span = await intake.source.span(symbol, timeframe)
    if span and end < span[0]:
        nothing = History(empty())
        await keep(intake, nothing, timeframe, {symbol: (start, end)})
        return Ingested(symbol)
    return await take(intake, symbol, start, end, timeframe)


async def try_symbol(
    intake: Intake,
    symbol: str,
    start: dt.date | None,
    end: dt.date | None,
    timeframe: str = DAILY,
    *,
    again: bool = False,
    last_try: bool = False,
) -> Ingested:
    """The same for `ingest_symbol`; a failure without a start is remembered at the last session, on Sundays too."""
    closed = last_closed(intake.now())
    until = end or max(closed, start or closed)
    since = start or previous_session(until + DAY)
    work = ingest_symbol(intake, symbol, start, end, timeframe, again=again)
    return await guarded(intake, symbol, (since, until), timeframe, work, last_try=last_try)


async def guarded(
    intake: Intake,
    symbol: str,
    asked: tuple[dt.date, dt.date],
    timeframe: str,
    work: Awaitable[Ingested],
    *,
    last_try: bool = False,
) -> Ingested:
    """What `work` did, or how it failed."""
    try:
        return await work
    except Permanent as error:
        await intake.store.fail(symbol, timeframe, asked, intake.source.name, str(error))
        return Ingested(symbol, error=str(error))
    except Temporary as error:
        if last_try or not isinstance(error, DatabaseDown):  # a database that is away remembers nothing
            await intake.store.fail(symbol, timeframe, asked, intake.source.name, str(error))
        if not last_try:
            raise
        return Ingested(symbol, error=str(error))


async def take(intake: Intake, symbol: str, start: dt.date, end: dt.date, timeframe: str = DAILY) -> Ingested:
    """Fetch a window of one symbol, sift it and store it; see `ingest_symbol` for what it raises."""
    history = await intake.source.history(symbol, start, end, timeframe)
    asked = _asked(await intake.source.span(symbol, timeframe), start, min(end, last_closed(intake.now())))
    stored = await keep(intake, history, timeframe, {symbol: asked} if asked[0] <= asked[1] else {})
    days = history.bars["session"]
    first, last = (days.min(), days.max()) if len(days) else (None, None)
    return Ingested(
        symbol,
        read=len(days),
        new=stored.new,
        changed=stored.changed,
        quarantined=stored.quarantined,
        first=first,  # type: ignore[arg-type]  # a column of dates
        last=last,  # type: ignore[arg-type]
        splits=len(history.splits),
        repaired=stored.repaired,
    )


def _asked(span: tuple[dt.date, dt.date] | None, start: dt.date, end: dt.date) -> tuple[dt.date, dt.date]:
    """The sessions that are answered for: none after a source's last one, and all of the month of its first."""
    if span is None:
        return start, end
    return (start.replace(day=1) if start == span[0] else start), min(end, span[1])


async def keep(
    intake: Intake, history: History, timeframe: str, asked: Mapping[str, tuple[dt.date, dt.date]]
) -> Stored:
    """Sift what came and store it, in parts where it is large; each part is one transaction.

    Raises BadInput, and blocks the symbol, where the source's word on a split contradicts what is known.
    """
    told = await _agreed(intake, history)
    sifted = await asyncio.to_thread(sift, history.bars, await _context(intake, told, timeframe), intake.limits)
    await _doubt(intake, sifted)
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def one(part: pl.DataFrame, own: Mapping[str, Stretch], beside: Sifted | None) -> Stored:
        async with slots:
            return await intake.store.store(_batch(intake, told, timeframe, part, beside, own))

    parts = list(split(sifted.good)) or [sifted.good]
    first, *others = zip(parts, shares(parts, asked), strict=True)
    stored = await one(*first, sifted)  # what is told beside the bars goes in with them
    return _sum([stored, *await asyncio.gather(*(one(*other, None) for other in others))])


def shares(parts: Sequence[pl.DataFrame], asked: Mapping[str, Stretch]) -> list[dict[str, Stretch]]:
    """What each part answers of that which was asked for: up to the month in which the symbol's next part begins.

    A part that claimed all of it would say, were the next one never stored, that the source has nothing there.
    """
    begins = [_begins(part) for part in parts]
    found: list[dict[str, Stretch]] = [{} for _ in parts]
    for symbol, (first, last) in asked.items():
        own = [n for n, begin in enumerate(begins) if symbol in begin] or [0]
        edges = [first, *(begins[n][symbol] for n in own[1:]), last + DAY]
        for n, since, until in zip(own, edges, edges[1:], strict=False):
            if max(since, first) < min(until, last + DAY):
                found[n][symbol] = max(since, first), min(until - DAY, last)
    return found


def _begins(part: pl.DataFrame) -> dict[str, dt.date]:
    """The first day of the month in which each symbol's bars begin."""
    import polars as pl

    return dict(part.group_by("symbol").agg(pl.col("session").min().dt.month_start()).iter_rows())


def split(bars: pl.DataFrame, rows: int = PART) -> Iterator[pl.DataFrame]:
    """A sorted bars frame in parts of about so many rows, cut between symbols where it can, else between months."""
    import polars as pl

    marks = bars.select(pl.struct("symbol", pl.col("session").dt.month_start()).rle_id().alias("mark"))["mark"]
    start = 0
    while start < len(bars):
        end = min(start + rows, len(bars))
        if end < len(bars):
            end = int(marks.search_sorted(marks[end], side="left"))
            end = end if end > start else int(marks.search_sorted(marks[start], side="right"))
        yield bars[start:end]
        start = end


def _batch(
    intake: Intake,
    told: History,
    timeframe: str,
    part: pl.DataFrame,
    beside: Sifted | None,
    asked: Mapping[str, tuple[dt.date, dt.date]],
) -> Batch:
    return Batch(
        timeframe,
        part,
        intake.source.name,
        asked=asked,
        quarantined=beside.quarantined if beside else None,
        splits=told.splits if beside else (),
        dividends=told.dividends if beside else (),
        flow_run_id=intake.flow_run_id,
    )


def _sum(stored: Sequence[Stored]) -> Stored:
    return Stored(
        sum(each.new for each in stored),
        sum(each.changed for each in stored),
        sum(each.quarantined for each in stored),
        tuple(key for each in stored for key in each.repaired),
    )


async def _agreed(intake: Intake, history: History) -> History:
    """The history with the splits and dividends that contradict nothing; a contradiction is told to a person."""
    symbols = history.bars["symbol"].unique().to_list()
    actions: list[Split | Dividend] = [*history.splits, *history.dividends]
    told = [Told(action, intake.source.name) for action in actions]
    found = reconcile(await intake.store.told(symbols), told)
    for conflict in found.conflicts:
        await _conflict(intake, conflict)
    if refused := [conflict for conflict in found.conflicts if conflict.kind == "split"]:
        raise BadInput(f"{refused[0].says()} Nothing of this symbol was written; then `quaestor unblock` it.")
    wrong = {(conflict.symbol, conflict.session) for conflict in found.conflicts}
    return replace(history, dividends=[each for each in history.dividends if (each.symbol, each.session) not in wrong])


async def _conflict(intake: Intake, conflict: Conflict) -> None:
    """A contradicted split blocks its symbol, once, until a person decides; a dividend blocks nothing."""
    blocks = conflict.kind == "split"
    if not blocks or await intake.store.block(conflict.symbol, conflict.says()):
        what = "it takes no entries" if blocks else "the first word is kept"
        title = f"{conflict.symbol}: vendors disagree on a {conflict.kind}; {what}"
        await intake.alerts.send(title, conflict.says(), urgent=blocks)


async def _context(intake: Intake, history: History, timeframe: str) -> Context:
    """What the gate is told: the clock, known splits and dividends, and the bars before the window."""
    symbols = history.bars["symbol"].unique().to_list()
    first = history.bars["session"].min()
    splits, dividends = await intake.store.all_splits(symbols), await intake.store.dividends(symbols)
    before = None
    if isinstance(first, dt.date):
        since = first - BEFORE.get(timeframe, BEFORE_INTRADAY)
        before = await intake.store.frame(symbols, since, first - dt.timedelta(days=1), timeframe)
    return Context(
        now=intake.now(),
        source=intake.source.name,
        splits=list({*splits, *history.splits}),
        dividends=list({*dividends, *history.dividends}),
        before=before,
        extended=intake.extended,
        vouched=await intake.store.vouched(symbols),
    )


async def _doubt(intake: Intake, sifted: Sifted) -> None:
    """A step like a split's, of which nobody told, is for a person to look at."""
    for doubt in sifted.suspicions:
        body = (
            f"{doubt.symbol} {doubt.session}: the price steps by {doubt.observed:.4g}, like a {doubt.ratio} split, but "
            "no split is known. Its bars from then on are in quarantine. If it is one, add it to the source "
            f"(splits.csv); if the market moved, run `quaestor vouch {doubt.symbol} {doubt.session} REASON`."
        )
        await intake.alerts.send(f"{doubt.symbol}: a split that nobody told of?", body, urgent=True)


async def _resume(store: BarStore, symbol: str, timeframe: str, since: dt.date, until: dt.date) -> dt.date:
    """Where to go on: shortly before the newest stored bar, so that no hole is left and late corrections are seen."""
    stored = await store.span(symbol, timeframe)
    if stored is None or since < stored[0]:
        return since
    return min(max(since, min(stored[1], until) - OVERLAP), stored[1] - OVERLAP)


def last_closed(now: dt.datetime) -> dt.date:
    """The newest session that is over at that moment."""
    recent = sessions(now.date() - dt.timedelta(days=14), now.date())
    return max(day for day in recent if session_close(day) <= now)


def by_symbol(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a symbol, of as many windows: counts added, first and last session of all, the first error."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        old = found.setdefault(row["symbol"], dict(row))
        if old == row:
            continue
        days = [day for each in (old, row) for day in (each["first"], each["last"]) if day]
        old |= {name: old[name] + row[name] for name in ("read", "new", "changed", "quarantined", "splits", "repaired")}
        old |= {
            "first": min(days, default=None),
            "last": max(days, default=None),
            "error": old["error"] or row["error"],
        }
    return list(found.values())


def check_failed(rows: Sequence[Mapping[str, Any]], *, strict: bool = False) -> None:
    """Raise BadInput when everything failed (`error` says why; `strict`: when anything did)."""
    failed = [row for row in rows if row["error"]]
    if failed and (strict or len(failed) == len(rows)):
        stored = "the others are stored" if len(failed) < len(rows) else "nothing was stored"
        which, of = ({row["symbol"] for row in some} for some in (failed, rows))
        others = f"{len(which)} of {len(of)} symbols failed; {stored}. " if len(of) > 1 else ""
        raise BadInput(others + failed[0]["error"])


def check_ingested(rows: Sequence[Mapping[str, Any]], *, strict: bool = False) -> None:
    """Raise BadInput as `check_failed` does, and when no symbol has a bar in the range."""
    check_failed(rows, strict=strict)
    if rows and not any(row["read"] or row["error"] for row in rows):
        names = ", ".join(row["symbol"] for row in rows)
        raise BadInput(f"There is no bar of {names} in this range; it ends before the first one. Choose a later end.")
