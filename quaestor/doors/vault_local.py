"""The local vault: an encrypted file (law 10). Its key lies in the OS keyring, or in a file only its owner can read.

The file holds every version of every secret as one Fernet token (AES-128-CBC with HMAC-SHA256); a write goes to a new
file that replaces the old one in one step, under a lock, so that a crash leaves the old vault whole.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from quaestor.errors import BadConfig, NotFound, PartMissing
from quaestor.ports import Secret

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

SERVICE = "quaestor"


class LocalVault:
    """Implements `ports.Vault` in `home`/vault.

    `use_keyring` puts the key of a new vault into the OS keyring; a mark in the folder tells all who open it later.
    """

    def __init__(self, home: Path, *, use_keyring: bool = False) -> None:
        self._folder = home / "vault"
        self._file = self._folder / "secrets"
        self._key_file = self._folder / "key"
        self._mark = self._folder / "keyring"
        self._use_keyring = use_keyring and not self._key_file.exists()

    def get(self, name: str) -> Secret:
        """The newest version of a secret; raises NotFound with the names there are."""
        versions = self._read().get(name)
        if not versions:
            raise NotFound.named("secret", name, self.names(), "Store it with `quaestor vault set NAME`.")
        return Secret(name, str(len(versions)), versions[-1])

    def set(self, name: str, value: str) -> Secret:
        """Store a new version; the same value again is the version that is there."""
        with self._locked():
            secrets = self._read()
            versions = secrets.setdefault(name, [])
            if not versions or versions[-1] != value:
                versions.append(value)
                self._write(secrets)
            return Secret(name, str(len(versions)), value)

    def names(self) -> list[str]:
        """Names of all secrets, sorted."""
        return sorted(self._read())

    def _read(self) -> dict[str, list[str]]:
        from cryptography.fernet import InvalidToken

        if not self._file.exists():
            return {}
        try:
            secrets: dict[str, list[str]] = json.loads(self._cipher().decrypt(self._file.read_bytes()))
        except InvalidToken as error:
            raise PartMissing(
                f"The vault {self._file} cannot be opened with its key: the key was replaced, or the file is damaged. "
                "Restore both from the same backup."
            ) from error
        return secrets

    def _write(self, secrets: dict[str, list[str]]) -> None:
        _write_private(self._file, self._cipher().encrypt(json.dumps(secrets, sort_keys=True).encode()))

    def _cipher(self) -> Fernet:
        from cryptography.fernet import Fernet

        try:
            return Fernet(self._key_from_keyring() or self._key_from_file())
        except ValueError as error:
            raise PartMissing(f"The key of the vault {self._folder} is no key; restore it from a backup.") from error

    def _key_from_keyring(self) -> str | None:
        if not self._use_keyring and not self._mark.exists():
            return None
        import keyring
        from cryptography.fernet import Fernet

        try:
            key = keyring.get_password(SERVICE, str(self._folder))
            if key is None and not self._file.exists():
                key = Fernet.generate_key().decode()
                keyring.set_password(SERVICE, str(self._folder), key)
                self._make_folder()
                self._mark.touch(mode=0o600)
        except keyring.errors.KeyringError as error:
            raise PartMissing(f"The OS keyring does not answer ({error}). Unlock it, then try again.") from error
        return key

    def _key_from_file(self) -> bytes:
        from cryptography.fernet import Fernet

        self._make_folder()
        if not self._key_file.exists():
            if self._file.exists():
                raise PartMissing(f"The vault's key {self._key_file} is missing; restore it from a backup.")
            _write_private(self._key_file, Fernet.generate_key())
        mode = stat.S_IMODE(self._key_file.stat().st_mode)
        if mode & 0o077:
            cure = f"run: chmod 600 {self._key_file}"
            raise BadConfig(f"Others can read the vault's key {self._key_file} (mode {mode:04o}); {cure}")
        return self._key_file.read_bytes()

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._make_folder()
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _write_private(path: Path, content: bytes) -> None:
    """Written for its owner alone, and on the disk before it takes its name: a crash leaves what was there."""
    draft = path.with_suffix(".new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
