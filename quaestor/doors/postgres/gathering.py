"""Group commit: what is asked while a transaction runs is answered by the next one, all together.

A durable commit costs a flush of the disk, whether it holds one order or a hundred. Nobody waits for company: a
question that finds nobody before it is answered alone, at once, by its own asker. Each answer is given after the commit
that holds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Gathering(Generic[Question, Answer]):
    """`answer` is handed at most `most` questions, in the order they came; an exception among its answers is raised."""

    def __init__(
        self, answer: Callable[[Sequence[Question]], Awaitable[Sequence[Answer | Exception]]], most: int = 256
    ) -> None:
        self._answer = answer
        self._most = most
        self._busy = False
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._running: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Answer:
        """The answer, once it is committed.

        One who gives up waiting may or may not have been answered; those who wait in line do not take theirs back.
        """
        if self._busy:
            future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            self._waiting.append((question, future))
            return await future
        self._busy = True
        try:
            (answer,) = await self._answer([question])
        finally:
            self._go_on()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _go_on(self) -> None:
        """Those who came meanwhile are next."""
        self._busy = bool(self._waiting)
        if self._busy:
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._tell(group)
        finally:
            self._busy = False

    async def _tell(self, group: Sequence[tuple[Question, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._answer([question for question, _ in group])
        except Exception as error:  # noqa: BLE001  # each of those who wait is told
            answers = [error] * len(group)
        except BaseException:
            for _, future in (*group, *self._waiting):
                future.cancel()
            self._waiting = []
            raise
        for (_, future), answer in zip(group, answers, strict=True):
            if future.done():  # whoever asked has left
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
