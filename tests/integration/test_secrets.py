"""`quaestor secrets`: what a person types, and that no value ever comes back."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from quaestor import wiring
from quaestor.console import doctor
from quaestor.doors.env_file import EnvFile
from quaestor.doors.vault_local import LocalVault
from quaestor.errors import BadInput
from tests.integration.in_process import quaestor

VALUE = "swordfish-4711"
BOT = f"""\
# the bot's
DEBUG=1
ROBINHOOD_USERNAME=joe@example.com
export ROBINHOOD_PASSWORD='{VALUE} #1'
CERT="-----BEGIN
-----END"
ALPACA_API_KEY={VALUE}   # paper
POLYGON_KEY={VALUE}
DATABASE_URL=postgresql://bot:{VALUE}@localhost/bot
LAST=1"""


class Desk:
    """A data folder, and commands in it; what any of them says is held against the secret."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.bot = folder / ".env"
        self.vault = LocalVault(self.home)

    def configure(self, text: str) -> None:
        (self.home / "quaestor.toml").write_text(text, encoding="utf-8")

    def run(self, *words: str, typed: str = "", **environment: str) -> CompletedProcess[str]:
        around = {"QUAESTOR_HOME": str(self.home), **environment}
        done = quaestor("secrets", *words, environment=around, typed=typed)
        assert VALUE not in done.stdout + done.stderr
        return done

    def json(self, *words: str, code: int = 0, **environment: str) -> Any:
        done = self.run(*words, "--json", **environment)
        assert (done.returncode, done.stderr) == (code, "")
        return json.loads(done.stdout)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


class TestSet:
    """One secret, by hand."""

    def test_a_value_is_stored_and_listed_without_itself(self, desk: Desk) -> None:
        done = desk.run("set", "token", "--expires", "2027-03-01T09:30-05:00", typed=VALUE)
        assert (done.returncode, done.stdout, done.stderr) == (0, "Stored token, version 1.\n", "")
        assert desk.vault.get("token").value == VALUE
        (row,) = desk.json("list")
        created = row.pop("created_at")
        assert created.endswith("+00:00")
        assert row == {
            "name": "token", "version": "1", "expires_at": "2027-03-01T14:30:00+00:00", "enabled": True, "tags": {}
        }  # fmt: skip
        assert "2027-03-01 14:30 UTC" in desk.run("list").stdout

    @pytest.mark.parametrize(
        ("typed", "options", "kept", "told"),
        [
            pytest.param("v\n", [], "v", True, id="a pipe's newline is not the value's"),
            pytest.param("v\r\n", [], "v", True, id="nor that of another system"),
            pytest.param("v\n\n", [], "v\n", True, id="a second one is"),
            pytest.param("a\nb", [], "a\nb", False, id="nor is one within looked at"),
            pytest.param("v\n", ["--exact"], "v\n", False, id="exactly"),
            pytest.param("v\r\n", ["--exact"], "v\r\n", False, id="to the byte"),
        ],
    )
    @pytest.mark.parametrize("piped", [True, False])
    def test_a_newline_at_its_end(
        self, desk: Desk, typed: str, options: list[str], kept: str, told: bool, piped: bool
    ) -> None:
        (desk.folder / "file").write_bytes(typed.encode())
        done = desk.run(
            "set", "token", *options, *([] if piped else ["--from-file", "file"]), typed=typed if piped else ""
        )
        assert desk.vault.get("token").value == kept
        assert ("the newline at its end was left out" in done.stderr) == told
        assert ("look at it again" in done.stderr) == (kept.endswith("\n") and not options)

    @pytest.mark.parametrize(
        ("words", "typed", "said"),
        [
            pytest.param(["set", "token"], "", "is empty", id="nothing"),
            pytest.param(["set", "token"], "\n", "is empty", id="a newline alone"),
            pytest.param(["set", "to_ken"], VALUE, "letters, digits and hyphens", id="a name that no vault takes"),
            pytest.param(["set", "rh-a-login"], VALUE, "not a JSON object with username", id="no login"),
            pytest.param(["set", "token", "--from-file", "none"], "", "none cannot be read", id="no file"),
            pytest.param(["rotate"], VALUE, "Name the secret", id="no name"),
            pytest.param(["rotate", "token", "--key"], VALUE, "Name the secret, or", id="both"),
            pytest.param(["rotate", "token"], VALUE, "Unknown secret 'token'", id="nothing to rotate"),
            pytest.param(["rotate", "rh-a-refresh"], VALUE, "changed by the refresher", id="the refresher's"),
            pytest.param(["rotate", "rh-a-spool"], VALUE, "changed by the refresher", id="the spool's key"),
            pytest.param(["delete", "token"], "", "Unknown secret", id="nothing to delete"),
            pytest.param(["recover", "token"], "", "Unknown deleted secret", id="nothing to recover"),
            pytest.param(["migrate", "--env-file", "none"], "", "none cannot be read", id="no .env"),
            pytest.param(["migrate", "--map", "A:x"], "", "write NAME=secret-name", id="no pair"),
            pytest.param(["migrate", "--map", "NOBODY_HAS=x"], "", "names NOBODY_HAS", id="no such variable"),
        ],
    )
    def test_what_cannot_be_done_is_said_with_the_cure(
        self, desk: Desk, words: list[str], typed: str, said: str
    ) -> None:
        done = desk.run(*words, typed=typed)
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
        assert desk.vault.names() == []

    def test_bytes_that_are_no_text_are_refused_and_not_shown(self, desk: Desk) -> None:
        (desk.folder / "file").write_bytes(b"\xff\xfe" + VALUE.encode())
        done = desk.run("set", "token", "--from-file", "file")
        assert (done.returncode, "no UTF-8 text" in done.stderr) == (1, True)

    def test_a_person_types_it_unseen(self, desk: Desk) -> None:
        """On a terminal of its own: what is typed there is not echoed."""
        import pty

        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "quaestor.console.cli", "secrets", "set", "token"]
        environment = {**os.environ, "QUAESTOR_HOME": str(desk.home)}
        process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        seen = os.read(ours, 1000)
        while b"token: " not in seen:
            seen += os.read(ours, 1000)
        os.write(ours, f"{VALUE}\n".encode())
        while b"version 1" not in seen:
            seen += os.read(ours, 1000)
        assert process.wait(10) == 0
        os.close(ours)
        assert VALUE.encode() not in seen
        assert desk.vault.get("token").value == VALUE


class TestRotate:
    """A next value."""

    def test_of_a_secret_says_who_uses_it_and_what_becomes_of_the_old_one(self, desk: Desk) -> None:
        desk.configure("[market]\nsource = 'alpaca'\n")
        desk.vault.set("alpaca-key", "old")
        done = desk.run("rotate", "alpaca-key", typed=VALUE)
        assert "Stored alpaca-key, version 2." in done.stdout
        assert "Used by: source alpaca" in done.stdout
        assert "At Alpaca, delete the old key" in done.stdout
        assert (desk.vault.get("alpaca-key").value, desk.vault.get("alpaca-key", "1").value) == (VALUE, "old")

    def test_of_the_vaults_key_keeps_the_secrets(self, desk: Desk) -> None:
        desk.vault.set("token", VALUE)
        key = (desk.home / "vault" / "key").read_bytes()
        assert "The vault has a new key" in desk.run("rotate", "--key").stdout
        assert (desk.home / "vault" / "key").read_bytes() != key
        assert desk.vault.get("token").value == VALUE

    def test_of_the_key_of_an_azure_vault_is_not_ours(self, desk: Desk) -> None:
        desk.configure("[vault]\nkind = 'azure'\nurl = 'https://x.vault.azure.net'\n")
        assert "changes its own keys" in desk.run("rotate", "--key").stderr


class TestDelete:
    """And back."""

    def test_a_secret_goes_and_comes_back_with_its_versions(self, desk: Desk) -> None:
        desk.configure("[telemetry]\notlp = 'https://sink'\nauthorization_secret = 'otlp'\n")
        desk.vault.set("otlp", "old")
        desk.vault.set("otlp", VALUE)
        said = desk.run("delete", "otlp").stdout
        assert "`quaestor secrets recover otlp` brings it back" in said
        assert "still named by: [telemetry]" in said
        assert desk.json("list") == []
        assert "was deleted" in desk.run("delete", "otlp").stderr
        assert desk.run("recover", "otlp").stdout == "Recovered otlp.\n"
        assert (desk.vault.get("otlp").value, desk.vault.get("otlp", "1").value) == (VALUE, "old")


class TestCheck:
    """What the configuration names."""

    ALPACA = "[market]\nsource = 'alpaca'\n"

    def test_a_vault_without_what_is_wanted_is_ok_where_nothing_is_wanted(self, desk: Desk) -> None:
        said = desk.json("check")
        where = str(desk.home / "vault")
        assert said == {
            "ok": True, "vault": {"kind": "local", "where": where, "ok": True, "problem": None}, "secrets": []
        }  # fmt: skip
        assert not (desk.home / "vault").exists(), "looking makes nothing"

    def test_a_missing_one_and_a_pasted_newline_are_told_with_their_cures(self, desk: Desk) -> None:
        desk.configure(self.ALPACA)
        desk.vault.set("alpaca-secret", f"{VALUE}\n")
        said = desk.json("check", code=1)
        assert said["secrets"] == [
            {
                "name": "alpaca-key", "used_by": ["source alpaca"], "ok": False, "version": None, "expires_at": None,
                "problem": "it is not in the vault", "cure": "`quaestor secrets set alpaca-key`",
            },
            {
                "name": "alpaca-secret", "used_by": ["source alpaca"], "ok": False, "version": "1", "expires_at": None,
                "problem": "it ends with a newline", "cure": "`quaestor secrets set alpaca-secret`",
            },
        ]  # fmt: skip
        assert "it ends with a newline" in desk.run("check").stdout

    def test_all_is_well_once_both_are_there(self, desk: Desk) -> None:
        desk.configure(self.ALPACA)
        for name in ("alpaca-key", "alpaca-secret"):
            desk.vault.set(name, VALUE)
        assert desk.json("check")["ok"]

    def test_a_key_that_others_can_read_is_the_vaults_problem(self, desk: Desk) -> None:
        desk.vault.set("token", VALUE)
        (desk.home / "vault" / "key").chmod(0o640)
        said = desk.json("check", code=1)
        assert (said["ok"], said["vault"]["ok"]) == (False, False)
        assert "(mode 0640); run: chmod 600" in said["vault"]["problem"]

    @pytest.mark.parametrize("wrong", [True, False])
    def test_doctor_says_it_too(self, desk: Desk, monkeypatch: pytest.MonkeyPatch, wrong: bool) -> None:
        desk.configure(self.ALPACA)
        for name in ("alpaca-key", "alpaca-secret")[wrong:]:
            desk.vault.set(name, VALUE)
        monkeypatch.setenv("QUAESTOR_HOME", str(desk.home))
        (finding,) = doctor._vault(wiring.load())
        assert (finding.verdict, "look at alpaca-key" in finding.seen) == (("note", True) if wrong else ("ok", False))


class TestMigrate:
    """An old bot's .env."""

    def test_a_dry_run_stores_nothing_and_says_what_would_be(self, desk: Desk) -> None:
        desk.bot.write_text(BOT, encoding="utf-8")
        said = desk.json("migrate", "--dry-run", "--delete")
        assert {(row["name"], row["state"]) for row in said["secrets"]} == {
            ("alpaca-key", "to be stored"), ("database-password", "to be stored"), ("rh-paper-login", "to be stored")
        }  # fmt: skip
        assert desk.vault.names() == []
        assert desk.bot.read_text(encoding="utf-8") == BOT

    def test_all_is_stored_and_what_to_delete_is_told_by_line(self, desk: Desk) -> None:
        desk.bot.write_text(BOT, encoding="utf-8")
        said = desk.json("migrate", "--env-file", ".env", OPENAI_API_KEY=VALUE)
        assert said["env_file"] == str(desk.bot)
        assert [(row["name"], row["where"].removeprefix(f"{desk.bot}:")) for row in said["delete"]] == [
            ("ROBINHOOD_USERNAME", "3"), ("ROBINHOOD_PASSWORD", "4"), ("ALPACA_API_KEY", "7"), ("DATABASE_URL", "9"),
            ("OPENAI_API_KEY", "environment"),
        ]  # fmt: skip
        assert [row["how"].split()[0] for row in said["delete"]] == ["delete", "delete", "delete", "write", "`unset"]
        assert [row["name"] for row in said["unclear"]] == ["POLYGON_KEY"]
        assert json.loads(desk.vault.get("rh-paper-login").value) == {
            "username": "joe@example.com", "password": f"{VALUE} #1", "totp": ""
        }  # fmt: skip
        assert desk.vault.get("database-password").value == desk.vault.get("openai-api-key").value == VALUE
        assert desk.json("migrate", "--dry-run", "--delete")["deleted"] == []
        assert desk.bot.read_text(encoding="utf-8") == BOT

    @pytest.mark.parametrize("newline", ["\n", "\r\n"])
    def test_the_lines_go_once_the_vault_has_them_and_all_else_stays(self, desk: Desk, newline: str) -> None:
        content = BOT.replace("\n", newline).encode() + b" # \xff"
        desk.bot.write_bytes(content)
        desk.bot.chmod(0o640)
        said = desk.json("migrate", "--delete", "--map", "POLYGON_KEY=polygon")
        left = ["# the bot's", "DEBUG=1", 'CERT="-----BEGIN', '-----END"',
                f"DATABASE_URL=postgresql://bot:{VALUE}@localhost/bot", "LAST=1"]  # fmt: skip
        assert desk.bot.read_bytes() == newline.join(left).encode() + b" # \xff"
        assert stat.S_IMODE(desk.bot.stat().st_mode) == 0o640
        assert [row["name"] for row in said["deleted"]] == [
            "ROBINHOOD_USERNAME", "ROBINHOOD_PASSWORD", "ALPACA_API_KEY", "POLYGON_KEY"
        ]  # fmt: skip
        assert [(row["name"], row["where"]) for row in said["delete"]] == [("DATABASE_URL", f"{desk.bot}:5")]
        again = desk.json("migrate", "--delete")
        assert [(row["name"], row["state"]) for row in again["secrets"]] == [("database-password", "there")]
        assert (again["deleted"], desk.vault.get("polygon").version) == ([], "1")

    def test_what_is_in_doubt_stays_where_it_is(self, desk: Desk) -> None:
        desk.bot.write_text(BOT, encoding="utf-8")
        desk.vault.set("alpaca-key", "another")
        said = desk.json("migrate", "--delete", code=1, RH_PASSWORD="another password")
        states = {row["name"]: row["state"] for row in said["secrets"]}
        assert states == {"alpaca-key": "differs", "database-password": "stored", "rh-paper-login": "refused"}
        assert desk.bot.read_text(encoding="utf-8") == BOT
        assert desk.vault.names() == ["alpaca-key", "database-password"]

    def test_the_table_says_the_same_without_a_value(self, desk: Desk) -> None:
        desk.bot.write_text(BOT, encoding="utf-8")
        said = desk.run("migrate").stdout
        assert f"{desk.bot}:9 DATABASE_URL" in said
        assert "change them at the vendors" in said
        assert "No secret that we know was found." in desk.run("migrate", "--env-file", os.devnull).stdout

    def test_where_there_is_no_file_the_environment_is_looked_at(self, desk: Desk) -> None:
        said = desk.json("migrate", APCA_API_KEY_ID=VALUE)
        assert (said["env_file"], [row["from"] for row in said["secrets"]]) == (None, [["environment APCA_API_KEY_ID"]])


class TestEnvFile:
    """The door to the file."""

    def test_a_link_is_followed_and_stays_one(self, tmp_path: Path) -> None:
        real, link = tmp_path / "real", tmp_path / ".env"
        real.write_bytes(b"A=1\n")
        link.symlink_to(real)
        EnvFile(link).replace(b"")
        assert (link.is_symlink(), real.read_bytes()) == (True, b"")

    def test_what_was_written_meanwhile_is_not_lost(self, tmp_path: Path) -> None:
        path = tmp_path / ".env"
        path.write_bytes(b"A=1\n")
        file = EnvFile(path)
        path.write_bytes(b"A=1\nB=2\n")
        with pytest.raises(BadInput, match="was written while we read it"):
            file.replace(b"")
        assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [(".env", b"A=1\nB=2\n")]

    @pytest.mark.parametrize("step", ["fsync", "fchmod"])
    def test_a_write_that_fails_leaves_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        def fails(*_: object) -> None:
            raise OSError(28, "No space left on device")

        path = tmp_path / ".env"
        path.write_bytes(b"A=1\n")
        monkeypatch.setattr(os, step, fails)
        with pytest.raises(BadInput, match=r"cannot be written .* delete those lines by hand"):
            EnvFile(path).replace(b"")
        assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [(".env", b"A=1\n")]

    @pytest.mark.parametrize("made", ["a folder", "a link to itself"])
    def test_what_is_no_file_is_told(self, tmp_path: Path, made: str) -> None:
        makes: Mapping[str, Callable[[Path], None]] = {
            "a folder": Path.mkdir,
            "a link to itself": lambda path: path.symlink_to(path),
        }
        path = tmp_path / ".env"
        makes[made](path)
        with pytest.raises(BadInput, match="cannot be read"):
            EnvFile(path)


class TestKeysOfTheCryptoApi:
    """Of `quaestor auth crypto-keys`."""

    def test_the_public_one_is_shown_and_the_private_one_kept(self, desk: Desk) -> None:
        done = quaestor("auth", "crypto-keys", environment={"QUAESTOR_HOME": str(desk.home)})
        private = desk.vault.get("robinhood-crypto-private-key").value
        assert len(base64.b64decode(done.stdout.strip())) == 32
        assert private not in done.stdout + done.stderr

    def test_a_pair_that_is_there_is_never_replaced(self, desk: Desk) -> None:
        desk.vault.set("robinhood-crypto-private-key", "the first")
        done = quaestor("auth", "crypto-keys", environment={"QUAESTOR_HOME": str(desk.home)})
        assert (done.returncode, done.stdout) == (1, "")
        assert "it stays" in done.stderr
        assert desk.vault.get("robinhood-crypto-private-key").value == "the first"
