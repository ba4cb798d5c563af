"""The vault: Key Vault's versions, soft deletion and errors as the port wants them.

One client is kept for as long as it is let in. A token that is refused (401) was revoked or belongs to another clock:
client and login are made anew, once, and the request repeated; a second refusal is final. The client library repeats by
itself what is throttled or broken, a new version too: the same value may then be stored twice, which harms nobody.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.keyvault.secrets import KeyVaultSecret, SecretClient, SecretProperties

from quaestor.custody.naming import check_end, check_name, check_value
from quaestor.doors.vault_azure.line import Line, Patience, within
from quaestor.doors.vault_azure.login import UNREADABLE, Kind, Login
from quaestor.doors.vault_azure.meaning import Deed, bare, final, meaning
from quaestor.errors import NotFound, QuaestorError
from quaestor.ports_secrets import Secret, SecretInfo

T = TypeVar("T")
VERSION = re.compile(r"[0-9a-fA-F]{32}")
PAUSE = 0.5  # seconds between two looks at whether a deletion is done; Azure needs some seconds
# A client whose token was refused takes it away from its other threads for an instant: AttributeError in them.
STALE = (ClientAuthenticationError, AttributeError)
LIST, LIST_DELETED = Deed("list the names"), Deed("list what was deleted")


class AzureKeyVault:
    """Implements `ports_secrets.SecretStore` in the vault at `url`. Thread-safe.

    client_id: of a managed identity, "": the machine's own; certificate: a file that the vault's certificate is checked
    with, for a protocol server; keep: seconds for which the newest version of a secret may be given out again.
    """

    def __init__(
        self,
        url: str,
        *,
        credential: Kind = "managed",
        client_id: str = "",
        certificate: str = "",
        keep: float = 0.0,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url.rstrip("/")
        self._credential, self._client_id, self._certificate = credential, client_id, certificate
        self._keep, self._patience, self._clock = keep, patience, clock
        self._client: SecretClient | None = None
        self._kept: dict[str, tuple[float, Secret]] = {}
        self._turn = threading.Lock()

    def __repr__(self) -> str:
        return f"AzureKeyVault({self.url!r})"

    def get(self, name: str, version: str | None = None) -> Secret:
        """The newest version, or that one; raises NotFound with the names, or versions, that there are."""
        check_name(name)
        if version is None and (kept := self._kept_one(name)):
            return kept
        if version is not None and not VERSION.fullmatch(version):
            raise self._unknown_version(name, version)
        try:
            found = self._ask(Deed("read", name), lambda client: client.get_secret(name, version))
        except NotFound:
            unknown = self._unknown(name) if version is None else self._unknown_version(name, version)
        else:
            return self._keep_one(_secret(found), newest=version is None)
        raise unknown

    def set(
        self,
        name: str,
        value: str,
        *,
        expires_at: dt.datetime | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Secret:
        """Store a new version; raises VaultRefused for a name that was deleted."""
        check_name(name)
        check_value(name, value)
        check_end(name, expires_at)
        told = dict(tags) if tags else None
        self._forget(name)
        return self._keep_one(
            _secret(
                self._ask(
                    Deed("store", name),
                    lambda client: client.set_secret(name, value, expires_on=expires_at, tags=told),
                )
            )
        )

    def names(self) -> list[str]:
        """Names of all secrets, sorted."""
        found = self._ask(LIST, lambda client: [one.name for one in client.list_properties_of_secrets()])
        return sorted(name for name in found if name)

    def versions(self, name: str) -> list[SecretInfo]:
        """All versions, newest first: by the second in which they were made, and within it by their tag `seq`."""
        check_name(name)
        deed = Deed("list the versions of", name)
        try:
            found = self._ask(deed, lambda client: list(client.list_properties_of_secret_versions(name)))
        except NotFound:
            found = []
        if not found:
            raise self._unknown(name)
        return sorted(map(_info, found), key=_age, reverse=True)

    def delete(self, name: str) -> None:
        """Delete it, softly, and wait until that is done."""
        check_name(name)

        def work(client: SecretClient) -> None:
            client.begin_delete_secret(name)
            self._await(lambda: client.get_deleted_secret(name))

        self._forget(name)
        try:
            return self._ask(Deed("delete", name), work)
        except NotFound:
            unknown = self._unknown(name)
        raise unknown

    def recover(self, name: str) -> None:
        """Bring it back with all its versions, and wait until that is done."""
        check_name(name)

        def work(client: SecretClient) -> None:
            client.begin_recover_deleted_secret(name)
            self._await(lambda: client.get_secret(name))

        try:
            return self._ask(Deed("recover", name), work)
        except NotFound:
            deleted = self._listed(LIST_DELETED, lambda client: client.list_deleted_secrets())
        raise _not_found("deleted secret", name, deleted, self.url)

    def close(self) -> None:
        """Close the connections; the next call opens them anew."""
        with self._turn:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _ask(self, deed: Deed, work: Callable[[SecretClient], T]) -> T:
        """What the vault answers; raises our errors alone, with nothing of the library's behind them."""
        for attempt in (1, 2):
            client = self._opened()
            try:
                with within(self._patience.whole):
                    return work(client)
            except QuaestorError as error:
                stale, failed = False, bare(error, deed)
            except (AzureError, *UNREADABLE) as error:
                stale = attempt == 1 and isinstance(error, STALE)
                failed = meaning(error, self.url, deed)
            if not stale:
                break
            self._give_up(client)
        raise failed

    def _opened(self) -> SecretClient:
        with self._turn:
            if self._client is None:
                self._client = self._open()
            return self._client

    def _give_up(self, client: SecretClient) -> None:
        """Left to its other users, and to no new one."""
        with self._turn:
            if self._client is client:
                self._client = None

    def _open(self) -> SecretClient:
        login = Login(
            self._credential, self._client_id, Line("The endpoint of this machine's identities", self._patience)
        )
        line = Line(
            f"The vault {self.url}", self._patience, self._certificate or True, lambda error: final(error, self.url)
        )
        return SecretClient(
            self.url,
            cast("TokenCredential", login),
            transport=line,
            verify_challenge_resource=not self._certificate,  # a protocol server is not under vault.azure.net
            permit_redirects=False,
            retry_total=4,
            retry_backoff_factor=0.4,
            http_logging_level=logging.DEBUG,
        )

    def _await(self, look: Callable[[], object]) -> None:
        """Until what is looked for is there; whoever may not look does not wait."""
        line = Line(f"The vault {self.url}", self._patience)
        while True:
            try:
                look()
            except ResourceNotFoundError:
                line.sleep(PAUSE)
            except HttpResponseError as error:
                if error.status_code == 403:
                    return
                raise
            else:
                return

    def _kept_one(self, name: str) -> Secret | None:
        at, secret = self._kept.get(name, (0.0, None))
        return secret if secret is not None and self._clock() - at < self._keep else None

    def _keep_one(self, secret: Secret, *, newest: bool = True) -> Secret:
        """Unless another thread has a newer one."""
        with self._turn:
            _, there = self._kept.get(secret.name, (0.0, None))
            if newest and self._keep > 0 and (there is None or _made(there) <= _made(secret)):
                self._kept[secret.name] = self._clock(), secret
        return secret

    def _forget(self, name: str) -> None:
        with self._turn:
            self._kept.pop(name, None)

    def _listed(self, deed: Deed, work: Callable[[SecretClient], Any]) -> list[str] | None:
        """Names for a message; None where they may not be listed."""
        try:
            return [str(one.name) for one in self._ask(deed, lambda client: list(work(client)))]
        except QuaestorError:
            return None

    def _unknown(self, name: str) -> NotFound:
        known = self._listed(LIST, lambda client: client.list_properties_of_secrets())
        return _not_found("secret", name, known, self.url, f"Store it with `quaestor secrets set {name}`.")

    def _unknown_version(self, name: str, version: str) -> NotFound:
        try:
            known = [info.version for info in self.versions(name)]
        except NotFound as unknown:
            return unknown
        except QuaestorError:
            return _not_found(f"version of the secret {name!r}:", version, None, self.url)
        return _not_found(f"version of the secret {name!r}:", version, known, self.url)


def _not_found(kind: str, name: str, known: list[str] | None, url: str, cure: str = "") -> NotFound:
    if known is not None:
        return NotFound.named(kind, name, known, cure)
    return NotFound(f"Unknown {kind} {name!r} in {url}, which does not let us list what there is. {cure}".rstrip())


def _secret(found: KeyVaultSecret) -> Secret:
    info = _info(found.properties)
    value = found.value or ""
    return Secret(info.name, info.version, value, info.created_at, info.expires_at, info.tags)


def _info(found: SecretProperties) -> SecretInfo:
    return SecretInfo(
        name=str(found.name),
        version=str(found.version),
        created_at=_utc(found.created_on),
        expires_at=_utc(found.expires_on),
        enabled=found.enabled is not False,
        tags=dict(found.tags or {}),
    )


def _utc(moment: dt.datetime | None) -> dt.datetime | None:
    return moment.astimezone(dt.UTC) if moment is not None else None


def _age(info: SecretInfo) -> tuple[dt.datetime, int]:
    seq = info.tags.get("seq", "")
    return _made(info), int(seq) if seq.isdecimal() else -1


def _made(one: SecretInfo | Secret) -> dt.datetime:
    return one.created_at or dt.datetime.min.replace(tzinfo=dt.UTC)
