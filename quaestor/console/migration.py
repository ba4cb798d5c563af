"""`quaestor secrets migrate`: an old bot's secrets, out of its .env and the environment into the vault."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quaestor import wiring
from quaestor.console import output
from quaestor.console.output import Column
from quaestor.custody import envs, found
from quaestor.custody.found import Variable
from quaestor.errors import BadInput
from quaestor.operations import secrets as keeping
from quaestor.operations.secrets import Moved

if TYPE_CHECKING:
    from quaestor.doors.env_file import EnvFile

ENVIRONMENT = "environment"
BY_HAND = "write the URL without its password: in quaestor.toml, [database] url and password_secret"


def migrate(arguments: argparse.Namespace) -> int:
    """Store, read back, compare, then say what to delete and where; by --delete, do it in the file."""
    loaded, mapped = wiring.load(), _mapped(arguments.map)
    file = _file(arguments.env_file)
    text = envs.text_of(file.content) if file else ""
    said = [Variable(one.name, one.value, _place(file.path, one), one) for one in envs.bindings(text)] if file else []
    around = [Variable(name, value, ENVIRONMENT) for name, value in sorted(os.environ.items())]
    _check_mapped(mapped, [*said, *around])
    finds = found.finds([*said, *around], loaded.config, mapped)
    moved = keeping.move(wiring.configured_vault(loaded), finds, dry_run=arguments.dry_run)
    gone = keeping.deletable(moved) if arguments.delete and not arguments.dry_run else []
    if file and gone:
        file.replace(envs.bytes_of(envs.without(text, [one.binding for one in gone if one.binding])))
    unclear = found.unclear(said, loaded.config, mapped)
    report = _report(moved, unclear, gone) | {"env_file": file and str(file.path), "dry_run": arguments.dry_run}
    output.print_json(report) if arguments.json else _tell(report)
    return int(not report["ok"])


def _mapped(pairs: Sequence[str]) -> dict[str, str]:
    for pair in pairs:
        if not re.fullmatch(r"[^=\s]+=[0-9A-Za-z-]+", pair):
            raise BadInput(
                f"--map {pair.partition('=')[0]}=…: write NAME=secret-name, such as POLYGON_KEY=polygon-key."
            )
    return dict(pair.split("=", 1) for pair in pairs)


def _check_mapped(mapped: Mapping[str, str], variables: Sequence[Variable]) -> None:
    if missing := [name for name in mapped if name not in {one.name for one in variables}]:
        raise BadInput(f"--map names {missing[0]}, which is neither in the file nor in the environment.")


def _file(named: str | None) -> EnvFile | None:
    """The file; None where none is named and none is here."""
    path = Path(named).expanduser() if named else Path(".env")
    return wiring.env_file(path) if named or path.exists() else None


def _place(path: Path | str, one: envs.Binding) -> str:
    return f"{path}:{one.line}" + (f"-{one.last_line}" if one.last_line > one.line else "")


def _report(moved: Sequence[Moved], unclear: Sequence[Variable], gone: Sequence[Variable]) -> dict[str, Any]:
    safe = [one.find for one in moved if one.safe or one.state == "to be stored"]
    left = [(find, said) for find in safe for said in find.variables if said not in gone]
    return {
        "ok": all(one.ok for one in moved),
        "secrets": [_of_secret(one) for one in moved],
        "unclear": [
            {"name": one.name, "where": _now_at(one, gone), "cure": f"--map {one.name}={found.our_name(one.name)}"}
            for one in unclear
        ],
        "delete": [
            {"name": said.name, "where": _now_at(said, gone), "how": _how(said, by_hand=said.name in find.of_url)}
            for find, said in sorted(left, key=lambda pair: _order(pair[1]))
        ],
        "deleted": [{"name": said.name, "where": said.where} for said in sorted(gone, key=_order)],
    }


def _of_secret(one: Moved) -> dict[str, Any]:
    return {
        "name": one.find.secret,
        "state": one.state,
        "version": one.version,
        "from": [f"{said.where} {said.name}" for said in one.find.variables],
        "problem": one.problem,
        "cure": one.cure,
    }


def _order(said: Variable) -> int:
    return said.binding.line if said.binding else sys.maxsize


def _now_at(said: Variable, gone: Sequence[Variable]) -> str:
    """Where it stands once those are gone."""
    if said.binding is None:
        return said.where
    before = [one.binding for one in gone if one.binding and one.binding.line < said.binding.line]
    up = sum(one.last_line - one.line + 1 for one in before)
    moved = replace(said.binding, line=said.binding.line - up, last_line=said.binding.last_line - up)
    return _place(said.where.rpartition(":")[0], moved)


def _how(said: Variable, *, by_hand: bool) -> str:
    if by_hand:
        return BY_HAND
    if said.binding:
        lines = "these lines" if said.binding.last_line > said.binding.line else "this line"
        return f"delete {lines}, or say --delete"
    return f"`unset {said.name}`, and take its export out of where it is set: ~/.profile, ~/.bashrc, a service's unit"


def _tell(report: Mapping[str, Any]) -> None:
    columns = [
        Column("state", "", style=lambda state: "red" if state in {"differs", "refused"} else "green"),
        Column("name", "secret"),
        Column("version", "version", output.text, right=True),
        Column("from", "found in", "\n".join, fold=True),
        Column("problem", "problem", output.text, fold=True),
        Column("cure", "cure", output.text, fold=True),
    ]
    output.table(report["secrets"], columns, empty="No secret that we know was found.")
    for title, rows in (
        ("Deleted", report["deleted"]),
        ("Now delete", report["delete"]),
        ("Unclear", report["unclear"]),
    ):
        pairs = [(f"{row['where']} {row['name']}", row.get("how") or row.get("cure") or "") for row in rows]
        if pairs:
            output.facts(pairs, f"{'After that, delete' if report['dry_run'] and title == 'Now delete' else title}:")
    if report["deleted"] or report["delete"]:
        sys.stdout.write(
            "Was the file ever committed or backed up (git log --all -- .env)? Then whoever has that has the secrets: "
            "change them at the vendors.\n"
        )
