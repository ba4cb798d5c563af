"""The live run, its triggers, its window, its replay."""

from __future__ import annotations

from quaestor.console.commands.words import JSON, RULE, TRIGGER, Command, clock, count, limit, option

LIVE = (
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
                    option("--at", type=clock, metavar="TIME", help="rehearse: the clock starts there (paper only)"),
                    option("--speed", type=float, default=1.0, metavar="X", help="a rehearsal's clock runs that fast"),
                    option("--feed", metavar="URL", help="another feed's address than the configured one's"),
                    option("--sessions", type=count, metavar="N", help="end after so many sessions have closed"),
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
                    (option("reason", nargs="?", default="", help="why, for the books"), JSON),
                )
                for name, help_text, why in (
                    ("arm", "let the runner trade", "the news is out"),
                    ("hold", "enter nothing new; exits go on", "waiting for the news"),
                    ("flatten", "sell what is held and enter nothing new", "the feed is not to be trusted"),
                    ("stop", "end the runner", "maintenance"),
                )
            ),
            Command("runs", "live_control:runs", "live runs, newest first", "quaestor live runs", (limit(20), JSON)),
            Command(
                "watch",
                "live_control:watch",
                "what happens, a line each, until Ctrl-C",
                "quaestor live watch --kinds order,fill",
                (option("--kinds", default="", metavar="KIND,KIND", help="only these (default: all)"),),
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
                (option("trigger", nargs="?", help="only of this one"), limit(20), JSON),
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
            option("--host", default="127.0.0.1", help="the address to listen at (default 127.0.0.1: this machine)"),
            option("--port", type=count, default=4210, metavar="N", help="the port (default 4210; 0: a free one)"),
            option(
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
            option("run", metavar="RUN", help="the run's id, its first characters, last, or its journal's folder"),
            option(
                "--with",
                dest="changes",
                action="append",
                metavar="KEY=VALUE",
                help="change risk.LIMIT, strategy.NAME.PARAMETER or trigger.ID.condition.level first; may be repeated",
            ),
            option("--slippage", action="store_true", help="compare its fills with the paper broker's model instead"),
            JSON,
        ),
    ),
)
