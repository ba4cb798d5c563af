"""prefect.yaml and automations.yaml mean what they say: Prefect itself ignores what it does not know."""

from __future__ import annotations

import re
import zoneinfo
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    RawScheduleConfig,
    WorkPoolConfig,
)
from prefect.cli.deploy._triggers import _initialize_deployment_triggers
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.schemas.automations import AutomationCore, EventTrigger
from prefect.events.schemas.deployment_triggers import DeploymentEventTrigger
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from pydantic import BaseModel

from deployments.register import QUEUES, automations

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
DEPLOYMENTS: list[dict[str, Any]] = PROJECT["deployments"]
AUTOMATIONS = automations()
NAMES = [f"{entry['entrypoint']}/{entry['name']}" for entry in DEPLOYMENTS]


def known(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()} | set(model.model_fields)


def unknown_keys(project: dict[str, Any]) -> list[str]:
    """Every key that Prefect's own models do not have, with its path; `definitions` is where anchors live."""
    found = [key for key in project if key not in known(PrefectYamlModel) | {"definitions"}]
    for place, entry in enumerate(project["deployments"]):
        parts: list[tuple[str, Any, type[BaseModel]]] = [("", entry, DeploymentConfig)]
        parts += [("work_pool.", entry.get("work_pool", {}), WorkPoolConfig)]
        parts += [("schedules.", schedule, RawScheduleConfig) for schedule in entry.get("schedules", [])]
        parts += [("triggers.", trigger, DeploymentEventTrigger) for trigger in entry.get("triggers", [])]
        if isinstance(entry.get("concurrency_limit"), dict):
            parts += [("concurrency_limit.", entry["concurrency_limit"], ConcurrencyLimitSpec)]
        found += [f"{place}.{path}{key}" for path, part, model in parts for key in part if key not in known(model)]
    return found


def test_prefect_yaml_has_no_key_that_prefect_would_ignore() -> None:
    assert unknown_keys(PROJECT) == []


@pytest.mark.parametrize(
    ("path", "key"),
    [
        pytest.param([], "deploymnets", id="a misspelt root key would deploy nothing"),
        pytest.param(["deployments", 0], "schedule_", id="a misspelt schedule would never run"),
        pytest.param(["deployments", 0, "work_pool"], "queue", id="a run in the wrong queue"),
        pytest.param(["deployments", 0, "concurrency_limit"], "strategy", id="a limit without its strategy"),
        pytest.param(["deployments", 1, "triggers", 0], "expects", id="a trigger that fires on everything"),
    ],
)
def test_an_unknown_key_is_found_wherever_it_stands(path: list[str | int], key: str) -> None:
    project = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    place = project
    for step in path:
        place = place[step]
    place[key] = "x"
    assert {name.rpartition(".")[2] for name in unknown_keys(project)} == {key}


def test_the_file_is_valid_for_prefect() -> None:
    assert len(PrefectYamlModel.model_validate(PROJECT).deployments) == len(DEPLOYMENTS)


def test_each_flow_and_deployment_name_stands_once() -> None:
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("entry", DEPLOYMENTS, ids=NAMES)
def test_every_entrypoint_is_a_module_loads_and_shows_one_form(entry: dict[str, Any]) -> None:
    assert ":" not in entry["entrypoint"], "the path form puts flows/ first on sys.path"
    flow = load_flow_from_entrypoint(entry["entrypoint"])
    schema = parameter_schema(flow)
    assert flow.isasync
    assert list(schema.properties) == ["request"]
    form = schema.definitions[schema.properties["request"]["$ref"].rpartition("/")[2]]
    assert all(field.get("description") for field in form["properties"].values())
    told = {"backfill", "edit-trigger"}
    assert ("request" in schema.required) == (flow.name in told), "only what a person asks for must be told what to do"


@pytest.mark.parametrize("entry", DEPLOYMENTS, ids=NAMES)
def test_every_deployment_is_described_tagged_and_in_a_queue_that_register_makes(entry: dict[str, Any]) -> None:
    assert entry["description"].endswith(".")
    assert "quaestor" in entry["tags"], "the self-healing automations know a run by this tag"
    assert entry["work_pool"]["work_queue_name"] in {queue.name for queue in QUEUES}


@pytest.mark.parametrize("entry", DEPLOYMENTS, ids=NAMES)
def test_every_schedule_has_a_slug_and_stands_in_exchange_time(entry: dict[str, Any]) -> None:
    for schedule in entry.get("schedules", []):
        assert re.fullmatch(r"[a-z-]+", schedule["slug"])
        assert schedule["timezone"] == "America/New_York"
        assert schedule["timezone"] in zoneinfo.available_timezones()
        CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])


@pytest.mark.parametrize("entry", DEPLOYMENTS, ids=NAMES)
def test_no_collision_cancels_a_run(entry: dict[str, Any]) -> None:
    """A slot that a dead run holds would otherwise cancel every later run."""
    limit = entry.get("concurrency_limit")
    if limit is not None:
        assert ConcurrencyLimitStrategy(limit["collision_strategy"]) is ConcurrencyLimitStrategy.ENQUEUE


def test_only_ingest_starts_the_chain_by_the_clock() -> None:
    scheduled = {entry["entrypoint"] for entry in DEPLOYMENTS if entry.get("schedules") and "chain" in entry["tags"]}
    assert scheduled == {"flows.ingest.ingest"}


def test_the_chain_is_whole_and_each_link_hears_only_runs_of_the_chain() -> None:
    links = {}
    for entry in DEPLOYMENTS:
        for trigger in _initialize_deployment_triggers(entry["name"], entry.get("triggers", [])):
            assert isinstance(trigger, DeploymentEventTrigger)
            if {"window", "credentials"} & set(entry["tags"]):
                continue
            assert "chain" in entry["tags"]
            assert trigger.match_related.root["prefect.resource.id"] == "prefect.tag.chain"
            (event,) = trigger.expect
            links[event] = entry["entrypoint"].rpartition(".")[2]
    assert links == {
        "quaestor.ingest.finished": "generate_signals",
        "quaestor.signals.finished": "execute",
        "quaestor.execute.finished": "reconcile",
        "quaestor.reconcile.finished": "report",
    }


def test_a_token_that_is_refused_starts_the_refresher_and_nothing_else() -> None:
    hear = [entry for entry in DEPLOYMENTS if "quaestor.auth.refused" in str(entry.get("triggers"))]
    assert [entry["entrypoint"] for entry in hear] == ["flows.refresh_credentials.refresh_credentials"]
    assert not {"chain", "orders"} & set(hear[0]["tags"])


def test_a_window_that_crashed_is_opened_again_as_it_was_but_not_in_a_storm() -> None:
    """It sends no order, so it may be run again; a poison run must not be run again at once and for ever."""
    (entry,) = (entry for entry in DEPLOYMENTS if "window" in entry["tags"])
    (trigger,) = _initialize_deployment_triggers(entry["name"], entry["triggers"])
    assert isinstance(trigger, DeploymentEventTrigger)
    assert entry["entrypoint"] == "flows.live.live"
    assert trigger.expect == {"prefect.flow-run.Crashed"}
    assert trigger.match_related.root["prefect.resource.id"] == "prefect.tag.window"
    assert (trigger.posture.value, trigger.threshold, trigger.within.total_seconds()) == ("Reactive", 1, 300)
    assert trigger.schedule_after.total_seconds() == 20


def test_no_secret_is_named_outside_pull() -> None:
    """Prefect resolves `{{ prefect.blocks… }}` at deploy time and stores the value in plain text, except in pull."""
    outside = {key: value for key, value in PROJECT.items() if key != "pull"}
    assert "prefect.blocks" not in yaml.safe_dump(outside)
    assert not re.search(r"\{\{\s*\$\w*(SECRET|PASSWORD|TOKEN|KEY)", yaml.safe_dump(outside))


@pytest.mark.parametrize("spec", AUTOMATIONS, ids=lambda spec: spec["name"])
def test_every_automation_parses_and_says_nothing_that_prefect_would_ignore(spec: dict[str, Any]) -> None:
    automation = AutomationCore.model_validate(spec)
    assert isinstance(automation.trigger, EventTrigger)
    assert set(spec) <= known(AutomationCore)
    assert set(spec["trigger"]) <= known(EventTrigger)
    kinds = {get_args(type(action).model_fields["type"].annotation)[0]: type(action) for action in automation.actions}
    for action in spec["actions"]:
        assert set(action) <= known(kinds[action["type"]])


@pytest.mark.parametrize("spec", AUTOMATIONS, ids=lambda spec: spec["name"])
def test_self_healing_touches_only_our_runs_and_resumes_none(spec: dict[str, Any]) -> None:
    assert spec["trigger"]["match_related"]["prefect.resource.id"] == "prefect.tag.quaestor"
    assert [(action["type"], action["state"]) for action in spec["actions"]] == [("change-flow-run-state", "CRASHED")]
