"""The house is as its documents say: contracts, configuration keys, and whose the top-level packages are."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from quaestor import risk
from quaestor.config import Config, RiskSection, StrategyUse
from quaestor.console.cli import parser
from quaestor.console.commands import COMMANDS
from quaestor.quality import RULES

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS = [contract["name"] for contract in PYPROJECT["tool"]["importlinter"]["contracts"]]


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_architecture_page_says_each_contracts_sentence(name: str) -> None:
    assert f"**{name}.**" in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("package", ["quaestor", "flows", "tasks", "blocks", "deployments"])
def test_the_top_level_packages_are_ours(package: str) -> None:
    origin = importlib.import_module(package).__file__
    assert origin is not None
    assert Path(origin).parent == ROOT / package


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    models: list[type[BaseModel]] = [StrategyUse]
    models += [field.annotation for field in Config.model_fields.values() if field.annotation is not None]
    for model in models:
        for name, field in model.model_fields.items():
            if name != "use":
                assert field.description, f"{model.__name__}.{name}"
                assert f"| `{name}` | " in page, f"{model.__name__}.{name}"
                assert field.description in page, f"{model.__name__}.{name}"


def test_the_page_on_market_data_has_every_rule_of_the_gate_in_its_words_and_no_other() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    section = page.partition("## The quality gate")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{rule.id}` | {rule.says} | {rule.severity} |" for rule in RULES.values()]


def test_the_page_on_risk_has_every_rule_of_the_gate_with_its_defaults_and_no_other() -> None:
    page = (ROOT / "docs" / "risk.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{rule.name}` | {rule.unit} | {_defaults(rule.settings)} | {rule.scope} | {rule.meaning} |"
        for rule in risk.RULES
    ]


def test_the_page_on_configuration_has_the_defaults_of_the_gate() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    section = page.partition("## `[risk]`")[2].partition("\n## ")[0]
    rows = [line.rpartition(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{name}` | {_default(name)}" for name in RiskSection.model_fields]


def _defaults(settings: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}` {_default(name)}" for name in settings) or "fixed"


def _default(name: str) -> str:
    value = RiskSection.model_fields[name].default
    return "empty" if value == () else str(value).lower()


def test_every_picture_of_a_page_is_there_small_and_as_wide_as_a_page() -> None:
    shown = {
        name
        for page in (ROOT / "docs").glob("*.md")
        for name in re.findall(r"!\[[^\]]+\]\(pictures/([^)]+)\)", page.read_text(encoding="utf-8"))
    }
    assert shown == {path.name for path in (ROOT / "docs" / "pictures").iterdir()}
    for name in shown:
        picture = (ROOT / "docs" / "pictures" / name).read_bytes()
        assert picture[:8] == b"\x89PNG\r\n\x1a\n"
        assert (int.from_bytes(picture[16:20]), len(picture) <= 200_000) == (1280, True), name


def test_every_command_shows_an_example_that_it_understands() -> None:
    for command in [*COMMANDS, *(inner for outer in COMMANDS for inner in outer.commands)]:
        words = shlex.split(re.sub(r"^psql \$\((.*)\)$", r"\1", command.example).partition(" < ")[0])
        assert words[0] == "quaestor"
        assert parser().parse_args(words[1:]).where


def test_constraints_are_names_with_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines)
