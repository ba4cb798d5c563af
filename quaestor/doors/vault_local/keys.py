"""The vault's key: in the OS keyring, or in a file only its owner can read.

Its place holds one key; while the key is changed, two, one on a line: the new one, which encrypts, and the old one.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from quaestor.doors.vault_local import disk
from quaestor.errors import QuaestorError, VaultAway, VaultRefused

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

SERVICE = "quaestor"


class Keys:
    """The keys of the vault in `folder`; who changes them holds the vault's lock."""

    def __init__(self, folder: Path, *, use_keyring: bool) -> None:
        self._folder = folder
        self._file = folder / "key"
        self._mark = folder / "keyring"
        self._wanted = use_keyring

    @property
    def changing(self) -> bool:
        """Whether an old key is still there."""
        return len(self._lines() or []) > 1

    def cipher(self, *, new: bool = False) -> MultiFernet:
        """What opens the vault and encrypts with the newest key; `new`: there is no vault yet, a key is made.

        Raises VaultRefused where the key is missing or is none, where others can read it or the keyring has none;
        VaultAway where the keyring is locked.
        """
        lines = self._lines()
        if lines is None and new:
            lines = [_fresh()]
            self._put(lines)
        if lines is None:
            raise VaultRefused(f"The vault's key {self._place} is missing; restore it from a backup.")
        return self._made(lines)

    def newest(self) -> MultiFernet:
        """The newest key alone."""
        return self._made((self._lines() or [])[:1])

    def begin(self) -> None:
        """A new key before those that are there."""
        self._put([_fresh(), *(self._lines() or [])])

    def finish(self) -> None:
        """The newest key stays."""
        self._put((self._lines() or [])[:1])

    @property
    def _in_keyring(self) -> bool:
        return os.path.exists(self._mark) or (self._wanted and not self._file.exists())  # noqa: PTH110  # as the vault's lock

    @property
    def _place(self) -> str:
        return f"of {self._folder} in the OS keyring" if self._in_keyring else str(self._file)

    def _made(self, lines: list[str]) -> MultiFernet:
        from cryptography.fernet import Fernet, MultiFernet

        try:
            return MultiFernet([Fernet(line) for line in lines])
        except ValueError:
            raise VaultRefused(f"The key of the vault {self._folder} is no key; restore it from a backup.") from None

    def _lines(self) -> list[str] | None:
        text = self._from_keyring() if self._in_keyring else self._from_file()
        return None if text is None else (text.split() or [""])

    def _put(self, lines: list[str]) -> None:
        if self._in_keyring:
            self._into_keyring("\n".join(lines))
        else:
            disk.write_private(self._file, "\n".join(lines).encode())

    def _from_file(self) -> str | None:
        found = disk.read(self._file)
        if found is None:
            return None
        mode = stat.S_IMODE(self._file.stat().st_mode)
        if mode & 0o077:
            cure = f"run: chmod 600 {self._file}"
            raise VaultRefused(f"Others can read the vault's key {self._file} (mode {mode:04o}); {cure}")
        return found.decode("ascii", errors="replace")

    def _from_keyring(self) -> str | None:
        import keyring
        import keyring.errors

        try:
            return keyring.get_password(SERVICE, str(self._folder))
        except keyring.errors.KeyringError as error:
            raise _silent(error) from error

    def _into_keyring(self, text: str) -> None:
        import keyring
        import keyring.errors

        disk.write_private(self._mark, b"")  # before the key: whoever finds neither key nor vault makes both anew
        try:
            keyring.set_password(SERVICE, str(self._folder), text)
        except keyring.errors.KeyringError as error:
            raise _silent(error) from error


def _fresh() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


def _silent(error: Exception) -> QuaestorError:
    import keyring.errors

    if isinstance(error, keyring.errors.KeyringLocked):
        return VaultAway(f"The OS keyring is locked ({error}). Unlock it, then try again.")
    return VaultRefused(
        f"The OS keyring does not answer ({error}). Log in to the desktop it belongs to, or use another vault: "
        "[vault] key = 'file'."
    )
