"""The report over books that real strategies traded: recorded AAPL and IBM, across AAPL's split of 2005-02-28."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from quaestor import wiring
from quaestor.config import RiskSection, StrategiesSection, StrategyUse
from quaestor.devlog import Evidence, Story, render
from quaestor.doors.folder import Folder
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.evidence import EvidenceStore
from quaestor.doors.postgres.paper import PaperBroker
from quaestor.doors.postgres.signals import SignalStore
from quaestor.errors import BadInput, BrokerAmbiguous
from quaestor.exchange import Costs
from quaestor.operations import generate, ingest, reconcile, trade
from quaestor.operations.report import report
from quaestor.orders import Intent, OrderUpdate, State

BARS, FIRST, SPLIT, LAST = (dt.date(2004, 10, 1), dt.date(2005, 2, 1), dt.date(2005, 2, 28), dt.date(2005, 3, 31))
SYMBOLS = ["AAPL", "IBM"]
CHOSEN = StrategiesSection(
    first_session=FIRST,
    use=(
        StrategyUse(name="sma_crossover", weight=0.5, parameters={"fast": 3, "slow": 8}),
        StrategyUse(name="momentum", weight=0.3, parameters={"lookback": 42, "skip": 5, "top": 1}),
        StrategyUse(name="rsi_reversion", weight=0.2),
    ),
)


class LosesAnswers(PaperBroker):
    """A paper broker behind a bad line: it takes every third order and its answer gets lost."""

    sent = 0

    async def submit(self, intent: Intent) -> OrderUpdate:
        self.sent += 1
        update = await super().submit(intent)
        if self.sent % 3 == 0:
            raise BrokerAmbiguous("the connection was reset")
        return update


async def trade_market(database: Database, last: dt.date, broker: PaperBroker) -> None:
    """Everything from prices to a reconciliation, as the flows do it."""
    bars, run = BarStore(database), wiring.run_info("flow-run", "config-digest")
    intake = wiring.intake(wiring.source("recorded"), database, wiring.alerts(Path(), console=False))
    for symbol in SYMBOLS:
        await ingest.ingest_symbol(intake, symbol, BARS, last)
    plan = wiring.plan("paper", Decimal("100000.00"), SYMBOLS, CHOSEN, None, RiskSection())
    for built in plan.built:
        await generate.generate_signals(built, bars, SignalStore(database), SYMBOLS, None, last, run)
    floor = wiring.floor(database, "paper", broker, wiring.alerts(Path(), console=False))
    days = await trade.pending(floor, plan.mandate, None, last)
    await trade.trade(floor, plan.mandate, days, run, "test")
    outcome = await reconcile.reconcile(floor, RiskSection(), "test", FIRST, "flow-run")
    assert outcome.ok


@pytest.fixture(scope="session")
def traded_uri(server_uri: str, template_uri: str) -> str:
    """A database with two months of trading that each test copies."""

    async def fill(uri: str) -> None:
        async with Database(uri) as database:
            broker = LosesAnswers(database, "paper", wiring.quotes(database), Costs())
            await trade_market(database, LAST, broker)

    assert template_uri
    uri = _copy(server_uri, "template_books", "template_traded")
    asyncio.run(fill(uri))
    return uri


@pytest.fixture
async def traded(server_uri: str, traded_uri: str) -> AsyncIterator[Database]:
    """An open door to books of 41 sessions."""
    assert traded_uri
    name = f"t{uuid.uuid4().hex[:12]}"
    async with Database(_copy(server_uri, "template_traded", name)) as database:
        yield database
    with contextlib.suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse):
        _run(server_uri, f'drop database "{name}" with (force)')


async def test_the_report_proves_the_books_and_counts_what_the_tables_hold(traded: Database, tmp_path: Path) -> None:
    done = await report(EvidenceStore(traded, "paper"), Folder(tmp_path), None, None, "report-run")
    assert "✗" not in done.markdown
    assert done.markdown.count("✓") == 7
    for name, query in {
        "sessions": b"select count(*) from equity",
        "orders": b"select count(*) from intent",
        "fills": b"select count(*) from fill",
        "refusals": b"select count(*) from refusal",
        "final_equity": b"select round(equity, 2)::text as count from equity order by session desc limit 1",
    }.items():
        assert done.summary[name] == (await traded.fetch(query))[0]["count"], name
    assert done.summary["orders"] > 10  # type: ignore[operator]
    assert (done.key_figures.sessions, done.key_figures.deposits) == (41, 100_000)
    realized = (await traded.fetch(b"select realized from equity order by session desc limit 1"))[0]["realized"]
    story = Story(await EvidenceStore(traded, "paper").evidence(None, None))
    assert sum(trade.gain for trade in story.trades) == realized


async def test_the_report_writes_the_devlog_and_its_pictures_and_tells_their_paths(
    traded: Database, tmp_path: Path
) -> None:
    done = await report(EvidenceStore(traded, "paper"), Folder(tmp_path), FIRST, LAST, None)
    folder = tmp_path / "paper-2005-02-01_2005-03-31"
    assert sorted(path.name for path in folder.iterdir()) == [
        "devlog.md",
        "distribution.png",
        "equity.png",
        "strategies.png",
    ]
    assert Path(done.devlog) == folder / "devlog.md"
    assert sorted(map(Path, done.figures)) == sorted(folder.glob("*.png"))
    assert Path(done.devlog).read_text(encoding="utf-8") == done.markdown


async def test_reporting_again_changes_no_byte_and_no_row(traded: Database, tmp_path: Path) -> None:
    store = EvidenceStore(traded, "paper")
    first = await report(store, Folder(tmp_path / "one"), None, None, "run-1")
    (row,) = await traded.fetch(b"select * from devlog")
    again = await report(store, Folder(tmp_path / "two"), None, None, "run-2")
    assert (first.kept, again.kept) == (True, False)
    assert await traded.fetch(b"select * from devlog") == [row]
    for one, two in zip((first.devlog, *first.figures), (again.devlog, *again.figures), strict=True):
        assert Path(one).read_bytes() == Path(two).read_bytes()


async def test_a_kept_devlog_renders_again_from_its_own_evidence_to_the_same_text(
    traded: Database, tmp_path: Path
) -> None:
    store = EvidenceStore(traded, "paper")
    done = await report(store, Folder(tmp_path), None, None, None)
    saved = await store.saved(FIRST, LAST)
    assert saved is not None
    evidence, markdown = saved
    assert evidence == await store.evidence(None, None)
    assert render(evidence) == markdown == done.markdown
    assert await store.saved(FIRST, SPLIT) is None


async def test_a_fact_that_changed_replaces_the_kept_devlog(traded: Database, tmp_path: Path) -> None:
    store = EvidenceStore(traded, "paper")
    first = await report(store, Folder(tmp_path), None, None, "run-1")
    await _execute(traded, "insert into latch (account, name, reason) values ('paper', 'halt', 'hand on the switch')")
    again = await report(store, Folder(tmp_path), None, None, "run-2")
    assert again.kept
    assert "**Entries are stopped** by the latch `halt`: hand on the switch" in again.markdown
    assert "halt" not in first.markdown
    assert [row["flow_run_id"] for row in await traded.fetch(b"select flow_run_id from devlog")] == ["run-2"]
    earlier = await store.evidence(FIRST, SPLIT)
    assert earlier.latches == (), "what holds now concerns the newest range alone"


async def test_the_split_is_told_and_moves_no_equity_by_itself(traded: Database) -> None:
    story = Story(await EvidenceStore(traded, "paper").evidence(SPLIT, SPLIT))
    assert [split.symbol for split in story.evidence.splits] == ["AAPL"]
    assert "- **Split**: `AAPL` 2-for-1 on 2005-02-28 while it was held" in render(story.evidence)
    assert abs(story.figures.total_return) < 0.03
    assert all(proof.ok for proof in story.proofs)


async def test_a_part_of_the_range_is_measured_from_the_close_before_it(traded: Database) -> None:
    store = EvidenceStore(traded, "paper")
    whole, left, right = [
        Story(await store.evidence(*span))
        for span in ((None, None), (None, SPLIT - dt.timedelta(days=1)), (SPLIT, dt.date(2020, 1, 1)))
    ]
    assert right.evidence.start == SPLIT
    assert right.evidence.end == LAST
    assert right.before == left.curve[-1]
    assert left.figures.profit + right.figures.profit == whole.figures.profit
    assert len(left.trades) + len(right.trades) == len(whole.trades)
    assert all(proof.ok for story in (whole, left, right) for proof in story.proofs)


async def test_orders_whose_answer_was_lost_are_told_with_what_resolved_them(traded: Database) -> None:
    evidence = await EvidenceStore(traded, "paper").evidence(None, None)
    lost = {row["ref_id"] for row in await traded.fetch(b"select ref_id from order_event where state = 'unknown'")}
    assert len(lost) >= 3
    assert {order.ref_id for order in evidence.resolved} == lost
    assert {(order.cause, order.reason) for order in evidence.resolved} == {("listed", "the connection was reset")}
    assert {order.state for order in evidence.resolved} <= {State.ACKED, State.FILLED}
    assert "whose fate was unknown were resolved by the broker's own list" in render(evidence)


async def test_provenance_reaches_the_devlog(traded: Database) -> None:
    evidence = await EvidenceStore(traded, "paper").evidence(None, None)
    (run,) = evidence.runs
    assert (run.flow_run_id, run.config_digest, run.sessions) == ("flow-run", "config-digest", 41)
    for order in evidence.orders:
        assert order.version
        assert order.version.startswith(f"{order.strategy}-")
        assert order.digest in {signals.digest for signals in evidence.signals}
        assert order.bar_end is not None
        assert order.bar_end[:10] < order.session.isoformat()
        assert order.checks >= 5


async def test_evidence_is_the_picture_of_one_moment_though_the_writer_goes_on(traded: Database) -> None:
    """A writer holds the reader up between its queries and commits: the reader sees none of it."""
    store = EvidenceStore(traded, "paper")
    before = await store.evidence(None, None)
    async with traded.transaction() as writer:
        await writer.execute(b"lock table refusal in access exclusive mode")
        reading = asyncio.create_task(store.evidence(None, None))
        while not await traded.fetch(b"select from pg_locks where relation = 'refusal'::regclass and not granted"):
            await asyncio.sleep(0.01)
        await writer.execute(
            b"insert into refusal select account, session, 'later', symbol, side, rule, limit_value, observed, unit, "
            b"quantity, message, provenance, at from refusal limit 1"
        )
        await writer.execute(b"insert into latch (account, name, reason) values ('paper', 'halt', 'later')")
    assert await reading == before
    assert await store.evidence(None, None) != before


async def test_before_anything_is_settled_the_devlog_says_so_and_no_row_is_kept(
    database: Database, tmp_path: Path
) -> None:
    done = await report(EvidenceStore(database, "paper"), Folder(tmp_path), None, None, None)
    assert done.summary == {
        "sessions": 0, "orders": 0, "fills": 0, "refusals": 0,
        "final_equity": None, "total_return": None, "sharpe": None, "max_drawdown": None,
    }  # fmt: skip
    assert done.figures == ()
    assert Path(done.devlog).read_text(encoding="utf-8").startswith("# Devlog of `paper`: nothing to tell yet")
    assert await database.fetch(b"select * from devlog") == []


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        pytest.param(
            LAST + dt.timedelta(days=1), None, r"its books go from 2005-02-01 to 2005-03-31", id="after the books"
        ),
        pytest.param(
            None, FIRST - dt.timedelta(days=1), r"no settled session in the beginning … 2005-01-31", id="before"
        ),
        pytest.param(
            LAST, FIRST, r"2005-03-31 … 2005-02-01 is empty; give a start on or before the end", id="upside down"
        ),
        pytest.param(dt.date(2005, 2, 19), dt.date(2005, 2, 21), r"no settled session", id="a long weekend"),
    ],
)
async def test_a_range_that_misses_the_books_is_refused_before_anything_is_written(
    traded: Database, tmp_path: Path, start: dt.date | None, end: dt.date | None, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        await report(EvidenceStore(traded, "paper"), Folder(tmp_path / "reports"), start, end, None)
    assert not (tmp_path / "reports").exists()
    assert await traded.fetch(b"select * from devlog") == []


async def test_another_account_sees_nothing_of_these_books(traded: Database) -> None:
    store = EvidenceStore(traded, "other")
    assert await store.evidence(None, None) == Evidence("other", None, None)
    assert await store.span() is None


@pytest.mark.parametrize(
    ("comparisons", "expected"),
    [
        pytest.param([], LAST, id="the first one after the range, where none lies in it"),
        pytest.param([SPLIT], SPLIT, id="at the range's end"),
        pytest.param(
            [dt.date(2005, 2, 10), dt.date(2005, 2, 24)], dt.date(2005, 2, 24), id="the last one in the range"
        ),
        pytest.param([dt.date(2005, 1, 3)], LAST, id="not one from before the range"),
    ],
)
async def test_the_comparison_with_the_broker_nearest_to_the_ranges_end_is_cited(
    traded: Database, comparisons: list[dt.date], expected: dt.date
) -> None:
    for session in comparisons:
        values = f"('paper', '{session}', true, '[]', '{{}}')"
        await _execute(traded, f"insert into reconcile (account, session, ok, differences, checked) values {values}")
    evidence = await EvidenceStore(traded, "paper").evidence(FIRST, SPLIT)
    assert evidence.reconciliation is not None
    assert evidence.reconciliation.session == expected


async def _execute(database: Database, statement: str, *parameters: Any) -> None:
    async with database.transaction() as connection:
        await connection.execute(statement.encode(), *parameters)


def _copy(server_uri: str, template: str, name: str) -> str:
    _run(server_uri, f'create database "{name}" template "{template}"')
    return server_uri.replace("/quaestor?", f"/{name}?")


def _run(uri: str, statement: str) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(statement.encode())
