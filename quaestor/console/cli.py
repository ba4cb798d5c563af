"""`quaestor`: what a person types. Each command says what it does and shows an example; errors are one or two lines."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from quaestor import __version__
from quaestor.console import endings
from quaestor.console.commands import COMMANDS
from quaestor.console.commands.words import Command
from quaestor.errors import QuaestorError, Temporary

EXIT_FAILED = 1
FORMER = {"vault": "secrets"}  # commands by the names that they once had
EXIT_TRY_AGAIN = 75  # sysexits.h: EX_TEMPFAIL


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; the exit code is 0, 1 for an error, 75 for one that may pass by itself."""
    parsed = parser().parse_args(arguments)
    endings.listen()
    try:
        return _function(parsed.where)(parsed)
    except QuaestorError as error:
        sys.stderr.write(f"quaestor: {error}\n")
        return EXIT_TRY_AGAIN if isinstance(error, Temporary) else EXIT_FAILED
    except ImportError as error:
        missing = error.name or "a package"
        sys.stderr.write(
            f"quaestor: {missing} cannot be imported ({error}). Run `make setup`, then `quaestor doctor`.\n"
        )
        return EXIT_FAILED
    except KeyboardInterrupt:
        return endings.exit_code()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class Parser(argparse.ArgumentParser):
    """Answers a mistyped command with the nearest one."""

    def error(self, message: str) -> NoReturn:
        """Usage, the message, exit code 2."""
        if typed := re.search(r"invalid choice: '([^']+)' \(choose from (.+)\)", message):
            there = re.findall(r"[\w-]+", typed[2])
            near = difflib.get_close_matches(typed[1], there, n=1, cutoff=0.5)
            if (now := FORMER.get(typed[1])) in there:
                message += f". It is called {now!r} now"
            elif near:
                message += f". Did you mean {near[0]!r}?"
        super().error(message)


def parser() -> argparse.ArgumentParser:
    """All commands."""
    root = Parser(
        prog="quaestor",
        description="Quaestor trades, keeps the books, and can say why.",
        epilog="Data lives in QUAESTOR_HOME; settings in quaestor.toml. `quaestor COMMAND --help` shows an example.",
    )
    root.add_argument("--version", action="version", version=f"quaestor {__version__}")
    _add(root, COMMANDS)
    return root


def _add(parent: argparse.ArgumentParser, commands: Sequence[Command]) -> None:
    chosen = parent.add_subparsers(metavar="COMMAND", required=True)
    for command in commands:
        help_text = command.help[0].upper() + command.help[1:] + "."
        child = chosen.add_parser(
            command.name, help=command.help, description=help_text, epilog=f"Example: {command.example}"
        )
        for flags, settings in command.options:
            child.add_argument(*flags, **settings)
        if command.commands:
            _add(child, command.commands)
        else:
            child.set_defaults(where=command.where)


def _function(where: str) -> Callable[[argparse.Namespace], int]:
    module, _, name = where.partition(":")
    function: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(f"quaestor.console.{module}"), name)
    return function


if __name__ == "__main__":
    sys.exit(main())
