"""Whose account it is, who gets the orders, and how he is asked."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from quaestor.config.words import Amount, Section, safe
from quaestor.exchange import Costs


class AccountSection(Section):
    """Whose books these are."""

    alias: str = Field("paper", pattern=r"^[a-z][a-z0-9_-]{0,30}$", description="The account's name; never its number.")
    cash: Amount = Field(
        Decimal("100000.00"), gt=0, decimal_places=2, description="Opening deposit of a paper account, dollars."
    )


class BrokerSection(Section):
    """Who gets the orders."""

    kind: Literal["paper", "robinhood", "robinhood-agentic", "robinhood-crypto"] = Field(
        "paper",
        description="paper: fills on recorded or live prices; robinhood: its private API; robinhood-agentic, "
        "robinhood-crypto: its official channels.",
    )


class RobinhoodSection(Section):
    """How Robinhood is asked, by source = 'robinhood' and by the broker 'robinhood'."""

    login: str = Field(
        "",
        pattern=r"^([a-z][a-z0-9-]{0,30})?$",
        description="Whose login: its secrets are rh-LOGIN-access and so on; empty: the account's alias.",
    )
    requests_per_minute: int = Field(
        120, gt=0, le=6_000, description="Requests a minute; Robinhood publishes no limit."
    )
    in_flight: int = Field(4, gt=0, le=64, description="Symbols that are asked for at a time at Robinhood.")
    order_spacing: float = Field(
        2.5, ge=0, le=60, description="Seconds between two new orders; exits and cancels go before entries."
    )
    timeout: float = Field(10.0, gt=0, le=60, description="Seconds that an answer is waited for.")
    approval_seconds: float = Field(
        180.0, ge=30, le=600, description="Seconds that a person has to approve a login on his phone."
    )
    refresh_at: str = Field(
        "20:30",
        pattern=r"^([01]\d|2[0-3]):[0-5]\d$",
        description="New York time from which a token past half of its life is changed, in the quiet before an open.",
    )
    order_form_version: int = Field(7, ge=2, description="What our orders say of their form; Robinhood raises it.")
    app_version: str = Field("1.431.4", description="What we show as X-Robinhood-API-Version.")
    base_url: Annotated[str, AfterValidator(safe)] = Field(
        "", description="Another address than https://api.robinhood.com, such as a protocol server's; empty: that."
    )


class RobinhoodCryptoSection(Section):
    """How Robinhood's official Crypto Trading API is asked."""

    key_secret: str = Field("robinhood-crypto-key", min_length=1, description="Name of the API key in the vault.")
    private_key_secret: str = Field(
        "robinhood-crypto-private-key",
        min_length=1,
        description="Name of its Ed25519 private key, base64, in the vault.",
    )
    requests_per_minute: int = Field(100, gt=0, le=300, description="Requests a minute; Robinhood allows 100.")
    timeout: float = Field(10.0, gt=0, le=60, description="Seconds that an answer is waited for.")
    base_url: Annotated[str, AfterValidator(safe)] = Field(
        "", description="Another address than https://trading.robinhood.com, such as a protocol server's; empty: that."
    )


class RobinhoodAgenticSection(Section):
    """How Robinhood's official Agentic Trading channel is asked."""

    login: str = Field(
        "",
        pattern=r"^([a-z][a-z0-9-]{0,30})?$",
        description="Whose login: its secrets are rh-LOGIN-access and so on; empty: the account's alias.",
    )
    calls_per_second: float = Field(4.0, gt=0, le=8, description="Calls a second; near 8 Robinhood answers 429.")
    timeout: float = Field(10.0, gt=0, le=60, description="Seconds that an answer is waited for.")
    url: Annotated[str, AfterValidator(safe)] = Field(
        "",
        description="Another address than https://agent.robinhood.com/mcp/trading, such as a protocol server's; "
        "empty: that.",
    )


class PaperSection(Section):
    """The paper broker: its costs, how much its market bears, and how bad the line to it is."""

    slippage_bps: Amount = Field(Decimal(1), ge=0, le=1000, description="Basis points of the price, against us.")
    commission: Amount = Field(Decimal(0), ge=0, description="Dollars per order.")
    sec_fee: Amount = Field(Decimal("0.0000278"), ge=0, description="Dollars per dollar sold.")
    taf: Amount = Field(Decimal("0.000166"), ge=0, description="Dollars per share sold.")
    taf_cap: Amount = Field(Decimal("8.30"), ge=0, description="The most that a sale pays per share sold, dollars.")
    spread_bps: Amount = Field(
        Decimal(0), ge=0, le=1000, description="Basis points between bid and ask; half of them are against us."
    )
    participation: Amount = Field(
        Decimal(1), gt=0, le=1, description="Share of a bar's volume that our orders take at most; 1: no limit."
    )
    faults: Amount = Field(
        Decimal(0), ge=0, le=1, description="Share of calls that go wrong, for rehearsals; 0: the line is good."
    )
    faults_seed: int = Field(0, ge=0, description="Which calls go wrong, and how: the same seed, the same faults.")

    @property
    def costs(self) -> Costs:
        """What trading costs there."""
        return Costs(**self.model_dump(exclude={"faults", "faults_seed"}))
