"""The folder of a person's own strategies."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from quaestor.doors.strategy_folder import read
from quaestor.errors import BadInput
from quaestor.strategies.catalogue import Catalogue

MINE = '''
from __future__ import annotations
from dataclasses import dataclass
import polars as pl
from quaestor.strategies.base import Strategy

@dataclass(frozen=True)
class Mine(Strategy):
    """All in, always."""
    name = "mine"
    share: float = 1.0
    def targets(self, bars: pl.DataFrame) -> pl.DataFrame:
        return bars.select("symbol", "session", target=pl.lit(self.share))
'''


def test_each_strategy_in_the_folder_is_found_with_its_bytes_and_its_file(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    (found,) = read(tmp_path)
    assert (found.name, found.source, found.place) == ("mine", MINE.encode(), str(tmp_path / "mine.py"))
    assert found.version == f"mine-{hashlib.sha256(MINE.encode()).hexdigest()[:10]}"
    assert Catalogue([found]).build("mine", {"share": 0.5}).parameters == {"share": 0.5}


@pytest.mark.parametrize("folder", [None, Path("/nowhere/strategies")], ids=["none is configured", "it does not exist"])
def test_without_a_folder_there_are_no_strategies_of_ones_own(folder):
    assert read(folder) == []


def test_files_that_hold_no_strategy_or_start_with_an_underscore_are_left_alone(tmp_path):
    (tmp_path / "_draft.py").write_text("this is no python")
    (tmp_path / "notes.txt").write_text("neither is this")
    (tmp_path / "numbers.py").write_text(
        "from quaestor.strategies.momentum import Momentum\nfrom quaestor.strategies.base import Strategy\n"
    )
    assert read(tmp_path) == []


def test_one_file_may_hold_several_strategies_and_their_abstract_base(tmp_path):
    base = (
        MINE.replace("class Mine", "class Base")
        .replace('    name = "mine"\n', "")
        .replace("def targets", "def _targets")
    )
    both = "".join(
        f"@dataclass(frozen=True)\nclass {name}(Base):\n    name = '{name.lower()}'\n    targets = Base._targets\n"
        for name in ("One", "Two")
    )
    (tmp_path / "several.py").write_text(base + both)
    assert [found.name for found in read(tmp_path)] == ["one", "two"]


def test_an_edit_of_the_same_length_within_the_same_second_is_seen_by_version_and_by_code(tmp_path):
    """Python's own cache of compiled files would not see it."""
    path = tmp_path / "mine.py"
    shares = []
    for text in (MINE, MINE.replace("= 1.0", "= 0.5")):
        path.write_text(text)
        built = Catalogue(read(tmp_path)).build("mine")
        shares.append((built.parameters["share"], built.version))
    assert [share for share, _ in shares] == [1.0, 0.5]
    assert shares[0][1] != shares[1][1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.py"]


def test_a_file_read_twice_gives_the_same_class(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    assert read(tmp_path)[0].strategy is read(tmp_path)[0].strategy


def test_a_strategy_with_the_name_of_a_built_in_one_is_refused(tmp_path):
    (tmp_path / "mine.py").write_text(MINE.replace('"mine"', '"momentum"'))
    with pytest.raises(BadInput, match=rf"named 'momentum': built in and {tmp_path}/mine\.py\. Rename one"):
        Catalogue(read(tmp_path)).names()


def test_two_files_with_one_name_are_refused_naming_both(tmp_path):
    for name in ("first", "second"):
        (tmp_path / f"{name}.py").write_text(MINE)
    with pytest.raises(BadInput, match=rf"named 'mine': {tmp_path}/first\.py and {tmp_path}/second\.py"):
        Catalogue(read(tmp_path)).names()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param(MINE.replace("class Mine(", "class Mine(("), "SyntaxError: .*mine.py:8", id="a syntax error"),
        pytest.param(
            "\nimport nonexistent\n", "ModuleNotFoundError: No module named 'nonexistent' .*mine.py:2", id="import"
        ),
        pytest.param(
            "def f():\n    return 1 / 0\nf()\n", "ZeroDivisionError: division by zero .*mine.py:2", id="in a call"
        ),
        pytest.param(
            "\n\nimport json\njson.loads('x')", "JSONDecodeError: .*mine.py:4", id="the file's line, not a library's"
        ),
        pytest.param("raise SystemExit(0)", "SystemExit: 0 .*mine.py:1", id="a script that exits"),
        pytest.param("x = '\x00'", r"mine\.py", id="a null byte"),
        pytest.param("# coding: klingon\n", "SyntaxError: .*klingon", id="an encoding nobody knows"),
        pytest.param(
            MINE.replace("(frozen=True)", ""), "TypeError: cannot inherit non-frozen .*mine.py:", id="not frozen"
        ),
        pytest.param(
            MINE.replace("@dataclass(frozen=True)\n", ""), "Mine is no dataclass: put @dataclass", id="no dataclass"
        ),
        pytest.param(
            MINE.replace('    name = "mine"\n', "").replace("class Mine", "class MineOwn"),
            'class MineOwn: name is None: give it one in small letters, as in name = "mine_own"',
            id="no name",
        ),
        pytest.param(MINE.replace('"mine"', '"My Strategy"'), "name is 'My Strategy'", id="a name with a blank"),
        pytest.param(
            MINE.replace("float =", "list ="), "parameter 'share' is a list: use int, float, str or bool", id="list"
        ),
        pytest.param(
            MINE.replace("    share", '    frames = "excel"\n    share'),
            'frames is \'excel\': use "polars" or "pandas"',
            id="x",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_naming_file_line_and_fault(tmp_path, source, message):
    (tmp_path / "mine.py").write_text(source)
    for _ in range(2):  # a failed import leaves nothing behind that a second try would take for a success
        with pytest.raises(BadInput, match=message):
            read(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "mine.py").write_bytes(b"x = '\xff\xfe'\n")
    with pytest.raises(BadInput, match=r"mine\.py"):
        read(tmp_path)


def test_a_folder_that_is_a_file_or_a_file_that_is_a_folder_is_refused(tmp_path):
    (tmp_path / "mine.py").mkdir()
    with pytest.raises(BadInput, match=r"mine\.py: cannot be read: Is a directory"):
        read(tmp_path)
    (tmp_path / "strategies").write_text("")
    with pytest.raises(BadInput, match="must be a folder"):
        read(tmp_path / "strategies")
