"""Secrets, whatever they are called and whatever they say: in the local vault, and in a bot's .env."""

from __future__ import annotations

import io
import re
import string
import tempfile
from pathlib import Path

import pytest
from dotenv.parser import parse_stream
from hypothesis import given, settings
from hypothesis import strategies as st

from quaestor.custody import envs
from quaestor.custody.naming import MOST
from quaestor.doors.vault_local import LocalVault
from quaestor.errors import NotFound, VaultRefused
from tests.folders import MEMORY

NAMES = st.sampled_from(["a", "B-2", "rh-main-access", "n" * 127])
VALUES = st.text(min_size=1, max_size=40).filter(
    lambda text: len(text.encode(errors="replace")) <= MOST
) | st.sampled_from(["x\n", "\r\n", " ", "\x00", "null", '{"form": 2}', "🔑" * 6400])
DEEDS = st.one_of(
    st.tuples(st.just("set"), NAMES, VALUES),
    st.tuples(st.sampled_from(["delete", "recover"]), NAMES, st.just("")),
    st.tuples(st.sampled_from(["rotate", "reopen"]), st.just(""), st.just("")),
)


@settings(max_examples=40)
@given(st.lists(DEEDS, max_size=15))
def test_a_vault_gives_back_each_version_of_what_it_was_given_and_nothing_else(
    deeds: list[tuple[str, str, str]],
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        vault, kept, deleted = LocalVault(Path(folder)), dict[str, list[str]](), set[str]()
        for deed, name, value in deeds:
            if deed == "set" and name in deleted:
                with pytest.raises(VaultRefused):
                    vault.set(name, value)
            elif deed == "set":
                versions = kept.setdefault(name, [])
                versions += [value] if versions[-1:] != [value] else []
                assert vault.set(name, value).version == str(len(versions))
            elif deed in {"delete", "recover"}:
                there = kept.keys() - deleted if deed == "delete" else deleted
                if name not in there:
                    with pytest.raises(NotFound):
                        getattr(vault, deed)(name)
                    continue
                getattr(vault, deed)(name)
                deleted ^= {name}
            elif deed == "rotate":
                vault.rotate_key()
            vault = LocalVault(Path(folder)) if deed == "reopen" else vault
        again = LocalVault(Path(folder))
        assert again.names() == sorted(kept.keys() - deleted)
        for name in again.names():
            numbers = [str(n) for n in range(1, len(kept[name]) + 1)]
            assert [again.get(name, number).value for number in numbers] == kept[name]
            assert again.get(name).value == kept[name][-1]
            assert [info.version for info in again.versions(name)] == numbers[::-1]


PIECES = st.sampled_from(
    ["A", "B1", "=", "=", "'", '"', "\\", "\n", "\n", "\r\n", "\r", " ", "\t", "#", "export ", "x y", "é", "${A}", "n",
     "\u2028", "\x0b", "\xa0", "\ufeff"]
)  # fmt: skip


@settings(max_examples=400)
@given(st.lists(PIECES, max_size=20).map("".join))
def test_a_file_is_read_as_python_dotenv_reads_it_for_the_bot(text: str) -> None:
    found = [
        (one.key, one.value, one.original.string)
        for one in parse_stream(io.StringIO(text, newline=""))
        if one.key is not None and one.value is not None
    ]
    ours = envs.bindings(text)
    assert [(one.name, one.value) for one in ours] == [(key, value) for key, value, _ in found]
    assert all(original.endswith(text[one.start : one.end]) for one, (_, _, original) in zip(ours, found, strict=True))


LINES = st.lists(
    st.sampled_from(
        ["A=1", "export B='x\ny'", 'C="a # b"  # c', "# A=2", "", "D", "=", "  E = f ", "F='unclosed", "\ufeffG=1"]
    ),
    max_size=8,
)


@given(LINES, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.sets(st.integers(0, 7)), st.binary(max_size=6))
def test_what_is_taken_out_goes_and_all_else_stays_byte_for_byte(
    lines: list[str], newline: str, ended: bool, taken: set[int], tail: bytes
) -> None:
    content = newline.join(lines).encode() + (newline.encode() if ended else b"") + b"# " + tail
    text = envs.text_of(content)
    assert envs.bytes_of(text) == content
    found = envs.bindings(text)
    gone = [one for number, one in enumerate(found) if number in taken]
    left = envs.without(text, gone)
    assert [(one.name, one.value) for one in envs.bindings(left)] == [
        (one.name, one.value) for one in found if one not in gone
    ]
    assert len(envs.bytes_of(left)) == len(content) - sum(len(envs.bytes_of(text[one.start : one.end])) for one in gone)
    for one in found:
        piece = re.findall(r"[^\r\n]*(?:\r\n|\n|\r|$)", text)
        assert one.name.strip(string.whitespace) in "".join(piece[one.line - 1 : one.last_line])
