"""What is wrong with a secret, and the cure, without a word of the secret itself."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass

from quaestor.custody.login import Login
from quaestor.custody.naming import NAME, usable_key
from quaestor.custody.needs import Need, Shape
from quaestor.custody.tokens import AccessToken, RefreshGrant
from quaestor.errors import BadInput
from quaestor.ports_secrets import Secret

SOON = dt.timedelta(days=14)
EXACT = "exact"  # a tag: the value is meant as it is, white space and all
SEED = "Run `quaestor auth seed` or `quaestor auth import`."


@dataclass(frozen=True)
class Verdict:
    """Of one secret. Where it is ok and yet says a problem, that is one to come."""

    name: str
    used_by: tuple[str, ...]
    ok: bool
    version: str | None = None
    expires_at: dt.datetime | None = None
    problem: str | None = None
    cure: str | None = None


def missing(need: Need) -> Verdict:
    """Of a secret that the vault does not have."""
    if need.optional:
        return Verdict(need.name, need.used_by, ok=True)
    if not NAME.fullmatch(need.name):
        problem = "no vault takes this name: letters, digits and hyphens"
        return _bad(need, problem, "Name another in quaestor.toml; of Robinhood's, set [robinhood] login.")
    return _bad(need, "it is not in the vault", SEED if _ours(need.shape) else f"`quaestor secrets set {need.name}`")


def judged(need: Need, secret: Secret, now: dt.datetime) -> Verdict:
    """Of a secret that was read."""
    problem = misshapen(need.shape, secret.value)
    if problem is None and not _ours(need.shape) and EXACT not in secret.tags:
        problem = pasted(secret.value)
    end = secret.expires_at
    if problem is None and need.shape == "access":
        end = AccessToken.read(secret.value).expires_at
    by_hand = need.shape == "login" or not _ours(need.shape)
    cure = f"`quaestor secrets set {need.name}`" if by_hand else SEED
    said = Verdict(need.name, need.used_by, problem is None, secret.version, end, problem, cure if problem else None)
    return said if problem or end is None else _ending(said, need, end, now)


def unread(need: Need, why: str) -> Verdict:
    """Of a secret that the vault does not hand out."""
    cure = "See the message. Where another identity is to read it, such as the refresher's, check as that one."
    return _bad(need, why, cure)


def pasted(value: str) -> str | None:
    """A usual mistake of pasting; None where there is none."""
    if not value.strip():
        return "it is empty"
    if value != value.strip():
        ends = "ends with a newline" if value.endswith(("\n", "\r")) else "begins or ends with white space"
        return f"it {ends}"
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'`":
        return "it stands in quotes"
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b-\u200f\u2060\ufeff]", value):
        return "it holds a character that nobody sees"
    return None


def _ending(said: Verdict, need: Need, end: dt.datetime, now: dt.datetime) -> Verdict:
    cure = SEED if _ours(need.shape) else f"Get a new one at the vendor, then `quaestor secrets rotate {need.name}`."
    when = f"{end:%Y-%m-%d %H:%M} UTC"
    if end <= now:
        return Verdict(said.name, said.used_by, False, said.version, end, f"it expired at {when}", cure)
    if end - now <= SOON and not _ours(need.shape):  # a token is changed by the refresher, in time
        return Verdict(said.name, said.used_by, True, said.version, end, f"it expires at {when}", cure)
    return said


def misshapen(shape: Shape, value: str) -> str | None:
    """What is wrong with the value's form; None where nothing is."""
    readers: dict[Shape, Callable[[str], object]] = {
        "access": AccessToken.read,
        "refresh": RefreshGrant.read,
        "login": Login.read,
        "ed25519": _ed25519,
        "spool": _spool,
    }
    if not value.strip():
        return "it is empty"
    try:
        readers.get(shape, str)(value)
    except BadInput:  # its message may show a word of the value
        wanted = {"login": "a JSON object with username, password and totp", "ed25519": "an Ed25519 key in base64"}
        return f"it is not {wanted.get(shape, 'what `quaestor auth seed` stores')}"
    return None


def _ed25519(value: str) -> None:
    try:
        size = len(base64.b64decode(value.strip(), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if size not in {32, 64}:  # the seed, or the seed and the public key behind it
        raise BadInput("This is no Ed25519 key in base64.")


def _spool(value: str) -> None:
    if not usable_key(value):
        raise BadInput("This is no key that seals.")


def _ours(shape: Shape) -> bool:
    return shape in {"access", "refresh", "login", "spool"}


def _bad(need: Need, problem: str, cure: str) -> Verdict:
    return Verdict(need.name, need.used_by, False, problem=problem, cure=cure)
