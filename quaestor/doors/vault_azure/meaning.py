"""What each error of Azure's libraries means: who must act, and how. No message shows what a vault answered.

    no connection, a broken or senseless answer, 408, 429, 5xx     VaultAway: it may pass
    no such vault, no trust, no role, no tenant, disabled, 409     VaultRefused: a person must act
    404                                                            NotFound (the store adds the names that there are)
    400, 413                                                       BadInput

A name that the network says does not exist (NXDOMAIN) is taken for a wrong address; where the question itself got no
answer, the network is away.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import HttpResponseError

from quaestor.errors import BadInput, NotFound, QuaestorError, VaultAway, VaultRefused

NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
CUT_OFF = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
AWAY = {408, 429}
ROLES = {"read": "Key Vault Secrets User"}  # every other deed: Key Vault Secrets Officer


@dataclass(frozen=True)
class Deed:
    """What we were at: a verb, and the secret's name where it was about one."""

    verb: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.name!r}" if self.name else self.verb

    @property
    def doubt(self) -> str:
        """What is not known when no answer came."""
        return " Whether the new version is stored is not known; those before it are." if self.verb == "store" else ""

    @property
    def role(self) -> str:
        """The role that allows it."""
        return ROLES.get(self.verb, "Key Vault Secrets Officer")


def meaning(error: BaseException, url: str, deed: Deed) -> QuaestorError:
    """Our error for one of the libraries'."""
    if isinstance(error, HttpResponseError) and error.status_code is not None and error.status_code >= 300:
        return _answered(error.status_code, *_codes(error), url, deed)
    if (failed := final(error, url)) is not None:
        return failed
    if isinstance(error, ValueError) and "challenge" in str(error):
        return VaultRefused(f"What answers at {url} is not that Azure Key Vault. Correct [vault] url.")
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return VaultAway(f"The name of the vault {url} cannot be looked up just now: look after the network.")
    seen = type(error).__name__
    return VaultAway(f"The vault {url} gave no answer when we wanted to {deed} ({seen}). Try again later.{deed.doubt}")


def bare(error: QuaestorError, deed: Deed) -> QuaestorError:
    """An error of our own that came up through the libraries, without theirs behind it."""
    return type(error)(f"{error}{deed.doubt}" if isinstance(error, VaultAway) else str(error))


def final(error: BaseException, url: str) -> QuaestorError | None:
    """Our error for what no repetition cures before anything was sent: the address, or the certificate."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror) and cause.errno in NO_SUCH_NAME:
            return VaultRefused(f"There is no vault at {url}: nobody knows that name. Correct [vault] url.")
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, CUT_OFF):
            return VaultRefused(f"{url} shows a certificate that is not trusted. Correct [vault] url or certificate.")
        if isinstance(cause, OSError) and "TLS CA certificate bundle" in str(cause):
            return VaultRefused("The file of [vault] certificate is not there. Correct its name.")
    return None


def _answered(status: int, code: str, inner: str, url: str, deed: Deed) -> QuaestorError:
    seen = " ".join(filter(None, (str(status), inner or code)))
    if status in AWAY or status >= 500:
        return VaultAway(f"The vault {url} answered {seen} when we wanted to {deed}. Try again later.")
    return {
        400: BadInput(f"The vault {url} does not take what it was told ({seen}) when we wanted to {deed}."),
        401: VaultRefused(
            f"The vault {url} does not know our identity ({seen}). It belongs to another tenant: log in there "
            "(`az login --tenant`), or let an identity of its tenant run this."
        ),
        403: _forbidden(seen, inner, url, deed),
        404: NotFound(f"The vault {url} knows nothing of what we wanted to {deed}."),
        409: _blocked(inner, deed),
        413: BadInput(f"The vault {url} does not take so much at once ({seen}) when we wanted to {deed}."),
    }.get(status, VaultRefused(f"What answers at {url} is no Azure Key Vault ({seen}). Correct [vault] url."))


def _forbidden(seen: str, inner: str, url: str, deed: Deed) -> QuaestorError:
    if inner == "SecretDisabled":
        cure = f"Enable it in the Azure portal, or store a new one: `quaestor secrets set {deed.name}`."
        return VaultRefused(f"That version of the secret {deed.name!r} is disabled in {url}. {cure}")
    if inner == "ForbiddenByFirewall":
        return VaultRefused(f"The firewall of the vault {url} lets nobody in from here. Add this network to it.")
    on = f"the secret {deed.name!r}" if deed.name else "the vault"
    return VaultRefused(
        f"The vault {url} does not let us {deed} ({seen}). Give our identity the role {deed.role} on {on}; it holds "
        "after some minutes."
    )


def _blocked(inner: str, deed: Deed) -> QuaestorError:
    if inner in {"ObjectIsBeingDeleted", "ObjectIsBeingRecovered"}:
        return VaultAway(f"The secret {deed.name!r} is just being deleted or recovered. Try again in a minute.")
    return VaultRefused(f"The secret {deed.name!r} was deleted. First run `quaestor secrets recover {deed.name}`.")


def _codes(error: HttpResponseError) -> tuple[str, str]:
    """Key Vault's two words for an error; not its message, which may repeat what it was told."""
    said: Any = error.error
    inner = getattr(said, "innererror", None) or {}
    return str(getattr(said, "code", "") or ""), str(inner.get("code", "") if isinstance(inner, dict) else "")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what lies under it: libraries wrap each other's, by argument, attribute and cause."""
    found, ahead = set[int](), [error]
    while ahead:
        one = ahead.pop()
        if id(one) in found:
            continue
        found.add(id(one))
        yield one
        under = (getattr(one, "inner_exception", None), getattr(one, "reason", None), one.__cause__, *one.args)
        ahead += [each for each in under if isinstance(each, BaseException)]
