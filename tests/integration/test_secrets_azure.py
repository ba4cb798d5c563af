"""`quaestor secrets` on an Azure Key Vault, as the configuration names it: a local server, Microsoft's own client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from quaestor.doors.sim.keyvault import USER, KeyVaultServer, Place
from tests.integration.in_process import quaestor

VALUE = "swordfish-4711"


@pytest.fixture(scope="module")
def server() -> KeyVaultServer:
    return KeyVaultServer()


@pytest.fixture(scope="module")
def place(server: KeyVaultServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with server.open(tmp_path_factory.mktemp("keyvault")) as found:
        yield found


@pytest.fixture
def configured(place: Place, tmp_path: Path) -> dict[str, str]:
    """The environment of a machine whose vault is that one; the account `main` trades at Robinhood."""
    (tmp_path / "quaestor.toml").write_text(
        f"""
[account]
alias = "main"
[broker]
kind = "robinhood"
[market]
source = "alpaca"
[vault]
kind = "azure"
url = "{place.url}"
certificate = "{place.certificate}"
""",
        encoding="utf-8",
    )
    return {"QUAESTOR_HOME": str(tmp_path), **place.environment}


def secrets(around: dict[str, str], *words: str, typed: str = "") -> CompletedProcess[str]:
    """A command; no value in what it says."""
    done = quaestor("secrets", *words, environment=around, typed=typed)
    assert VALUE not in done.stdout + done.stderr
    return done


def checked(around: dict[str, str]) -> tuple[dict[str, Any], dict[str, tuple[bool, str | None]]]:
    """The vault's own verdict, and those of the secrets by name."""
    said = json.loads(secrets(around, "check", "--json").stdout)
    return said["vault"], {one["name"]: (one["ok"], one["problem"]) for one in said["secrets"]}


def test_a_secrets_life_is_the_same_there(server: KeyVaultServer, configured: dict[str, str], place: Place) -> None:
    assert secrets(configured, "set", "alpaca-key", typed=f"{VALUE}\n").stdout.startswith("Stored alpaca-key, version ")
    assert secrets(configured, "rotate", "alpaca-key", typed=f"{VALUE}2").returncode == 0
    (row,) = json.loads(secrets(configured, "list", "--json").stdout)
    assert (row["name"], row["enabled"]) == ("alpaca-key", True)
    vault, verdicts = checked(configured)
    assert vault == {"kind": "azure", "where": place.url, "ok": True, "problem": None}
    assert verdicts["alpaca-key"] == (True, None)
    assert verdicts["alpaca-secret"] == (False, "it is not in the vault")
    server.disable("alpaca-key")
    ok, problem = checked(configured)[1]["alpaca-key"]
    assert (ok, "disabled" in str(problem)) == (False, True)
    assert secrets(configured, "delete", "alpaca-key").returncode == 0
    assert secrets(configured, "set", "alpaca-key", typed=VALUE).returncode == 1
    assert secrets(configured, "recover", "alpaca-key").returncode == 0


def test_a_role_that_may_not_read_the_refreshers_is_told_of_that_alone(
    server: KeyVaultServer, configured: dict[str, str], tmp_path: Path
) -> None:
    for name in ("alpaca-key", "alpaca-secret"):
        secrets(configured, "set", name, typed=VALUE)
    server.identity.allow("worker", USER, "alpaca-key", "alpaca-secret")
    file = tmp_path / "quaestor.toml"
    file.write_text(file.read_text(encoding="utf-8") + 'client_id = "worker"\n', encoding="utf-8")
    vault, verdicts = checked(configured)
    assert vault["ok"]
    assert (verdicts["alpaca-key"], verdicts["alpaca-secret"]) == ((True, None), (True, None))
    ok, problem = verdicts["rh-main-refresh"]
    assert (ok, "Key Vault Secrets User" in str(problem)) == (False, True), problem


def test_an_old_bots_secrets_are_moved_there_once(configured: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"RH_USER=joe\nRH_PASS={VALUE}\nDEBUG=1\n", encoding="utf-8")
    for state in ("stored", "there"):
        done = secrets(configured, "migrate", "--env-file", str(file), "--json")
        (row,) = json.loads(done.stdout)["secrets"]
        assert (row["name"], row["state"]) == ("rh-main-login", state)
    assert secrets(configured, "migrate", "--env-file", str(file), "--delete").returncode == 0
    assert file.read_text(encoding="utf-8") == "DEBUG=1\n"
