"""An old bot's .env: read whole, and written anew in one step, for whom it was and as it was but for what went.

What was written since it was read is never lost: then nothing is written.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from quaestor.errors import BadInput


class EnvFile:
    """The file, as it was when this was made; a link is followed. Raises BadInput where it cannot be read."""

    def __init__(self, path: Path) -> None:
        try:
            self.path = path.resolve()
            self.content = self.path.read_bytes()
        except (OSError, RuntimeError) as error:
            raise BadInput(
                f"{path} cannot be read ({getattr(error, 'strerror', None) or 'a loop of links'})."
            ) from None

    def replace(self, content: bytes) -> None:
        """Write it anew; raises BadInput, and it stays as it is, where somebody wrote it meanwhile or it cannot be."""
        draft = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}.new")
        try:
            self._write(draft, content)
            if self.path.read_bytes() != self.content:
                raise BadInput(f"{self.path} was written while we read it; it stays as it is. Run this again.")
            draft.replace(self.path)
            self._keep_name()
        except OSError as error:
            raise BadInput(f"{self.path} cannot be written ({error.strerror}); delete those lines by hand.") from error
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        self.content = content

    def _write(self, draft: Path, content: bytes) -> None:
        was = self.path.stat()
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            if (was.st_uid, was.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), was.st_uid, was.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(was.st_mode))
            os.fsync(file.fileno())

    def _keep_name(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
