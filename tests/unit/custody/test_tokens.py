"""Tokens as they are read: how long they live, and that what is damaged is told without a word of it."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from quaestor.custody.tokens import AccessToken, RefreshGrant, lifetime
from quaestor.errors import BadInput

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
END = (NOW + dt.timedelta(days=6)).timestamp()


def jwt(claims: Any) -> str:
    """A token that says that, signed by nobody."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.c2lnbmVk"


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"exp": END}, id="nothing"),
        pytest.param({"exp": END, "iat": None}, id="null"),
        pytest.param({"exp": END, "iat": "soon"}, id="a word"),
        pytest.param({"exp": END, "iat": math.inf}, id="for ever"),
        pytest.param({"exp": END, "iat": [1]}, id="a list"),
    ],
)
def test_a_token_that_does_not_say_when_it_was_made_is_kept_all_the_same(said: dict[str, Any]) -> None:
    """Its refresh token is the only one there is: it is not thrown away for that."""
    assert lifetime(jwt(said)) == (dt.datetime.fromtimestamp(0, dt.UTC), dt.datetime.fromtimestamp(END, dt.UTC))


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="nothing"),
        pytest.param("opaque-word", id="no JSON Web Token"),
        pytest.param(jwt({}), id="no end"),
        pytest.param(jwt({"exp": None}), id="null"),
        pytest.param(jwt({"exp": math.nan}), id="not a number"),
        pytest.param(jwt({"exp": math.inf}), id="for ever"),
        pytest.param(jwt({"exp": 1e20}), id="a year that no calendar has"),
        pytest.param(jwt(["exp"]), id="a list"),
        pytest.param(jwt({"exp": END}) + "\n", id="a newline, which no header takes"),
        pytest.param(jwt({"exp": END}) + "\r\nHost: x", id="another header"),
        pytest.param("Bearer " + jwt({"exp": END}), id="its type before it"),
        pytest.param(jwt({"exp": END}) + "\0", id="a NUL"),
        pytest.param("é" + jwt({"exp": END}), id="a letter that no header takes"),
        pytest.param("a." + base64.urlsafe_b64encode(b"[" * 200_000).decode() + ".b", id="a depth without an end"),
    ],
)
def test_a_token_that_cannot_be_used_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(BadInput) as refused:
        AccessToken.of(token, 1)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    assert not token or token[:8] not in str(refused.value)


CLAIMS = some.dictionaries(some.sampled_from(["exp", "iat"]), some.floats() | some.text())


@given(some.text() | some.builds(jwt, CLAIMS))
def test_whatever_comes_is_a_token_or_refused(token: str) -> None:
    try:
        _, ends = lifetime(token)
    except BadInput:
        return
    assert ends.tzinfo is dt.UTC
    assert token.isascii()
    assert token.isprintable()


@pytest.mark.parametrize("field", ["refresh_token", "device_token", "client_id", "kind", "seq"])
@pytest.mark.parametrize("put", ["nothing", None, ["swordfish"], True, {"a": "swordfish"}], ids=repr)
def test_a_grant_that_is_damaged_names_its_field_and_shows_nothing(field: str, put: Any) -> None:
    said = json.loads(RefreshGrant("swordfish", "swordfish", "swordfish", "password", 1).as_text())
    del said[field]
    with pytest.raises(BadInput, match=field) as refused:
        RefreshGrant.read(json.dumps(said if put == "nothing" else said | {field: put}), "rh-main-refresh")
    assert "swordfish" not in str(refused.value)
    assert "rh-main-refresh" in str(refused.value)


def test_a_kind_that_nobody_knows_is_not_repeated() -> None:
    """Of a damaged secret, any field may hold the password."""
    said = json.loads(RefreshGrant("r", "d", "c", "password", 1).as_text()) | {"kind": "swordfish"}
    with pytest.raises(BadInput, match="kind") as refused:
        RefreshGrant.read(json.dumps(said))
    assert "swordfish" not in str(refused.value)


def test_a_token_type_that_is_no_word_opens_no_header() -> None:
    said = {"access_token": jwt({"exp": END}), "token_type": "Bearer x\r\nHost:", "seq": 1}
    with pytest.raises(BadInput, match="token_type"):
        AccessToken.read(json.dumps(said))
