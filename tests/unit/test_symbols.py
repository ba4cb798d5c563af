"""One spelling of a symbol inside, each vendor's at its door."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quaestor.bars import SYMBOL
from quaestor.errors import BadConfig, BadInput
from quaestor.symbols import Symbology

SYMBOLS = st.from_regex(SYMBOL, fullmatch=True).filter(lambda symbol: symbol.isascii() and not symbol.endswith("\n"))
ALIASES = st.dictionaries(SYMBOLS, SYMBOLS, max_size=4)
SEPARATORS = st.sampled_from([".", "-", "/", " ", ""])


@pytest.mark.parametrize(
    ("separator", "theirs"), [(".", "BRK.B"), ("-", "BRK-B"), ("/", "BRK/B"), (" ", "BRK B"), ("_", "BRK_B")]
)
def test_a_share_class_is_written_as_the_vendor_writes_it(separator: str, theirs: str) -> None:
    spelling = Symbology("V", separator)
    assert (spelling.theirs("BRK.B"), spelling.theirs("AAPL")) == (theirs, "AAPL")
    assert (spelling.ours(theirs), spelling.ours("AAPL")) == ("BRK.B", "AAPL")


@given(symbol=SYMBOLS, separator=SEPARATORS)
def test_a_symbol_comes_back_as_itself_or_is_refused(symbol: str, separator: str) -> None:
    spelling = Symbology("V", separator)
    try:
        theirs = spelling.theirs(symbol)
    except BadInput:
        assert set(symbol) & {".", "-"}, "only what holds a separator can be mistaken"
    else:
        assert spelling.ours(theirs) == symbol


@settings(max_examples=50)
@given(symbols=st.sets(SYMBOLS, min_size=2, max_size=8), separator=SEPARATORS, aliases=ALIASES)
def test_two_symbols_never_share_a_name(symbols: set[str], separator: str, aliases: dict[str, str]) -> None:
    try:
        spelling = Symbology("V", separator, aliases)
    except BadConfig:
        assert len(set(aliases.values())) < len(aliases)
        return
    names = []
    for symbol in symbols | set(aliases):
        with contextlib.suppress(BadInput):
            names.append(spelling.theirs(symbol))
    assert len(set(names)) == len(names)


def test_a_name_that_would_come_back_as_another_is_refused_with_the_cure() -> None:
    with pytest.raises(
        BadInput, match=r"^BRK\.B: V calls it 'BRKB', which is our BRKB; name it under \[market\.aliases\]"
    ):
        Symbology("V", "").theirs("BRK.B")
    assert Symbology("V", "", {"BRK.B": "BRK B"}).theirs("BRK.B") == "BRK B"
    with pytest.raises(BadInput, match=r"^META: V calls it 'META', which is our FB"):
        Symbology("V", aliases={"FB": "META"}).theirs("META")


@pytest.mark.parametrize("name", ["", "brk.b", "BRK$B", "A" * 11, "..", "1A"])
def test_what_is_no_symbol_is_refused_both_ways(name: str) -> None:
    with pytest.raises(BadInput, match="is no symbol"):
        Symbology("V").theirs(name)
    with pytest.raises(BadInput, match="is no symbol"):
        Symbology("V").ours(name)


@pytest.mark.parametrize(
    ("aliases", "says"),
    [({"brk": "BRK"}, "'brk' is no symbol"), ({"A": "X", "B": "X"}, "B: another symbol is called 'X' too")],
)
def test_aliases_that_cannot_be_are_refused(aliases: dict[str, str], says: str) -> None:
    with pytest.raises(BadConfig, match=says):
        Symbology("V", aliases=aliases)
    with pytest.raises(BadConfig, match="cannot stand before a share class"):
        Symbology("V", "X")
