"""Reading the file: validated as a whole; what is refused is named with its line and the cure."""

from __future__ import annotations

import datetime as dt
import difflib
import hashlib
import json
import re
import tomllib
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ValidationError

from quaestor.config.brokers import (
    AccountSection,
    BrokerSection,
    PaperSection,
    RobinhoodAgenticSection,
    RobinhoodCryptoSection,
    RobinhoodSection,
)
from quaestor.config.market import AlpacaSection, FeedSection, MarketSection, QualitySection
from quaestor.config.parts import AlertsSection, DatabaseSection, PrefectSection, TelemetrySection, VaultSection
from quaestor.config.trading import LiveSection, RiskSection, StrategiesSection, StrategyUse
from quaestor.config.words import Section
from quaestor.errors import BadConfig


class Config(Section):
    """Everything that can be configured."""

    account: AccountSection = AccountSection()
    database: DatabaseSection = DatabaseSection()
    market: MarketSection = MarketSection()
    quality: QualitySection = QualitySection()
    alpaca: AlpacaSection = AlpacaSection()
    broker: BrokerSection = BrokerSection()
    robinhood: RobinhoodSection = RobinhoodSection()
    robinhood_crypto: RobinhoodCryptoSection = RobinhoodCryptoSection()
    robinhood_agentic: RobinhoodAgenticSection = RobinhoodAgenticSection()
    strategies: StrategiesSection = StrategiesSection()
    risk: RiskSection = RiskSection()
    paper: PaperSection = PaperSection()
    alerts: AlertsSection = AlertsSection()
    telemetry: TelemetrySection = TelemetrySection()
    live: LiveSection = LiveSection()
    feed: FeedSection = FeedSection()
    vault: VaultSection = VaultSection()
    prefect: PrefectSection = PrefectSection()


def digest(value: Any) -> str:
    """A short name of a JSON-able value or of models: the same value, the same name."""

    def plain(item: object) -> object:
        if isinstance(item, Decimal):
            return format(item.normalize(), "f")  # 0.4 and 0.40 are one value
        return item.model_dump() if isinstance(item, BaseModel) else str(item)

    text = json.dumps(value, sort_keys=True, default=plain)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def parse(text: str, place: str = "quaestor.toml") -> Config:
    """Read a configuration; raises BadConfig naming file, line, key and cure."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"{place}: not valid TOML: {error}.") from error
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadConfig(_explain(first, text, place)) from error


def _explain(error: Any, text: str, place: str) -> str:
    path = [str(part) for part in error["loc"]]
    if "parameters" in path[:-2]:
        path = path[: path.index("parameters") + 2]  # without the type that pydantic tried
        error = error | {"msg": "Give a number, a text, true or false"}
    where = f"{place}:{line_of(path, text)}"
    key = ".".join(path)
    if error["type"] == "extra_forbidden":
        known = _fields(path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."
        return f"{where}: unknown key {key!r}.{hint}"
    value = error.get("input")
    shown = f" (got {value!r})" if isinstance(value, str | int | float | bool | dt.date) else ""
    return f"{where}: {key or 'file'}: {error['msg'].removeprefix('Value error, ')}{shown}."


def _fields(path: list[str]) -> list[str]:
    model: Any = Config
    for part in path:
        if part.isdigit():
            model = StrategyUse
            continue
        model = model.model_fields[part].annotation
    return sorted(getattr(model, "model_fields", {}))


def line_of(path: list[str], text: str) -> int:
    """The line (1-based) where a key stands: `a.b` under its `[table]`, the n-th `[[table]]`, dotted, or in `{…}`.

    A key that is missing stands where its table begins.
    """
    table, wanted = "", ".".join(part for part in path if not part.isdigit())
    index = next((int(part) for part in path if part.isdigit()), 0)
    array, seen = "", dict[str, int]()  # the [[table]] that we are in, and how many of each began
    best, ours = 0, True
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"^\[(\[)?\s*([\w.\-]+)\s*\]", line.strip()):
            table = header[2]
            if header[1]:
                array, seen[table] = table, seen.get(table, -1) + 1
            elif not table.startswith(f"{array}."):
                array = ""
            ours = not array or seen[array] == index
            around = ours and wanted.startswith(f"{table}.")
            inside = not best and table.startswith(f"{wanted}.")
            best = number if table == wanted or around or inside else best
        elif ours and (key := re.match(r"^([\w.\-\"']+)\s*=", line.strip())):
            full = ".".join(filter(None, (table, key[1].strip("\"'"))))
            if full == wanted or (full.startswith(f"{wanted}.") and not f"{table}.".startswith(f"{wanted}.")):
                return number
            best = number if wanted.startswith(f"{full}.") else best
    return best or 1
