"""A file of environment variables (.env), read as python-dotenv reads it for the bots that have one.

    NAME=value                  up to a comment (white space and #); white space around it is not the value's
    export NAME='value'         up to the next quote, over several lines; \\' and \\\\ stand for ' and \\
    NAME="value"                the same; \\n and its like stand for what they stand for in Python
    NAME                        no value

What is taken out goes with its lines; all else stays as it is, byte for byte. A test holds this against python-dotenv.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

_BINDING = re.compile(
    r"""
    (?:export[^\S\r\n]++)?+ (?: '(?P<quoted>[^']++)' | (?P<plain>(?!')[^=\#\s]++) ) [^\S\r\n]*+
    (?: (?P<equals>=)
        (?: [^\S\r\n]++ (?=\#)
          | [^\S\r\n]*+ '(?P<single>(?:\\.|[^'\\])*+)'
          | [^\S\r\n]*+ "(?P<double>(?:\\.|[^"\\])*+)"
          | [^\S\r\n]*+ (?P<bare>(?!['"])[^\r\n]*+) )
    )?+
    """,
    re.VERBOSE | re.DOTALL,
)
_TAIL = re.compile(r"(?:[^\S\r\n]*+#[^\r\n]*+)?+[^\S\r\n]*+(?:\r\n|\n|\r|\Z)")
_BLANK = re.compile(r"\s*")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|\Z)")
_NEWLINE = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class Binding:
    """A variable of the file: the lines it stands on (1-based), and from where to where in the text."""

    name: str
    value: str = field(repr=False)
    line: int
    last_line: int
    start: int
    end: int


def text_of(content: bytes) -> str:
    """The file's text, which `bytes_of` makes the same bytes of, whatever they are."""
    return content.decode("utf-8", errors="surrogateescape")


def bytes_of(text: str) -> bytes:
    """The bytes that `text_of` was given."""
    return text.encode("utf-8", errors="surrogateescape")


def bindings(text: str) -> list[Binding]:
    """The variables that have a value, in the file's order; lines that say none are passed over."""
    return list(_bindings(text))


def without(text: str, taken: Collection[Binding]) -> str:
    """The text without the lines of those; the rest stays as it is."""
    kept, at = [], 0
    for one in sorted(taken, key=lambda one: one.start):
        kept.append(text[at : one.start])
        at = one.end
    return "".join([*kept, text[at:]])


def _bindings(text: str) -> Iterator[Binding]:
    at = len(text) - len(text.removeprefix("\ufeff"))
    while (at := _end(_BLANK, text, at)) < len(text):
        found = _BINDING.match(text, at)
        tail = found and _TAIL.match(text, found.end())
        end = tail.end() if tail else _end(_LINE, text, found.end() if found else at)
        if found and tail and (value := _value(found)) is not None:
            yield _binding(text, found, value, end)
        at = end


def _binding(text: str, found: re.Match[str], value: str, end: int) -> Binding:
    at, begins = found.start(), found.start()
    while begins and text[begins - 1] not in "\r\n\ufeff":
        begins -= 1
    line = 1 + len(_NEWLINE.findall(text, 0, at))
    last = line + len(_NEWLINE.findall(text, at, found.end()))
    return Binding(found["quoted"] or found["plain"], value, line, last, begins, end)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _value(found: re.Match[str]) -> str | None:
    if (single := found["single"]) is not None:
        return _unescaped(r"\\[\\']", single)
    if (double := found["double"]) is not None:
        return _unescaped(r"\\[\\'\"abfnrtv]", double)
    if (bare := found["bare"]) is not None:
        return re.sub(r"\s+#.*", "", bare).rstrip()
    return "" if found["equals"] else None


def _unescaped(escapes: str, text: str) -> str:
    return re.sub(escapes, lambda found: str(codecs.decode(found[0], "unicode-escape")), text)
