"""The gate: who may ask, and how often.

A request passes with a known API key, a time within 30 seconds of the server's clock, and a signature that the key's
public half proves over the very bytes that came: key, time, path with query, method, body. Then it takes a token.
"""

from __future__ import annotations

import base64
import binascii
import math
import time
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.requests import Request

from quaestor.pacing import Bucket

WINDOW = 30  # seconds


@dataclass(frozen=True)
class No:
    """Why a request does not pass."""

    status: int
    detail: str
    retry_after: int = 0


@dataclass
class Gate:
    """Keys with the accounts that they open; `allowed`: what a key may do besides reading ("orders")."""

    bucket: Bucket = field(default_factory=lambda: Bucket(100 / 60, 300.0))
    _public: dict[str, Ed25519PublicKey] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)
    read_only: set[str] = field(default_factory=set)

    def register(self, api_key: str, public_key: str, account: str) -> None:
        """Take a key: its public half in base64, as a person enters it at Robinhood."""
        self._public[api_key] = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        self.accounts[api_key] = account

    def forget(self, api_key: str) -> None:
        """The key is deleted."""
        self._public.pop(api_key, None)

    def judge(self, request: Request, body: bytes, now: float) -> str | No:
        """The account that the request is for, or why it does not pass; `now`: seconds since 1970 UTC."""
        key, at = request.headers.get("x-api-key", ""), request.headers.get("x-timestamp", "")
        public = self._public.get(key)
        if public is None:
            return No(401, "Invalid API credentials")
        if not at.isdecimal() or abs(now - int(at)) > WINDOW:
            return No(401, "Timestamp is expired")
        message = f"{key}{at}{target(request)}{request.method}".encode() + body
        try:
            public.verify(base64.b64decode(request.headers.get("x-signature", ""), validate=True), message)
        except (InvalidSignature, binascii.Error, ValueError):
            return No(401, "Invalid signature")
        if request.method == "POST" and key in self.read_only:
            return No(403, "The API key does not allow this action")
        return self._paced() or self.accounts[key]

    def _paced(self) -> No | None:
        taken, wait = self.bucket.take(time.monotonic())
        if wait > 0:
            return No(429, "Request was throttled", math.ceil(wait))
        self.bucket = taken
        return None


def target(request: Request) -> str:
    """The path with its query as it came over the wire."""
    raw, query = request.scope["raw_path"].decode(), request.scope["query_string"].decode()
    return f"{raw}?{query}" if query else raw
