"""Stop a worker without zombies: `python -m deployments.drain`. See `quaestor/operations/drain.py` for the why.

On one box this stops the local worker (as `quaestor drain` does). Where something else stops it (compose, systemd,
Kubernetes), `--hold` closes the pool and waits, then one stops the worker, and `--release` opens the pool again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from quaestor import wiring
from quaestor.doors.prefect_api import LOCAL, PrefectApi
from quaestor.doors.prefect_local import LocalPrefect
from quaestor.errors import QuaestorError
from quaestor.operations.drain import Busy, await_idle, drain


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.drain",
        description="Let the running flows end, then stop the worker.",
        epilog="Example: python -m deployments.drain --hold && docker compose stop worker",
    )
    parser.add_argument("--timeout", type=float, default=600, help="seconds to wait for running flows (default: 600)")
    parser.add_argument("--hold", action="store_true", help="close the pool and wait; the worker is yours to stop")
    parser.add_argument("--release", action="store_true", help="open the pool again")
    asked = parser.parse_args()
    try:
        _run(asked)
    except QuaestorError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command speaks
        return 1
    return 0


def _run(asked: argparse.Namespace) -> None:
    loaded = wiring.load()
    pool = loaded.config.prefect.work_pool
    local = LocalPrefect(loaded.home, wiring.ROOT, pool=pool)
    url = os.environ.get("PREFECT_API_URL") or (local.url if local.port else LOCAL)
    api = PrefectApi(url, os.environ.get("PREFECT_API_AUTH_STRING", ""))
    if asked.release:
        api.pause_pool(pool, paused=False)
    elif asked.hold:
        api.pause_pool(pool, paused=True)
        await_idle(api, pool, patience=asked.timeout, tell=_tell)
    else:
        drain(api, pool, local.stop_worker, patience=asked.timeout, tell=_tell)


def _tell(runs: Sequence[Busy]) -> None:
    for run in runs:
        print(f"waiting for {run.name} ({run.state})", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
