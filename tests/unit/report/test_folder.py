from __future__ import annotations

import os
from pathlib import Path

import pytest

from quaestor.doors.folder import Folder
from quaestor.errors import BadConfig


def test_a_file_is_written_with_its_folders_and_can_be_read_by_others(tmp_path: Path) -> None:
    path = Folder(tmp_path / "reports").write("paper/devlog.md", b"text")
    assert path == str(tmp_path / "reports" / "paper" / "devlog.md")
    assert Path(path).read_bytes() == b"text"
    assert Path(path).stat().st_mode & 0o777 == 0o644


def test_a_file_that_already_says_so_is_left_untouched(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    path = Path(folder.write("devlog.md", b"text"))
    os.utime(path, (1, 1))
    folder.write("devlog.md", b"text")
    assert path.stat().st_mtime == 1
    folder.write("devlog.md", b"other")
    assert path.read_bytes() == b"other"


def test_nothing_but_the_file_is_left_in_the_folder(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for text in (b"one", b"two"):
        folder.write("devlog.md", text)
    assert [path.name for path in tmp_path.iterdir()] == ["devlog.md"]


def test_a_folder_that_cannot_be_written_is_named_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadConfig, match=r"file.* cannot be written .*Choose another folder for reports"):
        Folder(tmp_path / "file").write("devlog.md", b"text")


def test_a_write_that_fails_leaves_the_old_file_and_no_half_of_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "devlog.md").mkdir()
    with pytest.raises(BadConfig):
        Folder(tmp_path).write("devlog.md", b"text")
    assert [path.name for path in tmp_path.iterdir()] == ["devlog.md"]
