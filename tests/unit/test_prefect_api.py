"""The client of Prefect's REST API, against a real HTTP server that misbehaves in known ways."""

from __future__ import annotations

import datetime as dt
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from quaestor import wiring
from quaestor.config import Config
from quaestor.console import demo
from quaestor.doors.prefect_api import PrefectApi
from quaestor.errors import BadInput, NotFound, PartMissing, QuaestorError, Temporary

RUN = {"id": "r1", "name": "grey-owl", "state": {"type": "RUNNING", "name": "Running", "message": None}}


class Server(ThreadingHTTPServer):
    """Answers each path from a list, the last answer again and again; keeps what it was asked."""

    daemon_threads = True

    def __init__(self, answers: dict[str, list[tuple[int, Any]]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.asked: list[tuple[str, str | None]] = []

    @property
    def api(self) -> PrefectApi:
        return PrefectApi(f"http://127.0.0.1:{self.server_port}/api", auth="me:it", timeout=1)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = self.path.removeprefix("/api")
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((path, self.headers.get("Authorization")))
        answers = self.server.answers.get(path, [(404, {"detail": "Not Found"})])
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        if status == 0:
            time.sleep(1.5)
            return  # the client has gone
        self.send_response(status or 200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    do_POST = do_PATCH = do_GET  # noqa: N815 - the standard library's names

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server({}) as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one
        one.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        pytest.param(404, NotFound, "knows no /flow_runs/r1", id="unknown"),
        pytest.param(422, BadInput, "refused /flow_runs/r1: 422", id="a request that it does not understand"),
        pytest.param(409, BadInput, "has it already", id="twice"),
        pytest.param(401, PartMissing, "Set PREFECT_API_AUTH_STRING", id="without the password"),
        pytest.param(500, Temporary, "stumbled", id="its own fault"),
        pytest.param(0, Temporary, "did not answer /flow_runs/r1 within 1 s", id="too slow"),
    ],
)
def test_a_refusal_is_named_by_what_happens_next(
    server: Server, status: int, error: type[QuaestorError], said: str
) -> None:
    server.answers["/flow_runs/r1"] = [(status, {"detail": "no"})]
    with pytest.raises(error, match=said):
        server.api.flow_run("r1")
    assert server.asked == [("/flow_runs/r1", "Basic bWU6aXQ=")]


def test_no_server_is_a_missing_part_with_its_cure() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        api = PrefectApi(f"http://127.0.0.1:{probe.getsockname()[1]}/api")
    with pytest.raises(PartMissing, match="Start it with `quaestor up`"):
        api.flow_run("r1")
    assert not api.healthy()


def test_a_busy_server_is_asked_again(server: Server) -> None:
    server.answers["/flow_runs/r1"] = [(503, {}), (429, {}), (200, RUN)]
    assert server.api.flow_run("r1").state == "Running"
    assert len(server.asked) == 3


def test_a_run_that_does_not_end_in_time_is_temporary(server: Server) -> None:
    server.answers["/flow_runs/r1"] = [(200, RUN)]
    with pytest.raises(Temporary, match="grey-owl is still Running after 0 s"):
        server.api.wait("r1", 0)


def test_waiting_ends_with_the_run(server: Server) -> None:
    server.answers["/flow_runs/r1"] = [(200, RUN), (200, {**RUN, "state": {"type": "CRASHED", "name": "Crashed"}})]
    run = server.api.wait("r1", 5, sleep=lambda _: None)
    assert (run.state, run.final) == ("Crashed", True)


STUMBLES = [(500, {}), (0, {}), (502, {})]


def test_waiting_outlasts_a_server_that_stumbles(server: Server) -> None:
    done = {**RUN, "state": {"type": "COMPLETED", "name": "Completed"}}
    server.answers["/flow_runs/r1"] = [*STUMBLES, (200, RUN), *STUMBLES, (200, done)]
    assert server.api.wait("r1", 60, sleep=lambda _: None).state == "Completed"


def test_waiting_ends_when_the_server_stumbles_for_too_long(server: Server) -> None:
    server.answers["/flow_runs/r1"] = [(200, RUN), (500, {})]
    with pytest.raises(Temporary, match="stumbled over /flow_runs/r1"):
        replace(server.api, patience=0.3).wait("r1", 60, every=0.05)
    assert len(server.asked) > 3


def test_waiting_for_a_run_that_was_never_seen_ends_in_time(server: Server) -> None:
    server.answers["/flow_runs/r1"] = [(500, {})]
    with pytest.raises(Temporary, match="Flow run r1 was not seen once after 0 s"):
        server.api.wait("r1", 0)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        pytest.param(404, NotFound, id="a run that is not there"),
        pytest.param(401, PartMissing, id="a password that does not fit"),
    ],
)
def test_waiting_does_not_repeat_what_will_never_be_answered(
    server: Server, status: int, error: type[QuaestorError]
) -> None:
    server.answers["/flow_runs/r1"] = [(status, {})]
    with pytest.raises(error):
        server.api.wait("r1", 60)
    assert len(server.asked) == 1


@pytest.mark.parametrize("run_id", [pytest.param("r1", id="by its id"), pytest.param(None, id="by its deployment")])
def test_the_demo_follows_a_link_past_a_server_that_stumbles(
    server: Server, tmp_path: Path, run_id: str | None
) -> None:
    done = {**RUN, "state": {"type": "COMPLETED", "name": "Completed"}}
    server.answers["/flow_runs/r1"] = [(200, RUN), *STUMBLES, (200, done)]
    server.answers["/deployments/name/ingest/recorded"] = [(500, {}), (200, {"id": "d", "name": "recorded"})]
    server.answers["/flow_runs/filter"] = [(200, []), (502, {}), (200, [done])]
    meter = demo.Meter(wiring.Loaded(Config(), None, tmp_path))
    run = demo._follow(server.api, "ingest/recorded", run_id, dt.datetime.now(dt.UTC), meter)
    assert run.state == "Completed"


def test_an_unknown_deployment_answers_with_the_nearest(server: Server) -> None:
    server.answers["/flows/filter"] = [(200, [{"id": "f", "name": "ingest"}])]
    server.answers["/deployments/filter"] = [(200, [{"id": "d", "name": "recorded", "flow_id": "f"}])]
    with pytest.raises(NotFound, match=r"Did you mean 'ingest/recorded'\?"):
        server.api.run_deployment("ingest/recorde", {})


def test_what_is_absent_is_none(server: Server) -> None:
    assert server.api.artifact("execution") is None
    assert server.api.block_data("quaestor-database", "quaestor") is None


def test_a_client_does_not_show_its_password() -> None:
    assert "hunter2" not in repr(PrefectApi(auth="me:hunter2"))
