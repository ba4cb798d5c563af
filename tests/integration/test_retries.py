"""What a task tries again: faults that pass by themselves, and nothing else (through Prefect's own engine)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW, temporary_settings

from quaestor.errors import BadInput, BooksDisagree, DatabaseDown, LeaseHeld
from tasks.desk import passing
from tasks.ingest import is_last_try

if TYPE_CHECKING:
    from tests.integration.conftest import Stack


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        pytest.param(DatabaseDown(), 3, id="the database may come back"),
        pytest.param(LeaseHeld(), 3, id="the other writer may end"),
        pytest.param(BadInput(), 1, id="bad input stays bad"),
        pytest.param(BooksDisagree(), 1, id="a person must look"),
        pytest.param(ValueError("a defect"), 1, id="a defect stays one"),
    ],
)
async def test_only_a_fault_that_passes_is_tried_again(prefect_stack: Stack, error: Exception, tries: int) -> None:
    attempts = []

    @task(retries=2, retry_delay_seconds=0, retry_condition_fn=passing, cache_policy=NO_CACHE)
    async def step() -> None:
        attempts.append(1)
        raise error

    settings = {PREFECT_API_URL: prefect_stack.local.url, PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore"}
    with temporary_settings(settings), suppress(type(error)):
        await step()
    assert len(attempts) == tries


async def test_a_task_knows_its_last_try_and_then_tells_instead_of_failing(prefect_stack: Stack) -> None:
    last = []

    @task(retries=2, retry_delay_seconds=0, retry_condition_fn=passing, cache_policy=NO_CACHE)
    async def step() -> str:
        last.append(is_last_try(2))
        if not last[-1]:
            raise DatabaseDown
        return "told"

    settings = {PREFECT_API_URL: prefect_stack.local.url, PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore"}
    with temporary_settings(settings):
        assert await step() == "told"
    assert last == [False, False, True]
