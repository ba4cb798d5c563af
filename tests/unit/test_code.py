"""Which commit is running: that of our own checkout, and of no other."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from quaestor.doors.code import ROOT, commit, commit_of


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "project"
    folder.mkdir()
    (folder / "code.py").write_text("1\n")
    git(folder, "init", "--quiet")
    git(folder, "add", "code.py")
    git(folder, "commit", "--quiet", "--message", "First")
    return folder


def test_a_checkout_says_its_commit_and_whether_it_was_changed(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert commit_of(checkout) == head
    (checkout / "code.py").write_text("2\n")
    assert commit_of(checkout) == f"{head}+changes"


def test_a_package_installed_inside_another_checkout_does_not_say_that_ones_commit(checkout: Path) -> None:
    installed = checkout / ".venv" / "site-packages"
    installed.mkdir(parents=True)
    assert commit_of(installed) == "unknown"


def test_a_git_hook_of_another_checkout_is_not_asked(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = checkout.parent / "installed"
    elsewhere.mkdir()
    monkeypatch.setenv("GIT_DIR", str(checkout / ".git"))
    assert commit_of(elsewhere) == "unknown"


def test_a_checkout_before_its_first_commit_is_unknown(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert commit_of(tmp_path.resolve()) == "unknown"


def test_an_image_is_told_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUAESTOR_COMMIT", "abc123")
    assert commit.__wrapped__() == "abc123"
    monkeypatch.delenv("QUAESTOR_COMMIT")
    assert commit.__wrapped__() == commit_of(ROOT)
