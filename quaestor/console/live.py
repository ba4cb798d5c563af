"""`quaestor live run`: the live runner, in the foreground, until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from quaestor import wiring
from quaestor.barring import nanoseconds
from quaestor.console import output
from quaestor.errors import BadInput, ClockWentBack
from quaestor.live.watching import figures
from quaestor.logs import within
from quaestor.metrics import latencies

LARGEST_SPEED = 1000.0
log = logging.getLogger("quaestor.live")


def run(arguments: argparse.Namespace) -> int:
    """Trade; with `--at`, rehearse on the paper broker with a clock that starts there."""
    if not 0 < arguments.speed <= LARGEST_SPEED:
        raise BadInput(f"--speed {arguments.speed:g}: give a number above 0 and at most {LARGEST_SPEED:g}.")
    if arguments.at is None and arguments.speed != 1:
        raise BadInput("--speed is a rehearsal's; name its beginning with --at.")
    loaded = wiring.load()
    if arguments.at is not None and not wiring.rehearsing_is_safe(loaded):
        raise BadInput('--at rehearses, and the configured broker is real. Set [broker] kind = "paper" first.')
    now = clock(arguments.at, arguments.speed)
    with wiring.logs(loaded):
        outcome, facts = asyncio.run(_run(loaded, now, arguments))
    if arguments.json:
        output.print_json({"outcome": outcome, **facts})
    else:
        plain = {name: value for name, value in facts.items() if name != "metrics"}
        output.facts([*figures(plain), *latencies(facts["metrics"])], title=f"The run {outcome}.")
    return 0


async def _run(
    loaded: wiring.Loaded, now: Callable[[], int], arguments: argparse.Namespace
) -> tuple[str, dict[str, Any]]:
    """One run after the other, as long as it is the machine's clock that ends them by going back."""
    while True:
        try:
            return await _one(loaded, now, arguments)
        except ClockWentBack as error:
            log.warning("The machine's clock: %s", error)


async def _one(
    loaded: wiring.Loaded, now: Callable[[], int], arguments: argparse.Namespace
) -> tuple[str, dict[str, Any]]:
    from quaestor.operations.live.runner import Runner

    name = uuid.uuid4()
    async with wiring.live_deck(loaded, name, now, feed_url=arguments.feed or "") as (deck, plan):
        runner = Runner(deck, plan, name, wiring.holder("live"), sessions=arguments.sessions)
        with within(run_id=name, alias=runner.account):
            outcome = await runner.run()
        return outcome, runner.facts()


def clock(at: Moment | None, speed: float = 1.0) -> Callable[[], int]:
    """Nanoseconds since 1970: the machine's own, or a rehearsal's.

    A moment alone is where the clock stands now; with `@` and another, where it stood then: so two processes share one.
    """
    if at is None:
        return time.time_ns
    start, begun = nanoseconds(at.stood), time.monotonic_ns()
    if at.when is not None:
        begun -= time.time_ns() - nanoseconds(at.when)
    return lambda: start + int((time.monotonic_ns() - begun) * speed)


class Moment(NamedTuple):
    """Where a clock stood, and when; None: now."""

    stood: dt.datetime
    when: dt.datetime | None = None

    def fixed(self) -> Moment:
        """The same, to be the same for others, too."""
        return self if self.when is not None else Moment(self.stood, dt.datetime.now(dt.UTC))

    def shared(self) -> str:
        """As `--at` takes it: another process then has the same clock."""
        return f"{self.stood.isoformat()}@{self.fixed().when.isoformat()}"  # type: ignore[union-attr] # it is fixed
