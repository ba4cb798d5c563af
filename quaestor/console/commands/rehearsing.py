"""Protocol servers, and faults on purpose."""

from __future__ import annotations

from quaestor.console.commands.words import JSON, Command, clock, count, option, recording

REHEARSING = (
    Command(
        "sim",
        "",
        "protocol servers on this machine: of feeds, brokers and vaults",
        "quaestor sim feed --symbols AAPL,MSFT",
        commands=(
            Command(
                "feed",
                "sim:feed",
                "serve ticks as a vendor's stream does, to its real clients; any key will do",
                "quaestor sim feed --symbols AAPL,MSFT --at 2026-11-20T14:30:00Z --from recorded",
                (
                    option("--vendor", choices=("alpaca", "kraken"), default="alpaca", help="whose (default alpaca)"),
                    option("--symbols", default="AAPL,MSFT", metavar="A,B", help="of which (default AAPL,MSFT)"),
                    option("--port", type=int, default=0, help="on which port (default: a free one)"),
                    option("--at", type=clock, metavar="TIME", help="its clock starts there (default: now)"),
                    option("--speed", type=float, default=1.0, metavar="X", help="its clock runs that fast"),
                    option("--rate", type=float, metavar="N", help="ticks a second (default: 1000, or in their time)"),
                    option(
                        "--from",
                        dest="source",
                        type=recording,
                        default="synthetic",
                        metavar="WHAT",
                        help="synthetic, recorded[:DATE], minutes:DATE or ticks:DATE (default synthetic)",
                    ),
                ),
            ),
            Command(
                "keyvault",
                "sim_keyvault:serve",
                "serve an Azure Key Vault, empty, and this machine's managed identity; says what to configure",
                "quaestor sim keyvault --port 8443 --folder /tmp/keyvault",
                (
                    option("--port", type=int, default=0, help="of the vault (default: a free one)"),
                    option("--identity-port", type=int, default=0, help="of the identity (default: a free one)"),
                    option(
                        "--folder",
                        default=".quaestor/keyvault",
                        metavar="DIR",
                        help="where its certificate lies (default .quaestor/keyvault)",
                    ),
                ),
            ),
            Command(
                "robinhood",
                "sim_robinhood:serve",
                "serve a ready person's account as Robinhood's private API does; prices move, a phone answers",
                "quaestor sim robinhood --symbols AAPL,MSFT --always-open --approve by-hand",
                (
                    option("--symbols", default="AAPL,MSFT", metavar="A,B", help="of which (default AAPL,MSFT)"),
                    option("--port", type=int, default=0, help="on which port (default: a free one)"),
                    option("--at", type=clock, metavar="TIME", help="its clock starts there (default: now)"),
                    option("--speed", type=float, default=1.0, metavar="X", help="its clock runs that fast"),
                    option(
                        "--rate", type=float, default=20.0, metavar="N", help="ticks a second, made up (default 20)"
                    ),
                    option("--cash", default="25000", metavar="DOLLARS", help="in the account (default 25000)"),
                    option("--always-open", action="store_true", help="it trades at night and on weekends, too"),
                    option(
                        "--approve",
                        choices=("approve", "refuse", "never", "by-hand", "code"),
                        default="approve",
                        help="what the phone does about a new device; code: it gets a code (default approve)",
                    ),
                    option("--tokens", action="store_true", help="say tokens as a browser has them, for `auth import`"),
                    option(
                        "--from",
                        dest="source",
                        type=recording,
                        default="synthetic",
                        metavar="WHAT",
                        help="synthetic, recorded[:DATE], minutes:DATE or ticks:DATE (default synthetic)",
                    ),
                ),
            ),
            Command(
                "robinhood-crypto",
                "sim_robinhood_crypto:serve",
                "serve an account as Robinhood's Crypto Trading API does, to the keys in the vault",
                "quaestor sim robinhood-crypto --make-keys --cash 10000 --quotes BTC-USD=64000/64010",
                (
                    option("--port", type=int, default=0, help="on which port (default: a free one)"),
                    option("--cash", default="10000", metavar="DOLLARS", help="in the account (default 10000)"),
                    option(
                        "--quotes",
                        default="BTC-USD=64000/64010,ETH-USD=2499/2501",
                        metavar="A=BID/ASK,…",
                        help="where the market stands (default BTC-USD=64000/64010,ETH-USD=2499/2501)",
                    ),
                    option("--make-keys", action="store_true", help="put keys into the vault where there are none"),
                ),
            ),
            Command(
                "robinhood-agentic",
                "sim_robinhood_agentic:serve",
                "serve an account as Robinhood's Agentic Trading channel does, to whoever logs in there",
                "quaestor sim robinhood-agentic --quotes AAPL=189.50/189.54 --port 8710",
                (
                    option("--port", type=int, default=0, help="on which port (default: a free one)"),
                    option("--cash", default="10000", metavar="DOLLARS", help="in the account (default 10000)"),
                    option(
                        "--quotes",
                        default="AAPL=189.50/189.54,MSFT=420.10/420.16",
                        metavar="A=BID/ASK,…",
                        help="where the market stands (default AAPL=189.50/189.54,MSFT=420.10/420.16)",
                    ),
                    option("--approve", action="store_true", help="each order waits until its owner approves it"),
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
                    option("scenario", help="a scenario's name, or all"),
                    option("--runs", type=count, default=60, metavar="N", help="of those that have several (60)"),
                    option("--seed", type=int, default=1, help="of what is drawn by chance (default 1)"),
                    JSON,
                ),
            ),
            Command(
                "simulate",
                "simulate:simulate",
                "play sessions under faults by the thousand, in memory; a failing seed is told and replays",
                "quaestor chaos simulate --runs 10000",
                (
                    option("--runs", type=count, default=1000, metavar="N", help="seeds to play (default 1000)"),
                    option("--seed", type=int, default=0, metavar="N", help="the first of them (default 0)"),
                    JSON,
                ),
            ),
        ),
    ),
)
