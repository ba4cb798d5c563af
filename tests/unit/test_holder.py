"""Who holds a lease, and whether it surely has ended."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from quaestor.doors.holder import _place, gone, me

SAYS = "from quaestor.doors.holder import me; print(me('live'), flush=True); input()"


@pytest.fixture
def other() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process, and what it calls itself."""
    words = [sys.executable, "-c", SAYS]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        yield child, child.stdout.readline().strip()
        child.kill()


def test_a_process_names_its_machine_itself_and_its_role() -> None:
    assert me("live").startswith(f"{platform.node()}:{os.getpid()}:live:")


def test_a_process_that_lives_is_not_gone_and_one_that_was_killed_is_reaped_or_not(
    other: tuple[subprocess.Popen[str], str],
) -> None:
    child, name = other
    assert not gone(name)
    child.kill()
    end = time.monotonic() + 30
    while not gone(name) and time.monotonic() < end:  # a zombie: we have not waited for it yet
        time.sleep(0.01)
    assert gone(name)
    child.wait()
    assert gone(name)


def test_another_process_of_the_same_id_is_another_one() -> None:
    head, _, began = me("live").rpartition(".")
    assert gone(f"{head}.{int(began) - 1}")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="nobody"),
        pytest.param("box:1:execute", id="a holder that says nothing of itself"),
        pytest.param("box:999999999:live:0123456789ab.7", id="another machine's: its ids mean nothing here"),
        pytest.param("::live:.", id="no id at all"),
        pytest.param(f"box:{'9' * 30}:live:{_place()}.7", id="an id that no process can have"),
        pytest.param(f"box:abc:live:{_place()}.7", id="an id that is none"),
    ],
)
def test_of_whom_nothing_is_known_nobody_says_that_he_is_gone(name: str) -> None:
    assert not gone(name)
