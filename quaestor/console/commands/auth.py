"""The broker's login."""

from __future__ import annotations

from quaestor.console.commands.words import JSON, Command, count, option

LOGIN = option("--login", metavar="ALIAS", help="whose login (default: as configured under [robinhood])")

AUTH = (
    Command(
        "auth",
        "",
        "the broker's login: seed, code, import, oauth, crypto-keys, status, refresh, rehearse",
        "quaestor auth seed",
        commands=(
            Command(
                "seed",
                "auth:seed",
                "log in once, with your phone at hand; tokens are kept and changed from then on",
                "quaestor auth seed",
                (
                    option(
                        "--typed", action="store_true", help="type user name and password, though the vault has them"
                    ),
                    LOGIN,
                    JSON,
                ),
            ),
            Command(
                "code",
                "auth:code",
                "hand the code that you were sent to the login that waits for it, typed unseen or piped in",
                "quaestor auth code main",
                (option("login", nargs="?", metavar="ALIAS", help="whose login (default: as configured)"),),
            ),
            Command(
                "import",
                "auth:import_",
                "take over a browser's session: the value of web:auth_state in its local storage",
                "quaestor auth import --file session.json",
                (
                    option("--file", default="-", metavar="FILE", help="where it is (default -: what is piped in)"),
                    LOGIN,
                    JSON,
                ),
            ),
            Command(
                "oauth",
                "auth_oauth:oauth",
                "log in to the official Agentic channel: agree in your browser, once",
                "quaestor auth oauth",
                (
                    option(
                        "--paste", action="store_true", help="the browser is on another machine: paste where it ends"
                    ),
                    option("--login", metavar="ALIAS", help="whose login (default: as under [robinhood_agentic])"),
                    JSON,
                ),
            ),
            Command(
                "crypto-keys",
                "auth_crypto:make",
                "make a pair of keys for the Crypto Trading API: the private one goes into the vault, the public one "
                "is shown, to enter at Robinhood",
                "quaestor auth crypto-keys",
                (JSON,),
            ),
            Command(
                "status",
                "auth:status",
                "how the login stands, until when the token lives, and what a person is to do",
                "quaestor auth status",
                (LOGIN, JSON),
            ),
            Command(
                "refresh",
                "auth:refresh",
                "change the tokens where that is due",
                "quaestor auth refresh --now",
                (option("--now", action="store_true", help="though it is not due yet"), LOGIN, JSON),
            ),
            Command(
                "rehearse",
                "rehearse_auth:rehearse",
                "play months of a login in seconds, with all that may go wrong, against protocol servers of Robinhood "
                "and Azure Key Vault; nothing of yours is touched. The one fault that a person must heal, "
                "chain_broken, is played after those days, and what he does then is counted there",
                "quaestor auth rehearse --days 90 --faults all",
                (
                    option("--days", type=count, default=90, metavar="N", help="how many days (default 90)"),
                    option(
                        "--faults",
                        default="all",
                        metavar="NAMES",
                        help="all, none, or names with commas between, such as reply_lost,vault_down (default all)",
                    ),
                    option("--seed", type=int, default=0, metavar="N", help="draws when what goes wrong (default 0)"),
                    JSON,
                ),
            ),
        ),
    ),
)
