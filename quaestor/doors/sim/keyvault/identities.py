"""Who there is, what their roles let them do, and their tokens; and the endpoint of managed identities.

A role is held on one secret, or on the whole vault ("*"): that is how Azure scopes it. The endpoint speaks as App
Service and Container Apps do (IDENTITY_ENDPOINT, IDENTITY_HEADER), and as a virtual machine does (`Metadata: true`).
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from quaestor.doors.sim.faults import Vendor

USER = frozenset({"get", "list"})  # the built-in role Key Vault Secrets User
OFFICER = USER | {"set", "update", "delete", "recover", "purge"}  # Key Vault Secrets Officer
VAULT = "https://vault.azure.net"
TENANT = "00000000-0000-4000-8000-00000000000a"
NONE_FOUND = "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId."


@dataclass
class Identity:
    """Somebody with a client id ("": the machine's own): allowed actions by secret or "*"; of which tenant he is."""

    client_id: str
    roles: dict[str, frozenset[str]] = field(default_factory=dict)
    tenant: str = TENANT

    def may(self, action: str, secret: str) -> bool:
        """Whether a role of his allows it on that secret; without one named, on the vault."""
        return any(action in self.roles.get(scope, ()) for scope in ("*", secret))


@dataclass
class Token:
    """What was given to whom, until when; revoked: whether it was taken back."""

    identity: Identity
    audience: str
    expires_at: dt.datetime
    revoked: bool = False


class Identities(Vendor):
    """The endpoint's state: who there is, and the tokens that were given. life: of a token, seconds."""

    def __init__(self, clock: Callable[[], dt.datetime], *, life: float = 86_400, header: str = "") -> None:
        super().__init__()
        self.clock, self.life = clock, life
        self.header = header or secrets.token_hex(16)  # what IDENTITY_HEADER must say
        self.people: dict[str, Identity] = {}
        self._tokens: dict[str, Token] = {}
        ways = ("/msi/token", "/metadata/identity/oauth2/token")
        self.app = Starlette(routes=[Route(way, self._answer) for way in ways])

    def allow(self, client_id: str, actions: Iterable[str], *names: str, tenant: str = TENANT) -> Identity:
        """Give an identity, made where there is none, a role on secrets; without names: on the vault."""
        person = self.people.setdefault(client_id, Identity(client_id, tenant=tenant))
        person.roles |= {name: person.roles.get(name, frozenset()) | set(actions) for name in names or ("*",)}
        return person

    def issue(self, client_id: str, audience: str = VAULT) -> tuple[str, Token]:
        """A new token of an identity."""
        ends = self.clock() + dt.timedelta(seconds=self.life)
        value, token = f"sim.{secrets.token_hex(24)}", Token(self.people[client_id], audience, ends)
        self._tokens[value] = token
        return value, token

    @property
    def given(self) -> list[str]:
        """Every token that was given, for who looks for them where they should not be."""
        return list(self._tokens)

    def revoke(self) -> None:
        """Take back every token that was given."""
        for token in self._tokens.values():
            token.revoked = True

    def shown(self, authorization: str) -> Token | None:
        """The token that a header shows, if it was given here."""
        kind, _, value = authorization.partition(" ")
        return self._tokens.get(value) if kind == "Bearer" else None

    async def _answer(self, request: Request) -> Response:
        struck = self.struck(request, "token")
        if refused := self._refusal(request):
            return refused
        asked = request.query_params
        value, token = self.issue(asked.get("client_id", ""), asked["resource"])
        answer = {"access_token": value, "token_type": "Bearer", "resource": asked["resource"]}
        answer |= {"expires_on": str(int(token.expires_at.timestamp())), "expires_in": str(int(self.life))}
        return await self.answer(request, answer | {"client_id": token.identity.client_id}, struck)

    def _refusal(self, request: Request) -> Response | None:
        machine = request.url.path.startswith("/metadata/")
        told: Mapping[str, str] = request.headers
        if (told.get("Metadata") != "true") if machine else (told.get("X-IDENTITY-HEADER") != self.header):
            return _said(401, "The header that shows where the caller runs is missing or wrong.", machine)
        if request.query_params.get("client_id", "") not in self.people:
            return _said(400, NONE_FOUND, machine)
        return None


def _said(status: int, words: str, machine: bool) -> Response:
    told = {"error": "invalid_request", "error_description": words} if machine else {"message": words}
    return JSONResponse(told if machine else {"statusCode": status, **told}, status)
