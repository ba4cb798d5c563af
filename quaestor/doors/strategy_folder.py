"""The folder of a person's own strategies: each *.py file is read once, and exactly the bytes read are what runs.

Python's own import would look into a cache that it trusts by the file's time; a file saved twice within a second could
run old code under the new version's name. So a file is compiled from the bytes that its version is the digest of.
A file stands alone: its neighbours cannot be imported, since their changes would not show in its version.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from quaestor.errors import BadInput
from quaestor.strategies.catalogue import Definition, definitions, explain


class _Source(importlib.abc.ExecutionLoader):
    """Loads a module from bytes that are already read."""

    def __init__(self, path: str, source: bytes) -> None:
        self._path, self._source = path, source

    def get_filename(self, fullname: str) -> str:
        """Where tracebacks point."""
        del fullname
        return self._path

    def get_source(self, fullname: str) -> str:
        """The text, in the encoding that the file declares."""
        del fullname
        return importlib.util.decode_source(self._source)


def read(folder: Path | None) -> list[Definition]:
    """All strategies in the folder's *.py files, in the order of their names; [] where there is no such folder.

    Files that start with an underscore are left alone. Raises BadInput naming file, line and exception for a file
    that cannot be imported, and for a strategy that cannot be used.
    """
    if folder is None or not folder.exists():
        return []
    if not folder.is_dir():
        raise BadInput(f"{folder}: [strategies] folder must be a folder of *.py files; this is a file.")
    return [found for path in sorted(folder.glob("*.py")) if path.name[0] not in "_." for found in _read(path)]


def _read(path: Path) -> list[Definition]:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read: {error.strerror}. Correct it, or move it out of the folder."
        ) from error
    return definitions(_module(path, source), source, str(path))


def _module(path: Path, source: bytes) -> ModuleType:
    name = f"quaestor_user.{path.stem}_{hashlib.sha256(str(path).encode() + source).hexdigest()[:10]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_loader(name, _Source(str(path), source), origin=str(path))
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - a loader is given just above
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise BadInput(
            f"{path.name}: {explain(error, str(path))}. Correct it, or move it out of the folder."
        ) from error
    return module
