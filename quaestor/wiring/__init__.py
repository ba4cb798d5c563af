"""Wiring: the composition root. It finds the one configuration, opens doors and hands them to operations.

Used by the blocks' `open()`, the console and whatever runs outside Prefect; nothing else joins doors to operations.
Everybody says `from quaestor import wiring` and takes what is in `__all__`; which module makes it is nobody's care.
Everything heavy is imported inside the function that needs it: `quaestor status` must stay cheap.

First the configuration is found, then what it names is opened:

configuration  which file it is, and what the environment says over it
vaults         secrets
databases      the books: embedded or a server's, and the stores in them
sources        who is asked for history
telling        alerts, logs, telemetry
custody        the broker's login, and its tokens

Then a session or a live run is put together out of these:

plans          the strategies, built, and the mandate that trades them
trading        the floor: all doors of a session, and the switch that stops it
feeds          the stream of prices
replays        a market that is played: as a feed, or as a vendor's server
rehearsals     a broker's server, with an exchange behind it; auth_rehearsals: a login between both servers
journals       what live runs wrote down
live           the deck: all doors of a live run

And what stands beside them:

orchestrator   Prefect, from outside
processes      the live runner as a process, and the console's socket
legacy         an old bot's books
reports        the devlog

`configured_…` takes the file's word for everything; its plain sister is told, by a block or by a test.
"""

from __future__ import annotations

from quaestor.wiring.auth_rehearsals import auth_stage
from quaestor.wiring.brokers import configured_floor, login_of, real_floor, rehearsing_is_safe, trading
from quaestor.wiring.configuration import FILE, ROOT, TASK_RUNNERS, Loaded, home, load, require_task_runner
from quaestor.wiring.custody import access_tokens, configured_custodian, custodian, keeper, login_door, robinhood_login
from quaestor.wiring.databases import (
    bar_store,
    configured_database,
    database_facts,
    embedded,
    live_store,
    open_database,
    quotes,
    reads,
    signal_store,
    trigger_store,
    upgrade,
    uri,
)
from quaestor.wiring.feeds import fed_at, feed, feed_hours, liveness
from quaestor.wiring.journals import journal, journal_folder, journals_of, tidy_journals
from quaestor.wiring.legacy import legacy_file, legacy_store
from quaestor.wiring.live import live_deck
from quaestor.wiring.orchestrator import block_differences, local_prefect, metadata_url, prefect_api
from quaestor.wiring.plans import Plan, configured_engine, configured_plan, live_engine, plan, run_info
from quaestor.wiring.processes import listener, local_runner, runner_process, usage
from quaestor.wiring.rehearsals import robinhood_server, serving
from quaestor.wiring.replays import made_up, recordings, stream_server
from quaestor.wiring.reports import write_report
from quaestor.wiring.sources import configured_source, fed_by, intake, market_source, source
from quaestor.wiring.telling import alerts, configured_alerts, logs, telemetry
from quaestor.wiring.trading import (
    floor,
    halt_without_database,
    holder,
    paper_broker,
    robinhood_broker,
    robinhood_door,
    stops,
)
from quaestor.wiring.vaults import (
    azure_vault,
    configured_vault,
    console_token,
    env_file,
    keep_password,
    key_vault_server,
    rotate_vault_key,
    shareable,
    vault,
    vault_in,
    vault_place,
)

__all__ = [
    "FILE",
    "ROOT",
    "TASK_RUNNERS",
    "Loaded",
    "Plan",
    "access_tokens",
    "alerts",
    "auth_stage",
    "azure_vault",
    "bar_store",
    "block_differences",
    "configured_alerts",
    "configured_custodian",
    "configured_database",
    "configured_engine",
    "configured_floor",
    "configured_plan",
    "configured_source",
    "configured_vault",
    "console_token",
    "custodian",
    "database_facts",
    "embedded",
    "env_file",
    "fed_at",
    "fed_by",
    "feed",
    "feed_hours",
    "floor",
    "halt_without_database",
    "holder",
    "home",
    "intake",
    "journal",
    "journal_folder",
    "journals_of",
    "keep_password",
    "keeper",
    "key_vault_server",
    "legacy_file",
    "legacy_store",
    "listener",
    "live_deck",
    "live_engine",
    "live_store",
    "liveness",
    "load",
    "local_prefect",
    "local_runner",
    "login_door",
    "login_of",
    "logs",
    "made_up",
    "market_source",
    "metadata_url",
    "open_database",
    "paper_broker",
    "plan",
    "prefect_api",
    "quotes",
    "reads",
    "real_floor",
    "recordings",
    "rehearsing_is_safe",
    "require_task_runner",
    "robinhood_broker",
    "robinhood_door",
    "robinhood_login",
    "robinhood_server",
    "rotate_vault_key",
    "run_info",
    "runner_process",
    "serving",
    "shareable",
    "signal_store",
    "source",
    "stops",
    "stream_server",
    "telemetry",
    "tidy_journals",
    "trading",
    "trigger_store",
    "upgrade",
    "uri",
    "usage",
    "vault",
    "vault_in",
    "vault_place",
    "write_report",
]
