"""The vault, by hand: names and new values, never a value on the screen."""

from __future__ import annotations

import argparse
import getpass
import sys

from quaestor import wiring
from quaestor.console import output
from quaestor.errors import BadInput


def names(arguments: argparse.Namespace) -> int:
    """Names of the secrets."""
    found = wiring.configured_vault(wiring.load()).names()
    if arguments.json:
        output.print_json(found)
    else:
        sys.stdout.write("\n".join(found or ["The vault is empty."]) + "\n")
    return 0


def put(arguments: argparse.Namespace) -> int:
    """Store a secret: typed unseen, or read from a pipe."""
    value = getpass.getpass(f"{arguments.name}: ") if sys.stdin.isatty() else sys.stdin.read().removesuffix("\n")
    if not value:
        raise BadInput("An empty value is not stored; type it, or pipe it in.")
    secret = wiring.configured_vault(wiring.load()).set(arguments.name, value)
    sys.stdout.write(f"Stored {secret.name}, version {secret.version}.\n")
    return 0
