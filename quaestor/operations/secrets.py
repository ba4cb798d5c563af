"""Secrets, as a person keeps them: what there is, whether it will do, and moving it into the vault.

Nothing here returns a value. A secret that is moved is read back and compared before anybody is told to delete it where
it was; a newer one in the vault is never overwritten by an older one that was found.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from quaestor.custody.checks import Verdict, judged, missing, unread
from quaestor.custody.found import Find, Variable
from quaestor.custody.needs import Need
from quaestor.errors import BadInput, NotFound, VaultAway, VaultRefused
from quaestor.ports_secrets import Secret, SecretInfo, SecretStore

State = Literal["stored", "to be stored", "there", "older", "differs", "refused"]


@dataclass(frozen=True)
class Moved:
    """What became of a secret that was found."""

    find: Find
    state: State
    version: str | None = None
    problem: str | None = None
    cure: str | None = None

    @property
    def ok(self) -> bool:
        """Whether nobody needs to act before it can go."""
        return self.state not in {"differs", "refused"}

    @property
    def safe(self) -> bool:
        """Whether the vault has it."""
        return self.state in {"stored", "there", "older"}


def listed(vault: SecretStore) -> list[SecretInfo]:
    """The newest version of each secret, without its value."""
    return [vault.versions(name)[0] for name in vault.names()]


def examine(vault: SecretStore, needs: Sequence[Need], now: dt.datetime) -> tuple[str | None, list[Verdict]]:
    """What is wrong with the vault as a whole (None: nothing), and each secret's verdict."""
    try:
        vault.names()
    except VaultAway as error:  # no use in asking it again for each
        return str(error), [unread(need, str(error)) for need in needs]
    except VaultRefused as error:
        verdicts = [_verdict(vault, need, now) for need in needs]
        served = any(verdict.version for verdict in verdicts)
        return None if served else str(error), verdicts  # a role may let us read what it does not let us list
    return None, [_verdict(vault, need, now) for need in needs]


def _verdict(vault: SecretStore, need: Need, now: dt.datetime) -> Verdict:
    try:
        return judged(need, vault.get(need.name), now)
    except (NotFound, BadInput):  # BadInput: a name that no vault takes
        return missing(need)
    except (VaultAway, VaultRefused) as error:
        return unread(need, str(error))


def renew(
    vault: SecretStore, name: str, value: str, expires_at: dt.datetime | None, tags: Mapping[str, str] | None = None
) -> Secret:
    """A new value of a secret that is there; raises NotFound, and BadInput for the value that it has."""
    if vault.get(name).value == value:
        raise BadInput(f"That is the value that {name} has. Get a new one at the vendor, then rotate it here.")
    return vault.set(name, value, expires_at=expires_at, tags=tags)


def move(vault: SecretStore, finds: Sequence[Find], *, dry_run: bool) -> list[Moved]:
    """Store what was found and the vault does not have; the same again finds all of it there."""
    return [_moved(vault, find, dry_run) for find in finds]


def deletable(moved: Sequence[Moved]) -> list[Variable]:
    """Variables of a file that can go: the vault has what they say, and they say nothing else."""
    safe = [one.find for one in moved if one.safe]
    return [said for find in safe for said in find.variables if said.binding and said.name not in find.of_url]


def _moved(vault: SecretStore, find: Find, dry_run: bool) -> Moved:
    if find.problem:
        return Moved(find, "refused", problem=find.problem, cure=find.cure)
    try:
        stored = vault.get(find.secret)
    except NotFound:
        return _stored(vault, find, dry_run)
    if find.is_in(stored.value):
        return Moved(find, "there", stored.version)
    older = (vault.get(find.secret, info.version).value for info in vault.versions(find.secret)[1:] if info.enabled)
    if any(find.is_in(value) for value in older):
        return Moved(find, "older", stored.version)
    cure = f"Where the one found is right: `quaestor secrets rotate {find.secret}`. Where not, delete it there."
    return Moved(find, "differs", stored.version, "the vault has another value, which stays", cure)


def _stored(vault: SecretStore, find: Find, dry_run: bool) -> Moved:
    if dry_run:
        return Moved(find, "to be stored")
    try:
        version = vault.set(find.secret, find.value, tags={"from": "migrate"}).version
    except (VaultRefused, BadInput) as error:
        return Moved(find, "refused", problem=str(error), cure="See the message.")
    if vault.get(find.secret).value != find.value:
        raise VaultRefused(f"The vault gives back another value of {find.secret} than it was given. Delete nothing.")
    return Moved(find, "stored", version)
