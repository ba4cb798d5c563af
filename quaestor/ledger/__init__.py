"""The ledger: what follows from fills (law 5). Double entry, Decimal, nothing else.

Every fact is one balanced entry over six ledger accounts (amounts in dollars, debits positive):

    fact          entry
    deposit       cash +a                      capital −a
    withdrawal    cash −a                      capital +a
    purchase      cash −(q·p+f)  positions +q·p  fees +f
    sale          cash +(q·p−f)  positions −cost fees +f   realized −(q·p−cost)     cost: lots of that strategy
    dividend      cash +a                                  dividends −a             by strategy, of the ex-date
    fee           cash −f                      fees +f
    split         nothing moves; lots hold q·ratio shares at the same cost
    shares in     positions +cost              capital −cost
    shares out    positions −cost              capital +cost

So Σ amount = 0 in each entry, Σ quantity of lots = shares owned, Σ cost of lots = balance of `positions`, and
equity = cash + shares at market = capital + realized + unrealized + dividends − fees.

journal    the words: lot, posting, entry
relief     which lots leave: first in, first out, or named ones
fills      purchases and sales
actions    splits and dividends, in time and learned late
transfers  money and shares that come and go, and fees of no fill
equity     the account valued at a close
wash       losses that the tax law defers, as flags
"""

from quaestor.ledger.actions import (
    Left,
    Opened,
    Since,
    book_dividend,
    book_split,
    dividend_cash,
    restate_split,
    split_quantity,
)
from quaestor.ledger.equity import Equity, value
from quaestor.ledger.fills import book_fill
from quaestor.ledger.journal import CENT, MONEY, SHARE, ZERO, Booked, Entry, Lot, Posting, shares
from quaestor.ledger.relief import FIFO, Relief, specific
from quaestor.ledger.transfers import book_fee, deposit, opening, shares_in, shares_out, withdrawal
from quaestor.ledger.wash import Bought, Sold, WashSale, wash_sales

__all__ = [
    "CENT",
    "FIFO",
    "MONEY",
    "SHARE",
    "ZERO",
    "Booked",
    "Bought",
    "Entry",
    "Equity",
    "Left",
    "Lot",
    "Opened",
    "Posting",
    "Relief",
    "Since",
    "Sold",
    "WashSale",
    "book_dividend",
    "book_fee",
    "book_fill",
    "book_split",
    "deposit",
    "dividend_cash",
    "opening",
    "restate_split",
    "shares",
    "shares_in",
    "shares_out",
    "specific",
    "split_quantity",
    "value",
    "wash_sales",
    "withdrawal",
]
