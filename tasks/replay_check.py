"""Steps of the nightly replay: find the day's runs, fold each again, show what came of it, tell a person."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE

from quaestor import wiring
from quaestor.config import PaperSection
from quaestor.errors import Permanent
from quaestor.live.replaying import Replayed
from quaestor.live.slippage import Line, Slippage
from quaestor.operations.replay import Checked, check
from quaestor.orders import trimmed
from tasks.desk import Desk

SHOWN = 8  # keys of a divergence


@task(name="find journals", timeout_seconds=60, cache_policy=NO_CACHE, tags=["replay"])
async def find_journals(desk: Desk, day: dt.date) -> list[str]:
    """The folders of the runs that were last written on that day."""
    return [str(path) for path in await asyncio.to_thread(wiring.journals_of, Path(desk.database.home), day)]


# It reads files and computes, for a minute per ten million ticks: the same again would come out the same.
@task(name="replay run", timeout_seconds=7200, cache_policy=NO_CACHE, tags=["replay"])
async def replay_run(desk: Desk, folder: str) -> Checked:
    """Fold a run's events again, compare every decision, and its fills with the paper broker's model."""
    own = desk.trading.strategies_folder
    fields = {name: getattr(desk.broker, name) for name in PaperSection.model_fields}
    costs = PaperSection.model_validate(fields).costs

    def work() -> Checked:
        try:
            journal = wiring.journal(Path(folder))
        except Permanent as error:
            return Checked(None, str(error))
        return check(journal, wiring.live_engine(Path(own) if own else None), costs)

    return await asyncio.to_thread(work)


# What is packed is no larger when it is packed again.
@task(name="tidy journals", retries=1, timeout_seconds=7200, cache_policy=NO_CACHE, tags=["replay"])
async def tidy_journals(desk: Desk, folders: Sequence[str], keep_days: int) -> int:
    """Pack these journals, and remove those that were last written longer ago than that; bytes freed."""
    return await asyncio.to_thread(wiring.tidy_journals, Path(desk.database.home), list(map(Path, folders)), keep_days)


@task(name="show replays", retries=3, retry_delay_seconds=[1, 5, 15], cache_policy=NO_CACHE, tags=["artifact"])
async def show_replays(day: dt.date, checked: Sequence[Checked]) -> None:
    """The page a person looks at."""
    await acreate_markdown_artifact(page(day, checked), key="replay", description=f"Live runs of {day}, folded again")


@task(name="alert", retries=1, cache_policy=NO_CACHE, tags=["alert"])
async def alert(desk: Desk, body: str) -> None:
    """Tell a person that a replay came out otherwise."""
    await desk.alerts.open().send(f"{desk.account}: a replay decided otherwise", body, urgent=True)


def summary(checked: Checked) -> str:
    """A run's outcome in a line."""
    done, run = checked.replayed, str(checked.run)[:8] if checked.run else "a journal"
    if done is None:
        return f"{run}: cannot be replayed: {checked.problem}"
    if done.first is None:
        return f"{run}: the same, {done.recorded.acts.total():,} decisions on {done.events:,} events"
    differs = "; ".join(f"{d.key}: {d.recorded} then, {d.now} now" for d in done.first.differences[:2])
    return f"{run}: {done.diverged:,} events decided otherwise, first event {done.first.number:,}: {differs}"


def page(day: dt.date, checked: Sequence[Checked]) -> str:
    """The day's replays as Markdown."""
    if not checked:
        return f"# No live run on {day}\n\nNo journal in this data folder was written on that day.\n"
    wrong = sum(not each.ok for each in checked)
    head = (
        f"{wrong} of {len(checked)} replays came out otherwise" if wrong else f"{len(checked)} replayed: all the same"
    )
    return "\n".join([f"# {head}\n", f"Live runs of {day}.\n", *(part for each in checked for part in _parts(each))])


def _parts(checked: Checked) -> list[str]:
    parts = [f"## {checked.run or 'a journal'}\n", f"{_escaped(summary(checked))}.\n"]
    if checked.cut:
        parts.append(f"{checked.cut:,} bytes of a torn tail were cut off.\n")
    if checked.replayed is not None:
        parts += _divergence(checked.replayed)
    if checked.slippage is not None and checked.slippage.lines:
        parts += _slippage(checked.slippage)
    return parts


def _divergence(done: Replayed) -> list[str]:
    if done.first is None:
        return []
    rows = [
        f"| {_escaped(d.key)} | {_escaped(d.recorded)} | {_escaped(d.now)} |" for d in done.first.differences[:SHOWN]
    ]
    commit = done.setup.commit if done.setup else "unknown"
    return ["| what | recorded | now |", "|---|---|---|", *rows, "", f"It ran on commit `{commit}`.\n"]


def _slippage(found: Slippage) -> list[str]:
    rows = [f"| {' | '.join(_cells(line))} |" for line in (*found.lines, found.total)]
    titles = [
        "| symbol | orders filled | shares | mean, bps | median, bps | fees, dollars |",
        "|---|---|---|---|---|---|",
    ]
    nearer = [f"- `[paper] {name} = {value}` would have been nearer." for name, value in found.suggested.items()]
    said = "Live fills less the paper broker's model at the same moment; positive is worse.\n"
    return [said, *titles, *rows, "", *nearer, ""]


def _cells(line: Line) -> list[str]:
    known = ["–" if value is None else str(value) for value in (line.mean, line.median)]
    return [line.symbol, str(line.orders), f"{trimmed(line.quantity)}", *known, f"{line.fees:.2f}"]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:200]
