"""A process that uses the embedded server, told what to do line by line: `embedded_process.py HOME UID [PACKAGES]`.

It becomes UID before anything else; what it may import later it imports first, since that user may not reach the
interpreter. PACKAGES is a folder searched before the site-packages. Each line is a word of `EmbeddedServer`, or
`query SQL`, `cpu WORD` (milliseconds of CPU and of time that WORD took) or `fork` (a child that sleeps on; its pid).
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil  # noqa: F401 - for later, see above
import subprocess  # noqa: F401
import sys
import tempfile  # noqa: F401
import time
from pathlib import Path
from typing import Any

from quaestor.doors.postgres import postmaster
from quaestor.doors.postgres.embedded import EmbeddedServer
from quaestor.errors import QuaestorError


def main() -> None:
    home, uid, *packages = sys.argv[1:]
    sys.path[:0] = packages
    if int(uid) != os.geteuid():
        if not sys.flags.no_site:
            import psycopg  # noqa: F401

        os.setgroups([])
        os.setgid(int(uid))
        os.setuid(int(uid))
    if patience := os.environ.get("ORPHAN_PATIENCE"):
        postmaster.ORPHAN_PATIENCE = float(patience)
    server = EmbeddedServer(Path(home))
    for line in sys.stdin:
        print(json.dumps(answer(server, line.strip()), default=str), flush=True)


def answer(server: EmbeddedServer, line: str) -> dict[str, Any]:
    word, _, rest = line.partition(" ")
    try:
        if word == "query":
            return {"value": query(server, rest)}
        if word == "cpu":
            return {"value": measured(server, rest)}
        if word == "fork":
            return {"value": fork(server)}
        value = getattr(server, word)()
    except QuaestorError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"value": dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value}  # type: ignore[arg-type]


def query(server: EmbeddedServer, statement: str) -> Any:
    import psycopg

    with server as uri, psycopg.connect(uri, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else None


def measured(server: EmbeddedServer, word: str) -> tuple[float, float]:
    began, cpu = time.perf_counter(), sum(os.times()[:4])
    getattr(server, word)()
    return 1000 * (sum(os.times()[:4]) - cpu), 1000 * (time.perf_counter() - began)


def fork(server: EmbeddedServer) -> int:
    child = os.fork()
    if child == 0:
        os.close(0)  # our driver waits for the end of these
        os.close(1)
        server.release()  # what its parent holds is not the child's to give back
        time.sleep(60)
        os._exit(0)
    return child


if __name__ == "__main__":
    main()
