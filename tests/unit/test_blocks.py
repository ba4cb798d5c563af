"""Blocks are forms: described, with an example, and without a secret."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites import BlockStandardTestSuite
from pydantic import SecretBytes, SecretStr, ValidationError

import blocks
from blocks import AzureKeyVault, PaperBroker, QuaestorDatabase, RecordedFeed, TradingPlan
from deployments.register import blocks_from
from quaestor.config import parse
from quaestor.errors import BadConfig
from quaestor.forms import differences, forms

CLASSES: list[type[Block]] = [getattr(blocks, name) for name in blocks.__all__]
HOME, BASE = Path("/data"), Path("/etc/quaestor")

# A changed checksum is a new form: a field was added, renamed, moved or described anew, and every stored block of that
# type has to be written again. New fields need defaults, or flows cannot load the old ones.
CHECKSUMS = {
    "quaestor-alerts": "9c1bf537a0ca1f79",
    "quaestor-azure-key-vault": "2a133c4f019b20b4",
    "quaestor-local-vault": "736a544e02a6aedc",
    "quaestor-paper-broker": "6d3c7b47afa1361b",
    "quaestor-database": "8baa6b1e6ad740cd",
    "quaestor-recorded-feed": "47f2418acb6ef14a",
    "quaestor-robinhood-broker": "b09fd1ff2b5684ad",
    "quaestor-scale": "dd45450214a15bfb",
    "quaestor-trading-plan": "d1e6086e853c022f",
}


@pytest.fixture(params=CLASSES, ids=lambda one: one.__name__)
def block(request: pytest.FixtureRequest) -> type[Block]:
    return request.param


class TestEveryBlock(BlockStandardTestSuite):
    @pytest.fixture(params=CLASSES, ids=lambda one: one.__name__)
    def block(self, request: pytest.FixtureRequest) -> type[Block]:
        return request.param

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        """None has one: the UI would fetch it from elsewhere, and Quaestor works without any network."""
        assert block._logo_url is None


def test_a_slug_is_ours_and_never_changes(block: type[Block]) -> None:
    assert block.get_block_type_slug() == block._block_type_slug
    assert block._block_type_slug.startswith("quaestor-")
    assert block._block_type_name.startswith("Quaestor ")


def test_the_form_is_the_one_that_stored_blocks_have(block: type[Block]) -> None:
    assert block._calculate_schema_checksum().removeprefix("sha256:")[:16] == CHECKSUMS[block._block_type_slug]


def test_no_field_can_hold_a_secret(block: type[Block]) -> None:
    for name, field in block.model_fields.items():
        kinds = {field.annotation, *typing.get_args(field.annotation)}
        assert not kinds & {SecretStr, SecretBytes}, f"{name} would put a secret into Prefect's database (law 10)"
        words = ("password", "token", "api_key", "private_key", "credential")
        assert name.endswith("_secret") or not any(word in name for word in words)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://me:hunter2@host/books", id="in the usual place"),
        pytest.param("postgresql://host/books?user=me&password=hunter2", id="in the query"),
        pytest.param("host=db user=me password=hunter2", id="as keywords"),
        pytest.param("postgresql://me:hun/ter2@host/books", id="with a slash in it"),
        pytest.param("postgresql://me:hun#ter2@host/books", id="with a number sign in it"),
        pytest.param("postgresql://me:hun?ter2@host/books", id="with a question mark in it"),
    ],
)
def test_a_database_url_with_a_password_is_refused_with_the_cure(url: str) -> None:
    with pytest.raises(ValidationError, match=r"password_secret|is not understood") as refused:
        QuaestorDatabase(home="/data", url=url)
    assert "ter2" not in refused.value.errors(include_input=False)[0]["msg"]


def test_a_form_keeps_the_decimals_that_a_person_typed() -> None:
    assert PaperBroker(taf="0.0001660").taf == "0.0001660"
    with pytest.raises(ValidationError, match="no decimal number"):
        PaperBroker(taf="a little")
    with pytest.raises(ValidationError, match="0 or more"):
        PaperBroker(commission="-1")


def test_a_plan_refuses_an_unknown_limit_and_too_much_weight() -> None:
    use = {"name": "momentum", "weight": 0.6}
    with pytest.raises(ValidationError, match="max_order_notionl"):
        TradingPlan(symbols=["AAPL"], strategies=[use], risk={"max_order_notionl": 1})
    with pytest.raises(ValidationError, match="at most 1"):
        TradingPlan(symbols=["AAPL"], strategies=[use, {"name": "rsi_reversion", "weight": 0.6}])


def test_files_need_a_folder() -> None:
    with pytest.raises(ValidationError, match="needs a folder"):
        RecordedFeed(source="files")


def test_the_configuration_fills_every_field_of_every_form() -> None:
    filled = forms(parse('[vault]\nkind = "azure"\nurl = "https://v.vault.azure.net"\n'), HOME, BASE)
    assert {one._block_type_slug: set(one.model_fields) for one in CLASSES} == {
        slug: set(form) for slug, form in filled.items()
    }


def test_the_form_of_an_azure_key_vault_is_there_where_that_is_the_vault() -> None:
    assert "quaestor-azure-key-vault" not in forms(parse(""), HOME, BASE)
    config = parse('[vault]\nkind = "azure"\nurl = "https://v.vault.azure.net"\ncertificate = "own.pem"\n')
    block = next(one for one in blocks_from(config, HOME, BASE) if isinstance(one, AzureKeyVault))
    assert (block.url, block.identity, block.certificate) == (config.vault.url, "managed", "/etc/quaestor/own.pem")
    assert repr(block.open()) == "AzureKeyVault('https://v.vault.azure.net')"
    with pytest.raises(ValidationError, match=r"write https://NAME\.vault\.azure\.net"):
        AzureKeyVault(url="v")


def test_blocks_say_what_the_configuration_says() -> None:
    config = parse('[account]\nalias = "growth"\n[paper]\ntaf = 0.0001\n[strategies]\nfolder = "mine"\n')
    by_slug = {one.get_block_type_slug(): one for one in blocks_from(config, HOME, BASE)}
    plan, broker = by_slug["quaestor-trading-plan"], by_slug["quaestor-paper-broker"]
    assert isinstance(plan, TradingPlan)
    assert isinstance(broker, PaperBroker)
    assert (plan.account, plan.strategies_folder) == ("growth", "/etc/quaestor/mine")
    assert (broker.account, broker.taf) == ("growth", "0.0001")


def test_a_password_in_the_configured_url_is_refused_before_anything_is_registered() -> None:
    with pytest.raises(BadConfig, match=r"quaestor-database, url: the url holds a password; put it in the vault"):
        blocks_from(parse('[database]\nurl = "postgresql://me:hunter2@host/books"\n'), HOME, BASE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({}, [], id="the same"),
        pytest.param({"taf": "0"}, ["taf: the file says '0.000166', the block '0'"], id="changed in the UI"),
        pytest.param(None, ["is not registered"], id="never registered"),
    ],
)
def test_a_difference_between_file_and_server_is_named(change: dict[str, Any] | None, said: list[str]) -> None:
    form = forms(parse(""), HOME, BASE)["quaestor-paper-broker"]
    assert differences(form, None if change is None else {**form, **change}) == said
