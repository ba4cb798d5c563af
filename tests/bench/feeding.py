"""Alpaca's stream in a process of its own, for benchmarks: `python feeding.py COUNT SIZE [RATE]` prints its address.

With a rate it tells ticks as the protocol server does, stamped when they are told. Without one it prepares all frames
first and then writes them as fast as the socket takes them: so the client's CPU is measured, and not the server's.
SIZE is messages per frame; 0: as mixed as a busy minute is, most frames small and some large.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from quaestor.doors.sim import alpaca_stream
from quaestor.doors.sim.streaming import Synthetic
from quaestor.ticks import Tick

SYMBOLS = [f"S{chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(100)]
MIXED = (1, 1, 2, 1, 3, 1, 8, 2, 1, 20, 1, 5, 2, 1, 12, 3)  # messages in frames that follow each other: 4 on average


class Blast(alpaca_stream._Talk):
    """Prepares every frame, then writes them all at once."""

    def begin(self) -> None:
        """As soon as something is subscribed to."""
        if not self.telling:
            self.telling = True
            frames, ticks = bytearray(), self.server.ticks
            self.send = lambda said, **_: frames.extend(framed(said))  # type: ignore[method-assign]
            at = 0
            for size in itertools.cycle(self.server.sizes):
                if at >= len(ticks):
                    break
                self.tell(ticks[at : at + size], at)
                at += size
            self.transport.underlying_transport.write(bytes(frames))


class BlastServer(alpaca_stream.AlpacaStreamServer):
    """See `Blast`; sizes: messages in frames that follow each other."""

    talk = Blast

    def __init__(self, ticks: Sequence[Tick], sizes: Sequence[int]) -> None:
        super().__init__(ticks, keys=None, clock=time.time_ns)
        self.sizes = sizes


def framed(said: bytes) -> bytes:
    """A whole text frame of a server."""
    size = len(said)
    if size < 126:
        return b"\x81" + bytes([size]) + said
    return b"\x81" + (b"\x7e" + struct.pack(">H", size) if size < 65536 else b"\x7f" + struct.pack(">Q", size)) + said


async def main(count: int, size: int, rate: float) -> None:
    """Serve until stdin ends."""
    ticks = Synthetic(SYMBOLS, count)
    server: alpaca_stream.AlpacaStreamServer = BlastServer(ticks, (size,) if size else MIXED)
    if rate:
        server = alpaca_stream.AlpacaStreamServer(ticks, keys=None, rate=rate, batch=size or 20, clock=time.time_ns)
    sys.stdout.write(await server.start() + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()


if __name__ == "__main__":
    logging.getLogger("picows").setLevel(logging.CRITICAL)
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float((*sys.argv[3:], "0")[0])))
