"""The console in the tests' own process: what a command says and does, without a second of imports for each.

What only a process of its own shows (exit codes at the shell, signals, terminals, what is imported) is tested there.
"""

from __future__ import annotations

import io
import logging
import signal
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess

import pytest

from quaestor.console.cli import main


def quaestor(*arguments: str, environment: Mapping[str, str], typed: str = "") -> CompletedProcess[str]:
    """Run a command with these variables set, and this on its standard input, as `subprocess.run` would."""
    said, complained, terminate = io.StringIO(), io.StringIO(), signal.getsignal(signal.SIGTERM)
    warns, root = logging.lastResort, logging.getLogger()
    assert warns is not None
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(complained):
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed.encode()), encoding="utf-8"))
        root.addHandler(warns)  # writes to standard error where nothing else is configured, as here pytest is
        try:
            code = main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            root.removeHandler(warns)
            signal.signal(signal.SIGTERM, terminate)
    return CompletedProcess(["quaestor", *arguments], code, said.getvalue(), complained.getvalue())
