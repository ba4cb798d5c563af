"""The local vault's own: its file and key, what a crash, a full disk or another hand leaves of them, a change of key.

What every vault does is in tests/integration/test_vault_contract.py, which this runs on the local one, too.
"""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import keyring
import pytest
from cryptography.fernet import Fernet, InvalidToken
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import KeyringLocked

from quaestor.doors.vault_local import LocalVault, disk, form
from quaestor.doors.vault_local.form import KEPT
from quaestor.errors import NotFound, VaultAway, VaultRefused
from quaestor.ports_secrets import SecretInfo
from tests.integration.test_vault_contract import Stage, VaultContract

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
    with pytest.raises(NotFound, match=r"Unknown secret 'tokn'\. Did you mean 'token'\? .*quaestor secrets set NAME"):
        vault.get("tokn")


def test_another_key_opens_nothing_and_says_so(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)
    vault.set("token", "x")
    (tmp_path / "vault" / "key").write_bytes(Fernet.generate_key())
    with pytest.raises(VaultRefused, match="cannot be opened with its key"):
        vault.get("token")
    with pytest.raises(VaultRefused, match="cannot be opened with its key"):
        vault.set("token", "y")


def test_a_damaged_vault_says_so(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)
    vault.set("token", "x")
    file = tmp_path / "vault" / "secrets"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(VaultRefused, match="the file is damaged"):
        vault.get("token")


@pytest.mark.parametrize("key", [pytest.param(b"", id="empty"), pytest.param(b"short", id="not a key")])
def test_a_key_that_is_none_is_named(tmp_path: Path, key: bytes) -> None:
    vault = LocalVault(tmp_path)
    vault.set("token", "x")
    (tmp_path / "vault" / "key").write_bytes(key)
    with pytest.raises(VaultRefused, match=r"The key of the vault .* is no key"):
        vault.get("token")


def test_a_missing_key_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)
    vault.set("token", "x")
    (tmp_path / "vault" / "key").unlink()
    with pytest.raises(VaultRefused, match="is missing; restore it from a backup"):
        vault.set("token", "y")
    assert not (tmp_path / "vault" / "key").exists()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_that_others_can_read_is_refused_with_the_cure(tmp_path: Path, mode: int) -> None:
    vault = LocalVault(tmp_path)
    vault.set("token", "x")
    key = tmp_path / "vault" / "key"
    key.chmod(mode)
    with pytest.raises(VaultRefused, match=rf"\(mode {mode:04o}\); run: chmod 600 {key}"):
        vault.get("token")
    key.chmod(0o600)
    assert vault.get("token").value == "x"


@pytest.mark.parametrize("what", ["key", "secrets"])
@pytest.mark.parametrize("how", ["a folder", "a link to itself"])
def test_a_file_that_cannot_be_read_is_named_and_stays(tmp_path: Path, what: str, how: str) -> None:
    vault = LocalVault(tmp_path)
    vault.set("token", "x")
    file = tmp_path / "vault" / what
    kept = file.rename(file.with_suffix(".kept"))
    file.mkdir() if how == "a folder" else file.symlink_to(file)
    for ask in get_and_set(vault):
        with pytest.raises(VaultRefused, match=rf"vault/{what} cannot be read .*See the owner and the mode"):
            ask()
    file.rmdir() if how == "a folder" else file.unlink()
    kept.rename(file)
    assert vault.get("token").value == "x"


def test_a_vault_of_the_first_form_is_read_and_becomes_todays_at_the_next_write(tmp_path: Path) -> None:
    vault = first_form(tmp_path, {"token": ["one", "two"], "form": ["a secret of that name"], "under_score": ["x"]})
    file = tmp_path / "vault" / "secrets"
    before = file.read_bytes()
    assert (vault.get("token").value, vault.get("token").version) == ("two", "2")
    assert vault.get("token", "1").value == "one"
    assert vault.versions("form") == [SecretInfo("form", "1")]
    assert file.read_bytes() == before, "reading writes nothing"
    assert vault.set("token", "three").version == "3"
    assert vault.set("under_score", "y").version == "2", "a name from before keeps its place"
    assert [LocalVault(tmp_path).get("token", version).value for version in "123"] == ["one", "two", "three"]
    assert opened(tmp_path)["form"] == 2


def test_a_form_that_is_newer_than_we_is_refused_and_kept(tmp_path: Path) -> None:
    vault = first_form(tmp_path, {"form": 3, "secrets": {"token": "swordfish"}})
    for ask in get_and_set(vault):
        with pytest.raises(VaultRefused, match="a form that this Quaestor does not know") as refused:
            ask()
        assert "swordfish" not in str(refused.value)
    assert opened(tmp_path)["form"] == 3


def test_the_same_value_takes_over_the_end_and_the_tags_that_are_given(tmp_path: Path) -> None:
    now = iter(dt.datetime(2026, 11, day, tzinfo=dt.UTC) for day in (1, 2, 3))
    vault, end = LocalVault(tmp_path, now=lambda: next(now)), dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    vault.set("token", "x", tags={"by": "me"})
    later = vault.set("token", "x", expires_at=end.astimezone(dt.timezone(dt.timedelta(hours=-5))))
    assert (later.version, later.expires_at, dict(later.tags)) == ("1", end, {"by": "me"})
    kept = vault.set("token", "x", tags={})
    assert (kept.version, kept.expires_at, dict(kept.tags)) == ("1", end, {})
    assert vault.versions("token") == [SecretInfo("token", "1", dt.datetime(2026, 11, 1, tzinfo=dt.UTC), end, tags={})]


def test_the_oldest_versions_go_and_the_numbers_count_on(tmp_path: Path) -> None:
    vault = first_form(tmp_path, {"token": [str(n) for n in range(1, KEPT + 1)]})
    assert vault.set("token", "new").version == str(KEPT + 1)
    assert [info.version for info in vault.versions("token")] == [str(n) for n in range(KEPT + 1, 1, -1)]
    assert vault.get("token", "2").value == "2"
    with pytest.raises(NotFound, match="Unknown version of 'token' '1'"):
        vault.get("token", "1")


@pytest.mark.parametrize(
    ("error", "raised", "cure"),
    [
        pytest.param(errno.ENOSPC, VaultAway, "Make room on the disk", id="the disk is full"),
        pytest.param(errno.EIO, VaultAway, "Make room on the disk", id="the disk errs"),
        pytest.param(errno.EROFS, VaultRefused, "See the owner and the mode", id="the disk is read-only"),
    ],
)
@pytest.mark.parametrize("where", ["fsync", "fchmod"])
def test_a_write_that_fails_leaves_the_vault_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: int, raised: type[Exception], cure: str
) -> None:
    def fails(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    vault = LocalVault(tmp_path)
    vault.set("token", "old")
    files = {path.name: path.read_bytes() for path in (tmp_path / "vault").iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(os, where, fails)
        for ask in (lambda: vault.set("token", "new"), lambda: vault.delete("token"), vault.rotate_key):
            with pytest.raises(raised, match=cure):
                ask()
    assert {path.name: path.read_bytes() for path in (tmp_path / "vault").iterdir()} == files
    assert vault.set("token", "newer").version == "2"


def test_a_disk_that_is_full_in_the_middle_of_a_write_leaves_the_vault_as_it_was(tmp_path: Path) -> None:
    """A real limit of the operating system's: the file may not grow beyond it, and the write ends half-way."""
    vault = LocalVault(tmp_path)
    vault.set("token", "old")
    program = f"""
import pathlib, resource, signal
from quaestor.doors.vault_local import LocalVault
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
LocalVault(pathlib.Path({str(tmp_path)!r})).set("token", "n" * 20000)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, capture_output=True, text=True)
    assert "VaultRefused: " in done.stderr
    assert "cannot be written (File too large); the vault is as it was" in done.stderr
    assert sorted(path.name for path in (tmp_path / "vault").iterdir()) == ["key", "lock", "secrets"]
    assert vault.get("token").value == "old"


def test_a_writer_that_does_not_end_is_told_of_and_readers_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = LocalVault(tmp_path)
    vault.set("token", "x")
    monkeypatch.setattr(disk, "PATIENCE", 0.05)
    with disk.locked(tmp_path / "vault"):
        with pytest.raises(VaultAway, match="Another process has been writing"):
            vault.set("token", "y")
        assert vault.get("token").value == "x"
    assert vault.set("token", "y").version == "2"


def dying(home: Path, where: str, what: str = 'set("token", "new")', after: int = 0) -> int:
    """A process that changes the vault and is killed where it is told, the `after`-th time it comes there; its code."""
    program = f"""
import os, pathlib, signal
import quaestor.doors.vault_local as door
calls, whole = [], {where}
def killed(*arguments, **named):
    calls.append(1)
    if len(calls) > {after}:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*arguments, **named)
{where} = killed
door.LocalVault(pathlib.Path({str(home)!r})).{what}
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
def test_a_kill_while_writing_leaves_a_whole_vault(tmp_path: Path, where: str, expected: str) -> None:
    vault = LocalVault(tmp_path)
    vault.set("token", "old")
    assert dying(tmp_path, where) == -9
    assert vault.get("token").value == expected
    assert vault.set("token", "newer").value == vault.get("token").value == "newer"


@pytest.mark.parametrize("where", ["os.fsync", "pathlib.Path.replace"])
def test_a_kill_while_the_key_is_born_leaves_no_half_key(tmp_path: Path, where: str) -> None:
    assert dying(tmp_path, where) == -9
    assert LocalVault(tmp_path).set("token", "x").version == "1"


def test_what_a_killed_writer_was_told_is_stored_is_stored(tmp_path: Path) -> None:
    """Killed wherever it is, in the midst of writes and changes of the key, a process never said too much."""
    program = f"""
import pathlib, sys
from quaestor.doors.vault_local import LocalVault
vault = LocalVault(pathlib.Path({str(tmp_path)!r}))
while True:
    print(vault.set("token", sys.argv[1] + str(id(object())) + "x").version, flush=True)
    vault.set("token", sys.argv[1])
    vault.rotate_key()
"""
    told, vault = 0, LocalVault(tmp_path)
    for run in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", program, str(run)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        lines = [writer.stdout.readline()]
        time.sleep(0.003 * run)
        writer.kill()
        lines += writer.stdout.read().splitlines()
        writer.stdout.close()
        writer.wait()
        told = max(told, *(int(line) for line in lines if line.strip().isdigit()))
        assert int(vault.get("token").version) >= told > run
    assert len((tmp_path / "vault" / "key").read_bytes().split()) in {1, 2}
    vault.set("token", "the end")
    assert len((tmp_path / "vault" / "key").read_bytes().split()) == 1


def test_a_new_key_opens_all_and_the_old_one_nothing(tmp_path: Path) -> None:
    vault, key = LocalVault(tmp_path), tmp_path / "vault" / "key"
    for value in ("one", "two"):
        vault.set("token", value)
    vault.delete("token")
    old = key.read_bytes()
    vault.rotate_key()
    vault.recover("token")
    assert [vault.get("token", version).value for version in "12"] == ["one", "two"]
    assert (len(key.read_bytes().split()), key.stat().st_mode & 0o777) == (1, 0o600)
    with pytest.raises(InvalidToken):
        Fernet(old).decrypt((tmp_path / "vault" / "secrets").read_bytes())


STEPS = [*(("os.fsync", n) for n in range(6)), *(("pathlib.Path.replace", n) for n in range(3)), ("door.form.read", 1)]


@pytest.mark.parametrize("step", range(len(STEPS)))
def test_a_change_of_the_key_that_fails_at_any_step_loses_nothing_and_the_next_write_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Each call that changes the disk fails in turn, as a crash there would leave it; real kills are below."""
    where, after = STEPS[step]
    vault, calls = LocalVault(tmp_path), list[int]()
    vault.set("token", "x")
    owner, name = {
        "os.fsync": (os, "fsync"),
        "pathlib.Path.replace": (Path, "replace"),
        "door.form.read": (form, "read"),
    }[where]
    whole = getattr(owner, name)

    def fails(*arguments: object) -> object:
        calls.append(1)
        if len(calls) > after:
            raise Crash
        return whole(*arguments)

    with monkeypatch.context() as patch, suppress(Crash):
        patch.setattr(owner, name, fails)
        vault.rotate_key()
    assert vault.get("token").value == "x"
    assert LocalVault(tmp_path).set("token", "y").version == "2"
    assert len((tmp_path / "vault" / "key").read_bytes().split()) == 1
    assert vault.get("token", "1").value == "x"


class Crash(BaseException):
    """The process ends here, as far as the disk can tell."""


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_kill_in_the_middle_of_a_change_of_the_key_loses_nothing(tmp_path: Path, after: int) -> None:
    vault = LocalVault(tmp_path)
    vault.set("token", "x")
    assert dying(tmp_path, "pathlib.Path.replace", "rotate_key()", after) == -9
    assert vault.get("token").value == "x"
    vault.rotate_key()
    assert (vault.get("token").value, len((tmp_path / "vault" / "key").read_bytes().split())) == ("x", 1)


def test_who_reads_while_the_key_changes_reads_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst moment: the file is read, its key not yet, and both are other ones then."""
    vault, whole, changed = LocalVault(tmp_path), disk.read, list[Path]()
    vault.set("token", "x")

    def read(path: Path) -> bytes | None:
        found = whole(path)
        if not changed:
            changed.append(path)
            LocalVault(tmp_path).rotate_key()
        return found

    monkeypatch.setattr(disk, "read", read)
    assert vault.get("token").value == "x"
    assert changed == [tmp_path / "vault" / "secrets"]


class Ring(KeyringBackend):
    """An operating system's keyring, in memory."""

    priority = 1.0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise KeyringLocked("the session's")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password


@pytest.fixture
def ring() -> Iterator[Ring]:
    before, ours = keyring.get_keyring(), Ring()
    keyring.set_keyring(ours)
    yield ours
    keyring.set_keyring(before)


def test_the_key_lies_in_the_keyring_and_who_opens_the_vault_later_is_told_by_a_mark(
    tmp_path: Path, ring: Ring
) -> None:
    LocalVault(tmp_path, use_keyring=True).set("token", "x")
    assert list(ring.kept) == [("quaestor", str(tmp_path / "vault"))]
    assert not (tmp_path / "vault" / "key").exists()
    old = dict(ring.kept)
    vault = LocalVault(tmp_path)
    vault.rotate_key()
    assert vault.get("token").value == "x"
    assert [len(key.split()) for key in ring.kept.values()] == [1]
    assert ring.kept != old


def test_a_keyring_that_is_locked_may_be_asked_later_and_one_without_the_key_not(tmp_path: Path, ring: Ring) -> None:
    vault = LocalVault(tmp_path, use_keyring=True)
    vault.set("token", "x")
    ring.locked = True
    with pytest.raises(VaultAway, match=r"keyring is locked .* Unlock it"):
        vault.get("token")
    ring.locked = False
    ring.kept.clear()
    for ask in get_and_set(vault):
        with pytest.raises(VaultRefused, match=r"key of .* in the OS keyring is missing; restore it"):
            ask()
    assert not ring.kept


def test_a_machine_without_a_keyring_is_told_of_the_key_file(tmp_path: Path, ring: Ring) -> None:
    keyring.set_keyring(NoKeyring())  # type: ignore[no-untyped-call]
    with pytest.raises(VaultRefused, match=r"keyring does not answer .*\[vault\] key = 'file'"):
        LocalVault(tmp_path, use_keyring=True).set("token", "x")


def get_and_set(vault: LocalVault) -> tuple[Callable[[], object], ...]:
    """Either way to a secret."""
    return lambda: vault.get("token"), lambda: vault.set("token", "y")


def first_form(home: Path, content: object) -> LocalVault:
    """A vault as the first Quaestor wrote it."""
    LocalVault(home).set("x", "y")
    key = (home / "vault" / "key").read_bytes()
    (home / "vault" / "secrets").write_bytes(Fernet(key).encrypt(json.dumps(content).encode()))
    return LocalVault(home)


def opened(home: Path) -> dict[str, object]:
    """What the file says."""
    key = (home / "vault" / "key").read_bytes()
    found: dict[str, object] = json.loads(Fernet(key).decrypt((home / "vault" / "secrets").read_bytes()))
    return found


class TestContract(VaultContract):
    """As every vault."""

    @pytest.fixture
    def stage(self, tmp_path: Path) -> Stage:
        """Time passes by itself: the local clock tells more than seconds."""
        return Stage(LocalVault(tmp_path), lambda: LocalVault(tmp_path), lambda: None)


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


def test_a_child_that_was_forked_while_we_wrote_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a pool of processes does that begins by fork, in another thread."""
    monkeypatch.setattr(disk, "PATIENCE", 0.3)
    said, heard = os.pipe()
    with disk.locked(tmp_path / "vault"):
        child = os.fork()
        if child == 0:
            os.close(heard)
            os.read(said, 1)
            os._exit(0)
    try:
        assert LocalVault(tmp_path).set("a", "x").version == "1"
    finally:
        os.close(heard)
        os.close(said)
        os.waitpid(child, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, as root alone may")
@pytest.mark.parametrize("use_keyring", [False, True])
def test_another_users_vault_is_refused_with_the_cure(tmp_path: Path, use_keyring: bool) -> None:
    LocalVault(tmp_path).set("a", "x")
    os.seteuid(65_534)
    try:
        with pytest.raises(VaultRefused, match="See the owner"):
            LocalVault(tmp_path, use_keyring=use_keyring).get("a")
    finally:
        os.seteuid(0)
