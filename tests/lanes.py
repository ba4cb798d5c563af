"""`make test`: the tests in two lanes side by side, for much of what they do is waiting.

One lane has the tests that start servers and processes of their own, the other one all the rest. Each is a pytest
of its own, with its own database and its own Prefect; words given here go to both.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAVY = [
    f"tests/integration/{name}.py"
    for name in (
        "custody/test_leaks",
        "custody/test_refresh_flow",
        "custody/test_rehearsal",
        "live/test_edit_trigger_flow",
        "live/test_live_flow",
        "live/test_live_process",
        "live/test_replay_check",
        "live/test_soak",
        "robinhood/test_live_robinhood",
        "test_backfill",
        "test_chaos",
        "test_embedded_postgres",
        "test_loop",
        "test_prefect_stack",
        "test_retries",
        "test_scale",
    )
]
NONE_COLLECTED = 5  # pytest's exit code where the words leave a lane without tests


def main(words: list[str]) -> int:
    """Run both; the first failure's exit code."""
    lanes = {"processes": HEAVY, "the rest": ["tests", *(f"--ignore={file}" for file in HEAVY)]}
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        said = {name: Path(folder) / name for name in lanes}
        running = {
            name: subprocess.Popen(
                [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests, *words],
                cwd=ROOT,
                stdout=said[name].open("w"),
                stderr=subprocess.STDOUT,
            )
            for name, tests in lanes.items()
        }
        try:
            codes = [running[name].wait() for name in lanes]
        finally:
            for process in running.values():
                process.terminate()
        for name in lanes:
            print(f"\n── {name} {'─' * 100}\n{said[name].read_text(encoding='utf-8')}", flush=True)
    print(f"Both lanes: {time.monotonic() - begun:.0f} s", flush=True)
    return next((code for code in codes if code not in {0, NONE_COLLECTED}), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
