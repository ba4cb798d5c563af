"""Scale: one task over many arguments, in the flow's own process or on a Dask or Ray cluster, as the block says.

A fixed number of hands share one queue. Each takes the next arguments, sees them through, reports the result and comes
back; so however long the queue is, only so many chunks are under way. The first error empties the queue: what runs
comes to its end, nothing new is begun, and that error is raised. A cancellation waits for no chunk.

On a cluster each chunk is the same Prefect task run, with its name, retries and logs: the flow run's context and its
Prefect settings travel with it, pickled, and so do the arguments: keys and forms, never frames or open doors. The
cluster lasts as long as the call, and its processes end with the flow's process, however that ends: each of Dask's
watches a pipe to it. A process that dies in the middle of a chunk is replaced; Dask begins the chunk again, as the same
task run.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from prefect.futures import PrefectFuture
from prefect.logging.handlers import APILogHandler
from prefect.task_runners import TaskRunner
from prefect.tasks import Task
from prefect.utilities.callables import get_call_parameters

from blocks import Scale
from quaestor.errors import PartMissing, Temporary

R = TypeVar("R")
T = TypeVar("T")
Call = Callable[[dict[str, Any]], Awaitable[R]]


async def spread(
    task: Task[..., Coroutine[Any, Any, R]],
    arguments: Sequence[dict[str, Any]],
    scale: Scale,
    *,
    window: int,
    done: Callable[[R], Awaitable[None]] | None = None,
) -> list[R]:
    """Run the task once for each of `arguments`, at most `window` at a time; their results, in this order.

    done: told of each result as it comes. Raises the first error, of a chunk or of `done`, when all that run have
    ended; PartMissing where the chosen cluster's package is not installed, or its scheduler does not answer; Temporary
    where the cluster lost a chunk.
    """
    if not arguments:
        return []
    hands = min(max(1, window), len(arguments))
    async with _caller(task, scale, hands) as call:
        results, errors = await _share(call, arguments, hands, done)
    if errors:
        raise errors[0]
    return [results[number] for number in range(len(arguments))]


async def _share(
    call: Call[R], arguments: Sequence[dict[str, Any]], hands: int, done: Callable[[R], Awaitable[None]] | None
) -> tuple[dict[int, R], list[Exception]]:
    """Results by their number, and the errors in the order in which they came."""
    queue, results, errors = deque(enumerate(arguments)), dict[int, R](), list[Exception]()

    async def hand() -> None:
        while queue:
            number, given = queue.popleft()
            try:
                results[number] = await call(given)
                if done is not None:
                    await done(results[number])
            except Exception as error:  # noqa: BLE001  # raised when the others have ended
                errors.append(error)
                queue.clear()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(hands):
                group.create_task(hand())
    except BaseExceptionGroup as wrapped:  # a signal that ends the run: Prefect must know it to call the run canceled
        raise wrapped.exceptions[0] from None
    return results, errors


@asynccontextmanager
async def _caller(task: Task[..., Coroutine[Any, Any, R]], scale: Scale, hands: int) -> AsyncIterator[Call[R]]:
    """How one chunk is run, while the block runs."""
    runner = scale.open(hands)
    if runner is None:
        yield lambda given: task(**given)
        return
    async with _started(runner, ours=not scale.address):
        yield lambda given: _elsewhere(runner, task, given)


@asynccontextmanager
async def _started(runner: TaskRunner[Any], *, ours: bool) -> AsyncIterator[None]:
    """A cluster, in the seconds of whose start and end the flow's event loop goes on; ours ends with the block."""
    try:
        client = await _whole(_start, runner)
        yield
        if ours and client is not None:
            await _whole(_hear_out, client)
    finally:
        await _whole(runner.__exit__, None, None, None)


def _start(runner: TaskRunner[Any]) -> Any:
    """Dask's client, if it is Dask: its cluster starts when this is first asked for, and that must be once."""
    try:
        runner.__enter__()
        return getattr(runner, "client", None)
    except OSError as error:
        where = getattr(runner, "address", None) or "processes of our own"
        raise PartMissing(
            f"The {runner.name} cluster ({where}) does not answer: {error}. Start it, or correct [prefect]"
            " task_runner_address."
        ) from error


def _hear_out(client: Any) -> None:
    """A process may be killed before it has told Prefect how its last chunks ended: it tells now."""
    client.run(_tell_prefect, on_error="ignore")


async def _tell_prefect() -> None:
    await asyncio.wait_for(APILogHandler.aflush(), timeout=30)  # logs, and by the same way states


async def _whole(step: Callable[..., T], *arguments: Any) -> T:
    """A step that blocks, in a thread; a cancellation comes after it, for half a cluster could not be ended."""
    running = asyncio.ensure_future(asyncio.to_thread(step, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


async def _elsewhere(runner: TaskRunner[Any], task: Task[..., Coroutine[Any, Any, R]], given: dict[str, Any]) -> R:
    """One chunk on the cluster; raises Temporary where not the chunk but the cluster failed."""
    future = runner.submit(task, get_call_parameters(task.fn, (), given))
    await _ended(future)
    try:
        result: R = await asyncio.to_thread(future.result)
    except Exception as error:
        if type(error).__module__.startswith(("distributed.", "ray.")):
            raise Temporary(
                f"The {runner.name} cluster lost a chunk of {task.name!r}: {error}\nEither its processes died of it,"
                " such as for want of memory, or they cannot be reached. What is done is kept; run it again."
            ) from error
        raise
    return result


async def _ended(future: PrefectFuture[Any]) -> None:
    """Wait without a thread: the cluster's own calls back."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: PrefectFuture[Any]) -> None:
        with suppress(RuntimeError):  # the flow was cancelled, and its event loop is closed
            loop.call_soon_threadsafe(ended.set)

    future.add_done_callback(tell)
    await ended.wait()
