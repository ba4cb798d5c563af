"""The protocol server of Azure Key Vault, as Microsoft's own client sees it, without our door between them."""

from __future__ import annotations

import datetime as dt
import signal
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import ManagedIdentityCredential
from azure.keyvault.secrets import SecretClient

from quaestor.doors.sim.keyvault import KeyVaultServer, Place
from quaestor.doors.sim.keyvault.place import certificate
from quaestor.doors.vault_azure import AzureKeyVault, Patience
from quaestor.errors import VaultAway

NOW = dt.datetime(2031, 5, 1, 12, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KeyVaultServer, Place]]:
    server = KeyVaultServer(clock=lambda: NOW, page=2)
    with server.open(tmp_path_factory.mktemp("keyvault")) as place:
        yield server, place


@pytest.fixture
def server(served: tuple[KeyVaultServer, Place], monkeypatch: pytest.MonkeyPatch) -> KeyVaultServer:
    server, place = served
    for rows in (server.safe.secrets, server.safe.deleted, server.seen, server.faults):
        rows.clear()
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    return server


@pytest.fixture
def client(server: KeyVaultServer, served: tuple[KeyVaultServer, Place]) -> Iterator[SecretClient]:
    place = served[1]
    with (
        ManagedIdentityCredential() as credential,
        SecretClient(
            place.url, credential, verify_challenge_resource=False, connection_verify=str(place.certificate)
        ) as client,
    ):
        yield client


def test_nobody_gets_anything_without_a_token_but_a_challenge(served: tuple[KeyVaultServer, Place]) -> None:
    place = served[1]
    answer = requests.get(f"{place.url}/secrets?api-version=7.6", verify=str(place.certificate), timeout=5)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].endswith('resource="https://vault.azure.net"')
    shown = {"Authorization": "Bearer made-up"}
    answer = requests.get(
        f"{place.url}/secrets?api-version=7.6", headers=shown, verify=str(place.certificate), timeout=5
    )
    assert answer.status_code == 401


def test_lists_come_by_pages_and_in_no_order_of_time(server: KeyVaultServer, client: SecretClient) -> None:
    for n in range(5):
        client.set_secret("token", f"value-{n}")
        client.set_secret(f"name-{n}", "value")
    found = [one.version for one in client.list_properties_of_secret_versions("token")]
    assert found == sorted(found)
    assert set(found) == {version.number for version in server.safe.secrets["token"]}
    assert {one.name for one in client.list_properties_of_secrets()} == {"token", *(f"name-{n}" for n in range(5))}
    assert [one.path for one in server.seen].count("/secrets/token/versions") == 3


def test_attributes_and_tags_are_changed_and_the_value_never(server: KeyVaultServer, client: SecretClient) -> None:
    made = client.set_secret("token", "value", content_type="text/plain")
    changed = client.update_secret_properties("token", made.properties.version, tags={"seq": "1"}, expires_on=NOW)
    assert (changed.tags, changed.expires_on, changed.content_type) == ({"seq": "1"}, NOW, "text/plain")
    assert client.get_secret("token").value == "value"
    client.update_secret_properties("token", enabled=False)
    with pytest.raises(HttpResponseError) as refused:
        client.get_secret("token")
    assert (refused.value.status_code, refused.value.error.innererror["code"]) == (403, "SecretDisabled")


def test_times_are_the_servers_own(client: SecretClient) -> None:
    assert client.set_secret("token", "value").properties.created_on == NOW


def test_a_deleted_name_is_blocked_until_it_is_recovered_or_purged(client: SecretClient) -> None:
    client.set_secret("token", "value")
    client.begin_delete_secret("token").wait()
    with pytest.raises(ResourceNotFoundError):
        client.get_secret("token")
    with pytest.raises(ResourceExistsError):
        client.set_secret("token", "other")
    assert [one.name for one in client.list_deleted_secrets()] == ["token"]
    client.begin_recover_deleted_secret("token").wait()
    assert client.get_secret("token").value == "value"
    client.begin_delete_secret("token").wait()
    client.purge_deleted_secret("token")
    assert client.set_secret("token", "other").value == "other"


@pytest.mark.parametrize(
    ("name", "value"), [pytest.param("token", "k" * 25_601, id="too long"), pytest.param("a_b", "v", id="no name")]
)
def test_what_azure_does_not_take_is_not_taken(client: SecretClient, name: str, value: str) -> None:
    with pytest.raises(HttpResponseError) as refused:
        client.set_secret(name, value)
    assert refused.value.status_code == 400


def test_a_throttled_client_comes_again(server: KeyVaultServer, client: SecretClient) -> None:
    client.set_secret("token", "value")
    server.seen.clear()
    server.throttle(times=1, after=0)
    assert client.get_secret("token").value == "value"
    assert [one.status for one in server.seen] == [429, 200]


def test_what_was_asked_is_recorded_without_values_and_tokens(server: KeyVaultServer, client: SecretClient) -> None:
    client.set_secret("token", "swordfish-4711")
    client.get_secret("token")
    assert [(one.action, one.path, one.identity) for one in server.seen if one.status == 200] == [
        ("set", "/secrets/token", ""),
        ("get", "/secrets/token/", ""),
    ]
    assert "swordfish-4711" not in repr((server.seen, server.asked, server.safe))


def test_a_token_holds_for_its_time_and_for_the_vault_alone(server: KeyVaultServer) -> None:
    value, token = server.identity.issue("")
    assert server.identity.shown(f"Bearer {value}") is token
    assert token.expires_at == NOW + dt.timedelta(days=1)
    other, _ = server.identity.issue("", "https://management.azure.com")
    assert server._refusal(server.identity.shown(f"Bearer {other}"), "get", "token", None).status_code == 401


def test_the_endpoint_of_identities_answers_only_who_shows_its_header(served: tuple[KeyVaultServer, Place]) -> None:
    place = served[1]
    asked = f"{place.endpoint}/msi/token?api-version=2019-08-01&resource=https://vault.azure.net"
    assert requests.get(asked, timeout=5).status_code == 401
    shown = {"X-IDENTITY-HEADER": place.header}
    assert int(requests.get(asked, headers=shown, timeout=5).json()["expires_on"]) > 0
    assert requests.get(f"{asked}&client_id=nobody", headers=shown, timeout=5).status_code == 400


def test_a_certificate_is_kept_while_it_is_good_and_its_key_is_its_owners(tmp_path: Path) -> None:
    shown, key = certificate(tmp_path)
    first = shown.read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert certificate(tmp_path)[0].read_bytes() == first
    shown.write_text("damaged")
    assert certificate(tmp_path)[0].read_bytes() not in {first, b"damaged"}


def test_a_rehearsal_says_what_to_configure_and_ends_when_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-m", "quaestor.console.cli", "sim", "keyvault", "--folder", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in range(9)]
            for line in lines:
                if line.startswith("export "):
                    name, _, value = line.removeprefix("export ").strip().partition("=")
                    monkeypatch.setenv(name, value)
            said = tomllib.loads("".join(lines[lines.index("[vault]\n") :]))["vault"]
            assert said["kind"] == "azure"
            vault = AzureKeyVault(said["url"], certificate=said["certificate"])
            assert vault.set("token", "value").value == "value"
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_a_server_that_ends_and_comes_again_is_found_by_those_who_kept_their_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = KeyVaultServer()
    with server.open(tmp_path) as place:
        for name, value in place.environment.items():
            monkeypatch.setenv(name, value)
        vault = AzureKeyVault(place.url, certificate=str(place.certificate), patience=Patience(0.3, 0.3, 0.6))
        vault.set("token", "value")
        begun = time.monotonic()
    assert time.monotonic() - begun < 3
    with pytest.raises(VaultAway):
        vault.get("token")
    with server.open(tmp_path, int(place.url.rpartition(":")[2])):
        assert vault.get("token").value == "value"
