"""A runner that trades nothing: it begins, beats, tells, obeys. Its store is the real one.

What it does beyond that stands in files of the data folder: `stand-in.settle`: settle, and live on; `stand-in.die`: end
at the next beat as a crash would, once; `stand-in.never`: end before the first beat, always.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import os
import platform
import signal
import sys
import uuid
from pathlib import Path

from quaestor import wiring
from quaestor.ports_live import Happening, LiveRun

KINDS = ("signal", "refusal", "order", "fill", "halt", "reconnect", "alert", "firing")
BEAT = 0.3


async def run(at: dt.datetime, options: str) -> None:
    loaded = wiring.load()
    home, account = loaded.home, loaded.config.account.alias
    print(
        f"started with {options}; Prefect's: {[name for name in os.environ if name.startswith('PREFECT')]}", flush=True
    )
    if (home / "stand-in.never").exists():
        sys.exit("stand-in: the wall is in the way")
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with wiring.configured_database(loaded) as database:
        store = wiring.live_store(database)
        me = LiveRun(uuid.uuid4(), account, f"{platform.node()}:{os.getpid()}:stand-in", at, "abc", "d1")
        await store.begin(me)
        await store.tell(account, me.id, [Happening(kind, "AAPL", at, {"pid": os.getpid()}) for kind in KINDS])
        facts: dict[str, object] = {"equity": "100123.45", "orders": 2, "fills": 1, "refusals": 1, "feed_age": 0.25}
        while not ended.is_set() and (await store.desired(account)).state != "stopped":
            if _asked(home, "die"):
                os.kill(os.getpid(), signal.SIGKILL)
            if _asked(home, "settle"):
                facts["settled"] = at.date().isoformat()
                await store.tell(account, me.id, [Happening("settled", at.date().isoformat(), at)])
            await store.beat(me.id, facts)
            await asyncio.sleep(BEAT)
        await store.end(me.id, "told to end" if ended.is_set() else "stopped")


def _asked(home: Path, what: str) -> bool:
    try:
        (home / f"stand-in.{what}").unlink()
    except FileNotFoundError:
        return False
    return True


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--at", type=dt.datetime.fromisoformat, default=dt.datetime.now(dt.UTC))
    parser.add_argument("--speed", type=float)
    parser.add_argument("--feed")
    asyncio.run(run(parser.parse_args().at, " ".join(sys.argv[1:])))
