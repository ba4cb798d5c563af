"""Edit trigger: a person writes or removes a rule that trades at once, from a form."""

from __future__ import annotations

from typing import Any

from prefect import State, flow
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.models import EditTriggerRequest
from tasks.desk import open_desk
from tasks.triggers import remove_trigger, show_triggers, write_trigger


def _named() -> str:
    """A name such as "add or replace trigger dip"."""
    request = EditTriggerRequest.model_validate(flow_run.parameters["request"])
    return f"{request.what} trigger {request.name or request.symbol}"


@flow(name="edit-trigger", flow_run_name=_named)
async def edit_trigger(request: EditTriggerRequest) -> State[Any]:
    """Add a trigger, replace the one of that name, or remove it.

    Runs: by hand (the UI's "Custom run"). Requires: the blocks `quaestor`. Leaves: the trigger, which a live run
    follows within seconds, and the artifact `triggers`. Run twice, it writes the same once; it sends no order.
    """
    desk = await open_desk()
    if request.what == "remove":
        gone = await remove_trigger(desk, request.name)
        said = f"Removed: trigger {gone or request.name}."
    else:
        put = await write_trigger(desk, request.asked())
        said = f"{'Stored' if put['changed'] else 'There already'}: {put['sentence']}"
    await show_triggers(desk)
    return Completed(message=said)
