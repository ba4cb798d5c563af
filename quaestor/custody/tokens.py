"""Tokens: what a login gives, as the vault keeps it, in two secrets and a third that only seeding reads.

    rh-ALIAS-refresh   refresh token, device token, client id, kind, number    the refresher alone
    rh-ALIAS-access    access token, its type, number                          all who ask the broker
    rh-ALIAS-login     user name, password, TOTP seed                          seeding alone
    rh-ALIAS-account   the account's number                                    all who ask the broker
    rh-ALIAS-spool     what encrypts a secret that waits in the database       the refresher, and who types a code

The two of one login or refresh carry one number (`seq`), which counts up: the higher one is the newer. How long an
access token lives is read from itself (RFC 7519, `exp`): what the broker says beside it is not kept to.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from quaestor.errors import BadInput
from quaestor.logs import know

Kind = Literal["password", "import", "oauth"]
AGAIN = "Run `quaestor auth seed` or `quaestor auth import` again."
PARTS = re.compile(r"[\w-]+\.(?P<payload>[\w-]+=*)\.[\w-]*=*", re.ASCII)
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError, RecursionError)


@dataclass(frozen=True)
class Names:
    """The secrets of one account, by its alias."""

    alias: str

    @property
    def refresh(self) -> str:
        """The refresher's."""
        return f"rh-{self.alias}-refresh"

    @property
    def access(self) -> str:
        """Everybody's who asks the broker."""
        return f"rh-{self.alias}-access"

    @property
    def login(self) -> str:
        """What seeding logs in with."""
        return f"rh-{self.alias}-login"

    @property
    def account(self) -> str:
        """The account's number."""
        return f"rh-{self.alias}-account"

    @property
    def spool(self) -> str:
        """What encrypts tokens that wait for the vault, and codes that wait for a login."""
        return f"rh-{self.alias}-spool"


@dataclass(frozen=True)
class AccessToken:
    """What opens the broker for a while; its repr shows number and end only."""

    value: str = field(repr=False)
    seq: int
    expires_at: dt.datetime
    issued_at: dt.datetime
    token_type: str = "Bearer"  # noqa: S105  # how it is shown, not what

    def __post_init__(self) -> None:
        know(self.value, passing=True)

    @property
    def header(self) -> str:
        """The value of the header Authorization."""
        return f"{self.token_type} {self.value}"

    @classmethod
    def of(cls, value: str, seq: int, token_type: str = "Bearer") -> AccessToken:  # noqa: S107  # as above
        """A token as the broker gave it; raises BadInput where it does not say how long it lives."""
        issued, expires = lifetime(value)
        return cls(value, seq, expires, issued, token_type)

    def as_text(self) -> str:
        """As the vault keeps it."""
        return json.dumps({"access_token": self.value, "token_type": self.token_type, "seq": self.seq})

    @classmethod
    def read(cls, text: str, name: str = "the access token") -> AccessToken:
        """Out of the vault; raises BadInput naming the secret and the field."""
        found = _fields(text, name, {"access_token": str, "token_type": str, "seq": int})
        if not re.fullmatch(r"[A-Za-z]{1,20}", found["token_type"]):
            raise BadInput(f"The secret {name} has a token_type that is no word. {AGAIN}")
        return cls.of(found["access_token"], found["seq"], found["token_type"])


@dataclass(frozen=True)
class RefreshGrant:
    """What makes the next pair of tokens, once; its repr shows kind and number only."""

    refresh_token: str = field(repr=False)
    device_token: str = field(repr=False)
    client_id: str = field(repr=False)
    kind: Kind
    seq: int

    def __post_init__(self) -> None:
        know(self.refresh_token, passing=True)
        if self.device_token:
            know(self.device_token)

    def as_text(self) -> str:
        """As the vault keeps it."""
        return json.dumps(
            {
                "refresh_token": self.refresh_token,
                "device_token": self.device_token,
                "client_id": self.client_id,
                "kind": self.kind,
                "seq": self.seq,
            }
        )

    @classmethod
    def read(cls, text: str, name: str = "the refresh token") -> RefreshGrant:
        """Out of the vault; raises BadInput naming the secret and the field."""
        texts = dict.fromkeys(("refresh_token", "device_token", "client_id", "kind"), str)
        found = _fields(text, name, {**texts, "seq": int})
        if found["kind"] not in {"password", "import", "oauth"}:
            raise BadInput(f"The secret {name} has a kind that nobody knows. {AGAIN}")
        return cls(**found)


@dataclass(frozen=True)
class Pair:
    """What a login or a refresh gives."""

    access: AccessToken
    refresh: RefreshGrant


def lifetime(jwt: str) -> tuple[dt.datetime, dt.datetime]:
    """When a JSON Web Token was issued and when it ends (RFC 7519, `iat` and `exp`); its signature is not looked at.

    Where it does not say when it was issued, or says nonsense, that is taken as the epoch. Raises BadInput where it is
    no such token or says no end; the message shows nothing of it.
    """
    try:
        payload = PARTS.fullmatch(jwt)["payload"]  # type: ignore[index]  # TypeError: it stands in no header
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        ends = _instant(claims["exp"])
    except UNREADABLE:
        raise BadInput("The access token is no JSON Web Token that says when it ends; it was not stored.") from None
    try:
        return _instant(claims.get("iat", 0)), ends
    except UNREADABLE:
        return _instant(0), ends


def _instant(seconds: Any) -> dt.datetime:
    return dt.datetime.fromtimestamp(float(seconds), dt.UTC)


def _fields(text: str, name: str, kinds: Mapping[str, type]) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        raise BadInput(f"The secret {name} is no JSON. {AGAIN}") from None
    if not isinstance(found, dict):
        raise BadInput(f"The secret {name} is no JSON object. {AGAIN}")
    for key, kind in kinds.items():
        if not isinstance(found.get(key), kind) or isinstance(found.get(key), bool):
            raise BadInput(f"The secret {name} lacks {key}. {AGAIN}")
    return {key: found[key] for key in kinds}
