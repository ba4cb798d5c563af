"""The door to Azure Key Vault when things go wrong: the real client libraries, at a server that errs on demand.

What every vault must do is in test_vault_contract.py.
"""

from __future__ import annotations

import datetime as dt
import inspect
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import azure.core.exceptions as core
import msal
import pytest
from azure import identity

from quaestor import wiring
from quaestor.config import parse
from quaestor.doors.sim.faults import Fault
from quaestor.doors.sim.keyvault import OFFICER, USER, KeyVaultServer, Place
from quaestor.doors.vault_azure import AzureKeyVault, Patience, login
from quaestor.doors.vault_azure.meaning import Deed, meaning
from quaestor.errors import BadInput, NotFound, QuaestorError, VaultAway, VaultRefused

SHORT = Patience(connect=0.3, read=0.3, whole=0.6)
Opens = Callable[..., AzureKeyVault]


class Clock:
    def __init__(self) -> None:
        self.ahead = dt.timedelta()

    def __call__(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + self.ahead


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KeyVaultServer, Place]]:
    server = KeyVaultServer(clock=Clock())
    with server.open(tmp_path_factory.mktemp("keyvault")) as place:
        yield server, place


@pytest.fixture
def place(served: tuple[KeyVaultServer, Place]) -> Place:
    return served[1]


@pytest.fixture
def server(served: tuple[KeyVaultServer, Place], monkeypatch: pytest.MonkeyPatch) -> KeyVaultServer:
    """The same server for all tests, as new; this machine's identity is one that it knows."""
    server, place = served
    for rows in (server.safe.secrets, server.safe.deleted, server.identity.people):
        rows.clear()
    for told in (server.faults, server.identity.faults, server.seen, server.identity.asked):
        told.clear()
    server.clock.ahead = dt.timedelta()  # type: ignore[attr-defined]
    server.identity.allow("", OFFICER)
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    return server


@pytest.fixture
def opens(place: Place) -> Opens:
    return lambda **said: AzureKeyVault(place.url, **({"certificate": str(place.certificate)} | said))


@pytest.fixture
def vault(server: KeyVaultServer, opens: Opens) -> AzureKeyVault:
    vault = opens()
    vault.set("token", "good-value")
    server.seen.clear()
    return vault


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def elsewhere(place: Place) -> str:
    """The same vault by another name: the library keeps a vault's challenge by its name, for the whole process."""
    return place.url.replace("127.0.0.1", "localhost")


# ── who may do what ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_worker_reads_the_one_secret_that_his_role_names_and_nothing_else(
    server: KeyVaultServer, vault: AzureKeyVault, opens: Opens
) -> None:
    vault.set("rh-main-refresh", "refresh-token-1")
    server.identity.allow("worker", USER, "token")
    worker = opens(client_id="worker")
    assert worker.get("token").value == "good-value"
    assert len(worker.versions("token")) == 1
    with pytest.raises(VaultRefused, match=r"read 'rh-main-refresh' \(403 ForbiddenByRbac\).*Key Vault Secrets User"):
        worker.get("rh-main-refresh")
    with pytest.raises(VaultRefused, match=r"store 'token'.*role Key Vault Secrets Officer on the secret 'token'"):
        worker.set("token", "another-value")
    with pytest.raises(VaultRefused, match="list the names"):
        worker.names()
    assert vault.get("token").value == "good-value"


def test_an_unknown_secret_is_told_where_the_names_may_not_be_listed(server: KeyVaultServer, opens: Opens) -> None:
    server.identity.allow("worker", USER, "missing")
    with pytest.raises(NotFound, match=r"'missing' in https://.* does not let us list.*quaestor secrets set missing"):
        opens(client_id="worker").get("missing")


def test_an_identity_that_this_machine_lacks_is_named(server: KeyVaultServer, opens: Opens) -> None:
    with pytest.raises(VaultRefused, match=r"client id nobody \(400\).*\[vault\] client_id"):
        opens(client_id="nobody").names()


def test_an_identity_of_another_tenant_is_refused_with_the_cure(server: KeyVaultServer, opens: Opens) -> None:
    server.identity.allow("foreign", OFFICER, tenant="another")
    with pytest.raises(VaultRefused, match=r"401 Unauthorized.*another tenant.*az login --tenant"):
        opens(client_id="foreign").names()


def test_a_virtual_machine_asks_its_own_endpoint(
    server: KeyVaultServer, opens: Opens, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in place.environment:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", place.endpoint)
    server.identity.allow("vm", OFFICER)
    assert opens(client_id="vm").set("token", "value").value == "value"
    assert "/metadata/identity/oauth2/token" in server.identity.asked[0]


class TestDeveloper:
    """Who is logged in with `az login`: the real credential runs a program of that name."""

    @pytest.fixture(autouse=True)
    def _known(self, server: KeyVaultServer) -> None:
        """The server is as new."""

    @pytest.fixture
    def az(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

        def write(script: str) -> None:
            (tmp_path / "az").write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / "az").chmod(0o755)

        return write

    def test_his_token_opens_the_vault(
        self, server: KeyVaultServer, opens: Opens, az: Callable[[str], None], tmp_path: Path
    ) -> None:
        server.identity.allow("person", OFFICER)
        value, token = server.identity.issue("person")
        said = f'{{"accessToken": "{value}", "expires_on": {int(token.expires_at.timestamp())}}}'
        az(f"echo \"$@\" > {tmp_path}/asked\necho '{said}'")
        assert opens(credential="developer").set("token", "value").value == "value"
        assert f"--tenant {server.tenant}" in (tmp_path / "asked").read_text()

    @pytest.mark.parametrize(
        ("script", "error", "said"),
        [
            pytest.param("echo 'run az login' >&2; exit 1", VaultRefused, "Run `az login --tenant ", id="logged out"),
            pytest.param("echo 'AADSTS90002: x' >&2; exit 1", VaultRefused, r"\(AADSTS90002\)", id="another tenant"),
            pytest.param("echo nonsense", VaultRefused, "Run `az login", id="answers nonsense"),
            pytest.param("exec sleep 5", VaultAway, "no token within", id="hangs"),
        ],
    )
    def test_what_he_lacks_is_said(
        self,
        opens: Opens,
        az: Callable[[str], None],
        script: str,
        error: type[QuaestorError],
        said: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(login, "PATIENT", 0.5)
        az(script)
        with pytest.raises(error, match=said):
            opens(credential="developer").names()

    def test_a_machine_without_the_program_says_so(
        self, opens: Opens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(VaultRefused, match="Install the Azure CLI"):
            opens(credential="developer").names()


# ── where it is ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        pytest.param(socket.EAI_NONAME, VaultRefused, r"no vault at https://nosuch\..*\[vault\] url", id="no such"),
        pytest.param(socket.EAI_AGAIN, VaultAway, "look|answer", id="no answer to the question"),
    ],
)
def test_a_vault_whose_name_is_not_found(
    server: KeyVaultServer, monkeypatch: pytest.MonkeyPatch, code: int, error: type[QuaestorError], said: str
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise socket.gaierror(code, "as the resolver says")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(error, match=said):
        AzureKeyVault("https://nosuch.vault.azure.net", patience=SHORT).get("token")


def test_a_certificate_that_nobody_signed_is_refused(server: KeyVaultServer, place: Place) -> None:
    with pytest.raises(VaultRefused, match=r"certificate that is not trusted.*\[vault\] url or certificate"):
        AzureKeyVault(elsewhere(place)).names()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_certificate_file_that_is_none_is_named(
    server: KeyVaultServer, opens: Opens, tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "file.pem").write_text(content)
    with pytest.raises(VaultRefused, match="certificate"):
        opens(certificate=str(tmp_path / "file.pem")).names()


def test_a_server_that_is_no_key_vault_of_azure_gets_no_token(
    server: KeyVaultServer, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(place.certificate))
    with pytest.raises(VaultRefused, match=r"not that Azure Key Vault.*\[vault\] url"):
        AzureKeyVault(elsewhere(place)).names()
    assert server.identity.asked == []
    assert [one.status for one in server.seen] == [401]


def test_a_vault_that_sends_us_elsewhere_is_not_followed(server: KeyVaultServer, vault: AzureKeyVault) -> None:
    server.faults.append(Fault("status", status=302, headers={"Location": "https://127.0.0.1:1/secrets"}))
    with pytest.raises(VaultRefused, match="no Azure Key Vault"):
        vault.get("token")


def test_a_proxy_of_the_environment_stands_not_between_us_and_this_machine(
    vault: AzureKeyVault, opens: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert opens(patience=SHORT).get("token").value == "good-value"


# ── outages ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["status", "hang", "drip", "huge", "html", "truncated", "dropped", "lost"])
def test_an_outage_ends_in_time_and_what_comes_after_it_works(
    server: KeyVaultServer, vault: AzureKeyVault, opens: Opens, kind: Any
) -> None:
    patient = opens(patience=SHORT)
    assert patient.get("token").value == "good-value"
    for ask in (lambda: patient.get("token"), lambda: opens(patience=SHORT).get("token")):
        server.faults.append(Fault(kind))
        begun = time.monotonic()
        with pytest.raises(VaultAway):
            ask()
        assert time.monotonic() - begun < 2.5
        server.faults.clear()
    assert patient.get("token").value == "good-value"
    assert len(patient.versions("token")) == 1


def test_a_vault_that_is_not_there_is_away(server: KeyVaultServer, opens: Opens, place: Place) -> None:
    there = AzureKeyVault(f"https://127.0.0.1:{free_port()}", certificate=str(place.certificate), patience=SHORT)
    with pytest.raises(VaultAway, match="answer"):
        there.get("token")


def test_a_short_fault_is_not_noticed(server: KeyVaultServer, vault: AzureKeyVault) -> None:
    for fault in (Fault("status", times=1), Fault("lost", times=1)):
        server.faults.append(fault)
        assert vault.get("token").value == "good-value"
    server.throttle(times=1, after=0)
    assert vault.get("token").value == "good-value"


def test_a_vault_that_throttles_for_long_is_away_at_once(server: KeyVaultServer, vault: AzureKeyVault) -> None:
    server.throttle(times=None, after=3600)
    begun = time.monotonic()
    with pytest.raises(VaultAway, match=r"429.*3600 s"):
        vault.get("token")
    assert time.monotonic() - begun < 1.0


def test_a_value_whose_receipt_is_lost_is_stored_and_the_one_before_it_stays(
    server: KeyVaultServer, vault: AzureKeyVault, opens: Opens
) -> None:
    server.faults.append(Fault("lost", symbol="set"))
    with pytest.raises(VaultAway, match="Whether the new version is stored is not known; those before it are"):
        opens(patience=SHORT).set("token", "next-value")
    server.faults.clear()
    assert vault.get("token").value == "next-value"
    oldest = vault.versions("token")[-1]
    assert "good-value" in {vault.get("token", one.version).value for one in vault.versions("token")}, oldest


def test_a_disabled_version_is_refused_and_the_one_before_it_stays_usable(
    server: KeyVaultServer, vault: AzureKeyVault
) -> None:
    before = vault.get("token").version
    vault.set("token", "next-value")
    server.disable("token")
    with pytest.raises(VaultRefused, match=r"'token' is disabled.*quaestor secrets set token"):
        vault.get("token")
    assert vault.get("token", before).value == "good-value"
    assert {info.version: info.enabled for info in vault.versions("token")}[before]


def test_more_tags_than_azure_takes_are_refused(server: KeyVaultServer, vault: AzureKeyVault) -> None:
    server.faults.append(Fault("status", symbol="set", status=400))
    with pytest.raises(BadInput, match="400"):
        vault.set("token", "next-value", tags={f"tag{n}": "x" for n in range(16)})


# ── tokens ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_revoked_token_is_changed_for_a_new_one_unnoticed(server: KeyVaultServer, vault: AzureKeyVault) -> None:
    server.identity.revoke()
    assert vault.get("token").value == "good-value"
    assert len(server.identity.asked) == 2


def test_a_token_that_ended_sooner_than_it_says_is_changed_for_a_new_one(
    server: KeyVaultServer, vault: AzureKeyVault
) -> None:
    server.clock.ahead = dt.timedelta(days=2)  # type: ignore[attr-defined]
    assert vault.get("token").value == "good-value"


def test_threads_go_on_while_tokens_are_revoked(server: KeyVaultServer, vault: AzureKeyVault) -> None:
    with ThreadPoolExecutor(8) as threads:
        for _ in range(6):  # a read asks twice: once for each time that tokens are taken back under it
            reads = [threads.submit(vault.get, "token") for _ in range(10)]
            server.identity.revoke()
            assert {read.result().value for read in reads} == {"good-value"}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        pytest.param(Fault("status", status=500), "answered 500|in time|next try", id="500"),
        pytest.param(Fault("status", status=429, headers={"Retry-After": "99"}), "99 s", id="throttled"),
        pytest.param(Fault("html"), "answered 200", id="a page for people"),
        pytest.param(Fault("hang"), "does not answer|in time", id="silent"),
    ],
)
def test_an_endpoint_of_identities_that_is_away_is_told_from_the_vault(
    server: KeyVaultServer, opens: Opens, fault: Fault, said: str
) -> None:
    server.identity.faults.append(fault)
    with pytest.raises(VaultAway, match=f"machine's identities.*({said})"):
        opens(patience=SHORT).names()


def test_an_endpoint_of_identities_that_is_not_there_is_away(
    server: KeyVaultServer, opens: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{free_port()}/msi/token")
    with pytest.raises(VaultAway, match="machine's identities"):
        opens(patience=SHORT).names()


# ── what is kept, and what is seen ────────────────────────────────────────────────────────────────────────────────────


def test_the_newest_version_is_kept_for_as_long_as_was_asked(server: KeyVaultServer, opens: Opens) -> None:
    now = [0.0]
    vault = opens(keep=5.0, clock=lambda: now[0])
    vault.set("token", "first-value")
    server.seen.clear()
    assert {vault.get("token").value for _ in range(3)} == {"first-value"}
    assert server.seen == []
    opens().set("token", "second-value")
    assert vault.get("token").value == "first-value"
    now[0] = 5.0
    assert vault.get("token").value == "second-value"
    vault.set("token", "third-value")
    assert vault.get("token").value == "third-value"
    vault.delete("token")
    with pytest.raises(NotFound):
        vault.get("token")


def test_one_client_and_one_token_serve_all_calls(server: KeyVaultServer, opens: Opens) -> None:
    vault = opens()
    for n in range(4):
        vault.set("token", f"value-{n}")
        vault.get("token")
    assert len(server.identity.asked) == 1
    assert [one.status for one in server.seen].count(401) <= 1
    vault.close()
    assert vault.get("token").value == "value-3"


def test_versions_of_one_second_are_ordered_by_their_number(server: KeyVaultServer, vault: AzureKeyVault) -> None:
    at = 1_790_000_000
    for seq in ("9", "10", "11"):
        version = server.safe.add("pair", {"value": f"value-{seq}", "tags": {"seq": seq}})
        version.attributes["created"] = at
    assert [info.tags["seq"] for info in vault.versions("pair")] == ["11", "10", "9"]


@pytest.mark.parametrize("kind", ["", "status", "truncated", "html", "lost"])
def test_no_log_and_no_error_shows_a_value_or_a_token(
    server: KeyVaultServer, opens: Opens, caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("azure", "msal", "urllib3", "azure.identity"):
        caplog.set_level(logging.DEBUG, name)
    opens().set("token", "swordfish-4711")
    vault, failed = opens(patience=SHORT) if kind else opens(), None
    server.faults += [Fault(kind)] if kind else []
    try:
        vault.get("token")
        vault.get("token", "0" * 32)
    except QuaestorError as error:
        failed = error
    shown = caplog.text + repr(failed) + repr(vault) + repr(server.seen) + repr(server.asked)
    assert failed is not None
    assert (failed.__cause__, failed.__context__) == (None, None)
    assert not [one for one in ("swordfish-4711", *server.identity._tokens) if one in shown]


def classes(module: Any, base: type[BaseException]) -> list[type[Any]]:
    found = [one for _, one in inspect.getmembers(module, inspect.isclass) if issubclass(one, base)]
    return sorted(set(found), key=lambda one: one.__name__)


class Answer:
    """As much of a response as an error looks at."""

    def __init__(self, status: int, inner: str = "") -> None:
        self.status_code, self.reason, self.headers, self.request = status, "reason", {}, "GET"
        self._inner = inner

    def text(self, *_: Any, **__: Any) -> str:
        return f'{{"error": {{"code": "Code", "message": "m", "innererror": {{"code": "{self._inner}"}}}}}}'


@pytest.mark.parametrize("kind", [*classes(core, core.AzureError), *classes(identity, core.AzureError)])
def test_every_error_of_the_libraries_has_a_meaning(kind: type[Any]) -> None:
    """A new version that adds one is seen here: each is told by its status, or is an absence."""
    responded = {core.StreamConsumedError, core.StreamClosedError, core.ResponseNotReadError, core.ODataV4Error}
    listed = {core.TooManyRedirectsError, identity.AuthenticationRequiredError}
    deed = Deed("read", "token")
    plain = kind(Answer(200) if kind in responded else [] if kind in listed else "words")
    assert type(meaning(plain, "https://v", deed)) is VaultAway
    if issubclass(kind, core.HttpResponseError):
        for status, expected in MEANINGS.items():
            plain.status_code, plain.error = status, None
            assert type(meaning(plain, "https://v", deed)) is expected, status


@pytest.mark.parametrize(
    "kind", [core.SerializationError, core.DeserializationError, msal.ManagedIdentityError, msal.exceptions.MsalError]
)
def test_errors_that_are_none_of_azures_own_are_caught_all_the_same(kind: type[Exception]) -> None:
    assert issubclass(kind, login.UNREADABLE)
    assert type(meaning(kind("words"), "https://v", Deed("read", "token"))) is VaultAway


MEANINGS = {
    302: VaultRefused, 400: BadInput, 401: VaultRefused, 403: VaultRefused, 404: NotFound, 405: VaultRefused,
    408: VaultAway, 409: VaultRefused, 412: VaultRefused, 413: BadInput, 429: VaultAway, 500: VaultAway, 503: VaultAway,
}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "inner", "error", "said"),
    [
        (403, "SecretDisabled", VaultRefused, "disabled"),
        (403, "ForbiddenByFirewall", VaultRefused, "firewall"),
        (403, "ForbiddenByPolicy", VaultRefused, "role Key Vault Secrets User"),
        (409, "ObjectIsDeletedButRecoverable", VaultRefused, "quaestor secrets recover token"),
        (409, "ObjectIsBeingDeleted", VaultAway, "Try again"),
        (409, "ObjectIsBeingRecovered", VaultAway, "Try again"),
    ],
)
def test_a_word_of_key_vault_decides_who_must_act(
    status: int, inner: str, error: type[QuaestorError], said: str
) -> None:
    raised = core.HttpResponseError(response=Answer(status, inner))  # type: ignore[arg-type]
    found = meaning(raised, "https://v", Deed("read", "token"))
    assert type(found) is error
    assert said in str(found)


def test_the_configured_vault_is_this_one_and_its_certificate_lies_beside_the_file(
    server: KeyVaultServer, vault: AzureKeyVault, place: Place
) -> None:
    said = f'[vault]\nkind = "azure"\nurl = "{place.url}"\ncertificate = "{place.certificate.name}"\n'
    beside = place.certificate.parent / "quaestor.toml"
    loaded = wiring.Loaded(parse(said), beside, Path(os.devnull))
    assert wiring.configured_vault(loaded).get("token").value == "good-value"
