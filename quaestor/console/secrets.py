"""Secrets, by hand: names, versions, ends and problems; never a value on the screen."""

from __future__ import annotations

import argparse
import datetime as dt
import getpass
import sys
from dataclasses import asdict
from pathlib import Path

from quaestor import wiring
from quaestor.console import output
from quaestor.console.output import Column
from quaestor.custody import checks
from quaestor.custody.needs import Need, needs, shape_of
from quaestor.errors import BadInput
from quaestor.operations import secrets as keeping
from quaestor.ports_secrets import Secret


def show(arguments: argparse.Namespace) -> int:
    """What there is, without values."""
    rows = [
        {
            "name": info.name,
            "version": info.version,
            "created_at": info.created_at,
            "expires_at": info.expires_at,
            "enabled": info.enabled,
            "tags": dict(info.tags),
        }
        for info in keeping.listed(wiring.configured_vault(wiring.load()))
    ]
    if arguments.json:
        output.print_json(rows)
        return 0
    columns = [
        Column("name", "name"),
        Column("version", "version", right=True),
        Column("created_at", "created", _when),
        Column("expires_at", "expires", _when),
        Column("enabled", "enabled", lambda enabled: "yes" if enabled else "no"),
        Column(
            "tags", "tags", lambda tags: ", ".join(f"{key}={value}" for key, value in tags.items()) or "–", fold=True
        ),
    ]
    output.table(rows, columns, empty="The vault is empty.")
    return 0


def put(arguments: argparse.Namespace) -> int:
    """Store a secret: typed unseen, out of a file, or read from a pipe."""
    vault = wiring.configured_vault(wiring.load())
    value, tags = _value(arguments), _tags(arguments)
    _stored(vault.set(arguments.name, value, expires_at=arguments.expires, tags=tags), value, tags)
    return 0


def rotate(arguments: argparse.Namespace) -> int:
    """A secret's next value; or, by --key, another key of the local vault."""
    loaded = wiring.load()
    if arguments.key == bool(arguments.name):
        raise BadInput("Name the secret, or say --key for the vault's own key.")
    if arguments.key:
        wiring.rotate_vault_key(loaded)
        sys.stdout.write("The vault has a new key; a backup of the old key opens only old backups of the vault.\n")
        return 0
    if shape_of(arguments.name) in {"access", "refresh", "spool"}:
        raise BadInput(f"{arguments.name} is changed by the refresher, and by a person with `quaestor auth seed`.")
    vault = wiring.configured_vault(loaded)
    vault.versions(arguments.name)  # unknown: said before anybody types
    value, tags = _value(arguments), _tags(arguments)
    _stored(keeping.renew(vault, arguments.name, value, arguments.expires, tags), value, tags)
    _say_users(_need(loaded, arguments.name))
    return 0


def check(arguments: argparse.Namespace) -> int:
    """The vault, and every secret that the configuration names; the exit code is 1 where one will not do."""
    loaded = wiring.load()
    problem, verdicts = keeping.examine(wiring.configured_vault(loaded), needs(loaded.config), dt.datetime.now(dt.UTC))
    vault = {**wiring.vault_place(loaded), "ok": problem is None, "problem": problem}
    ok = problem is None and all(verdict.ok for verdict in verdicts)
    if arguments.json:
        output.print_json({"ok": ok, "vault": vault, "secrets": [asdict(verdict) for verdict in verdicts]})
    else:
        sys.stdout.write(f"Vault: {vault['kind']}, {vault['where']}: {problem or 'ok'}\n")
        _show_verdicts(verdicts)
    return int(not ok)


def delete(arguments: argparse.Namespace) -> int:
    """Take a secret out."""
    loaded = wiring.load()
    wiring.configured_vault(loaded).delete(arguments.name)
    sys.stdout.write(f"Deleted {arguments.name}. `quaestor secrets recover {arguments.name}` brings it back.\n")
    if need := _need(loaded, arguments.name):
        sys.stdout.write(f"It is still named by: {', '.join(need.used_by)}.\n")
    return 0


def recover(arguments: argparse.Namespace) -> int:
    """Bring back a secret that was deleted."""
    wiring.configured_vault(wiring.load()).recover(arguments.name)
    sys.stdout.write(f"Recovered {arguments.name}.\n")
    return 0


def _value(arguments: argparse.Namespace) -> str:
    """As `_given`; raises BadInput for a login or a token that is in no form of theirs."""
    value, shape = _given(arguments), shape_of(arguments.name)
    if shape != "text" and (problem := checks.misshapen(shape, value)):
        raise BadInput(f"{arguments.name}: {problem}; it was not stored.")
    return value


def _given(arguments: argparse.Namespace) -> str:
    """As typed, or with one newline less than the pipe or file has, unless it is to be exact."""
    if arguments.from_file is None and sys.stdin.isatty():
        try:
            return getpass.getpass(f"{arguments.name}: ")
        except EOFError:
            raise BadInput("Nothing was typed, and nothing was stored.") from None
    text = _text(arguments)
    cut = text if arguments.exact else text.removesuffix("\n")
    if cut == text:
        return text
    sys.stderr.write("quaestor: the newline at its end was left out; --exact keeps it.\n")
    return cut.removesuffix("\r")


def _text(arguments: argparse.Namespace) -> str:
    where = arguments.from_file or "what was piped in"
    try:
        content = Path(where).expanduser().read_bytes() if arguments.from_file else sys.stdin.buffer.read()
        return content.decode()
    except UnicodeDecodeError:
        raise BadInput(f"{where} is no UTF-8 text; encode it first, as base64.") from None
    except OSError as error:
        raise BadInput(f"{where} cannot be read ({error.strerror}).") from None


def _tags(arguments: argparse.Namespace) -> dict[str, str] | None:
    return {checks.EXACT: "true"} if arguments.exact else None


def _stored(secret: Secret, value: str, tags: dict[str, str] | None) -> None:
    sys.stdout.write(f"Stored {secret.name}, version {secret.version}.\n")
    if tags is None and (problem := checks.pasted(value)):
        sys.stderr.write(f"quaestor: look at it again: {problem}.\n")


def _need(loaded: wiring.Loaded, name: str) -> Need | None:
    return next((need for need in needs(loaded.config) if need.name == name), None)


def _say_users(need: Need | None) -> None:
    if need is None:
        sys.stdout.write("The configuration names it nowhere. At the vendor, revoke the old one.\n")
        return
    sys.stdout.write(f"Used by: {', '.join(need.used_by)}; who runs takes it when it asks or connects next.\n")
    sys.stdout.write(f"{need.after}\n")


def _show_verdicts(verdicts: list[checks.Verdict]) -> None:
    columns = [
        Column("seen", "", style=lambda seen: {"ok": "green", "soon": "yellow"}.get(seen, "red")),
        Column("name", "name"),
        Column("used_by", "used by", ", ".join, fold=True),
        Column("version", "version", output.text, right=True),
        Column("expires_at", "expires", _when),
        Column("problem", "problem", output.text, fold=True),
        Column("cure", "cure", output.text, fold=True),
    ]
    rows = [
        asdict(verdict) | {"seen": ("soon" if verdict.problem else "ok") if verdict.ok else "fail"}
        for verdict in verdicts
    ]
    output.table(rows, columns, empty="The configuration names no secret.")


def _when(time: dt.datetime | None) -> str:
    return "–" if time is None else f"{time.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
