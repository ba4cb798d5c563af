"""Make a Prefect server say what the project says: `python -m deployments.register`.

In this order: wait for the server; work pool and queues; limits, blocks and automations; then every deployment of
prefect.yaml, by the very `prefect --no-prompt deploy --all` that a person would type, run in this process (importing
Prefect once instead of twice). All of it is found by name and compared first: a second run changes nothing, and says
so. Deployments are compared by the digest of what they are made of, kept in a Prefect variable; `--force` deploys
anyway.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import io
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from quaestor.config import Config
from quaestor.doors.prefect_api import LOCAL, PrefectApi, Queue
from quaestor.doors.prefect_local import pool_template
from quaestor.errors import BadConfig, PartMissing, QuaestorError
from quaestor.forms import NAME, forms

if TYPE_CHECKING:
    from prefect.blocks.core import Block
    from prefect.client.orchestration import PrefectClient
    from prefect.events.schemas.automations import AutomationCore

HERE = Path(__file__).resolve().parent
QUEUES = (
    Queue("live", 1, None, "What trades and reports; always first."),
    Queue("stream", 5, None, "Sessions that run as long as the market is open."),
    Queue("backfill", 10, 1, "History; one at a time, after everything else."),
)
LIMITS = {
    "quaestor-sources": 8,  # groups of symbols that are fetched at a time, over all runs
    "quaestor-backfill": 4,  # of them at most so many for backfills: live work always finds a place
}
DEPLOYED = "quaestor_deployed"

Change = Literal["created", "updated", "unchanged"]


@dataclass
class Registered:
    """What a run of this program did, by name."""

    pool: dict[str, Change] = field(default_factory=dict)
    limits: dict[str, Change] = field(default_factory=dict)
    blocks: dict[str, Change] = field(default_factory=dict)
    automations: dict[str, Change] = field(default_factory=dict)
    deployments: dict[str, Change] = field(default_factory=dict)
    seconds: float = 0.0

    def changes(self) -> list[str]:
        """What is not as it was."""
        return [
            f"{kind} {name} {change}"
            for kind, names in asdict(self).items()
            if isinstance(names, dict)
            for name, change in names.items()
            if change != "unchanged"
        ]


def register(
    root: Path,
    config: Config,
    home: Path,
    base: Path,
    *,
    url: str = LOCAL,
    auth: str = "",
    force: bool = False,
    schedules: bool = True,
    patience: float = 120,
) -> Registered:
    """Register everything at the server; what was done.

    root: where prefect.yaml is; home: the data folder; base: where relative folders of the configuration start;
    schedules: False leaves every schedule inactive (a demo must not be joined by the day's own run);
    patience: seconds to wait for the server. Raises PartMissing when there is none, BadConfig for a bad prefect.yaml.
    """
    begun = time.monotonic()
    done = Registered()
    api = PrefectApi(url, auth)
    await_server(api, patience)
    pool = config.prefect.work_pool
    check_pool(root, pool)
    changed = api.ensure_pool(pool, pool_template(root), QUEUES, "Where Quaestor's flows run.")
    done.pool[pool] = "updated" if changed else "unchanged"
    with _project(root, url, auth):
        asyncio.run(_register_objects(done, blocks_from(config, home, base)))
        done.deployments = deploy(root, api, force=force)
        asyncio.run(_set_schedules(sorted(done.deployments), active=schedules))
    done.seconds = round(time.monotonic() - begun, 1)
    return done


def await_server(api: PrefectApi, patience: float) -> None:
    """Wait until the server answers; raises PartMissing."""
    end = time.monotonic() + patience
    while not api.healthy():
        if time.monotonic() >= end:
            raise PartMissing(
                f"Prefect does not answer at {api.url}. Start it with `quaestor up`, or set PREFECT_API_URL."
            )
        time.sleep(0.2)


def declared(root: Path) -> list[dict[str, Any]]:
    """The deployments of prefect.yaml."""
    entries: list[dict[str, Any]] = yaml.safe_load((root / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    return entries


def check_pool(root: Path, pool: str) -> None:
    """Raises BadConfig where prefect.yaml sends runs to another pool than the configuration names."""
    for entry in declared(root):
        if (named := entry["work_pool"]["name"]) != pool:
            raise BadConfig(
                f"{root / 'prefect.yaml'}: deployment {entry['name']!r} uses work pool {named!r}, but [prefect]"
                f" work_pool is {pool!r}. Make them the same."
            )


# ── limits, blocks, automations ───────────────────────────────────────────────────────────────────────────────────────


def blocks_from(config: Config, home: Path, base: Path) -> list[Block]:
    """Every block, filled in from the configuration; raises BadConfig naming form, field and cure."""
    from pydantic import ValidationError

    import blocks

    classes = {getattr(blocks, name)._block_type_slug: getattr(blocks, name) for name in blocks.__all__}  # noqa: SLF001
    filled: list[Block] = []
    for slug, form in forms(config, home, base).items():
        try:
            filled.append(classes[slug](**form))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise BadConfig(f"Block {slug}, {where}: {first['msg'].removeprefix('Value error, ')}.") from error
    return filled


async def _register_objects(done: Registered, filled: Sequence[Block]) -> None:
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        for name, limit in LIMITS.items():
            done.limits[name] = await _limit(client, name, limit)
        for block in filled:
            done.blocks[str(block.get_block_type_slug())] = await _block(client, block)
        for spec in automations():
            done.automations[spec["name"]] = await _automation(client, spec)


async def _limit(client: PrefectClient, name: str, limit: int) -> Change:
    from prefect.exceptions import ObjectNotFound

    try:
        found = await client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        found = None
    if found and found.limit == limit:
        return "unchanged"
    await client.upsert_global_concurrency_limit_by_name(name, limit)
    return "updated" if found else "created"


async def _block(client: PrefectClient, block: Block) -> Change:
    from prefect.exceptions import ObjectNotFound

    await type(block).register_type_and_schema(client=client)
    try:
        found = await client.read_block_document_by_name(NAME, block.get_block_type_slug())
    except ObjectNotFound:
        found = None
    wanted = {key: value for key, value in json.loads(block.model_dump_json()).items() if key != "block_type_slug"}
    if found and found.data == wanted and found.block_schema_id == type(block)._block_schema_id:  # noqa: SLF001
        return "unchanged"
    await block.save(NAME, overwrite=True, client=client)
    return "updated" if found else "created"


def automations(path: Path = HERE / "automations.yaml") -> list[dict[str, Any]]:
    """The self-healing rules."""
    specs: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["automations"]
    return specs


async def _automation(client: PrefectClient, spec: Mapping[str, Any]) -> Change:
    from prefect.events.schemas.automations import AutomationCore

    wanted = AutomationCore.model_validate(spec)
    found = await client.read_automations_by_name(wanted.name)
    if not found:
        await client.create_automation(wanted)
        return "created"
    for extra in found[1:]:
        await client.delete_automation(extra.id)
    there = AutomationCore.model_validate(found[0].model_dump(include=set(AutomationCore.model_fields)))
    if _plain(there) == _plain(wanted) and len(found) == 1:
        return "unchanged"
    await client.update_automation(found[0].id, wanted)
    return "updated"


def _plain(automation: AutomationCore) -> dict[str, Any]:
    return automation.model_dump(exclude={"trigger": {"id"}})


# ── deployments ───────────────────────────────────────────────────────────────────────────────────────────────────────


def deploy(root: Path, api: PrefectApi, *, force: bool = False) -> dict[str, Change]:
    """`prefect --no-prompt deploy --all`, unless the server already has just that."""
    from prefect.variables import Variable

    digest = deployed_digest(root)
    before = {one.name for one in api.deployments()}
    stored: Any = asyncio.run(Variable.aget(DEPLOYED, default=None))
    if not force and stored and stored["digest"] == digest and before >= set(stored["names"]):
        return dict.fromkeys(stored["names"], "unchanged")
    _deploy_all()
    names = _declared(root, api)
    asyncio.run(Variable.aset(DEPLOYED, {"digest": digest, "names": names}, overwrite=True))
    return {name: "updated" if name in before else "created" for name in names}


def _deploy_all() -> None:
    from prefect.cli import app

    said, argv = io.StringIO(), sys.argv
    sys.argv = ["prefect", "--no-prompt", "deploy", "--all"]
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            app()
    except SystemExit as end:
        if end.code:
            raise BadConfig(f"`prefect deploy --all` failed: {_last_words(said.getvalue())}") from end
    finally:
        sys.argv = argv


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[-3:])[:500]


def _declared(root: Path, api: PrefectApi) -> list[str]:
    """`flow/deployment` of every entry of prefect.yaml, by its entrypoint at the server."""
    wanted = {(entry["entrypoint"], entry["name"]) for entry in declared(root)}
    return [one.name for one in api.deployments() if (one.entrypoint, one.name.partition("/")[2]) in wanted]


def deployed_digest(root: Path) -> str:
    """Names what the deployments are made of: prefect.yaml, Prefect's version, and the flows with their forms."""
    from prefect import __version__

    digest = hashlib.sha256(__version__.encode())
    for source in (root / "prefect.yaml", *sorted((root / "flows").rglob("*.py"))):
        digest.update(str(source.relative_to(root)).encode() + source.read_bytes())
    return digest.hexdigest()[:16]


async def _set_schedules(names: Sequence[str], *, active: bool) -> None:
    """Only ever switches off: what a person paused in the UI stays paused."""
    from prefect.client.orchestration import get_client

    if active:
        return
    async with get_client() as client:
        for name in names:
            deployment = await client.read_deployment_by_name(name)
            for schedule in filter(lambda one: one.active, deployment.schedules):
                await client.update_deployment_schedule(deployment.id, schedule.id, active=False)


@contextlib.contextmanager
def _project(root: Path, url: str, auth: str) -> Iterator[None]:
    """Stand in the project with Prefect's settings in the environment, before Prefect is imported."""
    settings = {
        "PREFECT_API_URL": url,
        "PREFECT_API_AUTH_STRING": auth,
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "DO_NOT_TRACK": "1",
    }
    os.environ.update({key: value for key, value in settings.items() if value})
    sys.path.insert(0, str(root))
    with contextlib.chdir(root):
        yield


def main() -> int:
    """The command."""
    from quaestor import wiring

    parser = argparse.ArgumentParser(
        prog="python -m deployments.register",
        description="Register pool, queues, limits, blocks, automations and deployments.",
        epilog="Example: PREFECT_API_URL=http://127.0.0.1:4200/api python -m deployments.register",
    )
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="folder of prefect.yaml (default: here)")
    parser.add_argument("--force", action="store_true", help="deploy even if nothing changed")
    parser.add_argument("--no-schedules", action="store_true", help="leave every schedule inactive")
    parser.add_argument("--json", action="store_true", help="say what was done as JSON")
    asked = parser.parse_args()
    try:
        loaded = wiring.load()
        wiring.keep_password(loaded)
        done = register(
            asked.root.resolve(),
            wiring.shareable(loaded),
            loaded.home,
            loaded.resolve("."),
            url=os.environ.get("PREFECT_API_URL", LOCAL),
            auth=os.environ.get("PREFECT_API_AUTH_STRING", ""),
            force=asked.force,
            schedules=not asked.no_schedules,
        )
    except QuaestorError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command speaks
        return 1
    text = json.dumps(asdict(done)) if asked.json else "\n".join(done.changes() or ["nothing to change"])
    print(text)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
