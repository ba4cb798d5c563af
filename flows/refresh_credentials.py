"""Refresh credentials: the broker's tokens are changed before they end."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.models import RefreshCredentialsRequest
from quaestor.errors import ChainBroken
from tasks.custody import keep_login, log_in, show_login
from tasks.desk import open_desk


@flow(name="refresh-credentials", flow_run_name="refresh credentials")
async def refresh_credentials(
    request: RefreshCredentialsRequest = RefreshCredentialsRequest(),  # noqa: B008
) -> dict[str, Any]:
    """Keep the broker's login going; a person acts only where it is broken.

    Runs: in the evening and early in the morning, when the broker refused a token, and by hand. Requires: a login
    (`quaestor auth seed`, or this form's `seed`); without one it does nothing. Leaves: new tokens in the vault where
    they were due, and the artifact `login`. A broken login pages and fails the run. It sends no order.
    """
    desk = await open_desk()
    if request.what == "seed":
        found = await log_in(desk)
    else:
        found = await keep_login(desk, now=request.what == "refresh now")
    await show_login(found)
    if found["state"] == "broken":
        raise ChainBroken(f"{found['reason'][:1].upper()}{found['reason'][1:]}. {found['cure']}")
    return found
