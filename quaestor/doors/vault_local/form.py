"""What the vault's file says once it is decrypted, in today's form and in the first one.

    {"form": 2, "secrets": {NAME: {"deleted_at": null, "versions": [{"number": 1, "value": …, "created_at": …,
                                                                     "expires_at": …, "tags": {…}}]}}}

The first form was {NAME: [value, …]}; it is read as it is, and the next write makes today's of it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

FORM = 2
KEPT = 50  # newest versions of a secret: tokens change twice a week, and a vault is read as a whole


@dataclass(frozen=True)
class Version:
    """One value of a secret; its repr never shows it. Times are aware UTC, None where the first form did not say."""

    value: str = field(repr=False)
    created_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None
    tags: tuple[tuple[str, str], ...] = ()
    number: int = 1


@dataclass(frozen=True)
class Entry:
    """A secret: its versions, oldest first, and when it was deleted."""

    versions: tuple[Version, ...] = ()
    deleted_at: dt.datetime | None = None

    @property
    def newest(self) -> Version:
        """The version that counts."""
        return self.versions[-1]

    def then(
        self, value: str, now: dt.datetime, expires_at: dt.datetime | None, tags: Mapping[str, str] | None
    ) -> Entry:
        """With a new version behind; the same value again only takes over the end and the tags that are given."""
        end = expires_at.astimezone(dt.UTC) if expires_at else None
        noted = None if tags is None else tuple(sorted(tags.items()))
        if not self.versions:
            return replace(self, versions=(Version(value, now, end, noted or ()),))
        last = self.newest
        if last.value == value:
            noted = last.tags if noted is None else noted
            return replace(
                self, versions=(*self.versions[:-1], replace(last, expires_at=end or last.expires_at, tags=noted))
            )
        return replace(self, versions=(*self.versions, Version(value, now, end, noted or (), last.number + 1))[-KEPT:])


Contents = dict[str, Entry]


def as_json(contents: Contents) -> dict[str, Any]:
    """Today's form."""
    secrets = {
        name: {"deleted_at": _text(entry.deleted_at), "versions": [_version(one) for one in entry.versions]}
        for name, entry in contents.items()
    }
    return {"form": FORM, "secrets": secrets}


def read(text: bytes) -> Contents:
    """Either form; raises ValueError, TypeError, KeyError or AttributeError for any other."""
    found = json.loads(text)
    if not isinstance(found.get("form"), int):
        return {name: _first(values) for name, values in found.items()}
    if found["form"] != FORM:
        raise ValueError(found["form"])
    return {name: _entry(said) for name, said in found["secrets"].items()}


def _first(values: list[str]) -> Entry:
    return Entry(tuple(Version(value, number=number) for number, value in enumerate(values, 1)))


def _entry(said: Mapping[str, Any]) -> Entry:
    versions = [
        Version(one["value"], _time(one["created_at"]), _time(one["expires_at"]), tuple(one["tags"].items()), number)
        for one in said["versions"]
        for number in (one["number"],)
    ]
    return Entry(tuple(versions), _time(said["deleted_at"]))


def _version(one: Version) -> dict[str, Any]:
    said = {"number": one.number, "value": one.value, "tags": dict(one.tags)}
    return said | {"created_at": _text(one.created_at), "expires_at": _text(one.expires_at)}


def _text(time: dt.datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _time(text: str | None) -> dt.datetime | None:
    return None if text is None else dt.datetime.fromisoformat(text)
