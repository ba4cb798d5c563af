"""The day's loop by hand, and what stops it."""

from __future__ import annotations

from quaestor.console.commands.words import END, JSON, START, Command, option

TRADING = (
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
            option("--flatten", action="store_true", help="also sell all that is held"),
            option("reason", help="why, for the books"),
            JSON,
        ),
    ),
    Command(
        "resume",
        "safety:resume",
        "end a halt",
        'quaestor resume "the broker has answered"',
        (option("reason", help="why, for the books"), JSON),
    ),
)
