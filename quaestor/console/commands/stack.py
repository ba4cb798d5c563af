"""The installation: parts, the demo, Prefect's stack."""

from __future__ import annotations

from quaestor.console.commands.words import JSON, Command, option

RUNNING = (
    Command("doctor", "doctor:doctor", "check every part and say the cure", "quaestor doctor", (JSON,)),
    Command(
        "demo",
        "demo:demo",
        "run the whole loop on recorded prices, or show the last demo",
        "quaestor demo --last --json",
        (option("--last", action="store_true", help="show the last demo's summary, run nothing"), JSON),
    ),
    Command("up", "stack:up", "start database, Prefect, worker and schedules, and leave them running", "quaestor up"),
    Command("down", "stack:down", "end everything that `up` started", "quaestor down"),
    Command(
        "drain",
        "stack:drain",
        "let running flows end, then stop the worker",
        "quaestor drain --patience 300",
        (option("--patience", type=float, default=600.0, metavar="SECONDS", help="how long to wait (default 600)"),),
    ),
    Command(
        "run",
        "stack:run",
        "start a deployment by name",
        "quaestor run backfill/manual symbols=AAPL,IBM start=2012-01-03 end=2012-12-31 --wait 300",
        (
            option("deployment", help="flow/deployment, such as ingest/recorded"),
            option("fields", nargs="*", metavar="name=value", help="fields of the flow's form"),
            option("--wait", type=float, metavar="SECONDS", help="wait for it to end"),
        ),
    ),
    Command("status", "stack:status", "what stands where", "quaestor status --json", (JSON,)),
)
