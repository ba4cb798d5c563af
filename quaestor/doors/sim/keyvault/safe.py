"""What lies in the vault: secrets with all their versions, and names that were deleted and can be recovered.

Times are whole seconds since the epoch, as the wire has them. A version changes in its attributes and tags alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from quaestor.doors.sim.faults import Row

RECOVERABLE = {"recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90}
LONGEST = 25 * 1024  # bytes of a value


@dataclass
class Version:
    """A version of a secret; its repr never shows the value."""

    number: str
    value: str = field(repr=False)
    attributes: Row
    tags: dict[str, str] = field(default_factory=dict)
    content_type: str | None = None

    @property
    def enabled(self) -> bool:
        """Whether its value may be fetched."""
        return bool(self.attributes["enabled"])


@dataclass
class Safe:
    """Secrets by name, oldest version first. now: seconds since the epoch."""

    now: Callable[[], int]
    secrets: dict[str, list[Version]] = field(default_factory=dict)
    deleted: dict[str, list[Version]] = field(default_factory=dict)

    def add(self, name: str, asked: Row) -> Version:
        """A new version, as the body of a PUT says."""
        attributes = {"enabled": True, "created": self.now(), "updated": self.now(), **RECOVERABLE}
        version = Version(secrets.token_hex(16), asked["value"], attributes)
        self._change(version, asked)
        self.secrets.setdefault(name, []).append(version)
        return version

    def change(self, version: Version, asked: Row) -> None:
        """Attributes and tags, as the body of a PATCH says."""
        self._change(version, asked)
        version.attributes["updated"] = self.now()

    def find(self, name: str, number: str = "") -> Version | None:
        """That version, or the newest."""
        versions = self.secrets.get(name, [])
        if not number:
            return versions[-1] if versions else None
        return next((each for each in versions if each.number == number), None)

    def unordered(self, name: str) -> list[Version]:
        """All versions, by their ids: as the vault lists them, which is in no order of time."""
        return sorted(self.secrets.get(name, []), key=lambda each: each.number)

    def delete(self, name: str) -> Version:
        """Out of the secrets, so that it can be recovered; its newest version."""
        self.deleted[name] = self.secrets.pop(name)
        return self.deleted[name][-1]

    def recover(self, name: str) -> Version:
        """Back among the secrets; its newest version."""
        self.secrets[name] = self.deleted.pop(name)
        return self.secrets[name][-1]

    def _change(self, version: Version, asked: Row) -> None:
        told: dict[str, Any] = asked.get("attributes") or {}
        version.attributes |= {key: told[key] for key in ("enabled", "exp", "nbf") if told.get(key) is not None}
        if asked.get("tags") is not None:
            version.tags = dict(asked["tags"])
        version.content_type = asked.get("contentType") or version.content_type
