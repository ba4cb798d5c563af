"""Secrets."""

from __future__ import annotations

from quaestor.console.commands.words import JSON, Command, moment, option

NAME = option("name", help="the secret's name")
VALUE = (
    option("--expires", type=moment, metavar="TIME", help="when it ends, such as 2027-03-01T16:00-05:00"),
    option("--from-file", metavar="FILE", help="read it out of a file, not typed and not piped in"),
    option("--exact", action="store_true", help="keep a newline at its end, and no question about white space later"),
)

SECRETS = (
    Command(
        "secrets",
        "",
        "secrets in the vault: list, set, rotate, check, delete, recover, migrate",
        "quaestor secrets check",
        commands=(
            Command("list", "secrets:show", "their names, versions and ends", "quaestor secrets list", (JSON,)),
            Command(
                "set",
                "secrets:put",
                "store a secret, typed unseen or piped in",
                "quaestor secrets set database-password < file",
                (NAME, *VALUE),
            ),
            Command(
                "rotate",
                "secrets:rotate",
                "store a secret's next value and say what becomes of the old one; or the vault's own key",
                "quaestor secrets rotate alpaca-key",
                (
                    option("name", nargs="?", help="the secret's name"),
                    option("--key", action="store_true", help="encrypt the local vault with a new key"),
                    *VALUE,
                ),
            ),
            Command(
                "check",
                "secrets:check",
                "whether every secret that the configuration names is there and will do",
                "quaestor secrets check",
                (JSON,),
            ),
            Command(
                "delete",
                "secrets:delete",
                "take a secret out; recover brings it back",
                "quaestor secrets delete otlp",
                (NAME,),
            ),
            Command(
                "recover", "secrets:recover", "bring back what was deleted", "quaestor secrets recover otlp", (NAME,)
            ),
            Command(
                "migrate",
                "migration:migrate",
                "move an old bot's secrets out of its .env and the environment into the vault",
                "quaestor secrets migrate --env-file ~/bot/.env --dry-run",
                (
                    option("--env-file", metavar="FILE", help="the bot's (default: .env here, where there is one)"),
                    option(
                        "--map",
                        action="append",
                        default=[],
                        metavar="NAME=secret-name",
                        help="a variable that we do not know, and the secret that it is; again for more",
                    ),
                    option("--dry-run", action="store_true", help="store nothing, say what would be"),
                    option("--delete", action="store_true", help="take the lines out of the file that the vault has"),
                    JSON,
                ),
            ),
        ),
    ),
)
