"""The one configuration: which file it is, where its folders are, and whether it can be used here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from quaestor.config import Config, line_of, parse
from quaestor.errors import BadConfig, PartMissing

ROOT = Path(__file__).resolve().parents[2]  # the checkout (or the image's folder): flows, prefect.yaml
FILE = "quaestor.toml"
TASK_RUNNERS = {"dask": "prefect_dask", "ray": "prefect_ray"}  # in which package Prefect has each


@dataclass(frozen=True)
class Loaded:
    """The configuration and where it came from (None: defaults)."""

    config: Config
    path: Path | None
    home: Path

    def resolve(self, folder: str) -> Path:
        """A folder named in the file, relative to the file (or to the checkout)."""
        base = self.path.parent if self.path is not None else ROOT
        return (base / folder).resolve()

    def place(self, key: list[str]) -> str:
        """Where a key stands, as `quaestor.toml:7`; the key itself where there is no file."""
        if self.path is None:
            return ".".join(key)
        return f"{self.path}:{line_of(key, self.path.read_text(encoding='utf-8'))}"


def home() -> Path:
    """Where data lives: QUAESTOR_HOME, or the default of the embedded server."""
    from quaestor.doors.postgres.embedded import default_home

    told = os.environ.get("QUAESTOR_HOME")
    return Path(told).expanduser().resolve() if told else default_home()


def load() -> Loaded:
    """QUAESTOR_CONFIG, else quaestor.toml in the data folder, else in the checkout, else defaults.

    QUAESTOR_DATABASE_URL wins over the file, and so does QUAESTOR_DATABASE_PASSWORD_SECRET, which names the secret that
    completes it. Raises BadConfig with file, line and cure.
    """
    data = home()
    named = os.environ.get("QUAESTOR_CONFIG")
    if named and not Path(named).is_file():
        raise BadConfig(f"QUAESTOR_CONFIG names {named}, which is not a file; correct or unset it.")
    found = next((p for p in (*([Path(named)] if named else []), data / FILE, ROOT / FILE) if p.is_file()), None)
    config = parse(found.read_text(encoding="utf-8"), str(found)) if found else Config()
    names = {"url": "QUAESTOR_DATABASE_URL", "password_secret": "QUAESTOR_DATABASE_PASSWORD_SECRET"}
    if told := {field: os.environ[name] for field, name in names.items() if os.environ.get(name)}:
        config = config.model_copy(update={"database": config.database.model_copy(update=told)})
    _check_reach(config)
    return Loaded(config, found, data)


def _check_reach(config: Config) -> None:
    """Raises BadConfig where workers of another machine would look for the embedded database on their own."""
    if config.prefect.scales_away and not config.database.url:
        raise BadConfig(
            f"[prefect] task_runner_address names another machine ({config.prefect.task_runner_address}), which cannot"
            " reach the embedded database. Set [database] url to a server's, or name a cluster on 127.0.0.1."
        )


def require_task_runner(kind: str) -> None:
    """Raises PartMissing where the package of a configured task runner is not installed."""
    if kind in TASK_RUNNERS and find_spec(TASK_RUNNERS[kind]) is None:
        raise PartMissing(
            f"task_runner = {kind!r} needs a package that is not installed. In the checkout, run"
            f" `pip install -c constraints.txt -e '.[{kind}]'`, or set [prefect] task_runner = 'threads'."
        )
