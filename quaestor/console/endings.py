"""How a command is told to end: SIGTERM does what Ctrl-C does, and neither is ever lost.

An event loop hears both the same way: its main task is cancelled, and what was opened is closed. Elsewhere the running
code is interrupted. An exception that falls into a finalizer or a callback of the interpreter is dropped by Python;
here it comes again a moment later.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

INTERRUPTED, TERMINATED = 130, 143  # exit codes: 128 and the signal, as shells have it
AGAIN = 0.02  # seconds

_terminated = False
_others = sys.__unraisablehook__  # what is dropped and is no ending


def listen() -> None:
    """From now on; only the main thread may ask for it, for no other hears signals."""
    global _others
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
        if sys.unraisablehook is not _dropped:
            _others, sys.unraisablehook = sys.unraisablehook, _dropped


def exit_code() -> int:
    """Of a command that was ended; Ctrl-C is answered with a word, a supervisor wants none."""
    if _terminated:
        return TERMINATED
    sys.stderr.write("quaestor: interrupted\n")
    return INTERRUPTED


def _terminate(number: int, frame: FrameType | None) -> None:
    global _terminated  # noqa: PLW0603  # a process is told to end once
    _terminated = True
    _interrupt(number, frame)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """As the handler of Ctrl-C does, which is the event loop's while one runs."""
    del number
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # ignored, as in a shell's background
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)


def _dropped(unraisable: UnraisableHookArgs) -> None:
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        again = signal.SIGTERM if _terminated else signal.SIGINT
        threading.Timer(AGAIN, signal.pthread_kill, (threading.main_thread().ident, again)).start()
    else:
        _others(unraisable)
