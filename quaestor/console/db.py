"""The database, by hand: upgrade, status, start, stop, and where it is."""

from __future__ import annotations

import argparse
import sys

from quaestor import wiring
from quaestor.console import output


def upgrade(arguments: argparse.Namespace) -> int:
    """Bring the schema up to date; safe to run again."""
    del arguments
    loaded = wiring.load()
    with wiring.uri(loaded, create=True) as uri:
        sys.stdout.write(f"The database is at revision {wiring.upgrade(uri)}.\n")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Where the database is and whether it runs."""
    loaded = wiring.load()
    facts = wiring.database_facts(loaded)
    if arguments.json:
        output.print_json(facts)
        return 0
    output.facts([(name.replace("_", " "), output.text(value)) for name, value in facts.items()])
    return 0


def start(arguments: argparse.Namespace) -> int:
    """Start the embedded server and keep it running until `quaestor db stop`."""
    del arguments
    server = wiring.embedded(wiring.load())
    server.pin()
    sys.stdout.write("The embedded PostgreSQL runs until `quaestor db stop`.\n")
    return 0


def stop(arguments: argparse.Namespace) -> int:
    """Let the embedded server end with its last user; --force ends it now."""
    server = wiring.embedded(wiring.load())
    server.unpin()
    if arguments.force:
        server.stop()
    users = server.status().users
    sys.stdout.write(f"{users} processes still use it; it ends with the last.\n" if users else "It is stopped.\n")
    return 0


def url(arguments: argparse.Namespace) -> int:
    """Print the URI for psql and other tools, while the server runs (the password is in it)."""
    del arguments
    with wiring.uri(wiring.load()) as uri:
        sys.stdout.write(f"{uri}\n")
    return 0
