"""Azure Key Vault by hand: a vault and a managed identity on this machine, for the real client libraries."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quaestor import wiring
from quaestor.errors import BadInput

if TYPE_CHECKING:
    from quaestor.doors.sim.keyvault import Place


def serve(arguments: argparse.Namespace) -> int:
    """Serve until told to end; the first lines say what to put where."""
    folder = Path(arguments.folder).expanduser().resolve()
    try:
        with wiring.key_vault_server().open(folder, arguments.port, arguments.identity_port) as place:
            sys.stdout.write(told(place))
            sys.stdout.flush()
            _wait()
    except (OSError, OverflowError) as error:
        raise BadInput(f"The Key Vault cannot be served: {error}. Choose other ports or another --folder.") from error
    return 0


def told(place: Place) -> str:
    """What a person puts into the environment and into quaestor.toml."""
    exported = "".join(f"export {name}={value}\n" for name, value in place.environment.items())
    said = f'[vault]\nkind = "azure"\nurl = "{place.url}"\ncertificate = "{place.certificate}"\n'
    return f"# environment: this machine's managed identity\n{exported}\n# quaestor.toml\n{said}"


def _wait() -> None:
    ended = threading.Event()

    def end(*_: Any) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    ended.wait()
