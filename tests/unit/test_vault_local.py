"""The local vault, in the mode that keeps its key in a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from quaestor.doors.vault_local import LocalVault
from quaestor.errors import BadConfig, NotFound, PartMissing

ROOT = Path(__file__).parents[2]


def test_a_secret_comes_back_and_nothing_on_the_disk_says_it(tmp_path: Path) -> None:
    stored = LocalVault(tmp_path).set("broker-password", "correct horse battery")
    found = LocalVault(tmp_path).get("broker-password")
    assert (found.value, found.version) == (stored.value, stored.version) == ("correct horse battery", "1")
    assert "horse" not in repr(found)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if b"horse" in path.read_bytes()]
    assert not [path for path in files if path.name in {"key", "secrets"} and path.stat().st_mode & 0o077]
    assert (tmp_path / "vault").stat().st_mode & 0o077 == 0


def test_the_newest_version_counts_and_the_same_value_is_no_new_one(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)
    versions = [vault.set("token", value).version for value in ("old", "new", "new")]
    assert versions == ["1", "2", "2"]
    assert vault.get("token").value == "new"
    assert vault.set("token", "old").version == "3", "an old value that comes back is a new version"


def test_names_are_listed_and_an_unknown_one_answers_with_the_nearest(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)
    assert vault.names() == []
    for name in ("token", "password"):
        vault.set(name, "x")
    assert vault.names() == ["password", "token"]
    with pytest.raises(NotFound, match=r"Unknown secret 'tokn'\. Did you mean 'token'\? .*quaestor vault set NAME"):
        vault.get("tokn")


def test_another_key_opens_nothing_and_says_so(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)
    vault.set("token", "x")
    (tmp_path / "vault" / "key").write_bytes(Fernet.generate_key())
    with pytest.raises(PartMissing, match="cannot be opened with its key"):
        vault.get("token")
    with pytest.raises(PartMissing, match="cannot be opened with its key"):
        vault.set("token", "y")


def test_a_damaged_vault_says_so(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)
    vault.set("token", "x")
    file = tmp_path / "vault" / "secrets"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(PartMissing, match="the file is damaged"):
        vault.get("token")


@pytest.mark.parametrize("key", [pytest.param(b"", id="empty"), pytest.param(b"short", id="not a key")])
def test_a_key_that_is_none_is_named(tmp_path: Path, key: bytes) -> None:
    vault = LocalVault(tmp_path)
    vault.set("token", "x")
    (tmp_path / "vault" / "key").write_bytes(key)
    with pytest.raises(PartMissing, match=r"The key of the vault .* is no key"):
        vault.get("token")


def test_a_missing_key_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)
    vault.set("token", "x")
    (tmp_path / "vault" / "key").unlink()
    with pytest.raises(PartMissing, match="is missing; restore it from a backup"):
        vault.set("token", "y")
    assert not (tmp_path / "vault" / "key").exists()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_that_others_can_read_is_refused_with_the_cure(tmp_path: Path, mode: int) -> None:
    vault = LocalVault(tmp_path)
    vault.set("token", "x")
    key = tmp_path / "vault" / "key"
    key.chmod(mode)
    with pytest.raises(BadConfig, match=rf"\(mode {mode:04o}\); run: chmod 600 {key}"):
        vault.get("token")
    key.chmod(0o600)
    assert vault.get("token").value == "x"


def dying(home: Path, where: str) -> int:
    """A process that stores a secret "new" and dies where it is told; its exit code."""
    program = f"""
import os, pathlib
import quaestor.doors.vault_local as door
{where} = lambda *arguments, **named: os._exit(9)
door.LocalVault(pathlib.Path({str(home)!r})).set("token", "new")
"""
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        pytest.param("os.fsync", "old", id="before the draft is on the disk"),
        pytest.param("pathlib.Path.replace", "old", id="between the draft and its name"),
        pytest.param("door.Secret", "new", id="just after"),
    ],
)
def test_a_crash_while_writing_leaves_a_whole_vault(tmp_path: Path, where: str, expected: str) -> None:
    vault = LocalVault(tmp_path)
    vault.set("token", "old")
    assert dying(tmp_path, where) == 9
    assert vault.get("token").value == expected
    assert vault.set("token", "newer").value == vault.get("token").value == "newer"


@pytest.mark.parametrize("where", ["os.fsync", "pathlib.Path.replace"])
def test_a_crash_while_the_key_is_born_leaves_no_half_key(tmp_path: Path, where: str) -> None:
    assert dying(tmp_path, where) == 9
    assert LocalVault(tmp_path).set("token", "x").version == "1"


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    program = f"""
import pathlib, sys
from quaestor.doors.vault_local import LocalVault
vault = LocalVault(pathlib.Path({str(tmp_path)!r}))
for n in range(5):
    vault.set(sys.argv[1] + str(n), "x")
"""
    writers = [subprocess.Popen([sys.executable, "-c", program, name], cwd=ROOT) for name in "ab"]
    assert [writer.wait(30) for writer in writers] == [0, 0]
    assert LocalVault(tmp_path).names() == [f"{name}{n}" for name in "ab" for n in range(5)]
