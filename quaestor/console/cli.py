"""`quaestor`: what a person types. Each command says what it does and shows an example; errors are one or two lines."""

from __future__ import annotations

import argparse
import datetime as dt
import difflib
import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from quaestor import __version__
from quaestor.console import endings
from quaestor.errors import QuaestorError, Temporary
from quaestor.orders import State

EXIT_FAILED = 1
EXIT_TRY_AGAIN = 75  # sysexits.h: EX_TEMPFAIL

Option = tuple[tuple[str, ...], dict[str, Any]]


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write it like 2013-03-01") from error


def _moment(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write it like 2013-03-01T16:00-05:00") from error
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone; write it like 2013-03-01T16:00-05:00")
    return moment


def _clock(text: str) -> Any:
    from quaestor.console.live import Moment

    stood, _, when = text.partition("@")
    return Moment(_moment(stood), _moment(when) if when else None)


def _option(*flags: str, **settings: Any) -> Option:
    return flags, settings


JSON = _option("--json", action="store_true", help="for machines: JSON instead of a table")
START = _option("--start", type=_day, metavar="DATE", help="first session (default: where the last run stopped)")
END = _option("--end", type=_day, metavar="DATE", help="last session (default: the newest)")
SYMBOLS = _option("symbols", nargs="*", metavar="SYMBOL", help="symbols (default: the configured universe)")
TIMEFRAME = _option("--timeframe", choices=("1d", "1h", "5m", "1m"), default="1d", help="of the bars (default 1d)")


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rows; write 0 or more")
    return int(text)


def _recording(text: str) -> str:
    kind, colon, day = text.partition(":")
    if kind not in {"synthetic", "recorded", "minutes", "ticks"} or (kind == "synthetic" and colon):
        raise argparse.ArgumentTypeError(f"{text!r}: write synthetic, recorded, minutes:DATE or ticks:DATE")
    if day or kind in {"minutes", "ticks"}:
        _day(day)
    return text


def _limit(default: int) -> Option:
    return _option(
        "--limit", type=_count, default=default, metavar="N", help=f"at most N rows, 0 for all (default {default})"
    )


RULE = (
    _option("--symbol", metavar="SYMBOL", help="the symbol that it trades and, where not said otherwise, watches"),
    _option("--when", metavar="WORDS", help='when it fires, such as "price above 190 and volume spike 3x over 5m"'),
    _option("--do", metavar="WORDS", help='what it does, such as "sell 50%%", "flatten" or \'alert "look"\''),
    _option("--once", dest="modes", action="append_const", const="once", help="it fires once (the default)"),
    _option("--rearm", dest="modes", action="append_const", const="rearm", help="it fires again and again"),
    _option("--hysteresis", metavar="PERCENT", help="how far beyond its level the price must go back to rearm it"),
    _option("--cooldown", metavar="DURATION", help="between two firings, such as 5m"),
    _option("--expires", metavar="TIME", help="a time with its zone, a duration such as 5d, or never"),
    _option("--max-age", metavar="DURATION", help="how old a price may be that fires it (default 10s)"),
    _option("--band", metavar="PERCENT", help="a price so far from the last needs a second one (default 10%%)"),
    _option("--price", choices=("trade", "bid", "ask", "mid"), help="which price it watches (default trade)"),
    _option("--name", help="how you call it"),
    _option("--note", help="why, for you and your team"),
    _option("--json-file", metavar="FILE", help="the trigger as JSON, - for what is piped in; options win over it"),
    JSON,
)
TRIGGER = _option("trigger", help="its name, its id, or the id's first characters")


@dataclass(frozen=True)
class Command:
    """A command: where its function lives (module:name), what it does, an example, its options."""

    name: str
    where: str
    help: str
    example: str
    options: tuple[Option, ...] = ()
    commands: tuple[Command, ...] = field(default=())


COMMANDS = (
    Command("doctor", "doctor:doctor", "check every part and say the cure", "quaestor doctor", (JSON,)),
    Command(
        "demo",
        "demo:demo",
        "run the whole loop on recorded prices, or show the last demo",
        "quaestor demo --last --json",
        (_option("--last", action="store_true", help="show the last demo's summary, run nothing"), JSON),
    ),
    Command("up", "stack:up", "start database, Prefect, worker and schedules, and leave them running", "quaestor up"),
    Command("down", "stack:down", "end everything that `up` started", "quaestor down"),
    Command(
        "drain",
        "stack:drain",
        "let running flows end, then stop the worker",
        "quaestor drain --patience 300",
        (_option("--patience", type=float, default=600.0, metavar="SECONDS", help="how long to wait (default 600)"),),
    ),
    Command(
        "run",
        "stack:run",
        "start a deployment by name",
        "quaestor run backfill/manual symbols=AAPL,IBM start=2012-01-03 end=2012-12-31 --wait 300",
        (
            _option("deployment", help="flow/deployment, such as ingest/recorded"),
            _option("fields", nargs="*", metavar="name=value", help="fields of the flow's form"),
            _option("--wait", type=float, metavar="SECONDS", help="wait for it to end"),
        ),
    ),
    Command("status", "stack:status", "what stands where", "quaestor status --json", (JSON,)),
    Command("positions", "books:positions", "shares held, with their value", "quaestor positions", (JSON,)),
    Command(
        "orders",
        "books:orders",
        "orders, newest first",
        "quaestor orders --symbol AAPL --limit 10",
        (
            _option("--symbol", type=str.upper, help="only this symbol"),
            _option("--strategy", help="only this strategy"),
            _option("--state", choices=[state.value for state in State], help="only this state"),
            _option("--session", type=_day, metavar="DATE", help="only this session"),
            _limit(20),
            JSON,
        ),
    ),
    Command(
        "pnl",
        "books:pnl",
        "profit and loss",
        "quaestor pnl --by strategy",
        (
            _option("--by", choices=("both", "strategy", "symbol", "session"), default="both", help="how to group it"),
            _limit(20),
            JSON,
        ),
    ),
    Command(
        "refusals", "books:refusals", "decisions not to act, with their rule", "quaestor refusals", (_limit(20), JSON)
    ),
    Command(
        "why",
        "books:why",
        "why an order was made",
        "quaestor why 3f2a91c0",
        (_option("order", help="the order's id, or its first characters"), JSON),
    ),
    Command(
        "ingest",
        "loop:ingest",
        "fetch new bars and splits, here and now",
        "quaestor ingest AAPL MSFT --end 2013-03-01",
        (
            SYMBOLS,
            START,
            END,
            _option("--again", action="store_true", help="read the whole window again, not only what is new"),
            JSON,
        ),
    ),
    Command(
        "coverage",
        "market:coverage",
        "what of the history is there, as a map",
        "quaestor coverage AAPL --start 2012-01-03 --end 2013-03-01",
        (
            SYMBOLS,
            START,
            END,
            TIMEFRAME,
            _option("--width", type=int, default=60, metavar="COLUMNS", help="at most so many columns (default 60)"),
            JSON,
        ),
    ),
    Command(
        "bars",
        "bars:bars",
        "stored bars of a symbol, on the screen or in a file",
        "quaestor bars MSFT --start 2003-02-12 --adjust split --to msft.parquet",
        (
            _option("symbol", type=str.upper, help="the symbol"),
            START,
            END,
            TIMEFRAME,
            _option(
                "--adjust",
                choices=("none", "split", "total", "back"),
                default="none",
                help="none: as traded; split: as strategies see them; total: dividends reinvested too; back: as charts",
            ),
            _option(
                "--known-at", type=_moment, metavar="TIME", help="as the bars were known then (ISO 8601 with zone)"
            ),
            _option("--to", metavar="FILE", help="write all of them to a .csv or .parquet file"),
            _limit(20),
            JSON,
        ),
    ),
    Command(
        "backfill",
        "market:backfill",
        "fetch what is missing of the history, here and now",
        "quaestor backfill AAPL IBM --start 2005-01-03 --end 2005-12-30 --dry-run",
        (
            SYMBOLS,
            START,
            END,
            TIMEFRAME,
            _option("--source", choices=("recorded", "files", "alpaca", "robinhood"), help="default: as configured"),
            _option("--redo", choices=("missing", "failed", "all"), default="missing", help="what (default: missing)"),
            _option("--oldest-first", action="store_true", help="begin at the oldest session"),
            _option("--dry-run", action="store_true", help="only say what would be fetched, and what it costs"),
            JSON,
        ),
    ),
    Command(
        "quarantine",
        "market:quarantine",
        "bars that the quality gate refused",
        "quaestor quarantine AAPL",
        (SYMBOLS, _limit(50), JSON),
    ),
    Command(
        "vouch",
        "market:vouch",
        "say that a session's steps are real, so that its bars come in",
        "quaestor vouch AAPL 2000-09-29 profit-warning",
        (
            _option("symbol", type=str.upper, help="the symbol"),
            _option("session", type=_day, help="the session"),
            _option("reason", help="why, for the books"),
        ),
    ),
    Command(
        "unblock",
        "market:unblock",
        "let a symbol take entries again",
        "quaestor unblock AAPL",
        (_option("symbol", type=str.upper, help="the symbol"),),
    ),
    Command(
        "signals", "loop:signals", "run the strategies over the stored bars", "quaestor signals", (START, END, JSON)
    ),
    Command("execute", "loop:execute", "trade the sessions that have signals", "quaestor execute", (START, END, JSON)),
    Command("reconcile", "loop:reconcile", "compare books and broker", "quaestor reconcile", (JSON,)),
    Command(
        "halt",
        "safety:halt",
        "stop and take back entries, until you resume",
        'quaestor halt --flatten "the broker is behaving oddly"',
        (
            _option("--flatten", action="store_true", help="also sell all that is held"),
            _option("reason", help="why, for the books"),
            JSON,
        ),
    ),
    Command(
        "resume",
        "safety:resume",
        "end a halt",
        'quaestor resume "the broker has answered"',
        (_option("reason", help="why, for the books"), JSON),
    ),
    Command(
        "live",
        "",
        "the live run: run, status, arm, hold, flatten, stop, runs, watch",
        "quaestor live status",
        commands=(
            Command(
                "run",
                "live:run",
                "trade as it happens, until you end it",
                "quaestor live run --at 2026-11-20T09:25-05:00 --feed ws://127.0.0.1:8765 --sessions 1",
                (
                    _option("--at", type=_clock, metavar="TIME", help="rehearse: the clock starts there (paper only)"),
                    _option("--speed", type=float, default=1.0, metavar="X", help="a rehearsal's clock runs that fast"),
                    _option("--feed", metavar="URL", help="another feed's address than the configured one's"),
                    _option("--sessions", type=_count, metavar="N", help="end after so many sessions have closed"),
                    JSON,
                ),
            ),
            Command(
                "status",
                "live_control:status",
                "what runs, what is wanted of it, its figures",
                "quaestor live status",
                (JSON,),
            ),
            *(
                Command(
                    name,
                    f"live_control:{name}",
                    help_text,
                    f'quaestor live {name} "{why}"',
                    (_option("reason", nargs="?", default="", help="why, for the books"), JSON),
                )
                for name, help_text, why in (
                    ("arm", "let the runner trade", "the news is out"),
                    ("hold", "enter nothing new; exits go on", "waiting for the news"),
                    ("flatten", "sell what is held and enter nothing new", "the feed is not to be trusted"),
                    ("stop", "end the runner", "maintenance"),
                )
            ),
            Command("runs", "live_control:runs", "live runs, newest first", "quaestor live runs", (_limit(20), JSON)),
            Command(
                "watch",
                "live_control:watch",
                "what happens, a line each, until Ctrl-C",
                "quaestor live watch --kinds order,fill",
                (_option("--kinds", default="", metavar="KIND,KIND", help="only these (default: all)"),),
            ),
        ),
    ),
    Command(
        "trigger",
        "",
        "rules that trade at once: add, list, show, edit, remove, firings, check",
        "quaestor trigger list",
        commands=(
            Command(
                "add",
                "triggers:add",
                "write a trigger",
                'quaestor trigger add --symbol AAPL --when "price above 190" --do "sell 50%" --name take-profit',
                RULE,
            ),
            Command("list", "triggers:listing", "all triggers, and how they stand", "quaestor trigger list", (JSON,)),
            Command(
                "show",
                "triggers:show",
                "a trigger in its words and in plain ones",
                "quaestor trigger show take-profit",
                (TRIGGER, JSON),
            ),
            Command(
                "edit",
                "triggers:edit",
                "change what you name, leave the rest; it waits anew",
                'quaestor trigger edit take-profit --when "price above 195" --expires 5d',
                (TRIGGER, *RULE),
            ),
            Command(
                "remove",
                "triggers:remove",
                "take a trigger out; its firings stay",
                "quaestor trigger remove take-profit",
                (TRIGGER, JSON),
            ),
            Command(
                "firings",
                "triggers:firings",
                "what fired, newest first, and what came of it",
                "quaestor trigger firings take-profit --limit 5",
                (_option("trigger", nargs="?", help="only of this one"), _limit(20), JSON),
            ),
            Command(
                "check",
                "triggers:check",
                "say in plain words what a trigger would do; nothing is stored",
                'quaestor trigger check --symbol AAPL --when "trailing stop 5%" --do "sell all"',
                RULE,
            ),
        ),
    ),
    Command(
        "console",
        "serving:console",
        "answer over HTTP: triggers, firings, the live run",
        "quaestor console --port 4210",
        (
            _option("--host", default="127.0.0.1", help="the address to listen at (default 127.0.0.1: this machine)"),
            _option("--port", type=_count, default=4210, metavar="N", help="the port (default 4210; 0: a free one)"),
            _option(
                "--allow-host", action="append", metavar="NAME", help="a host name that it answers to, beside localhost"
            ),
        ),
    ),
    Command(
        "replay",
        "replay:replay",
        "fold a live run's events again and compare every decision, or see what would have changed",
        "quaestor replay last --with risk.max_order_notional=5000",
        (
            _option("run", metavar="RUN", help="the run's id, its first characters, last, or its journal's folder"),
            _option(
                "--with",
                dest="changes",
                action="append",
                metavar="KEY=VALUE",
                help="change risk.LIMIT, strategy.NAME.PARAMETER or trigger.ID.condition.level first; may be repeated",
            ),
            _option("--slippage", action="store_true", help="compare its fills with the paper broker's model instead"),
            JSON,
        ),
    ),
    Command(
        "sim",
        "",
        "protocol servers on this machine: feed",
        "quaestor sim feed --symbols AAPL,MSFT",
        commands=(
            Command(
                "feed",
                "sim:feed",
                "serve ticks as a vendor's stream does, to its real clients; any key will do",
                "quaestor sim feed --symbols AAPL,MSFT --at 2026-11-20T14:30:00Z --from recorded",
                (
                    _option("--vendor", choices=("alpaca", "kraken"), default="alpaca", help="whose (default alpaca)"),
                    _option("--symbols", default="AAPL,MSFT", metavar="A,B", help="of which (default AAPL,MSFT)"),
                    _option("--port", type=int, default=0, help="on which port (default: a free one)"),
                    _option("--at", type=_clock, metavar="TIME", help="its clock starts there (default: now)"),
                    _option("--speed", type=float, default=1.0, metavar="X", help="its clock runs that fast"),
                    _option("--rate", type=float, metavar="N", help="ticks a second (default: 1000, or in their time)"),
                    _option(
                        "--from",
                        dest="source",
                        type=_recording,
                        default="synthetic",
                        metavar="WHAT",
                        help="synthetic, recorded[:DATE], minutes:DATE or ticks:DATE (default synthetic)",
                    ),
                ),
            ),
        ),
    ),
    Command(
        "chaos",
        "",
        "rehearse what should not happen: list, run, simulate",
        "quaestor chaos run all",
        commands=(
            Command("list", "chaos:scenarios", "what can be played", "quaestor chaos list", (JSON,)),
            Command(
                "run",
                "chaos:run",
                "play a scenario with real processes, and say what was seen",
                "quaestor chaos run kill-at-each-step --runs 60",
                (
                    _option("scenario", help="a scenario's name, or all"),
                    _option("--runs", type=_count, default=60, metavar="N", help="of those that have several (60)"),
                    _option("--seed", type=int, default=1, help="of what is drawn by chance (default 1)"),
                    JSON,
                ),
            ),
            Command(
                "simulate",
                "simulate:simulate",
                "play sessions under faults by the thousand, in memory; a failing seed is told and replays",
                "quaestor chaos simulate --runs 10000",
                (
                    _option("--runs", type=_count, default=1000, metavar="N", help="seeds to play (default 1000)"),
                    _option("--seed", type=int, default=0, metavar="N", help="the first of them (default 0)"),
                    JSON,
                ),
            ),
        ),
    ),
    Command(
        "audit",
        "",
        "the log of orders: verify",
        "quaestor audit verify",
        commands=(
            Command(
                "verify",
                "safety:verify",
                "prove that the log of orders is what was written",
                "quaestor audit verify",
                (
                    _option("--anchor", metavar="SEQ:HASH", help="an end of the chain that you kept elsewhere"),
                    JSON,
                ),
            ),
        ),
    ),
    Command("report", "loop:report", "write the devlog and its pictures", "quaestor report", (START, END, JSON)),
    Command(
        "import-legacy",
        "legacy:import_legacy",
        "read an old bot's SQLite database into the books, and prove it",
        "quaestor import-legacy bot.db --map map.toml --dry-run",
        (
            _option("file", metavar="bot.db", help="the bot's database; it is never written to"),
            _option("--map", metavar="map.toml", help="which table and column means what (default: a guess)"),
            _option("--show-map", action="store_true", help="print the guess as a map to save and correct"),
            _option("--yes", action="store_true", help="load with the guess, ask nothing"),
            _option("--dry-run", action="store_true", help="do all of it, report, and undo it"),
            _option("--timezone", metavar="ZONE", help="of times without one (default America/New_York)"),
            JSON,
        ),
    ),
    Command(
        "db",
        "",
        "the database: upgrade, status, start, stop, url",
        "quaestor db upgrade",
        commands=(
            Command("upgrade", "db:upgrade", "bring the schema up to date", "quaestor db upgrade"),
            Command("status", "db:status", "where it is and whether it runs", "quaestor db status", (JSON,)),
            Command("start", "db:start", "start the embedded server and keep it running", "quaestor db start"),
            Command(
                "stop",
                "db:stop",
                "let the embedded server end with its last user",
                "quaestor db stop --force",
                (_option("--force", action="store_true", help="end it now, whoever uses it"),),
            ),
            Command("url", "db:url", "print the URI, password and all, for other tools", "psql $(quaestor db url)"),
        ),
    ),
    Command(
        "vault",
        "",
        "the local vault: names, set",
        "quaestor vault set database-password",
        commands=(
            Command("names", "vault:names", "names of the secrets", "quaestor vault names", (JSON,)),
            Command(
                "set",
                "vault:put",
                "store a secret, typed unseen or piped in",
                "quaestor vault set database-password < file",
                (_option("name", help="the secret's name"),),
            ),
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; the exit code is 0, 1 for an error, 75 for one that may pass by itself."""
    parsed = parser().parse_args(arguments)
    endings.listen()
    try:
        return _function(parsed.where)(parsed)
    except QuaestorError as error:
        sys.stderr.write(f"quaestor: {error}\n")
        return EXIT_TRY_AGAIN if isinstance(error, Temporary) else EXIT_FAILED
    except ImportError as error:
        missing = error.name or "a package"
        sys.stderr.write(
            f"quaestor: {missing} cannot be imported ({error}). Run `make setup`, then `quaestor doctor`.\n"
        )
        return EXIT_FAILED
    except KeyboardInterrupt:
        return endings.exit_code()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class Parser(argparse.ArgumentParser):
    """Answers a mistyped command with the nearest one."""

    def error(self, message: str) -> NoReturn:
        """Usage, the message, exit code 2."""
        if typed := re.search(r"invalid choice: '([^']+)' \(choose from (.+)\)", message):
            near = difflib.get_close_matches(typed[1], re.findall(r"[\w-]+", typed[2]), n=1, cutoff=0.5)
            message += f". Did you mean {near[0]!r}?" if near else ""
        super().error(message)


def parser() -> argparse.ArgumentParser:
    """All commands."""
    root = Parser(
        prog="quaestor",
        description="Quaestor trades, keeps the books, and can say why.",
        epilog="Data lives in QUAESTOR_HOME; settings in quaestor.toml. `quaestor COMMAND --help` shows an example.",
    )
    root.add_argument("--version", action="version", version=f"quaestor {__version__}")
    _add(root, COMMANDS)
    return root


def _add(parent: argparse.ArgumentParser, commands: Sequence[Command]) -> None:
    chosen = parent.add_subparsers(metavar="COMMAND", required=True)
    for command in commands:
        help_text = command.help[0].upper() + command.help[1:] + "."
        child = chosen.add_parser(
            command.name, help=command.help, description=help_text, epilog=f"Example: {command.example}"
        )
        for flags, settings in command.options:
            child.add_argument(*flags, **settings)
        if command.commands:
            _add(child, command.commands)
        else:
            child.set_defaults(where=command.where)


def _function(where: str) -> Callable[[argparse.Namespace], int]:
    module, _, name = where.partition(":")
    function: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(f"quaestor.console.{module}"), name)
    return function


if __name__ == "__main__":
    sys.exit(main())
