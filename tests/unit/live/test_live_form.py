"""The form of the flow `live`, and a day on which there is nothing to watch."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pydantic import ValidationError

from flows.live import live
from flows.models import LiveRequest

AT = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        pytest.param(
            "2026-11-26T14:00Z", "2026-11-26 is no session of XNYS (the next one is 2026-11-27)", id="holiday"
        ),
        pytest.param(
            "2026-11-21T14:00Z", "2026-11-21 is no session of XNYS (the next one is 2026-11-23)", id="weekend"
        ),
    ],
)
async def test_where_there_is_no_session_it_ends_at_once_and_touches_nothing(now: str, said: str) -> None:
    state = await live.fn(LiveRequest(at=dt.datetime.fromisoformat(now)))
    assert (state.name, state.message) == ("Completed", f"No session today: {said}")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        pytest.param({"at": "2026-11-20T10:00:00"}, "has no time zone", id="whose ten o'clock?"),
        pytest.param({"speed": 10}, "only a rehearsal's clock runs faster", id="the market does not hurry"),
        pytest.param({"feed": "file:///etc/passwd"}, "String should match", id="no feed"),
        pytest.param({"feed": "ws://a --at=x"}, "String should match", id="two words"),
        pytest.param({"on_cancel": "stop"}, "should be 'configured', 'hold' or 'flatten'", id="a policy nobody has"),
        pytest.param({"onCancel": "hold"}, "Extra inputs are not permitted", id="a mistyped field"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        LiveRequest.model_validate(fields)


def test_a_runner_is_told_of_a_rehearsal_as_its_clock_stands() -> None:
    assert LiveRequest().options(lambda: AT)() == []
    request = LiveRequest(at=AT, speed=60, feed="ws://127.0.0.1:8765/v2/sip")
    later = AT + dt.timedelta(minutes=5)
    assert request.options(lambda: later)() == [
        "--at=2026-11-20T15:05:00+00:00",
        "--speed=60",
        "--feed=ws://127.0.0.1:8765/v2/sip",
    ]
