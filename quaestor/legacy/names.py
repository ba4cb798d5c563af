"""Names that bots give to tables and columns, best first; letters alone, so `Last_Price` is `lastprice`.

A tier holds equally good names; a name of an earlier tier wins over one of a later.
"""

from __future__ import annotations

from collections.abc import Sequence

Tiers = Sequence[Sequence[str]]


def split(text: str) -> tuple[str, ...]:
    """Equally good names."""
    return tuple(text.split())


SYMBOL: Tiers = (
    split("symbol ticker stock sym stocksymbol tickersymbol"),
    split("instrument security asset name coin"),
)
SIDE: Tiers = (
    split("side action tradeside orderside buysell direction"),
    split("type tradetype transactiontype ordertype signal"),
)
FILLED = split("filledquantity filledqty executedquantity executedqty")
COUNT: Tiers = (split("quantity qty shares numshares"), split("size units"))
FEE: Tiers = (split("fees fee commission commissions totalfees"),)
STATE: Tiers = (split("state status orderstatus orderstate"),)
PNL: Tiers = (split("pnl profit profitloss realizedpnl pl gain realized"),)
MOMENTS = "timestamp datetime ts date day tradingday time createdat created updatedat"
DONE = "filledat executedat executiontime filltime tradetime tradedat tradedate closedat"
MADE = "placedat submittedat ordertime orderdate createdat"
QUOTED = "pricedate bardate quotetime beginsat recordedat fetchedat"
CLOCKS = split("time timeofday clock tradetime")


def in_turn(names: str) -> Tiers:
    """Each name better than the next: none of them is ever a doubt."""
    return tuple((name,) for name in names.split())


FIELDS: dict[str, dict[str, Tiers]] = {
    "prices": {
        "symbol": SYMBOL,
        "time": in_turn(f"{QUOTED} {MOMENTS}"),
        "open": (("open", "openprice", "o"),),
        "high": (("high", "highprice", "h"),),
        "low": (("low", "lowprice", "l"),),
        "close": (("close", "closeprice", "c"),),
        "price": in_turn("price lastprice last currentprice lasttradeprice stockprice value"),
        "volume": (("volume", "vol", "v"),),
    },
    "orders": {
        "id": in_turn("orderid brokerorderid id"),
        "symbol": SYMBOL,
        "side": SIDE,
        "quantity": COUNT,
        "time": in_turn(f"{MADE} {MOMENTS} {DONE}"),
        "price": in_turn("avgprice averageprice fillprice price limitprice orderprice"),
        "fee": FEE,
        "state": STATE,
    },
    "trades": {
        "id": in_turn("tradeid fillid executionid transactionid id"),
        "order_id": in_turn("orderid brokerorderid"),
        "symbol": SYMBOL,
        "side": SIDE,
        "quantity": (FILLED, *COUNT),
        "time": in_turn(f"{DONE} {MOMENTS}"),
        "price": (
            *in_turn("fillprice executionprice executedprice filledprice avgprice averageprice"),
            ("price", "tradeprice", "pricepershare"),
        ),
        "fee": FEE,
        "state": STATE,
        "pnl": PNL,
    },
}
NEEDED = {
    "prices": ("symbol", "time"),
    "orders": ("symbol", "side", "quantity", "time"),
    "trades": ("symbol", "side", "quantity", "price", "time"),
}
WORDS = {
    "trades": {"trade", "fill", "execution", "transaction", "deal"},
    "orders": {"order"},
    "prices": set(split("price quote ohlc ohlcv candle candlestick bar tick kline stock market historical")),
}
FILLER = {"", *split("history data log table tbl daily all my the intraday minute")}
OTHER = set(split("position portfolio holding watchlist alert signal setting config user backtest"))
