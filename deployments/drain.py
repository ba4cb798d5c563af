"""Stop a worker that something else runs (compose, systemd, Kubernetes) without zombies: `python -m deployments.drain`.

`--hold` closes the pool and waits until no flow run is under way; then one stops the worker; `--release` opens the pool
again. A pool that a person had paused stays paused. On one box `quaestor drain` does all of it, for the worker that
`quaestor up` started. See `quaestor/operations/drain.py` for the why.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from quaestor import wiring
from quaestor.errors import QuaestorError
from quaestor.operations.drain import Busy, Pools, await_idle


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.drain",
        description="Let the running flows end before the worker is stopped.",
        epilog="Example: python -m deployments.drain --hold && docker compose stop worker",
    )
    parser.add_argument("--timeout", type=float, default=600, help="seconds to wait for running flows (default: 600)")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--hold", action="store_true", help="close the pool and wait; the worker is yours to stop")
    way.add_argument("--release", action="store_true", help="open the pool again")
    asked = parser.parse_args()
    try:
        loaded = wiring.load()
        api, pool = wiring.prefect_api(loaded), loaded.config.prefect.work_pool
        if asked.hold:
            hold(api, pool, asked.timeout)
        else:
            api.pause_pool(pool, paused=False)
            _tell(f"pool {pool} is {'paused still, as it was found' if api.pool(pool).paused else 'open'}")
    except QuaestorError as error:
        _tell(str(error))
        return 1
    return 0


def hold(pools: Pools, pool: str, patience: float) -> None:
    """Close the pool and wait; if that takes too long, it is opened again, since nothing is going to be stopped."""
    pools.pause_pool(pool, paused=True)
    try:
        await_idle(pools, pool, patience=patience, tell=_waiting)
    except BaseException:
        pools.pause_pool(pool, paused=False)
        raise


def _waiting(runs: Sequence[Busy]) -> None:
    for run in runs:
        _tell(f"waiting for {run.name} ({run.state})")


def _tell(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - a command speaks


if __name__ == "__main__":
    sys.exit(main())
