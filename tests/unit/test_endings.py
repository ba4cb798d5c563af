"""A command that is told to end, ends: by SIGTERM as by Ctrl-C, whatever Python is doing at that moment."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

BEGIN = """
import asyncio, os, signal, sys, time
from quaestor.console import endings
signal.signal(signal.SIGINT, signal.default_int_handler)
endings.listen()
def wait():
    while True: time.sleep(0.01)
"""
END = """
try:
    run()
except KeyboardInterrupt:
    sys.exit(endings.exit_code())
"""
RUNNING = "def run(): print('ready', flush=True); wait()"
LOOPING = """
async def work():
    print('ready', flush=True)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print('cancelled', flush=True)
        raise
def run(): asyncio.run(work())
"""
FINALIZING = """
class Dropping:
    def __del__(self):
        print('ready', flush=True)
        for _ in range(1000): time.sleep(0.01)
def run():
    one = Dropping()
    del one
    print('dropped', flush=True)
    wait()
"""


@pytest.mark.parametrize(
    ("sent", "code", "complaint"),
    [(signal.SIGTERM, 143, ""), (signal.SIGINT, 130, "quaestor: interrupted\n")],
)
@pytest.mark.parametrize(
    ("story", "said"),
    [
        pytest.param(RUNNING, "", id="in plain code"),
        pytest.param(LOOPING, "cancelled\n", id="in an event loop, whose task may close what it opened"),
        pytest.param(FINALIZING, "dropped\n", id="in a finalizer, where Python drops it"),
    ],
)
def test_who_is_told_to_end_ends(story: str, said: str, sent: signal.Signals, code: int, complaint: str) -> None:
    words = [sys.executable, "-c", BEGIN + story + END]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(sent)
        rest, complained = process.communicate(timeout=20)
    assert (process.returncode, rest, complained) == (code, said, complaint)
