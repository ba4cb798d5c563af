"""The catalogue: every strategy that can be used by name, built in or a person's own, and how it is built.

A strategy's *version* is its name and the digest of the source file it stands in, so an order can name the very rule
that caused it; its *digest* names version and parameters together. This module reads no folder: the door
`strategy_folder` finds a person's own strategies and hands them in as definitions.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import inspect
import math
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

from quaestor import strategies
from quaestor.config import digest
from quaestor.errors import BadInput, NotFound, QuaestorError
from quaestor.strategies.base import Strategy
from quaestor.strategies.live import LiveStrategy

# What a line of quaestor.toml and a field of a form can hold; annotations may be strings.
KINDS: dict[Any, type] = {kind: kind for kind in (int, float, str, bool)} | {
    k.__name__: k for k in (int, float, str, bool)
}
OWN = "A strategy of your own is a *.py file in the folder that [strategies] folder names."


class BadParameter(BadInput):
    """A strategy's parameter cannot be used; `parameter` is its name."""

    def __init__(self, message: str, parameter: str) -> None:
        super().__init__(message)
        self.parameter = parameter


@dataclass(frozen=True)
class Definition:
    """A strategy's class, the bytes of the source it stands in, and where that is (a file, or "built in")."""

    strategy: type[Strategy]
    source: bytes
    place: str

    @property
    def name(self) -> str:
        """The name it is used by."""
        return self.strategy.name

    @property
    def version(self) -> str:
        """Name and digest of the source: another character in the file is another version."""
        return f"{self.name}-{hashlib.sha256(self.source).hexdigest()[:10]}"


@dataclass(frozen=True)
class Built:
    """A strategy ready to run: `parameters` is complete (defaults included), `digest` names version and parameters."""

    strategy: Strategy
    name: str
    version: str
    parameters: Mapping[str, int | float | str | bool]
    digest: str

    @property
    def is_live(self) -> bool:
        """Whether it trades as bars close, and not on daily signals."""
        return isinstance(self.strategy, LiveStrategy)


class Catalogue:
    """Strategies by name. Built-ins are looked up at first use; a name that two strategies claim is refused then."""

    def __init__(self, own: Iterable[Definition] = ()) -> None:
        self._own = tuple(own)

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._known)

    def definition(self, name: str) -> Definition:
        """The strategy of that name; raises NotFound with the nearest name."""
        if name not in self._known:
            raise NotFound.named("strategy", name, self._known, OWN)
        return self._known[name]

    def build(self, name: str, parameters: Mapping[str, Any] | None = None) -> Built:
        """A strategy with its parameters; raises NotFound (its name) or BadInput (a parameter's name, type, value)."""
        found = self.definition(name)
        strategy = _construct(found.strategy, parameters or {})
        complete = {field.name: getattr(strategy, field.name) for field in _fields(found.strategy).values()}
        return Built(strategy, name, found.version, complete, digest([found.version, complete]))

    @cached_property
    def _known(self) -> dict[str, Definition]:
        known: dict[str, Definition] = {}
        for found in (*_built_in(), *self._own):
            if other := known.get(found.name):
                raise BadInput(
                    f"Two strategies are named {found.name!r}: {other.place} and {found.place}. Rename one of them."
                )
            known[found.name] = found
        return known


def _built_in() -> Iterable[Definition]:
    for info in pkgutil.iter_modules(strategies.__path__):
        module = importlib.import_module(f"{strategies.__name__}.{info.name}")
        yield from definitions(module, inspect.getsource(module).encode(), "built in")


def definitions(module: ModuleType, source: bytes, place: str) -> list[Definition]:
    """The concrete strategies that a module itself defines; raises BadInput for one that cannot be used."""
    own = [item for item in vars(module).values() if inspect.isclass(item) and item.__module__ == module.__name__]
    found = [item for item in own if issubclass(item, Strategy) and not inspect.isabstract(item)]
    for strategy in found:
        _require_usable(strategy, place)
    return [Definition(strategy, source, place) for strategy in found]


def _require_usable(strategy: type[Strategy], place: str) -> None:
    where, name = f"{place}: class {strategy.__name__}", getattr(strategy, "name", None)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name):
        raise BadInput(f'{where}: name is {name!r}: give it one in small letters, as in name = "{_snake(strategy)}".')
    if "__dataclass_fields__" not in vars(strategy):
        raise BadInput(f"{where} is no dataclass: put @dataclass(frozen=True) above it; its fields are its parameters.")
    if strategy.frames not in ("polars", "pandas"):
        raise BadInput(f'{where}: frames is {strategy.frames!r}: use "polars" or "pandas".')
    for field in _fields(strategy).values():
        if field.type not in KINDS:
            raise BadInput(f"{where}: parameter {field.name!r} is a {field.type}: use int, float, str or bool.")


def _snake(strategy: type[Strategy]) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", strategy.__name__).lower()


def _fields(strategy: type[Strategy]) -> dict[str, dataclasses.Field[Any]]:
    return {field.name: field for field in dataclasses.fields(strategy) if field.init}


def _construct(strategy: type[Strategy], parameters: Mapping[str, Any]) -> Strategy:
    fields = _fields(strategy)
    for name in parameters:
        if name not in fields:
            raise BadParameter(str(NotFound.named(f"parameter of {strategy.name}", name, fields)), name)
    for field in fields.values():
        if field.name not in parameters and field.default is field.default_factory:  # both are MISSING
            raise BadParameter(
                f"{strategy.name}: parameter {field.name!r} has no default; give it a value.", field.name
            )
    values = {name: _typed(strategy.name, name, value, KINDS[fields[name].type]) for name, value in parameters.items()}
    try:
        return strategy(**values)
    except QuaestorError:
        raise
    except Exception as error:
        raise BadInput(f"{strategy.name}: {values} refused: {explain(error, source_file(strategy))}.") from error


def _typed(strategy: str, name: str, value: Any, kind: type) -> Any:
    """The value as its declared kind. A whole number is a float too; true is no number; 10.5 is no whole number."""
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        raise BadParameter(f"{strategy}: {name} = {value!r} is a {type(value).__name__}: give {words[kind]}.", name)
    if isinstance(value, float) and not math.isfinite(value):
        raise BadParameter(f"{strategy}: {name} = {value!r}: give a finite number.", name)
    return value


def source_file(strategy: type[Strategy]) -> str:
    """The path of the file that defines a strategy (in a notebook, which has none: its module)."""
    return getattr(sys.modules.get(strategy.__module__), "__file__", None) or strategy.__module__


def explain(error: BaseException, file: str) -> str:
    """An exception in one line, ending in the place of its newest line inside `file`."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return f"{type(error).__name__}: {error.msg} ({file}:{error.lineno})"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    said = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {said} ({file}{f':{lines[-1]}' if lines else ''})"
