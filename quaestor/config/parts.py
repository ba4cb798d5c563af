"""The parts of the house: database, vault, Prefect, alerts, telemetry."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from quaestor.config.words import Section, safe


class DatabaseSection(Section):
    """Where the books are."""

    url: str = Field("", description="postgresql://… of a server; empty: the embedded one. QUAESTOR_DATABASE_URL wins.")
    password_secret: str = Field("", description="Name of the server's password in the vault, where the url has none.")
    keep: dict[Literal["1d", "1h", "5m", "1m"], int] = Field(
        default_factory=dict, description="Days that bars are kept, by timeframe; what is not named is kept for ever."
    )


class VaultSection(Section):
    """Where secrets are."""

    kind: Literal["local", "azure"] = Field(
        "local", description="local: an encrypted file in the data folder; azure: an Azure Key Vault."
    )
    key: Literal["file", "keyring"] = Field(
        "file",
        description="Of a local vault: file: beside it, for its owner alone; keyring: the OS keyring, chosen at the "
        "first use.",
    )
    url: Annotated[str, AfterValidator(safe)] = Field(
        "", description="Of an Azure Key Vault, as https://NAME.vault.azure.net; its own name is not enough."
    )
    credential: Literal["managed", "developer"] = Field(
        "managed", description="managed: the machine's managed identity; developer: who is logged in with `az login`."
    )
    client_id: str = Field(
        "", description="Client id of a user-assigned managed identity; empty: the machine's own identity."
    )
    certificate: str = Field(
        "",
        description="PEM file that the vault's certificate is checked with, for a protocol server; empty: the usual.",
    )

    @model_validator(mode="after")
    def _azure_has_an_address(self) -> VaultSection:
        if self.kind == "azure" and not self.url.startswith("https://"):
            raise ValueError("kind = 'azure' needs url = \"https://NAME.vault.azure.net\"")
        return self


class PrefectSection(Section):
    """Where flows run."""

    work_pool: str = Field("quaestor", description="The pool that flows run in; prefect.yaml names it too.")
    database_url: str = Field(
        "",
        description="postgresql://… for the metadata of the local Prefect server; it needs pg_trgm. Empty: SQLite.",
    )
    port: int = Field(
        0, ge=0, le=65535, description="Port of the local server that `up` starts; 0: a free one, 4200 if it can."
    )
    task_runner: Literal["threads", "dask", "ray"] = Field(
        "threads", description="Where a flow's chunks run: in its own process, or on a cluster of processes."
    )
    task_runner_address: str = Field(
        "", description="A Dask scheduler or Ray head that runs, as tcp://host:8786; empty: processes of our own."
    )
    task_runner_workers: int = Field(2, ge=1, le=256, description="How many processes of our own.")

    @model_validator(mode="after")
    def _address_is_of_a_cluster(self) -> PrefectSection:
        if self.task_runner_address and self.task_runner == "threads":
            raise ValueError("task_runner_address needs task_runner = 'dask' or 'ray'")
        return self

    @property
    def scales_away(self) -> bool:
        """Whether the cluster is on another machine."""
        here = r"([a-z]+://)?(127\.0\.0\.1|localhost|\[::1\])(:\d+)?/?"
        return bool(self.task_runner_address) and not re.fullmatch(here, self.task_runner_address)


class AlertsSection(Section):
    """How a person is told."""

    console: bool = Field(True, description="Whether alerts are logged to the console.")
    file: str = Field("alerts.log", description="Log file, relative to QUAESTOR_HOME; empty: none.")


class TelemetrySection(Section):
    """What a live run tells about itself, and where."""

    otlp: str = Field("", description="Address of an OTLP sink, such as http://127.0.0.1:4318; empty: none.")
    authorization_secret: str = Field(
        "", description="Name of what the sink wants in the header Authorization, in the vault; empty: nothing."
    )
    sample: float = Field(
        0.001, ge=0, le=1, description="Share of batches of ticks that are traced; orders always are."
    )
    file: str = Field("", description="File of traces as lines of JSON, relative to QUAESTOR_HOME; empty: none.")
    every: int = Field(15, ge=2, le=3600, description="Seconds between two sets of figures for the sink.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="From what on is logged.")
    log_file: str = Field(
        "logs/live.jsonl", description="File of logs as lines of JSON, relative to QUAESTOR_HOME; empty: none."
    )
    file_bytes: int = Field(64_000_000, ge=100_000, description="Bytes after which such a file is turned over.")
    files_kept: int = Field(4, ge=0, le=100, description="How many full ones stay.")

    @model_validator(mode="after")
    def _address_is_safe(self) -> TelemetrySection:
        if self.authorization_secret:
            safe(self.otlp)
        if self.otlp and not re.fullmatch(r"https?://[^/@\s]+(/[^@\s]*)?", self.otlp):
            raise ValueError("otlp: write http://host:4318 or https://…, without a password")
        return self
