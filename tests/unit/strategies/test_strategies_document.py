"""docs/strategies.md: its code runs, and prints what it says."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from quaestor.config import parse
from quaestor.doors.strategy_folder import read
from quaestor.strategies import base
from quaestor.strategies.catalogue import Catalogue

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path):
    """The document's files, at the places that their first lines name."""
    (tmp_path / "strategies").mkdir()
    for block in blocks("python"):
        (tmp_path / block.splitlines()[0].removeprefix("# ")).write_text(block)
    return tmp_path


def test_the_script_of_the_document_prints_what_the_document_shows(folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "try_it.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout.splitlines()) == ("", blocks("text")[0].splitlines())


def test_the_configuration_of_the_document_uses_the_strategies_of_the_document(folder):
    config = parse(blocks("toml")[0])
    catalogue = Catalogue(read(folder / config.strategies.folder))
    built = [catalogue.build(use.name, use.parameters) for use in config.strategies.use]
    assert [strategy.parameters for strategy in built] == [{"entry": 20, "leave": 10}, {"top": 2, "window": 63}]


def test_the_table_of_built_in_strategies_gives_their_real_defaults():
    rows = re.findall(r"^\| `(\w+)` \|.*\| (`.*`) \| [^|]* \|$", TEXT, re.MULTILINE)
    defaults = {name: dict(re.findall(r"`(\w+)=([\d.]+)`", parameters)) for name, parameters in rows}
    built = {name: Catalogue().build(name).parameters for name in Catalogue().names()}
    assert defaults == {name: {key: str(value) for key, value in values.items()} for name, values in built.items()}


def test_the_table_of_columns_names_the_columns_of_the_frame():
    table = TEXT.split("### What the frame holds")[1].split("### What it returns")[0]
    first_cells = " ".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))
    assert tuple(re.findall(r"`(\w+)`", first_cells)) == base.COLUMNS


def test_the_example_in_the_definition_of_a_strategy_works():
    assert doctest.testmod(base, raise_on_error=True).attempted > 3
