"""Who we are for the vault: a managed identity by its client id, or the developer who is logged in with `az login`.

One of the two, as configured, and no chain of guesses: a process that is suddenly somebody else would fail far from the
cause. A token that cannot be had is said by an error of ours; the vault's client passes it on and tries nothing again.
"""

from __future__ import annotations

import logging
import re
import subprocess
from typing import TYPE_CHECKING, Any, Literal

from azure.core.exceptions import AzureError, ClientAuthenticationError
from msal.exceptions import MsalError  # type: ignore[import-untyped]

from quaestor.doors.vault_azure.line import Line
from quaestor.errors import QuaestorError, VaultAway, VaultRefused
from quaestor.logs import know

if TYPE_CHECKING:
    from azure.core.credentials import AccessTokenInfo

Kind = Literal["managed", "developer"]
REFUSING = {400, 401, 403}  # what the endpoint of identities answers where a repetition is useless
UNREADABLE = (MsalError, ValueError, LookupError, TypeError, AttributeError, OSError, RuntimeError)
PATIENT = 10  # seconds for `az`


class Login:
    """A credential of azure-core's. line: to the endpoint of managed identities."""

    def __init__(self, kind: Kind, client_id: str, line: Line) -> None:
        logging.getLogger("azure").setLevel(logging.ERROR)  # our errors say it, once
        self._kind, self._client_id, self._line = kind, client_id, line
        self._credential = self._open()

    def get_token_info(self, *scopes: str, options: Any = None) -> AccessTokenInfo:
        """A token for the vault; raises VaultAway and VaultRefused."""
        try:
            token: AccessTokenInfo = self._credential.get_token_info(*scopes, options=options)
        except QuaestorError:
            raise
        except (AzureError, *UNREADABLE) as error:
            failed = self._meaning(error, (options or {}).get("tenant_id"))
        else:
            know(token.token, passing=True)
            return token
        raise failed  # without the library's own error, which may show an answer

    def _open(self) -> Any:
        from azure import identity

        if self._kind == "developer":
            return identity.AzureCliCredential(process_timeout=PATIENT)
        try:
            return identity.ManagedIdentityCredential(
                client_id=self._client_id or None,
                transport=self._line,
                retry_connect=1,  # outside of Azure nobody answers: that is said soon
                retry_read=1,
                http_logging_level=logging.DEBUG,
            )
        except ValueError:  # a workload identity without its client id
            failed = VaultRefused("This machine has several identities; name one with [vault] client_id.")
        raise failed

    def _meaning(self, error: Exception, tenant: str | None) -> QuaestorError:
        return self._of_developer(error, tenant) if self._kind == "developer" else self._of_machine(error)

    def _of_developer(self, error: Exception, tenant: str | None) -> QuaestorError:
        if isinstance(error.__cause__, subprocess.TimeoutExpired):
            return VaultAway(f"`az account get-access-token` gave no token within {PATIENT} s. Try again later.")
        if "not found on path" in str(error):
            return VaultRefused('There is no `az` here. Install the Azure CLI, or set [vault] credential = "managed".')
        code = re.search(r"AADSTS\d+", str(error))
        seen = f" ({code.group()})" if code else ""
        login = f"az login --tenant {tenant}" if tenant else "az login"
        return VaultRefused(f"The Azure CLI gives no token for the vault{seen}. Run `{login}`.")

    def _of_machine(self, error: Exception) -> QuaestorError:
        who, status = self._line.who, self._line.status
        if isinstance(error, ClientAuthenticationError) and status in REFUSING:
            asked = f"the client id {self._client_id}" if self._client_id else "the machine's own identity"
            return VaultRefused(
                f"{who} has no token for {asked} ({status}). Assign that identity to this machine, or correct "
                "[vault] client_id."
            )
        seen = f"answered {status}" if status else f"does not answer ({type(error).__name__})"
        return VaultAway(
            f'{who} {seen}. Try again later; outside of Azure use `az login` and [vault] credential = "developer".'
        )
