"""Signatures, keys, orders and fills of Robinhood's crypto API, without a wire."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from quaestor.doors.robinhood_crypto import fills, orders, signing
from quaestor.doors.robinhood_crypto.keys import KeyRing
from quaestor.doors.vault_local import LocalVault
from quaestor.errors import BadInput, VaultAway, VaultRefused
from quaestor.orders import Intent, Side, State, ref_id
from quaestor.ports_secrets import Secret
from quaestor.symbols import Symbology

D = Decimal
NAMES = ("the-key", "the-private-key")
SEED = "xQnTJVeQLmw1/Mg2YimEViSpw/SdJcgNXZ5kQkAXNPU="  # of Robinhood's own example, as is all of this
API_KEY = "rh-api-6148effc-c0b1-486c-8940-a1d099456be6"
PUBLIC = "jPItx4TLjcnSUnmnXQQyAKL4eJj3+oWNNMmmm2vATqk="
SIGNATURE = "q/nEtxp/P2Or3hph3KejBqnw5o9qeuQ+hYRnB56FaHbjDsNUY9KhB1asMxohDnzdVFSD7StaTqjSd9U9HvaRAw=="
BODY = (  # the example signs a dict as Python prints it; what counts is that it signs what it sends
    b"{'client_order_id': '131de903-5a9c-4260-abc1-28d562a5dcf0', 'side': 'buy', 'symbol': 'BTC-USD', "
    b"'type': 'market', 'market_order_config': {'asset_quantity': '0.1'}}"
)
PRIME, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
BASE = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)


# ── signatures ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_example_of_robinhoods_documents_is_signed_as_it_says() -> None:
    keys = signing.keys(API_KEY, SEED, NAMES)
    headers = keys.headers(1698708981, "post", "/api/v1/crypto/trading/orders/", BODY)
    assert (keys.public, headers["x-signature"]) == (PUBLIC, SIGNATURE)
    assert (headers["x-api-key"], headers["x-timestamp"]) == (API_KEY, "1698708981")


def test_a_signature_is_ed25519s_as_its_paper_says() -> None:
    path = "/api/v2/crypto/marketdata/best_bid_ask/?symbol=BTC-USD&symbol=ETH-USD"
    headers = signing.keys(API_KEY, SEED, NAMES).headers(1_786_200_000, "GET", path)
    message = f"{API_KEY}1786200000{path}GET".encode()
    assert base64.b64decode(headers["x-signature"]) == _signed(base64.b64decode(SEED), message)


def _signed(seed: bytes, message: bytes) -> bytes:
    """RFC 8032, 5.1.6, by arithmetic alone."""
    digest = hashlib.sha512(seed).digest()
    scalar = (int.from_bytes(digest[:32], "little") & ((1 << 254) - 8)) | (1 << 254)
    public = _packed(_times(scalar, BASE))
    nonce = int.from_bytes(hashlib.sha512(digest[32:] + message).digest(), "little") % ORDER
    point = _packed(_times(nonce, BASE))
    challenge = int.from_bytes(hashlib.sha512(point + public + message).digest(), "little")
    return point + ((nonce + challenge * scalar) % ORDER).to_bytes(32, "little")


def _times(scalar: int, point: tuple[int, int]) -> tuple[int, int]:
    total = (0, 1)
    while scalar:
        total = _plus(total, point) if scalar & 1 else total
        point, scalar = _plus(point, point), scalar >> 1
    return total


def _plus(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    (x, y), (u, v) = one, other
    bend = -121665 * pow(121666, -1, PRIME) * x * u * y * v % PRIME
    return (
        (x * v + u * y) * pow(1 + bend, -1, PRIME) % PRIME,
        (y * v + x * u) * pow(1 - bend, -1, PRIME) % PRIME,
    )


def _packed(point: tuple[int, int]) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_of_64_bytes_is_its_seed_and_its_public_key() -> None:
    both = base64.b64encode(base64.b64decode(SEED) + base64.b64decode(PUBLIC)).decode()
    assert signing.keys(API_KEY, f" {both}\n", NAMES).public == PUBLIC


@pytest.mark.parametrize(
    ("api_key", "private", "why"),
    [
        (API_KEY, "not base64!", "'the-private-key' is no base64"),
        (API_KEY, base64.b64encode(b"short").decode(), "'the-private-key' holds 5 bytes"),
        (API_KEY, base64.b64encode(base64.b64decode(SEED) * 2).decode(), "do not belong together"),
        ("rh api 1 2", SEED, "'the-key' is no API key"),
        ("", SEED, "'the-key' is no API key"),
    ],
)
def test_an_odd_key_is_refused_by_its_name_and_never_shown(api_key: str, private: str, why: str) -> None:
    with pytest.raises(VaultRefused, match=why) as refused:
        signing.keys(api_key, private, NAMES)
    assert "quaestor secrets set" in str(refused.value)
    assert private not in str(refused.value)
    assert SEED not in repr(signing.keys(API_KEY, SEED, NAMES))


def test_keys_are_fetched_when_used_kept_a_while_and_fetched_anew_after_a_no(tmp_path: Path) -> None:
    vault, clock = LocalVault(tmp_path), [0.0]
    ring = KeyRing(vault, *NAMES, kept=60, now=lambda: clock[0])
    with pytest.raises(VaultRefused, match=r"the-key.*docs/robinhood-crypto.md"):
        ring.current()
    vault.set("the-key", API_KEY)
    vault.set("the-private-key", SEED)
    first = ring.current()
    assert ring.after(first) is None
    vault.set("the-key", f"{API_KEY}-newer")
    assert ring.current() is first
    newer = ring.after(first)
    assert newer is not None
    assert newer.api_key == f"{API_KEY}-newer"
    vault.set("the-key", API_KEY)
    clock[0] = 61.0
    assert ring.current().api_key == API_KEY


def test_a_vault_that_is_away_costs_no_key_that_was_read() -> None:
    class Away:
        there = True

        def get(self, name: str) -> Secret:
            if not self.there:
                raise VaultAway
            return Secret(name, "1", API_KEY if name == NAMES[0] else SEED)

    vault, clock = Away(), [0.0]
    ring = KeyRing(vault, *NAMES, kept=60, now=lambda: clock[0])  # type: ignore[arg-type] # it is asked for two names
    keys = ring.current()
    vault.there, clock[0] = False, 3600.0
    assert ring.current() is keys
    with pytest.raises(VaultAway):
        KeyRing(vault, *NAMES).current()  # type: ignore[arg-type]


# ── orders ────────────────────────────────────────────────────────────────────────────────────────────────────────────

# As it was told of a real order on 2026-08-09, but for its names.
TOLD: dict[str, Any] = {
    "symbol": "BTC-USD",
    "client_order_id": "131de903-5a9c-4260-abc1-28d562a5dcf0",
    "side": "buy",
    "type": "limit",
    "id": "order-123",
    "account_number": "RHC000000001",
    "state": "open",
    "filled_asset_quantity": "0.000000000000000000",
    "executions": [],
    "average_price": None,
    "created_at": "2026-08-09T23:42:33.494640-04:00",
    "updated_at": "2026-08-10T00:42:34.198331-04:00",
    "fee_charged": D("0.0"),
    "limit_order_config": {"asset_quantity": "0.000100000000000000", "limit_price": "32548.380000000000000000"},
}


def told(**changes: Any) -> Any:
    return orders.update(TOLD | changes, Symbology("Robinhood"))


def test_an_order_is_read_as_robinhood_tells_it() -> None:
    update = told()
    assert (update.state, update.quantity, update.limit_price) == (State.ACKED, D("0.0001"), D("32548.38"))
    assert update.session == dt.date(2026, 8, 9)  # New York's date, a Sunday, when UTC is a day further
    assert update.updated_at == dt.datetime(2026, 8, 10, 4, 42, 34, 198331, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("state", "filled", "ours"),
    [
        ("open", "0", State.ACKED),
        ("partially_filled", "0.00005", State.PARTIALLY_FILLED),
        ("filled", "0.0001", State.FILLED),
        ("canceled", "0.00005", State.CANCELED),
        ("failed", "0", State.REJECTED),
        ("failed", "0.00005", State.CANCELED),
        ("pending_review", "0", State.ACKED),
        ("pending_review", "0.00005", State.PARTIALLY_FILLED),
    ],
)
def test_states_are_ours_and_an_unknown_one_still_works(state: str, filled: str, ours: State) -> None:
    update = told(state=state, filled_asset_quantity=filled, average_price="32548.38")
    assert (update.state, update.filled) == (ours, D(filled))


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "iceberg"},
        {"side": "short"},
        {"created_at": "2026-08-09T16:42:33"},
        {"filled_asset_quantity": "some"},
        {"filled_asset_quantity": D("NaN")},
        {"id": None},
        {"symbol": "MUCHTOOLONG-USD"},
    ],
)
def test_an_order_that_cannot_be_read_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        told(**changes)


def test_an_order_for_dollars_is_as_many_coins_as_they_buy() -> None:
    terms = {"quote_amount": "100", "limit_price": "32548.38"}
    assert told(limit_order_config=terms).quantity == D("0.003072")


def test_the_same_intent_is_the_same_body_to_the_byte() -> None:
    intent = Intent("a", "s", "BTC-USD", dt.date(2026, 8, 8), "c", Side.SELL, D("100.500000"), D(1))
    assert orders.body(intent, "BTC-USD") == {
        "client_order_id": str(ref_id("a", "BTC-USD", "s", dt.date(2026, 8, 8), "c", Side.SELL, 0)),
        "side": "sell",
        "type": "market",
        "symbol": "BTC-USD",
        "market_order_config": {"asset_quantity": "100.5"},
    }


# ── fills ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def executed(*rows: tuple[str, str, int], fee: str) -> dict[str, Any]:
    times = [dt.datetime(2026, 8, 9, 12, 0, second, tzinfo=dt.UTC).isoformat() for _, _, second in rows]
    executions = [
        {"effective_price": price, "quantity": coins, "timestamp": at}
        for (price, coins, _), at in zip(rows, times, strict=True)
    ]
    return TOLD | {"executions": executions, "fee_charged": D(fee)}


def test_fills_have_the_same_names_in_whatever_order_they_are_told() -> None:
    rows = [("100", "1", 1), ("100", "1", 1), ("101", "2", 2)]
    one = fills.fills(executed(*rows, fee="4"), told(), {})
    other = fills.fills(executed(*reversed(rows), fee="4"), told(), {})
    assert one == other
    assert len({fill.execution_id for fill in one}) == 3


def test_a_fee_once_told_stays_and_the_rest_belongs_to_what_came_since() -> None:
    known = dict[str, Decimal]()
    (first,) = fills.fills(executed(("100", "1", 1), fee="0.33"), told(), known)
    again, second = fills.fills(executed(("100", "1", 1), ("100", "1", 2), fee="1.01"), told(), known)
    assert (again, second.fee) == (first, D("0.68"))
    alone = fills.fills(executed(("100", "1", 1), ("100", "1", 2), fee="1.01"), told(), {})
    assert [fill.fee for fill in alone] == [D("0.505"), D("0.505")]


@pytest.mark.parametrize("side", list(Side))
def test_cash_is_exact_where_prices_and_coins_are_finer_than_the_books(side: Side) -> None:
    rows = [("64975.7812345678", "0.0000004", 1), ("64975.7812345678", "0.3333338", 2), ("64975.5", "0.0000001", 3)]
    row, order = executed(*rows, fee="300"), replace(told(), side=side)
    (fill,) = fills.fills(row, order, {})
    whole = sum(D(price) * D(coins) for price, coins, _ in rows[:2])
    assert fill.quantity == D("0.333334")
    part = whole * fill.quantity / D("0.3333342")
    assert abs(fill.cash - (-side.sign * part - 300)) <= D("0.000001")


def test_an_execution_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match="at 0 of 1"):
        fills.fills(executed(("0", "1", 1), fee="0"), told(), {})
