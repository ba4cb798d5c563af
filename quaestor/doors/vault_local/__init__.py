"""The local vault: an encrypted file (law 10). Its key lies in the OS keyring, or in a file only its owner can read.

    QUAESTOR_HOME/vault/     0700
        secrets              all versions of all secrets, one Fernet token (AES-128-CBC with HMAC-SHA256)
        key                  0600; or, in its place, `keyring`: the mark that the key lies in the OS keyring
        lock                 whoever writes holds it

A write goes to a draft that replaces the file in one step, under the lock: at whatever instruction the process ends,
the old vault is whole or the new one is. Whoever reads takes no lock.

A change of the key goes through three states, each of which opens: the key's place holds new and old, then the file is
written with the new, then the old goes. A crash between them is mended by the next write.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from quaestor.custody.naming import check_end, check_name, check_value
from quaestor.doors.vault_local import disk, form
from quaestor.doors.vault_local.form import Contents, Entry, Version
from quaestor.doors.vault_local.keys import Keys
from quaestor.errors import NotFound, VaultRefused
from quaestor.ports_secrets import Secret, SecretInfo

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class LocalVault:
    """Implements `ports_secrets.SecretStore` in `home`/vault.

    `use_keyring` puts the key of a new vault into the OS keyring; a mark in the folder tells all who open it later.
    Raises VaultAway where the disk is full, the keyring is locked or another writer does not come to an end, and
    VaultRefused where the key or the file cannot be used; what is stored stays as it was then.
    """

    def __init__(self, home: Path, *, use_keyring: bool = False, now: Callable[[], dt.datetime] = _utc_now) -> None:
        self._folder = home / "vault"
        self._file = self._folder / "secrets"
        self._keys = Keys(self._folder, use_keyring=use_keyring)
        self._now = now

    def get(self, name: str, version: str | None = None) -> Secret:
        """The newest version of a secret, or that one; raises NotFound with the names there are."""
        entry = _there(self._read(), name)
        return _secret(name, entry.newest if version is None else _numbered(entry, name, version))

    def set(
        self,
        name: str,
        value: str,
        *,
        expires_at: dt.datetime | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Secret:
        """Store a new version; the newest `form.KEPT` stay.

        The same value again is the version that is there; an end or tags that are given are its own from then on.
        """
        check_value(name, value)
        check_end(name, expires_at)
        with disk.locked(self._folder):
            contents = self._read_alone()
            if name not in contents:
                check_name(name)
            entry = contents.get(name, Entry())
            if entry.deleted_at is not None:
                raise VaultRefused(f"The secret {name!r} was deleted. First run `quaestor secrets recover {name}`.")
            changed = entry.then(value, self._now(), expires_at, tags)
            if changed != entry:
                self._write(contents | {name: changed})
            return _secret(name, changed.newest)

    def names(self) -> list[str]:
        """Names of all secrets, sorted."""
        return sorted(_alive(self._read()))

    def versions(self, name: str) -> list[SecretInfo]:
        """What may be seen of all its versions, newest first; raises NotFound."""
        return [
            SecretInfo(name, str(one.number), one.created_at, one.expires_at, tags=dict(one.tags))
            for one in reversed(_there(self._read(), name).versions)
        ]

    def delete(self, name: str) -> None:
        """Take it out; `recover` brings it back. Raises NotFound."""
        with disk.locked(self._folder):
            contents = self._read_alone()
            entry = _there(contents, name)
            self._write(contents | {name: Entry(entry.versions, self._now())})

    def recover(self, name: str) -> None:
        """Bring back what was deleted, all its versions; raises NotFound with the names that are deleted."""
        with disk.locked(self._folder):
            contents = self._read_alone()
            deleted = [known for known, entry in contents.items() if entry.deleted_at is not None]
            if name not in deleted:
                raise NotFound.named("deleted secret", name, deleted)
            self._write(contents | {name: Entry(contents[name].versions)})

    def rotate_key(self) -> None:
        """Encrypt the vault with a new key; the old one is given up once all is written and read again."""
        with disk.locked(self._folder):
            contents = self._read_alone()
            self._keys.begin()
            self._write(contents)

    def _read(self) -> Contents:
        """As it is; where key and file do not match, once more with writers kept out: they may be changing the key."""
        try:
            return self._read_alone()
        except VaultRefused:
            if not os.path.exists(self._folder / "lock"):  # noqa: PTH110  # Path's raises where it may not look
                raise
        with disk.locked(self._folder):
            return self._read_alone()

    def _read_alone(self) -> Contents:
        token = disk.read(self._file)
        return {} if token is None else self._opened(token, self._keys.cipher())

    def _opened(self, token: bytes, cipher: MultiFernet) -> Contents:
        from cryptography.fernet import InvalidToken

        try:
            return form.read(cipher.decrypt(token))
        except InvalidToken:
            raise VaultRefused(
                f"The vault {self._file} cannot be opened with its key: the key was replaced, or the file is damaged. "
                "Restore both from the same backup."
            ) from None
        except (ValueError, TypeError, KeyError, AttributeError):  # a message of json's would show what it read
            raise VaultRefused(
                f"The vault {self._file} has a form that this Quaestor does not know. Install the newest one."
            ) from None

    def _write(self, contents: Contents) -> None:
        cipher = self._keys.cipher(new=not self._file.exists())
        disk.write_private(self._file, cipher.encrypt(json.dumps(form.as_json(contents)).encode()))
        if self._keys.changing:
            self._opened(self._file.read_bytes(), self._keys.newest())
            self._keys.finish()


def _alive(contents: Contents) -> Contents:
    return {name: entry for name, entry in contents.items() if entry.deleted_at is None and entry.versions}


def _there(contents: Contents, name: str) -> Entry:
    alive = _alive(contents)
    if name in alive:
        return alive[name]
    if name in contents and contents[name].versions:
        raise NotFound(f"The secret {name!r} was deleted. `quaestor secrets recover {name}` brings it back.")
    raise NotFound.named("secret", name, alive, "Store it with `quaestor secrets set NAME`.")


def _numbered(entry: Entry, name: str, version: str) -> Version:
    known = {str(one.number): one for one in entry.versions}
    if version not in known:
        raise NotFound.named(f"version of {name!r}", version, known)
    return known[version]


def _secret(name: str, one: Version) -> Secret:
    return Secret(name, str(one.number), one.value, one.created_at, one.expires_at, dict(one.tags))
