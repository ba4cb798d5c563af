"""Where the chunks of a flow run."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from prefect.blocks.core import Block
from pydantic import Field

from blocks.fields import SOURCE

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

NO_ROUTES: dict[str, list[str]] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}


class Scale(Block):
    """Where the chunks of a flow run: in its own process, or on the processes of a Dask or Ray cluster.

    Example:
        Load the form in a flow and spread a task over it:
        ```python
        from blocks import Scale
        from tasks.scale import spread

        form = Scale.load("BLOCK_NAME")  # in async code: await Scale.aload("BLOCK_NAME")
        results = await spread(my_task, [{"symbol": "AAPL"}, {"symbol": "IBM"}], form, window=8)
        ```
    """

    _block_type_name = "Quaestor Scale"
    _block_type_slug = "quaestor-scale"
    _documentation_url = f"{SOURCE}#quaestor-scale"  # type: ignore[assignment] # Prefect parses it

    home: str = Field(description="Data folder (QUAESTOR_HOME); processes of our own keep their files in it.")
    task_runner: Literal["threads", "dask", "ray"] = Field(
        default="threads",
        description="'threads' is the flow's own process; 'dask' and 'ray' are clusters of processes.",
    )
    address: str = Field(
        default="", description="A Dask scheduler or Ray head that runs; empty is processes of our own."
    )
    workers: int = Field(default=2, ge=1, le=256, description="How many processes of our own.")

    def open(self, at_once: int) -> TaskRunner[Any] | None:
        """Prefect's own task runner for so many chunks at a time, to be entered; None is the flow's own process."""
        from quaestor import wiring

        wiring.require_task_runner(self.task_runner)
        if self.task_runner == "threads":
            return None
        return self._dask(at_once) if self.task_runner == "dask" else self._ray()

    def _dask(self, at_once: int) -> TaskRunner[Any]:
        """A cluster of our own obeys this process alone: no other user of the machine has its certificate."""
        import dask
        from prefect_dask.task_runners import DaskTaskRunner

        logging.getLogger("distributed").setLevel("WARNING")  # "info" is a flood, here …
        os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "warning")  # … and in the processes, which inherit this
        if self.address:
            return DaskTaskRunner(address=self.address)
        workers = min(self.workers, at_once)
        own = {"n_workers": workers, "threads_per_worker": math.ceil(at_once / workers), "security": True}
        no_pages = {"dashboard_address": None, "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}
        dask.config.set({"temporary-directory": str(Path(self.home) / "cache" / "dask"), **NO_ROUTES})
        runner = DaskTaskRunner(cluster_kwargs={**own, **no_pages})
        runner.logger.setLevel("WARNING")  # it would name a dashboard that is not there
        return runner

    def _ray(self) -> TaskRunner[Any]:
        """Ray keeps its files in TMPDIR; the paths of its sockets are too long for most data folders."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it tells its makers
        from prefect_ray import RayTaskRunner

        here = {"num_cpus": self.workers, "include_dashboard": False}
        runner: TaskRunner[Any] = RayTaskRunner(self.address or None, init_kwargs={} if self.address else here)
        return runner
