"""The pages on the live run are as the code is: rules, commands, the configuration of their rehearsal, their links."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from quaestor import feeds, screening
from quaestor.config import parse
from quaestor.console.cli import parser
from quaestor.strategies.catalogue import Catalogue

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = ("live.md", "feeds.md", "replay.md", "telemetry.md", "operations.md", "benchmarks.md")


def _page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def _section(page: str, title: str) -> str:
    return _page(page).partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_page_has_every_rule_of_the_screen_in_its_words() -> None:
    rows = re.findall(
        r"^\| `(tick-[^`]+)` \| (.*) \|$", _section("live.md", "What it does not trade upon"), re.MULTILINE
    )
    assert dict(rows) == dict(screening.RULES)


def test_the_page_on_feeds_has_every_rule_of_what_cannot_be_read_in_its_words() -> None:
    rows = re.findall(r"^\| `((?:frame|message)-[^`]+)` \| (.*) \|$", _page("feeds.md"), re.MULTILINE)
    assert dict(rows) == dict(feeds.RULES)


def test_the_rehearsals_configuration_is_one() -> None:
    written = re.search(r"<<END\n(.*?)^END$", _section("live.md", "In five minutes"), re.DOTALL | re.MULTILINE)
    assert written is not None
    config = parse(written[1])
    assert (config.feed.kind, config.market.symbols) == ("alpaca", ("AAPL", "MSFT"))
    for use in config.strategies.use:
        Catalogue().build(use.name, use.parameters)


@pytest.mark.parametrize("page", PAGES)
def test_every_configuration_of_a_page_is_one(page: str) -> None:
    for block in re.findall(r"^```toml\n(.*?)^```$", _page(page), re.DOTALL | re.MULTILINE):
        assert tomllib.loads(block)
        parse(block)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_understood(page: str) -> None:
    for line in re.findall(r"^(?:\$ | {4})?(quaestor [a-z].*)$", _page(page), re.MULTILINE):
        words = shlex.split(_filled(line), comments=True)
        assert parser().parse_args(words[1:]).where, line


def _filled(line: str) -> str:
    """A command as a person would type it."""
    return line.replace("TIME@WALL", "2026-11-20T14:35:00Z@2026-11-23T03:44:31Z").partition(" < ")[0]


@pytest.mark.parametrize("page", [path.name for path in sorted(DOCS.glob("*.md"))] + ["../README.md"])
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _page(page)):
        if "://" in target:
            continue
        place, _, title = target.partition("#")
        file = (DOCS / page).parent / place if place else DOCS / page
        assert file.exists(), f"{page}: {target}"
        if title:
            assert title in _titles(file.read_text(encoding="utf-8")), f"{page}: {target}"


def _titles(text: str) -> set[str]:
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}
