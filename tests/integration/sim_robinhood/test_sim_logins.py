"""Logging in at Robinhood's protocol server: as robin_stocks does it, and whatever may come of it."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import pickle
from typing import Any

import pytest
import requests

from quaestor.custody.tokens import lifetime
from quaestor.doors.sim.faults import Fault
from quaestor.doors.sim.robinhood import Person

API = "https://api.robinhood.com"
GRACE = dt.timedelta(minutes=1)


def test_robin_stocks_logs_in_with_its_second_factor_and_the_phones_approval(site: Any) -> None:
    told = site.log_in()
    assert site.paths() == [
        "POST /oauth2/token/",
        "POST /pathfinder/user_machine/",
        "GET /pathfinder/inquiries/{}/user_view/",
        "GET /push/{}/get_prompts_status/",
        "GET /push/{}/get_prompts_status/",
        "POST /pathfinder/inquiries/{}/user_view/",
        "POST /oauth2/token/",
    ]
    assert site.server.auth.bearer(told["access_token"]) == site.person
    assert lifetime(told["access_token"]) == (site.at, site.at + dt.timedelta(days=6))
    assert site.server.auth.logins == 1


def test_its_pickle_takes_the_place_of_the_password_as_long_as_the_token_lives(site: Any) -> None:
    site.log_in()
    del site.server.requests[:]
    assert site.rh.login(None, None, pickle_path=str(site.folder))["access_token"]
    assert site.paths() == ["GET /positions/"]


def test_a_known_device_needs_no_phone(site: Any) -> None:
    site.log_in()
    site.server.auth.revoke()
    del site.server.requests[:]
    assert site.log_in()["access_token"]
    assert site.paths() == ["GET /positions/", "POST /oauth2/token/"]


def test_a_device_that_is_trusted_no_more_cannot_come_in_by_its_pickle(site: Any, capsys: Any) -> None:
    """robin_stocks then has another device verified than the one that it logs in with."""
    site.log_in()
    site.server.auth.break_chains()
    assert site.log_in() is None
    assert "No verification ID" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["sms", "email"])
def test_a_code_comes_by_message(site: Any, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    site.server.auth.approvals.kind = kind
    codes = iter(["000000", "123456"])
    monkeypatch.setattr("builtins.input", lambda _: next(codes))
    assert site.log_in()["access_token"]
    assert [each.status for each in site.server.requests if "challenge" in each.path] == [400, 200]


def _poll(site: Any) -> tuple[str, str, str]:
    """Log in from a new device, up to the challenge: its machine, the challenge, and what the phone says now."""
    answer = site.password("new")
    assert answer.status_code == 403
    asked = {"workflow_id": answer.json()["verification_workflow"]["id"]}
    said = {"device_id": "new", "flow": "suv", "input": asked}
    machine = site.session.post(f"{API}/pathfinder/user_machine/", json=said).json()["id"]
    challenge = site.get(f"/pathfinder/inquiries/{machine}/user_view/")["context"]["sheriff_challenge"]["id"]
    return machine, challenge, site.get(f"/push/{challenge}/get_prompts_status/")["challenge_status"]


@pytest.mark.parametrize(
    ("does", "status", "result"),
    [("refuse", "denied", "workflow_status_denied"), ("never", "issued", None)],
)
def test_a_phone_may_refuse_or_stay_silent(site: Any, does: Any, status: str, result: str | None) -> None:
    site.server.auth.approvals.does, site.server.auth.approvals.after = does, 0
    machine, _, seen = _poll(site)
    assert seen == status
    view = f"{API}/pathfinder/inquiries/{machine}/user_view/"
    said = site.session.post(view, json={"sequence": 0, "user_input": {"status": "continue"}}).json()
    assert said.get("type_context", {}).get("result") == result
    assert site.password("new").status_code == 403


def test_a_phone_can_be_answered_by_hand(site: Any) -> None:
    site.server.auth.approvals.does = "never"
    machine, challenge, seen = _poll(site)
    assert seen == "issued"
    assert site.session.post(f"{API}/sim/approve").json() == {"done": 1}
    assert site.get(f"/push/{challenge}/get_prompts_status/")["challenge_status"] == "validated"
    site.session.post(f"{API}/pathfinder/inquiries/{machine}/user_view/", json={})
    assert site.password("new").status_code == 200


def test_another_device_than_the_logins_cannot_be_verified(site: Any) -> None:
    workflow = site.password("mine").json()["verification_workflow"]["id"]
    said = {"device_id": "another", "flow": "suv", "input": {"workflow_id": workflow}}
    assert site.session.post(f"{API}/pathfinder/user_machine/", json=said).status_code == 400


@pytest.mark.parametrize(
    ("form", "status", "says"),
    [
        pytest.param({"password": "wrong"}, 400, "Unable to log in", id="a wrong password"),
        pytest.param({"mfa_code": "000000"}, 400, "valid code", id="a wrong code"),
        pytest.param({"mfa_code": ""}, 200, "mfa_required", id="no code"),
        pytest.param({"device_token": ""}, 400, "device_token", id="no device"),
        pytest.param({"grant_type": "magic"}, 403, "unsupported_grant_type", id="another grant"),
        pytest.param({"client_id": "mine"}, 401, "invalid_client", id="another client"),
    ],
)
def test_what_is_wrong_with_a_login_is_said(site: Any, form: dict[str, str], status: int, says: str) -> None:
    answer = site.password(**form)
    assert answer.status_code == status
    assert says in answer.text


def test_after_failed_logins_all_are_throttled_for_a_while(site: Any) -> None:
    site.server.auth.trust(site.person, "device")
    assert [site.password(password="no").status_code for _ in range(4)] == [400, 400, 400, 429]
    site.later(minutes=4)
    answer = site.password()
    assert answer.status_code == 429
    assert answer.json() == {"detail": "Request was throttled. Expected available in 360 seconds."}
    site.later(minutes=6)
    assert site.password().status_code == 200


def test_a_refresh_token_is_good_once_and_takes_the_old_access_token_along(site: Any) -> None:
    first = site.server.auth.mint(site.person, "device")
    site.later(days=1)
    second = site.refresh(first["refresh_token"]).json()
    assert lifetime(second["access_token"])[1] == site.at + dt.timedelta(days=6)
    auth = site.server.auth
    assert [auth.bearer(each["access_token"]) for each in (first, second)] == [None, site.person]
    again = site.refresh(first["refresh_token"])
    assert (again.status_code, again.json()) == (401, {"error": "invalid_grant"})
    assert auth.bearer(second["access_token"]) == site.person, "the new pair stays good"
    assert (auth.refreshes, auth.refusals) == (1, 1)


@pytest.mark.parametrize(("device", "client"), [("another", {}), ("device", {"client_id": "another"})])
def test_a_refresh_token_is_its_devices_and_its_clients(site: Any, device: str, client: dict[str, str]) -> None:
    token = site.server.auth.mint(site.person, "device")["refresh_token"]
    assert site.refresh(token, device, **client).status_code == 401
    assert site.refresh(token).status_code == 200


@pytest.mark.parametrize(("grace", "after", "status"), [(None, 0, 401), (GRACE, 59, 200), (GRACE, 61, 401)])
def test_a_lost_answer_costs_the_chain_unless_there_is_grace(site: Any, grace: Any, after: float, status: int) -> None:
    site.server.auth.grace = grace or dt.timedelta()
    token = site.server.auth.mint(site.person, "device")["refresh_token"]
    site.wrong(Fault("lost", path="/oauth2/token/", times=1))
    with pytest.raises(requests.ConnectionError):
        site.refresh(token)
    site.later(seconds=after)
    again = site.refresh(token)
    assert again.status_code == status
    assert site.server.auth.refreshes == 1, "it was spent, once"
    if status == 200:
        assert site.server.auth.bearer(again.json()["access_token"]) == site.person


def test_a_chain_can_be_over(site: Any) -> None:
    token = site.server.auth.mint(site.person, "device")["refresh_token"]
    site.server.auth.asks_again = True
    assert "verification_workflow" in site.refresh(token).json()
    site.server.auth.asks_again = False
    site.server.auth.break_chains()
    assert site.refresh(token).status_code == 401


@pytest.mark.parametrize(("which", "left"), [("access_token", 200), ("refresh_token", 401)])
def test_a_token_is_revoked_alone_a_chain_with_its_refresh_token(site: Any, which: str, left: int) -> None:
    pair = site.server.auth.mint(site.person, "device")
    form = {"client_id": "c", "token": pair[which]}
    assert site.session.post(f"{API}/oauth2/revoke_token/", data=form).status_code == 200
    assert site.server.auth.bearer(pair["access_token"]) is None
    assert site.refresh(pair["refresh_token"]).status_code == left


def test_a_token_ends_by_the_clock_or_when_it_is_revoked(inside: Any) -> None:
    asked = f"{API}/positions/?nonzero=true"
    assert inside.session.get(asked).status_code == 200
    inside.later(days=6)
    assert inside.session.get(asked).status_code == 401
    inside.later(days=-6)
    inside.server.auth.revoke()
    assert inside.session.get(asked).json() == {"detail": "Invalid token."}


def test_the_official_client_comes_with_a_proof_instead_of_a_password(site: Any) -> None:
    said = site.session.post(
        "https://agent.robinhood.com/oauth/trading/register", json={"redirect_uris": ["http://127.0.0.1/back"]}
    )
    client, verifier = said.json()["client_id"], "v" * 43
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    back = "http://127.0.0.1:4711/back"  # a loopback address may have any port (RFC 8252)
    asked = {"response_type": "code", "client_id": client, "redirect_uri": back, "state": "s"}
    asked |= {"code_challenge": challenge, "code_challenge_method": "S256"}
    page = site.session.get("https://robinhood.com/oauth", params=asked, allow_redirects=False)
    code = page.headers["Location"].removeprefix(f"{back}?code=").removesuffix("&state=s")
    form = {"grant_type": "authorization_code", "code": code, "client_id": client, "redirect_uri": back}
    pair = site.token(**form, code_verifier=verifier).json()
    assert site.server.auth.bearer(pair["access_token"]) == site.person
    assert lifetime(pair["access_token"])[1] == site.at + dt.timedelta(days=4)
    assert site.token(**form, code_verifier=verifier).status_code == 400, "a code is good once"
    assert site.refresh(pair["refresh_token"], "", client_id=client).status_code == 200


def test_a_wrong_proof_opens_nothing_and_strangers_are_not_sent_anywhere(site: Any) -> None:
    auth = site.server.auth
    client = auth.register(["http://localhost/back"])
    code = auth.authorize(site.person, client, "http://localhost/back", "challenge")
    form = {"code": code, "client_id": client, "redirect_uri": "http://localhost/back", "code_verifier": "guess"}
    assert site.token(grant_type="authorization_code", **form).status_code == 400
    far = {"redirect_uris": ["https://example.com/back"]}
    assert site.session.post("https://agent.robinhood.com/oauth/trading/register", json=far).status_code == 400


def test_what_was_asked_is_remembered_without_secrets(site: Any) -> None:
    told = site.log_in()
    kept = pickle.loads((site.folder / "robinhood.pickle").read_bytes())
    secrets = {told["access_token"], told["refresh_token"], kept["device_token"], site.person.password}
    seen = f"{site.server.requests} {site.server.asked} {site.person!r}"
    assert not [secret for secret in secrets if secret in seen]
    assert site.server.requests[0].status == 403


def test_a_person_may_have_no_second_factor_and_devices_of_old(site: Any) -> None:
    plain = Person("other@example.com", "words", "", {}, frozenset({"old"}))
    site.server.auth.people = [plain]
    site.server.auth.trust(plain, "old")
    form = {"username": plain.username, "password": "words", "mfa_code": ""}
    assert site.password("old", **form).status_code == 200


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
def test_any_way_answers_with_any_status(inside: Any, status: int) -> None:
    wait = {"Retry-After": "7"} if status == 429 else {}
    inside.wrong(Fault("status", path="/user/", status=status, headers=wait, times=1))
    answer = inside.session.get(f"{API}/user/")
    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, wait.get("Retry-After"))
    assert ("available in 7 seconds" in answer.text) is (status == 429)
    assert inside.session.get(f"{API}/user/").status_code == 200


def test_a_status_comes_before_the_work_and_a_lost_line_after_it(inside: Any) -> None:
    inside.wrong(Fault("status", path="/orders/", method="POST", times=1))
    inside.post(inside.ticket())
    assert inside.server.orders.placed == []
    inside.wrong(Fault("lost", path="/orders/", method="POST", times=1))
    with pytest.raises(requests.ConnectionError):
        inside.post(inside.ticket())
    assert len(inside.server.orders.placed) == 1
