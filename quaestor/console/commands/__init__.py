"""All commands of `quaestor`, by subject, in the order that `--help` lists them."""

from __future__ import annotations

from quaestor.console.commands.auth import AUTH
from quaestor.console.commands.books import BOOKS
from quaestor.console.commands.keeping import KEEPING
from quaestor.console.commands.live import LIVE
from quaestor.console.commands.market import MARKET
from quaestor.console.commands.rehearsing import REHEARSING
from quaestor.console.commands.secrets import SECRETS
from quaestor.console.commands.stack import RUNNING
from quaestor.console.commands.trading import TRADING

COMMANDS = (*RUNNING, *BOOKS, *MARKET, *TRADING, *LIVE, *REHEARSING, *KEEPING, *SECRETS, *AUTH)
