"""The log's proof, the report, an old bot's books, the database."""

from __future__ import annotations

from quaestor.console.commands.words import END, JSON, START, Command, option

KEEPING = (
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
                    option("--anchor", metavar="SEQ:HASH", help="an end of the chain that you kept elsewhere"),
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
            option("file", metavar="bot.db", help="the bot's database; it is never written to"),
            option("--map", metavar="map.toml", help="which table and column means what (default: a guess)"),
            option("--show-map", action="store_true", help="print the guess as a map to save and correct"),
            option("--yes", action="store_true", help="load with the guess, ask nothing"),
            option("--dry-run", action="store_true", help="do all of it, report, and undo it"),
            option("--timezone", metavar="ZONE", help="of times without one (default America/New_York)"),
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
                (option("--force", action="store_true", help="end it now, whoever uses it"),),
            ),
            Command("url", "db:url", "print the URI, password and all, for other tools", "psql $(quaestor db url)"),
        ),
    ),
)
