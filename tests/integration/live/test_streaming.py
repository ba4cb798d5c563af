"""What all streams share at the socket: whom a key is shown to, and what a line is given up for."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from quaestor.doors.alpaca_stream import Alpaca
from quaestor.doors.sim.alpaca_stream import AlpacaStreamServer
from quaestor.doors.sim.streaming import Synthetic
from quaestor.doors.streaming import Stream
from tests.integration.live.listening import QUICK, Heard, refusal, running


@asynccontextmanager
async def saying(answer: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers any request so; its port, and what it was told."""
    told: list[bytes] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], told


def stream(url: str) -> Stream:
    feed = Stream(Alpaca("key", "secret", url=url), timing=QUICK)
    feed.subscribe(["AAPL"])
    return feed


def nobodys(folder: Path) -> ssl.SSLContext:
    """The context of a server whose certificate nobody vouches for."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        + made.sign(key, hashes.SHA256()).public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@pytest.mark.parametrize("status", [301, 302, 307])
async def test_a_vendor_that_sends_us_elsewhere_is_refused(status: int) -> None:
    async with saying(b"HTTP/1.1 101 no\r\n\r\n") as (other, told):
        answer = f"HTTP/1.1 {status} Moved\r\nLocation: ws://127.0.0.1:{other}/\r\nContent-Length: 0\r\n\r\n"
        async with saying(answer.encode()) as (port, _):
            assert "check the one that is configured" in str(await refusal(stream(f"ws://127.0.0.1:{port}/")))
        assert told == []


async def test_a_certificate_that_nobody_vouches_for_is_shown_no_key(tmp_path: Path) -> None:
    async with saying(b"", nobodys(tmp_path)) as (port, told):
        async with running(stream(f"wss://127.0.0.1:{port}/")) as heard:
            await heard.until(lambda: heard.kinds() == ["lost"])
            assert "CERTIFICATE_VERIFY_FAILED" in heard.statuses[0].words
        assert told == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", id="a page"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", id="a gateway in trouble"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", id="half a handshake"),
    ],
)
async def test_who_does_not_speak_websocket_is_a_lost_line_that_is_tried_again(answer: bytes) -> None:
    async with saying(answer) as (port, told), running(stream(f"ws://127.0.0.1:{port}/")) as heard:
        await heard.until(lambda: heard.kinds().count("lost") >= 2)
        assert set(heard.kinds()) == {"lost"}
        assert len(told) >= 1


async def test_a_name_that_is_nowhere_is_a_lost_line() -> None:
    async with running(stream("wss://nowhere.invalid/")) as heard:
        await heard.until(lambda: "lost" in heard.kinds())
    assert isinstance(heard, Heard)


async def test_a_server_whose_client_left_in_the_middle_stops_telling_though_it_lags_behind_its_rate() -> None:
    async with AlpacaStreamServer(Synthetic(["AAPL"], 10**9), keys=None, rate=10.0**8) as server:
        feed = stream(server.url)
        async with running(feed) as heard:
            await heard.until(lambda: bool(heard.ticks))
            feed.pause()
            await asyncio.sleep(0.1)
        async with asyncio.timeout(10):
            while server.talks:
                await asyncio.sleep(0.01)
