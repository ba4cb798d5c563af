"""What every vault must do, whichever keeps the secrets: the local file, or an Azure Key Vault.

`VaultContract` is for any `ports_secrets.SecretStore`; a subclass opens a `Stage`. What is one vault's alone (roles,
throttling, outages; keys and damaged files) is in test_vault_azure.py and test_vault_local.py.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from quaestor.doors.sim.keyvault import KeyVaultServer, Place
from quaestor.doors.vault_azure import AzureKeyVault, store
from quaestor.errors import BadInput, NotFound, VaultRefused
from quaestor.logs import without_secrets
from quaestor.ports_secrets import SecretStore

LIMIT = 25 * 1024  # bytes of a value, in every vault: what one takes the other takes too
ENDS = dt.datetime(2027, 3, 1, 14, 30, tzinfo=dt.UTC)


class Clock:
    """A clock that stands until it ticks."""

    def __init__(self) -> None:
        self.now = dt.datetime.now(dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now

    def tick(self) -> None:
        self.now += dt.timedelta(seconds=1)


@dataclass
class Stage:
    """A vault that is empty; `reopen`: as another process would open it; `wait`: lets a second pass on its clock."""

    vault: SecretStore
    reopen: Callable[[], SecretStore]
    wait: Callable[[], None]

    def store(self, name: str, *values: str) -> list[str]:
        """Versions, a second apart, oldest first."""
        versions = []
        for value in values:
            self.wait()
            versions.append(self.vault.set(name, value).version)
        return versions


class VaultContract:
    """Subclasses define the fixture `stage`."""

    def test_what_was_stored_comes_back_to_whoever_opens_the_vault(self, stage: Stage) -> None:
        stored = stage.vault.set("database-password", "hunter-seventeen")
        assert stage.vault.get("database-password") == stored
        found = stage.reopen().get("database-password")
        assert (found.name, found.value, found.version) == ("database-password", "hunter-seventeen", stored.version)

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param("token\n", id="a trailing newline"),
            pytest.param("\r\n token \t\r\n", id="white space around it"),
            pytest.param('{"seq": 7, "a": "\\u00e9"}', id="JSON"),
            pytest.param("pässwörd-密码-🔑", id="beyond ASCII"),
            pytest.param("k" * LIMIT, id="as long as a vault takes"),
        ],
    )
    def test_a_value_comes_back_to_the_byte(self, stage: Stage, value: str) -> None:
        assert stage.vault.set("exact", value).value == value
        assert stage.reopen().get("exact").value == value

    def test_each_change_is_a_new_version_and_those_before_it_stay(self, stage: Stage) -> None:
        versions = stage.store("token", "first", "second", "third")
        assert len(set(versions)) == 3
        assert stage.vault.get("token").version == versions[-1]
        assert [stage.vault.get("token", version).value for version in versions] == ["first", "second", "third"]
        assert [info.version for info in stage.reopen().versions("token")] == versions[::-1]

    def test_tags_and_end_belong_to_a_version(self, stage: Stage) -> None:
        first = stage.vault.set("token", "first", expires_at=ENDS, tags={"seq": "1", "writer": "seed"})
        stage.wait()
        stage.vault.set("token", "second")
        assert (first.expires_at, dict(first.tags)) == (ENDS, {"seq": "1", "writer": "seed"})
        newest, oldest = stage.reopen().versions("token")
        assert (newest.expires_at, dict(newest.tags)) == (None, {})
        assert (oldest.expires_at, dict(oldest.tags), oldest.enabled) == (ENDS, first.tags, True)
        found = stage.vault.get("token", first.version)
        assert (found.expires_at, dict(found.tags)) == (ENDS, first.tags)

    def test_a_version_knows_when_it_was_made(self, stage: Stage) -> None:
        stage.store("token", "first", "second")
        newest, oldest = stage.vault.versions("token")
        assert newest.created_at is not None
        assert oldest.created_at is not None
        assert newest.created_at.utcoffset() == dt.timedelta(0)
        assert newest.created_at > oldest.created_at
        assert stage.vault.get("token").created_at == newest.created_at

    def test_a_secret_past_its_end_can_still_be_read(self, stage: Stage) -> None:
        past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        stage.vault.set("token", "old-value", expires_at=past)
        found = stage.vault.get("token")
        assert (found.value, found.expires_at) == ("old-value", past)

    def test_names_are_sorted_and_without_what_was_deleted(self, stage: Stage) -> None:
        assert stage.vault.names() == []
        for name in ("b", "c", "a"):
            stage.vault.set(name, "value")
        stage.vault.delete("c")
        assert stage.vault.names() == ["a", "b"]

    def test_an_unknown_name_is_told_with_those_that_there_are(self, stage: Stage) -> None:
        stage.vault.set("alpaca-key", "value")
        for ask in (stage.vault.get, stage.vault.versions, stage.vault.delete):
            with pytest.raises(NotFound, match=r"'alpaca-kye'.*Did you mean 'alpaca-key'"):
                ask("alpaca-kye")

    def test_an_unknown_version_is_told(self, stage: Stage) -> None:
        stage.vault.set("token", "value")
        with pytest.raises(NotFound, match="0123456789abcdef"):
            stage.vault.get("token", "0123456789abcdef0123456789abcdef")

    def test_what_was_deleted_is_gone_until_it_is_recovered(self, stage: Stage) -> None:
        versions = stage.store("token", "first", "second")
        stage.vault.delete("token")
        for ask in (stage.vault.get, stage.vault.versions):
            with pytest.raises(NotFound):
                ask("token")
        stage.reopen().recover("token")
        assert stage.vault.get("token").value == "second"
        assert [info.version for info in stage.vault.versions("token")] == versions[::-1]

    def test_a_deleted_name_takes_no_new_value(self, stage: Stage) -> None:
        stage.store("token", "first")
        stage.vault.delete("token")
        with pytest.raises(VaultRefused, match=r"deleted.*`quaestor secrets recover token`"):
            stage.vault.set("token", "second")
        stage.vault.recover("token")
        assert stage.vault.get("token").value == "first"

    def test_nothing_is_recovered_that_was_not_deleted(self, stage: Stage) -> None:
        stage.vault.set("token", "value")
        for name in ("token", "other"):
            with pytest.raises(NotFound, match=f"{name}"):
                stage.vault.recover(name)

    @pytest.mark.parametrize(
        "name",
        [
            pytest.param("", id="empty"),
            pytest.param("under_score", id="an underscore"),
            pytest.param("a/b", id="a slash"),
            pytest.param("../secrets", id="a way out"),
            pytest.param("a b", id="a space"),
            pytest.param("token\n", id="a newline"),
            pytest.param("n" * 128, id="128 characters"),
            pytest.param("tökén", id="beyond ASCII"),
        ],
    )
    def test_a_name_that_no_vault_takes_is_refused(self, stage: Stage, name: str) -> None:
        with pytest.raises(BadInput, match="letters, digits and hyphens"):
            stage.vault.set(name, "value")
        assert stage.vault.names() == []

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            pytest.param("", "empty", id="empty"),
            pytest.param("k" * (LIMIT + 1), "25,600 at most", id="a byte too long"),
            pytest.param("é" * (LIMIT // 2 + 1), "25,600 at most", id="too long in bytes, not in characters"),
        ],
    )
    def test_a_value_that_no_vault_takes_is_refused_and_the_version_before_it_stays(
        self, stage: Stage, value: str, said: str
    ) -> None:
        stage.vault.set("token", "good-value")
        with pytest.raises(BadInput, match=said) as refused:
            stage.vault.set("token", value)
        assert not value or value not in str(refused.value)
        assert stage.vault.get("token").value == "good-value"
        assert len(stage.vault.versions("token")) == 1

    def test_an_end_without_a_zone_is_refused(self, stage: Stage) -> None:
        with pytest.raises(BadInput, match="zone"):
            stage.vault.set("token", "value", expires_at=ENDS.replace(tzinfo=None))
        assert stage.vault.names() == []

    def test_no_repr_and_no_log_shows_a_value(self, stage: Stage) -> None:
        stage.vault.set("token", "swordfish-4711")
        found = stage.reopen().get("token")
        shown = f"{found!r} {stage.vault!r} {stage.vault.versions('token')!r}"
        assert "swordfish-4711" not in shown
        assert "swordfish-4711" not in without_secrets("it is swordfish-4711")

    def test_many_threads_use_one_vault(self, stage: Stage) -> None:
        def write_and_read(n: int) -> str:
            stage.vault.set(f"thread-{n}", f"value-{n}")
            return stage.vault.get(f"thread-{n}").value

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(write_and_read, range(16))) == [f"value-{n}" for n in range(16)]
        assert len(stage.vault.names()) == 16


@pytest.fixture(scope="module")
def key_vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KeyVaultServer, Clock, Place]]:
    clock = Clock()
    server = KeyVaultServer(clock=clock, page=2, slow=1)
    with server.open(tmp_path_factory.mktemp("keyvault")) as place:
        yield server, clock, place


class TestAzureKeyVault(VaultContract):
    """Through the real client libraries, at a protocol server that lists two rows a page and deletes slowly."""

    @pytest.fixture
    def stage(self, key_vault: tuple[KeyVaultServer, Clock, Place], monkeypatch: pytest.MonkeyPatch) -> Stage:
        server, clock, place = key_vault
        server.safe.secrets.clear()
        server.safe.deleted.clear()
        for name, value in place.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(store, "PAUSE", 0.01)

        def open_vault() -> SecretStore:
            return AzureKeyVault(place.url, certificate=str(place.certificate))

        return Stage(open_vault(), open_vault, clock.tick)
