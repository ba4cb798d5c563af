"""What the broker's token endpoint and its approval of a device say, as outcomes that have one meaning each.

    200 {access_token, refresh_token, …}                       Tokens
    200 {mfa_required: true, mfa_type}                         CodeWanted: the same request again, with the code
    4xx {verification_workflow: {id}}                          ApprovalWanted: a person approves this device
    400, 401 {error: invalid_grant}                            GrantRefused: the refresh token is spent, or was revoked
    400, 401, 403 {detail}                                     Refused: password, code, or the way we ask
    429 {detail: "… available in N seconds."}                  Throttled
    5xx, no JSON, a line that broke after we had sent          ReplyLost: it may have been done
    a line that never came about                               NotSent: nothing was done

A reply that is lost and one that never was asked for are two things: a refresh token works once.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from quaestor.custody.tokens import AccessToken, Kind, Pair, RefreshGrant
from quaestor.errors import BadInput
from quaestor.logs import know

CLIENT = "c82SH0WZOsabOXGP2sxqcj34FxkvfnWRZBKlBjFS"  # the public client id of Robinhood's own web page
THROTTLED = 600.0  # seconds: nobody logs in again sooner than that
LONGEST = 86_400.0  # seconds: what is told beyond that is not believed (half a day was seen)


@dataclass(frozen=True)
class Login:
    """What seeding logs in with; its repr shows none of it."""

    username: str = field(repr=False)
    password: str = field(repr=False)
    totp: str = field(default="", repr=False)  # the seed, base32; "": none

    def __post_init__(self) -> None:
        for secret in filter(None, (self.username, self.password, self.totp)):
            know(secret)

    def as_text(self) -> str:
        """As the vault keeps it."""
        return json.dumps({"username": self.username, "password": self.password, "totp": self.totp})

    @classmethod
    def read(cls, text: str, name: str = "the login") -> Login:
        """Out of the vault; raises BadInput naming the secret."""
        try:
            found = json.loads(text)
            username, password, totp = found["username"], found["password"], found.get("totp") or ""
        except (ValueError, LookupError, TypeError, AttributeError):
            raise BadInput(f'The secret {name} wants {{"username", "password", "totp"}}; store it again.') from None
        if not all(isinstance(each, str) for each in (username, password, totp)) or not (username and password):
            raise BadInput(f"The secret {name} lacks the user name or the password; store it again.")
        return cls(username, password, totp)


@dataclass(frozen=True)
class Tokens:
    """A pair as it came over the wire; `pair` gives it its number."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    token_type: str = "Bearer"  # noqa: S105  # how it is shown, not what

    def __post_init__(self) -> None:
        know(self.access_token, passing=True)
        know(self.refresh_token, passing=True)

    def pair(self, seq: int, device_token: str, kind: Kind, client_id: str = CLIENT) -> Pair:
        """As it is stored; raises BadInput for an access token that does not say when it ends."""
        grant = RefreshGrant(self.refresh_token, device_token, client_id, kind, seq)
        return Pair(AccessToken.of(self.access_token, seq, self.token_type), grant)


@dataclass(frozen=True)
class CodeWanted:
    """A code of an app, a message or a letter is wanted with the password."""

    kind: str = "app"


@dataclass(frozen=True)
class ApprovalWanted:
    """The broker does not know this device: a person approves it."""

    workflow: str


@dataclass(frozen=True)
class GrantRefused:
    """The refresh token is spent, expired or revoked."""


@dataclass(frozen=True)
class Refused:
    """No; `what` is password, code, approval or request."""

    what: Literal["password", "code", "approval", "request"]
    detail: str = ""


@dataclass(frozen=True)
class Throttled:
    """Too often; nothing was done."""

    seconds: float


@dataclass(frozen=True)
class ReplyLost:
    """It was sent, and no answer came that can be read: it may have been done."""

    why: str


@dataclass(frozen=True)
class NotSent:
    """Nothing reached the broker, so nothing was done."""

    why: str


Outcome = Tokens | CodeWanted | ApprovalWanted | GrantRefused | Refused | Throttled | ReplyLost | NotSent


def outcome(  # noqa: PLR0911  # a case, an answer
    status: int, body: Any, *, with_code: bool = False, wait: float | None = None
) -> Outcome:
    """What a reply of the token endpoint means. body: its JSON, None where it has none; wait: its Retry-After."""
    found: Mapping[str, Any] = body if isinstance(body, dict) else {}
    if status == 429:
        return Throttled(min(wait or _told(found) or THROTTLED, LONGEST))
    if workflow := _workflow(found):
        return ApprovalWanted(workflow)
    if status == 200:
        return _accepted(found)
    if status >= 500 or status < 400:
        return ReplyLost(f"HTTP {status}")
    if found.get("error") == "invalid_grant":
        return GrantRefused()
    if status in {400, 401} and not found:
        return ReplyLost(f"HTTP {status} in words that are not Robinhood's")  # a gateway's page: nobody knows
    if status in {400, 401} and "detail" in found:
        return Refused("code" if with_code and _of_code(found) else "password", f"HTTP {status}")
    return Refused("request", f"HTTP {status}")


def _accepted(found: Mapping[str, Any]) -> Outcome:
    if found.get("mfa_required"):
        return CodeWanted(_word(found.get("mfa_type"), "app"))
    access, refresh = found.get("access_token"), found.get("refresh_token")
    if isinstance(access, str) and isinstance(refresh, str) and access and refresh:
        return Tokens(access, refresh, _word(found.get("token_type"), "Bearer"))
    return ReplyLost("an answer without tokens")


def _workflow(found: Mapping[str, Any]) -> str:
    inner = found.get("verification_workflow")
    return str(inner.get("id") or "") if isinstance(inner, dict) else ""


def _told(found: Mapping[str, Any]) -> float | None:
    told = re.search(r"available in (\d+)", str(found.get("detail", "")))
    return float(told[1]) if told else None


def _of_code(found: Mapping[str, Any]) -> bool:
    return bool(re.search(r"(?i)\b(code|mfa|challenge)\b", str(found["detail"]))) or bool(found.get("mfa_code"))


def _word(value: Any, default: str) -> str:
    """A short word of theirs: what is anything else is not repeated."""
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z_]{1,20}", value) else default


# ── approval of a device ──────────────────────────────────────────────────────────────────────────────────────────────

Channel = Literal["prompt", "sms", "email"]


@dataclass(frozen=True)
class Challenge:
    """How a person shows that the device is his: by a tap on his phone, or by a code that he is sent."""

    id: str
    channel: Channel
    stands: Literal["approved", "waiting", "refused"] = "waiting"


def challenge(body: Any) -> Challenge | None:
    """Of an inquiry; None while there is none yet."""
    try:
        found = body["context"]["sheriff_challenge"]
        name, channel = str(found["id"]), str(found["type"])
    except (LookupError, TypeError):
        return None
    known: dict[str, Channel] = {"prompt": "prompt", "sms": "sms", "email": "email"}
    return Challenge(name, known.get(channel, "prompt"), verdict({"status": found.get("status")}))


def verdict(body: Any) -> Literal["approved", "waiting", "refused"]:
    """What the end of an inquiry, or a challenge's status, says."""
    said = json.dumps(body if isinstance(body, dict) else {})
    if re.search(r'"(workflow_status_approved|validated)"', said):
        return "approved"
    return "refused" if re.search(r'"(\w*_)?(denied|rejected|failed|expired)"', said) else "waiting"


def new_device() -> str:
    """A device token, as a browser makes one: 8-4-4-4-12 hexadecimal digits."""
    return str(uuid.uuid4())


def one_time_code(seed: str, at: dt.datetime) -> str:
    """What an authenticator app shows at that moment (RFC 6238: SHA-1, 30 s, 6 digits); raises BadInput for no seed."""
    plain = re.sub(r"[\s-]", "", seed).upper()
    try:
        key = base64.b32decode(plain + "=" * (-len(plain) % 8))
    except binascii.Error:
        raise BadInput(
            "The TOTP seed is no base32 text, so nothing was sent; give the key that Robinhood showed for the app."
        ) from None
    digest = hmac.new(key, (int(at.timestamp()) // 30).to_bytes(8), hashlib.sha1).digest()
    place = digest[-1] & 15
    return f"{(int.from_bytes(digest[place : place + 4]) & 0x7FFFFFFF) % 1_000_000:06d}"
