"""Which secrets a configuration names, what is wrong with them, and which an old bot's variables say."""

from __future__ import annotations

import base64
import datetime as dt
import json
from pathlib import Path

import pytest

from quaestor.config import Config, parse
from quaestor.custody import envs
from quaestor.custody.checks import EXACT, Verdict, judged, missing, pasted
from quaestor.custody.found import Find, Variable, finds, our_name, unclear
from quaestor.custody.login import Login
from quaestor.custody.needs import Need, Shape, needs
from quaestor.custody.tokens import AccessToken, RefreshGrant
from quaestor.doors.sealing import Sealing
from quaestor.doors.vault_local import LocalVault
from quaestor.errors import BadInput, NotFound, VaultAway, VaultRefused
from quaestor.operations.secrets import deletable, examine, listed, move, renew
from quaestor.ports_secrets import Secret, SecretInfo

NOW = dt.datetime(2026, 11, 23, 6, tzinfo=dt.UTC)


def jwt(issued: dt.datetime, end: dt.datetime) -> str:
    """A token that says how long it lives."""
    claims = json.dumps({"iat": issued.timestamp(), "exp": end.timestamp()}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2ln"


ACCESS = AccessToken.of(jwt(NOW, NOW + dt.timedelta(days=8)), 1).as_text()
GRANT = RefreshGrant("refresh-token-4711", "device", "client", "password", 1).as_text()


class TestNeeds:
    """Of a configuration."""

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            pytest.param("", [], id="the defaults name none"),
            pytest.param("[market]\nsource = 'alpaca'", ["alpaca-key", "alpaca-secret"], id="alpaca's history"),
            pytest.param("[feed]\nkind = 'alpaca-py'", ["alpaca-key", "alpaca-secret"], id="alpaca's stream"),
            pytest.param(
                "[feed]\nkind = 'alpaca'\nurl = 'ws://127.0.0.1:9'", [], id="a rehearsed stream takes any key"
            ),
            pytest.param("[feed]\nkind = 'kraken'", [], id="kraken asks for none"),
            pytest.param(
                "[market]\nsource = 'alpaca'\n[alpaca]\nkey_secret = 'k'\nsecret_secret = 's'",
                ["k", "s"],
                id="as named",
            ),
            pytest.param(
                "[database]\nurl = 'postgresql://u@h/d'\npassword_secret = 'pw'", ["pw"], id="the database's password"
            ),
            pytest.param("[database]\npassword_secret = 'pw'", [], id="the embedded database has none"),
            pytest.param("[telemetry]\nauthorization_secret = 'otlp'", ["otlp"], id="the sink's"),
            pytest.param(
                "[broker]\nkind = 'robinhood'\n[account]\nalias = 'main'",
                ["rh-main-access", "rh-main-account", "rh-main-login", "rh-main-refresh", "rh-main-spool"],
                id="robinhood's, by the account",
            ),
            pytest.param(
                "[market]\nsource = 'robinhood'\n[robinhood]\nlogin = 'joe'",
                ["rh-joe-access", "rh-joe-account", "rh-joe-login", "rh-joe-refresh", "rh-joe-spool"],
                id="robinhood's, by the login",
            ),
            pytest.param(
                "[broker]\nkind = 'robinhood-agentic'\n[robinhood_agentic]\nlogin = 'agent'",
                ["rh-agent-access", "rh-agent-login", "rh-agent-refresh", "rh-agent-spool"],
                id="the agentic channel's",
            ),
            pytest.param(
                "[broker]\nkind = 'robinhood-crypto'",
                ["robinhood-crypto-key", "robinhood-crypto-private-key"],
                id="the crypto API's",
            ),
        ],
    )
    def test_are_those_of_what_is_chosen(self, text: str, names: list[str]) -> None:
        assert [need.name for need in needs(parse(text))] == names

    def test_say_all_who_use_a_secret_once(self) -> None:
        config = parse(
            "[market]\nsource = 'alpaca'\n[feed]\nkind = 'alpaca'\n[telemetry]\nauthorization_secret = 'otlp'"
        )
        assert [need.used_by for need in needs(config)] == [("source alpaca", "feed alpaca")] * 2 + [("[telemetry]",)]
        assert all(need.after for need in needs(config))

    @pytest.mark.parametrize(("text", "optional"), [("[broker]\nkind", False), ("[market]\nsource", True)])
    def test_an_account_is_needed_by_the_broker_and_not_for_prices(self, text: str, optional: bool) -> None:
        found = {need.name: need.optional for need in needs(parse(f"{text} = 'robinhood'\n[account]\nalias = 'main'"))}
        assert found["rh-main-account"] is optional


def verdict(value: str, shape: Shape = "text", end: dt.datetime | None = None, **tags: str) -> Verdict:
    """Of a secret that was read."""
    return judged(Need("name", ("[x]",), shape), Secret("name", "7", value, NOW, end, tags), NOW)


class TestVerdicts:
    """Of a secret."""

    @pytest.mark.parametrize(
        ("value", "shape", "problem"),
        [
            pytest.param("key\n", "text", "it ends with a newline", id="a newline"),
            pytest.param(" key", "text", "it begins or ends with white space", id="a space"),
            pytest.param('"key"', "text", "it stands in quotes", id="quotes"),
            pytest.param("\u201ckey", "text", None, id="one quote of another kind may be meant"),
            pytest.param("k\u200bey", "text", "it holds a character that nobody sees", id="no width"),
            pytest.param(" \n", "text", "it is empty", id="nothing"),
            pytest.param("correct horse", "text", None, id="a space within"),
            pytest.param(ACCESS, "access", None, id="a token"),
            pytest.param(GRANT, "access", "it is not what `quaestor auth seed` stores", id="the other token"),
            pytest.param(GRANT, "refresh", None, id="a grant"),
            pytest.param("swordfish", "refresh", "it is not what `quaestor auth seed` stores", id="no JSON"),
            pytest.param(Login("u", "p").as_text(), "login", None, id="a login"),
            pytest.param("u:p", "login", "it is not a JSON object with username, password and totp", id="no login"),
            pytest.param(base64.b64encode(bytes(32)).decode(), "ed25519", None, id="a seed"),
            pytest.param(base64.b64encode(bytes(64)).decode(), "ed25519", None, id="a seed and its public key"),
            pytest.param(
                base64.b64encode(bytes(33)).decode(), "ed25519", "it is not an Ed25519 key in base64", id="long"
            ),
            pytest.param(Sealing().new_key(), "spool", None, id="a key that seals"),
            pytest.param("swordfish", "spool", "it is not what `quaestor auth seed` stores", id="no key"),
            pytest.param("-----BEGIN", "ed25519", "it is not an Ed25519 key in base64", id="PEM"),
        ],
    )
    def test_name_the_problem_and_the_cure_and_no_value(self, value: str, shape: Shape, problem: str | None) -> None:
        found = verdict(value, shape)
        assert (found.ok, found.problem, found.version) == (problem is None, problem, "7")
        assert (found.cure is None) == found.ok
        assert len(value) < 6 or value not in repr(found)

    def test_a_value_that_was_stored_exactly_may_end_with_white_space(self) -> None:
        assert verdict("key\n", **{EXACT: "true"}).ok

    @pytest.mark.parametrize(
        ("days", "ok", "problem"),
        [
            pytest.param(-1, False, "it expired at 2026-11-22 06:00 UTC", id="past"),
            pytest.param(0, False, "it expired at 2026-11-23 06:00 UTC", id="now"),
            pytest.param(14, True, "it expires at 2026-12-07 06:00 UTC", id="soon"),
            pytest.param(15, True, None, id="later"),
        ],
    )
    def test_an_end_is_told_a_fortnight_before(self, days: int, ok: bool, problem: str | None) -> None:
        end = NOW + dt.timedelta(days=days)
        found = verdict("key", end=end)
        assert (found.ok, found.problem, found.expires_at) == (ok, problem, end)
        assert (found.cure is None) == (problem is None)

    @pytest.mark.parametrize(("days", "ok"), [(-1, False), (3, True)])
    def test_a_tokens_own_end_counts_and_its_change_is_the_refreshers(self, days: int, ok: bool) -> None:
        end = NOW + dt.timedelta(days=days)
        found = verdict(AccessToken.of(jwt(NOW - dt.timedelta(days=8), end), 1).as_text(), "access")
        assert (found.ok, found.problem is None, found.expires_at) == (ok, ok, end)

    def test_one_that_is_missing_says_how_it_comes_unless_nothing_needs_it(self) -> None:
        assert missing(Need("a", ("x",))).cure == "`quaestor secrets set a`"
        assert (
            missing(Need("rh-a-access", ("x",), "access")).cure == "Run `quaestor auth seed` or `quaestor auth import`."
        )
        assert missing(Need("rh-a-login", ("x",), "login", optional=True)) == Verdict("rh-a-login", ("x",), ok=True)
        assert "set [robinhood] login" in str(missing(Need("rh-my_bot-access", ("x",), "access")).cure)

    def test_a_password_of_one_quote_is_no_mistake(self) -> None:
        assert pasted('"') is None


class Away:
    """A vault that does not answer, or that a role may not list, or may not read at all."""

    def __init__(self, listing: Exception | None = None, reading: Exception | None = None) -> None:
        self.listing, self.reading, self.asked = listing, reading, 0

    def names(self) -> list[str]:
        if self.listing:
            raise self.listing
        return []

    def get(self, name: str, version: str | None = None) -> Secret:
        self.asked += 1
        if self.reading:
            raise self.reading
        return Secret(name, version or "1", "value")


class TestExamining:
    """The whole vault."""

    WANTED = (Need("a", ("x",)), Need("b", ("x",)))

    def test_a_vault_that_is_away_is_asked_once(self) -> None:
        vault = Away(VaultAway("it does not answer"))
        problem, verdicts = examine(vault, self.WANTED, NOW)  # type: ignore[arg-type]
        assert (problem, vault.asked) == ("it does not answer", 0)
        assert [(one.ok, one.problem) for one in verdicts] == [(False, "it does not answer")] * 2

    def test_a_role_that_may_read_and_not_list_is_enough(self) -> None:
        problem, verdicts = examine(Away(VaultRefused("no role")), self.WANTED, NOW)  # type: ignore[arg-type]
        assert (problem, [one.ok for one in verdicts]) == (None, [True, True])

    def test_a_role_that_may_neither_is_told_of_the_vault_and_of_each(self) -> None:
        vault = Away(VaultRefused("no list"), VaultRefused("disabled"))
        problem, verdicts = examine(vault, self.WANTED, NOW)  # type: ignore[arg-type]
        assert (problem, [one.problem for one in verdicts]) == ("no list", ["disabled"] * 2)

    def test_one_that_is_disabled_is_told_of_itself(self) -> None:
        problem, verdicts = examine(Away(reading=VaultRefused("disabled")), self.WANTED[:1], NOW)  # type: ignore[arg-type]
        assert (problem, verdicts[0].ok, verdicts[0].problem) == (None, False, "disabled")
        assert "identity" in str(verdicts[0].cure)


def in_file(text: str) -> list[Variable]:
    """The variables of a .env."""
    return [Variable(one.name, one.value, f".env:{one.line}", one) for one in envs.bindings(text)]


def found(text: str, config: Config | None = None, **mapped: str) -> dict[str, Find]:
    """What a .env says, by our names."""
    return {find.secret: find for find in finds(in_file(text), config or parse("[account]\nalias = 'main'"), mapped)}


class TestFinding:
    """An old bot's secrets."""

    @pytest.mark.parametrize(
        ("text", "secret", "value"),
        [
            ("ALPACA_API_KEY=PK1", "alpaca-key", "PK1"),
            ("APCA_API_KEY_ID='PK1'", "alpaca-key", "PK1"),
            ("APCA_API_SECRET_KEY=s # c", "alpaca-secret", "s"),
            ("alpaca_secret_key=s", "alpaca-secret", "s"),
            ("OPENAI_API_KEY=sk-1", "openai-api-key", "sk-1"),
            ("DATABASE_URL=postgresql://u:p%40ss%C3%A9@h:5/d", "database-password", "p@ss\u00e9"),
            ("PGPASSWORD=pw", "database-password", "pw"),
            ("RH_ACCOUNT_NUMBER=5QR1", "rh-main-account", "5QR1"),
            ("RH_API_KEY=rh-api-1", "robinhood-crypto-key", "rh-api-1"),
            ("ROBINHOOD_PRIVATE_KEY=YWJj", "robinhood-crypto-private-key", "YWJj"),
        ],
    )
    def test_each_usual_name_is_one_of_ours(self, text: str, secret: str, value: str) -> None:
        assert {find.secret: (find.value, find.problem) for find in found(text).values()} == {secret: (value, "")}

    @pytest.mark.parametrize("prefix", ["ROBINHOOD", "RH", "ROBIN"])
    @pytest.mark.parametrize(("user", "password", "totp"), [("USERNAME", "PASSWORD", "TOTP"), ("EMAIL", "PASS", "MFA")])
    def test_the_three_of_a_login_become_one(self, prefix: str, user: str, password: str, totp: str) -> None:
        text = f"{prefix}_{user}=me@x.com\n{prefix}_{password}=p w\n{prefix}_{totp}='jbsw y3dp ehpk 3pxp'\n"
        login = Login.read(found(text)["rh-main-login"].value)
        assert (login.username, login.password, login.totp) == ("me@x.com", "p w", "JBSWY3DPEHPK3PXP")

    def test_the_login_takes_the_name_that_the_configuration_gives(self) -> None:
        text = "RH_USER=u\nRH_PASS=p\n"
        assert list(found(text, parse("[robinhood]\nlogin = 'joe'"))) == ["rh-joe-login"]
        assert "login" in found(text, parse("[account]\nalias = 'my_bot'"))["rh-my_bot-login"].cure

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("RH_USER=u", "the password is not there"),
            ("RH_PASS=p", "the username is not there"),
            ("RH_USER=u\nRH_PASS=p\nRH_MFA=123456", "a code that works once"),
            ("RH_USER=u\nRH_PASS=p\nRH_TOTP=not base 32!", "no base32"),
            ("RH_USER=u\nRH_PASS=p\nROBINHOOD_PASSWORD=q", "different values"),
            ("ALPACA_API_KEY=a\nAPCA_API_KEY_ID=b", "different values"),
            ("ALPACA_API_KEY=a\nALPACA_API_KEY=b", "different values"),
            ("DATABASE_URL=postgresql://u:p@h/d\nPGPASSWORD=q", "different values"),
            ("DATABASE_URL=postgresql://u:p/x@h/d", "%2F"),
            ("OPENAI_API_KEY=${OTHER}", "put together of other variables"),
            ("OPENAI_API_KEY=your_key_here", "looks like an example"),
            ("OPENAI_API_KEY=' k'", "white space"),
        ],
    )
    def test_what_is_doubtful_is_told_and_not_taken(self, text: str, problem: str) -> None:
        (find,) = found(text).values()
        assert problem in find.problem
        assert (find.value, bool(find.cure)) == ("", True)

    @pytest.mark.parametrize(
        "text",
        [
            "DATABASE_URL=sqlite:///bot.db",
            "DATABASE_URL=postgresql://u@h/d",
            "ALPACA_API_KEY=",
            "ALPACA_API_KEY",
            "DEBUG=1",
        ],
    )
    def test_what_says_no_secret_is_passed_over(self, text: str) -> None:
        assert found(text) == {}

    def test_two_names_with_one_value_are_one_secret(self) -> None:
        assert len(found("ALPACA_API_KEY=a\nAPCA_API_KEY_ID='a'")["alpaca-key"].variables) == 2

    def test_what_looks_like_a_secret_and_is_not_known_is_asked_for(self) -> None:
        text, config = "POLYGON_KEY=a\nBOT_TOKEN=b\nMONKEY=c\nKEYBOARD=d\nALPACA_API_KEY=e\n", parse("")
        assert [one.name for one in unclear(in_file(text), config, {"BOT_TOKEN": "bot"})] == ["POLYGON_KEY"]
        assert found(text, BOT_TOKEN="bot")["bot"].value == "b"
        assert our_name("POLYGON_KEY") == "polygon-key"


class TestMoving:
    """What was found, into the vault."""

    TEXT = "RH_USER=u\nRH_PASS=p\nALPACA_API_KEY=new-key\nDATABASE_URL=postgresql://u:pw@h/d\n"

    def test_is_done_once_and_found_there_afterwards(self, tmp_path: Path) -> None:
        vault, wanted = LocalVault(tmp_path), list(found(self.TEXT).values())
        assert {one.state for one in move(vault, wanted, dry_run=True)} == {"to be stored"}
        assert vault.names() == []
        assert {one.state for one in move(vault, wanted, dry_run=False)} == {"stored"}
        again = move(vault, wanted, dry_run=False)
        assert {(one.state, one.version) for one in again} == {("there", "1")}
        assert [said.name for said in deletable(again)] == ["ALPACA_API_KEY", "RH_USER", "RH_PASS"]
        assert vault.names() == ["alpaca-key", "database-password", "rh-main-login"]

    def test_a_newer_value_stays_and_the_old_ones_line_may_go(self, tmp_path: Path) -> None:
        vault, wanted = LocalVault(tmp_path), [found(self.TEXT)["alpaca-key"]]
        vault.set("alpaca-key", "new-key")
        vault.set("alpaca-key", "newer-key")
        (moved,) = move(vault, wanted, dry_run=False)
        assert (moved.state, moved.ok, len(deletable([moved]))) == ("older", True, 1)
        assert vault.get("alpaca-key").value == "newer-key"

    def test_another_value_stays_and_a_person_is_asked(self, tmp_path: Path) -> None:
        vault, wanted = LocalVault(tmp_path), [found(self.TEXT)["alpaca-key"]]
        vault.set("alpaca-key", "another")
        (moved,) = move(vault, wanted, dry_run=False)
        assert (moved.state, moved.ok, deletable([moved])) == ("differs", False, [])
        assert vault.get("alpaca-key").value == "another"

    def test_a_login_that_the_vault_knows_with_its_seed_is_there(self, tmp_path: Path) -> None:
        vault = LocalVault(tmp_path)
        vault.set("rh-main-login", json.dumps({"totp": "JBSWY3DPEHPK3PXP", "password": "p", "username": "u"}))
        assert [one.state for one in move(vault, [found(self.TEXT)["rh-main-login"]], dry_run=False)] == ["there"]
        vault.set("rh-main-login", Login("u", "other").as_text())
        vault.set("rh-main-login", Login("v", "p").as_text())
        with_seed = found(self.TEXT + "RH_TOTP=JBSWY3DPEHPK3PXQ")["rh-main-login"]
        assert [one.state for one in move(vault, [with_seed], dry_run=False)] == ["differs"]

    def test_what_was_deleted_there_is_not_stored_again(self, tmp_path: Path) -> None:
        vault, wanted = LocalVault(tmp_path), [found(self.TEXT)["alpaca-key"]]
        vault.set("alpaca-key", "new-key")
        vault.delete("alpaca-key")
        (moved,) = move(vault, wanted, dry_run=False)
        assert (moved.state, deletable([moved])) == ("refused", [])
        assert "secrets recover alpaca-key" in str(moved.problem)

    def test_nothing_may_go_where_the_vault_gives_back_another_value(self, tmp_path: Path) -> None:
        class Forgetful(LocalVault):
            def get(self, name: str, version: str | None = None) -> Secret:
                return Secret(name, "1", super().get(name, version).value.upper())

        with pytest.raises(VaultRefused, match="Delete nothing"):
            move(Forgetful(tmp_path), [found(self.TEXT)["alpaca-key"]], dry_run=False)


def test_a_list_has_the_newest_version_of_each_and_no_value(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path, now=lambda: NOW)
    for value in ("one", "two"):
        vault.set("a", value, tags={"by": "me"})
    assert listed(vault) == [SecretInfo("a", "2", NOW, tags={"by": "me"})]


def test_a_secret_is_renewed_by_another_value_alone(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)
    with pytest.raises(NotFound):
        renew(vault, "a", "swordfish", None)
    vault.set("a", "swordfish")
    with pytest.raises(BadInput, match="the value that a has") as refused:
        renew(vault, "a", "swordfish", None)
    assert "swordfish" not in str(refused.value)
    assert renew(vault, "a", "marlin", NOW).version == "2"
    assert vault.versions("a")[0].expires_at == NOW
