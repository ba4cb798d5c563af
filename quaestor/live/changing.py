"""Changing a replay: `risk.max_order_notional=5000`, `strategy.NAME.PARAMETER=3`, `trigger.ID.condition.level=190`.

A change is written into the events that set a run up, before they are folded, and is judged as the configuration is:
an unknown name answers "did you mean …?", a value out of its bounds is refused. A trigger is named by its id, the
beginning of it, or its name where `names` has it.
"""

from __future__ import annotations

import re
import tomllib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydantic import ValidationError

from quaestor.config import RiskSection, digest
from quaestor.errors import BadInput, NotFound
from quaestor.live.events import Event, Limits, Player, Rules, Setup
from quaestor.triggers import read_trigger

ROOTS = ("risk", "strategy", "trigger")
EXAMPLES = "risk.max_order_notional=5000, strategy.NAME.PARAMETER=3, trigger.ID.condition.level=190"


@dataclass(frozen=True)
class Change:
    """One change: the way to it, the value a person wrote, and that text as it stood."""

    way: tuple[str, ...]
    value: Any
    text: str


@dataclass
class Changes:
    """Changes to a run's setup. `names`: ids of triggers by their names; `used`: what was found to be changed."""

    changes: Sequence[Change]
    names: Mapping[str, uuid.UUID] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    @property
    def named(self) -> bool:
        """Whether a trigger is meant by another name than its id."""
        return any(not re.fullmatch(r"[0-9a-fA-F-]+", change.way[1]) for change in self._of("trigger"))

    def applied(self, event: Event) -> Event:
        """The event with what is changed in it; raises NotFound or BadInput for what cannot be."""
        if type(event) is Setup:
            risk, strategies = self._of("risk"), self._of("strategy")
            players = _players(event.players, strategies)
            self.used |= {change.text for change in (*risk, *strategies)}
            limits = _limited(event.limits, risk)
            return msgspec.structs.replace(event, limits=limits, players=players, triggers=self._rules(event.triggers))
        if type(event) is Limits:
            return msgspec.structs.replace(event, limits=_limited(event.limits, self._of("risk")))
        if type(event) is Rules:
            return msgspec.structs.replace(event, put=self._rules(event.put))
        return event

    def require_used(self) -> None:
        """Raises NotFound for a trigger that the run never had."""
        for change in self.changes:
            if change.text not in self.used:
                raise NotFound(
                    f"{change.text}: the run had no trigger {change.way[1]!r}. `quaestor trigger list` shows those of "
                    "today; give an id, or its beginning."
                )

    def _of(self, root: str) -> list[Change]:
        return [change for change in self.changes if change.way[0] == root]

    def _rules(self, triggers: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
        return tuple(self._rule(trigger) for trigger in triggers)

    def _rule(self, trigger: dict[str, Any]) -> dict[str, Any]:
        for change in self._of("trigger"):
            named = str(self.names.get(change.way[1], change.way[1])).lower()
            if str(trigger["id"]).startswith(named):
                trigger = _written(trigger, change.way[2:], change.value)
                try:
                    read_trigger(trigger)
                except BadInput as error:
                    raise BadInput(f"{change.text}: {error}") from error
                self.used.add(change.text)
        return trigger


def read_changes(texts: Iterable[str], names: Mapping[str, uuid.UUID] | None = None) -> Changes:
    """What a person wrote, each as `way.to.it=value`; raises BadInput with the cure."""
    return Changes([_change(text) for text in texts], names or {})


def _change(text: str) -> Change:
    way, equals, value = text.partition("=")
    parts = tuple(way.strip().split("."))
    if parts[0] not in ROOTS:
        raise BadInput(str(NotFound.named("part of the setup", parts[0], ROOTS, f"Write it like {EXAMPLES}.")))
    if not equals or len(parts) < (2 if parts[0] == "risk" else 3) or not all(parts):
        raise BadInput(f"{text!r} is no change; write it like {EXAMPLES}.")
    return Change(parts, _value(value.strip()), text)


def _value(text: str) -> Any:
    """A number, true or false, a list as the configuration has them; else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _limited(limits: dict[str, Any], changes: Sequence[Change]) -> dict[str, Any]:
    for change in changes:
        name = ".".join(change.way[1:])
        if name not in RiskSection.model_fields:
            raise NotFound.named("limit", name, RiskSection.model_fields)
        try:
            section = RiskSection.model_validate({**limits, name: change.value})
        except ValidationError as error:
            raise BadInput(f"{change.text}: {error.errors()[0]['msg'].removeprefix('Value error, ')}.") from error
        limits = {**limits, name: section.model_dump(mode="json")[name]}
    return limits


def _players(players: Iterable[Player], changes: Sequence[Change]) -> tuple[Player, ...]:
    found = {player.name: player for player in players}
    for change in changes:
        name, parameter = change.way[1], ".".join(change.way[2:])
        if name not in found:
            raise NotFound.named("strategy of the run", name, found)
        found[name] = _played(found[name], parameter, change)
    return tuple(found.values())


def _played(player: Player, parameter: str, change: Change) -> Player:
    """With another parameter, and the digest that names it; the strategy itself judges the value when it is built."""
    known = player.parameters
    if parameter == "weight" and parameter not in known:
        if isinstance(change.value, bool) or not isinstance(change.value, int | float) or not 0 < change.value <= 1:
            raise BadInput(f"{change.text}: a weight is a share of equity, above 0 and at most 1.")
        return msgspec.structs.replace(player, weight=float(change.value))
    if parameter not in known:
        raise NotFound.named(f"parameter of {player.name}", parameter, [*known, "weight"])
    value = float(change.value) if isinstance(known[parameter], float) and type(change.value) is int else change.value
    if type(value) is not type(known[parameter]):
        kind = type(known[parameter]).__name__
        raise BadInput(
            f"{change.text}: {parameter} was {known[parameter]!r}; give {'a' if kind != 'int' else 'an'} {kind}."
        )
    parameters = {**known, parameter: value}
    return msgspec.structs.replace(player, parameters=parameters, digest=digest([player.version, parameters]))


def _written(data: Any, way: Sequence[str], value: Any) -> Any:
    """A copy in which the value stands at the end of that way through tables and lists."""
    if not way:
        return value
    if isinstance(data, list):
        if not way[0].isdigit() or int(way[0]) >= len(data):
            raise BadInput(f"{way[0]!r} is no place in a list of {len(data)}; count from 0.")
        return [_written(item, way[1:], value) if n == int(way[0]) else item for n, item in enumerate(data)]
    if not isinstance(data, dict) or (len(way) > 1 and way[0] not in data):
        raise NotFound.named("part of the trigger", way[0], data if isinstance(data, dict) else ())
    return {**data, way[0]: _written(data.get(way[0]), way[1:], value)}
