"""The devlog: what an account did, why, and the proof of it, as Markdown that a person reads with his coffee.

Evidence (what the database told) becomes a story (what follows from it), and the templates tell the story. Law 11: no
figure is typed, each is computed from the evidence and names where to look it up. Law 12: the same evidence gives the
same bytes, so nothing here asks for the time, the locale or chance. Text from outside passes through `words`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from quaestor.devlog import words
from quaestor.devlog.evidence import Evidence
from quaestor.devlog.story import Story
from quaestor.devlog.watch import watch

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["FIGURES", "Evidence", "Story", "illustrate", "render"]

GAPS = re.compile(r"\n{3,}")  # a part that has nothing to say leaves its blank lines behind
# Pictures by file name, beside the devlog, each with what it shows.
FIGURES = {
    "equity.png": "Equity and drawdown",
    "strategies.png": "Profit by strategy over time",
    "distribution.png": "How profits and losses are distributed",
}


def render(evidence: Evidence) -> str:
    """The devlog in Markdown."""
    story = Story(evidence)
    template = _environment().get_template("devlog.md.j2")
    text = template.render(story=story, evidence=evidence, watch=watch(story), pictures=FIGURES if story.days else {})
    return GAPS.sub("\n\n", text).strip() + "\n"


def illustrate(markdown: str, pictures: Mapping[str, bytes]) -> str:
    """The devlog with its pictures inside, for a reader that has no folder beside it, such as an artifact."""
    for file, png in pictures.items():
        inside = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        markdown = markdown.replace(f"]({file})", f"]({inside})")
    return markdown


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # Markdown, not HTML: text from outside is escaped by the filters `said` and `name`, which know Markdown's signs.
    environment = Environment(
        loader=PackageLoader("quaestor.devlog"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures = ("money", "gain", "percent", "share", "change", "ratio", "shares", "price")
    spoken = ("number", "counted", "listed", "capital", "ended")
    outside = ("said", "name", "parameters", "why", "bar_day")
    environment.filters |= {word: getattr(words, word) for word in (*figures, *spoken, *outside)}
    return environment
