"""Triggers by hand: add, edit, look, remove; the same from the console, the HTTP API and a flow.

What a person asks for is a dict: a form in words (`symbol`, `when`, `do`, `mode`, …, see `triggers.wording`), or a rule
as `Trigger.as_dict` writes it, whose id may be left out; and a `name` and a `note`. A key that nobody knows is refused.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quaestor.errors import BadInput, NotFound
from quaestor.ports_live import StoredFiring, StoredTrigger, TriggerStore
from quaestor.triggers import Latch, Trigger, read_trigger
from quaestor.triggers.keeping import checked_name, checked_note, is_id
from quaestor.triggers.reading import keys
from quaestor.triggers.telling import distance, nearest, state, told
from quaestor.triggers.wording import FIELDS, sentence, write_do, write_when, written

LABELS = ("name", "note")
RULE = tuple(Trigger.__dataclass_fields__)
Asked = Mapping[str, Any]


@dataclass(frozen=True)
class Put:
    """A trigger as it is stored now, and whether that changed anything."""

    stored: StoredTrigger
    changed: bool


def read_asked(asked: object, now: int, *, base: Trigger | None = None, id_: uuid.UUID | None = None) -> Trigger:
    """The trigger that is asked for; `base`: what is not said stays. `now` in ns. Raises BadInput with the place."""
    given = keys("trigger", asked, {*FIELDS, *LABELS, *RULE})
    for name in LABELS:
        if not isinstance(given.get(name, ""), str):
            raise BadInput(f"{name}: {str(given[name])[:60]!r} is no text; write it in quotes.")
    checked_name(given.get("name", ""))
    checked_note(given.get("note", ""))
    fields = {name: value for name, value in given.items() if name not in LABELS}
    own = _id(fields.pop("id")) if "id" in fields else base.id if base else id_
    if base is not None and own != base.id:
        raise BadInput(f"id: {own} is another trigger's than {base.id}; leave it out.")
    if not {"condition", "action"} & fields.keys():
        return written(fields, now, id_=own, base=base)
    if both := {"when", "do"} & fields.keys():
        raise BadInput(
            f"trigger: {min(both)!r} is of a form in words, 'condition' and 'action' are a rule; choose one."
        )
    return read_trigger({**(base.as_dict() if base else {}), **fields, "id": str(own or uuid.uuid4())})


def _id(value: object) -> uuid.UUID:
    try:
        return uuid.UUID(value)  # type: ignore[arg-type]
    except (ValueError, TypeError, AttributeError):
        raise BadInput(f"id: {str(value)[:60]!r} is no UUID; leave it out: a new one is made.") from None


async def add(
    store: TriggerStore, account: str, asked: Asked, now: int, by: str, *, id_: uuid.UUID | None = None
) -> Put:
    """A new trigger; `id_`: its id where none is asked for, so that a repetition adds it once."""
    trigger = read_asked(asked, now, id_=id_)
    changed = await store.put(account, trigger, name=asked.get("name", ""), note=asked.get("note", ""), by=by)
    return Put(await store.find(account, str(trigger.id)), changed)


async def edit(store: TriggerStore, account: str, named: str, asked: Asked, now: int, by: str) -> Put:
    """Another rule in the place of one: what is not asked for stays as it is."""
    if not asked:
        raise BadInput("Nothing to change: say what, such as a new `when`. `quaestor trigger show` shows what it is.")
    before = await store.find(account, named)
    trigger = read_asked(asked, now, base=before.trigger)
    name, note = asked.get("name", before.name), asked.get("note", before.note)
    changed = await store.put(account, trigger, name=name, note=note, by=by)
    return Put(await store.find(account, str(trigger.id)), changed)


async def put(
    store: TriggerStore, account: str, asked: Asked, now: int, by: str, *, id_: uuid.UUID | None = None
) -> Put:
    """Add it, or write it in the place of the one that has its name."""
    name = str(asked.get("name", ""))
    try:
        there = await store.id_of(account, name) if name else None
    except NotFound:
        there = None
    return await add(store, account, asked, now, by, id_=there or id_)


async def remove(store: TriggerStore, account: str, named: str, by: str) -> uuid.UUID:
    """Take one out, damaged or not; its id. Raises NotFound."""
    found = await store.id_of(account, named)
    if not await store.remove(account, found, by):
        raise NotFound(f"Trigger {found} was removed a moment ago by somebody else.")
    return found


async def overview(store: TriggerStore, account: str, now: int) -> dict[str, Any]:
    """All triggers as rows, those that cannot be read, the cursor they are of."""
    cursor, stored, damaged = await store.cursor(account), await store.all(account), await store.damaged(account)
    closes = await store.closes(sorted({each.trigger.symbol for each in stored}))
    rows = [row(each, now, closes.get(each.trigger.symbol)) for each in stored]
    torn = [{"id": str(each.id), "name": each.name, "problem": each.problem} for each in damaged]
    return {"triggers": rows, "damaged": torn, "cursor": cursor}


async def look(store: TriggerStore, account: str, named: str, now: int) -> dict[str, Any]:
    """One trigger as a row, with what it would do in plain words."""
    found = await store.find(account, named)
    closes = await store.closes([found.trigger.symbol])
    return {**row(found, now, closes.get(found.trigger.symbol)), "plain": told(found.trigger)}


def row(stored: StoredTrigger, now: int, close: tuple[float, Any] | None = None) -> dict[str, Any]:
    """A trigger as people and machines look at it; `close`: the newest stored one, and its session."""
    trigger, latch = stored.trigger, stored.latch
    told_ = {"name": stored.name, "note": stored.note, "by": stored.by, "written_at": stored.written_at}
    return {
        "id": str(trigger.id),
        **told_,
        **_words(trigger),
        "state": state(trigger, latch, now),
        "fired": latch.fired,
        "last_fired": latch.last_fired,
        "close": None if close is None else close[0],
        "close_session": None if close is None else close[1],
        "level": None if close is None else nearest(trigger, latch, close[0]),
        "distance": None if close is None else distance(trigger, latch, close[0]),
        "rule": trigger.as_dict(),
        "latch": latch.as_dict(),
        "change": stored.number,
    }


def checked(trigger: Trigger, close: tuple[float, Any] | None = None) -> dict[str, Any]:
    """What a trigger that nobody stored would be."""
    at = {} if close is None else {"close": close[0], "distance": distance(trigger, Latch(), close[0])}
    return {**_words(trigger), "plain": told(trigger), **at, "rule": trigger.as_dict()}


def firing_row(firing: StoredFiring, names: Mapping[uuid.UUID, str]) -> dict[str, Any]:
    """A firing as people and machines look at it."""
    fields = ("number", "symbol", "price", "at", "action", "outcome")
    told_ = {name: getattr(firing, name) for name in fields}
    return {"id": str(firing.id), "trigger": str(firing.trigger), "name": names.get(firing.trigger, ""), **told_}


async def firings(store: TriggerStore, account: str, limit: int, named: str = "") -> list[dict[str, Any]]:
    """What fired, newest first: of one trigger, by name or id (a removed one by its whole id), or of all."""
    one = await _fired(store, account, named) if named else None
    names = {each.trigger.id: each.name for each in await store.all(account)}
    return [firing_row(each, names) for each in await store.firings(account, limit, one)]


async def _fired(store: TriggerStore, account: str, named: str) -> uuid.UUID:
    try:
        return await store.id_of(account, named)
    except NotFound:
        if not is_id(named):
            raise
        return uuid.UUID(named)


def _words(trigger: Trigger) -> dict[str, Any]:
    return {
        "symbol": trigger.symbol,
        "when": write_when(trigger.condition),
        "do": write_do(trigger.action),
        "mode": trigger.mode,
        "sentence": sentence(trigger),
    }
