"""Tokens: a sentence taken apart, and a reader that points at the word it does not understand.

    price »abve« 190: expected 'above', 'below', … Did you mean 'above'?

Nothing is guessed: a trigger trades at once, so a word too many or a number without its unit is refused.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn, TypeVar

from quaestor.errors import BadInput

T = TypeVar("T")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}  # seconds
LONGEST = 4_000  # characters of a sentence
LARGEST = 330  # power of ten of a number, or of its reciprocal
PATTERN = re.compile(
    r"""
    (?P<text> "(?:[^"\\]|\\.)*" | '[^']*' )
  | (?P<moment> @[0-9]+
    | [0-9]{4}-[0-9][0-9]-[0-9][0-9] (?:T[0-9:.]+ (?:Z|[+-][0-9][0-9]:[0-9][0-9])? )? (?=[\s),;]|$) )
  | (?P<number> [+-]? \$? (?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+) (?:e[+-]?[0-9]+)? (?:%|x|[smhd])? (?=[\s),;]|$) )
  | (?P<mark> [(),;:] )
  | (?P<word> [^\s()"',;:]+ )
  | (?P<other> \S )
    """,
    re.VERBOSE | re.IGNORECASE,
)
NUMBER = re.compile(r"([+-]?)(\$?)([0-9.]+(?:e[+-]?[0-9]+)?)(%|[a-z])?", re.IGNORECASE)


class BadWording(BadInput):
    """A sentence that is not understood; `start` and `end` say where in it."""

    def __init__(self, message: str, start: int = 0, end: int = 0) -> None:
        super().__init__(message)
        self.start, self.end = start, end


class Token(NamedTuple):
    """A piece of a sentence, and where it stands."""

    kind: str
    text: str
    start: int
    end: int


class Amount(NamedTuple):
    """A number as it was written: its sign ("", "+", "-"), whether in dollars, its unit ("", "%", "x", "s" …)."""

    value: Decimal
    sign: str
    dollars: bool
    unit: str
    token: Token

    @property
    def number(self) -> int | float:
        """Whole where it is whole."""
        return plain_number(self.value)


def plain_number(value: Decimal) -> int | float:
    """A decimal as int where it is whole, else as float."""
    return int(value) if value == value.to_integral_value() and abs(value) < 10**15 else float(value)


class Reader:
    """A sentence, from left to right. `place` names it in messages."""

    def __init__(self, place: str, text: str) -> None:
        self.place, self.text, self.at = place, text, 0
        if len(text) > LONGEST:
            raise BadWording(f"{place}: {len(text)} characters are no sentence; write at most {LONGEST}.")
        found = PATTERN.finditer(text)
        self.tokens = [Token(str(m.lastgroup), m.group(), m.start(), m.end()) for m in found]

    @property
    def next(self) -> Token:
        """What comes now; an empty token at the end."""
        size = len(self.text)
        return self.tokens[self.at] if self.at < len(self.tokens) else Token("end", "", size, size)

    def took(self, *words: str) -> str:
        """The next word, where it is one of these; else "", and nothing is taken."""
        word = self.next.text.lower()
        if self.next.kind not in {"word", "mark"} or word not in words:
            return ""
        self.at += 1
        return word

    def expect(self, *words: str, cure: str = "") -> str:
        """One of these words; raises BadWording."""
        return self.took(*words) or self.fail(cure or one_of(words), words)

    def take(self) -> Token:
        """Whatever comes."""
        token = self.next
        self.at += 1
        return token

    def amount(self, what: str) -> Amount | None:
        """The number that comes, where one does."""
        if self.next.kind != "number" or (found := NUMBER.fullmatch(self.next.text)) is None:
            return None
        sign, dollars, digits, unit = found.groups()
        try:
            value = Decimal(sign + digits)
        except ArithmeticError:
            self.fail(what)
        if abs(value.adjusted()) > LARGEST:
            self.fail(what)
        return Amount(value, sign, bool(dollars), (unit or "").lower(), self.take())

    def number(
        self, what: str, *, units: tuple[str, ...] = ("",), signed: bool = False, dollars: bool = False
    ) -> Amount:
        """A number in one of these units; raises BadWording, saying that `what` was expected."""
        before = self.at
        found = self.amount(what)
        if found is None or found.unit not in units or (found.sign and not signed) or (found.dollars and not dollars):
            self.at = before
            self.fail(what)
        return found

    def seconds(self, what: str) -> Decimal:
        """A duration like 30s, 5m, 2h, 3d."""
        found = self.number(what, units=tuple(UNITS))
        return found.value * UNITS[found.unit]

    def quoted(self) -> str:
        """A text in quotes; "" where none comes."""
        if self.next.kind != "text":
            return ""
        text = self.next.text
        try:
            inner: str = text[1:-1] if text[0] == "'" else json.loads(text, strict=False)
        except ValueError:
            self.fail('a text in double quotes, with \\" for a quote inside')
        self.at += 1
        return inner

    def end(self, *words: str) -> None:
        """Nothing more may come; `words`: what could have."""
        if self.next.kind != "end":
            self.fail(f"nothing more{', or ' + one_of(words) if words else ''}", words)

    def fail(self, expected: str, known: tuple[str, ...] = (), token: Token | None = None) -> NoReturn:
        """Raise BadWording that points at the next word (or `token`) and says what was expected."""
        at = token or self.next
        near = difflib.get_close_matches(at.text.lower(), known, n=1, cutoff=0.6)
        hint = f" Did you mean {near[0]!r}?" if near and near[0] != at.text.lower() else ""
        raise BadWording(f"{self.place}: {self.pointed(at)}: expected {expected}.{hint}", at.start, at.end)

    def built(self, token: Token, make: Callable[..., T], *given: Any, **fields: Any) -> T:
        """What `make` makes of it; its complaint points at the token."""
        try:
            return make(*given, **fields)
        except BadInput as error:
            raise BadWording(f"{self.place}: {self.pointed(token)}: {error}", token.start, token.end) from error

    def pointed(self, token: Token) -> str:
        """The sentence with the token marked; of a long one what stands around it."""
        before, after = self.text[: token.start], self.text[token.end :]
        before = f"…{before[-40:]}" if len(before) > 41 else before
        after = f"{after[:20]}…" if len(after) > 21 else after
        word = token.text if len(token.text) <= 40 else f"{token.text[:39]}…"
        return " ".join(f"{before}»{word or 'end'}«{after}".split())


def one_of(words: tuple[str, ...]) -> str:
    """'a', 'b' or 'c'."""
    quoted = [repr(word) for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
