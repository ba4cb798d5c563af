"""Where the account stands at this moment: what the books said last, and every fill, order and step told since.

It is what the gate's picture is made of. Orders that were placed and not yet told of count as working from the moment
they are decided, so no two decisions spend the same dollar or sell the same share.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from quaestor.bars import exact
from quaestor.live.account import AccountState, Position
from quaestor.live.events import Filled, Moved, Session
from quaestor.orders import BUY, Intent, State, at_once
from quaestor.risk import Attempt, Live, Picture, Quote, Working
from quaestor.risk.tally import Holdings, Tally
from quaestor.ticks import SECOND, QuoteTick

ZERO = Decimal(0)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
UNCLEAR = frozenset({State.UNKNOWN})
NONE: frozenset[str] = frozenset()
IDLE = Tally()


@lru_cache(maxsize=256)  # one moment is asked for several times on an order's way
def instant(at: int) -> dt.datetime:
    """Nanoseconds since 1970 as books have an instant."""
    return EPOCH + dt.timedelta(microseconds=at // 1000)


def after_fill(before: Position | None, fill: Filled) -> Position:
    """What a strategy holds of a symbol after a fill; shares leave at their average cost."""
    held, cost = (ZERO, ZERO) if before is None else (before.quantity, before.cost)
    if fill.side is BUY:
        return Position(fill.strategy, fill.symbol, held + fill.quantity, cost + fill.quantity * fill.price)
    left = held - fill.quantity
    return Position(fill.strategy, fill.symbol, left, cost * left / held if held else ZERO)


class Quotes(Mapping[str, Quote]):
    """The feed's last quotes in the money's terms, made of floats when one is asked for."""

    def __init__(self, ticks: Mapping[str, QuoteTick]) -> None:
        self._ticks = ticks
        self._made: dict[str, tuple[QuoteTick, Quote]] = {}  # the gate asks for the same one several times

    def __getitem__(self, symbol: str) -> Quote:
        found: Quote | None = self.get(symbol)
        if found is None:
            raise KeyError(symbol)
        return found

    def get(self, symbol: str, default: Any = None) -> Any:
        """The gate asks for each order, several times; a mapping's own way there is longer."""
        if (tick := self._ticks.get(symbol)) is None:
            return default
        known, quote = self._made.get(symbol, (None, None))
        if known is not tick:
            quote = Quote(exact(tick.bid), exact(tick.ask), instant(tick.at))
            self._made[symbol] = (tick, quote)
        return quote

    def __iter__(self) -> Iterator[str]:
        return iter(self._ticks)

    def __len__(self) -> int:
        return len(self._ticks)


class Worth:
    """What positions are worth at the last prices, kept up by what changed: dollars, exact. `look` before anything.

    total: with what has no price at its cost; gross, net and sizes (by symbol): with that at nothing; prices of what
    is held; shares by strategy and symbol. `moved`: symbols that traded since the last look.
    """

    def __init__(
        self,
        held: Mapping[tuple[str, str], Position],
        price_of: Callable[[str], Decimal | None],
        traded: Callable[[str], bool],
    ) -> None:
        self._held, self._price_of, self._traded = held, price_of, traded
        self.moved: set[str] = set()
        self.renew()

    def renew(self) -> None:
        """Everything may be another."""
        self.total = self.gross = self.net = ZERO
        self.sizes: dict[str, Decimal] = {}
        self.prices: dict[str, Decimal] = {}
        self.shares: dict[tuple[str, str], Decimal] = {}
        self._worths: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
        self._keys: dict[str, set[tuple[str, str]]] = {}
        self._quoted: set[tuple[str, str]] = set()  # at a price that is no trade's: any event may change it
        self._new = set(self._held)
        self.is_exact = True  # a cost may have all the digits there are: sums with one in them are rounded
        self.moved.clear()

    def revalue(self, key: tuple[str, str]) -> None:
        """That position is another."""
        self._new.add(key)

    def look(self) -> None:
        """Value what changed."""
        changed = self._new | self._quoted
        for symbol in self.moved:
            if symbol in self._keys:
                changed |= self._keys[symbol]
        self.moved.clear()
        self._new = set()
        for key in changed:
            self._value(key)

    def _value(self, key: tuple[str, str]) -> None:
        symbol = key[1]
        if (before := self._worths.pop(key, None)) is not None:
            self.total -= before[0]
            self._count(symbol, -abs(before[1]), -before[1])
        each = self._held.get(key)
        self._quoted.discard(key)
        if each is None:
            self.shares.pop(key, None)
            self._keys.get(symbol, set()).discard(key)
            if not self._keys.get(symbol):
                self._keys.pop(symbol, None)
                self.prices.pop(symbol, None)
                self.sizes.pop(symbol, None)
            return
        price = self._price_of(symbol)
        value = ZERO if price is None else each.quantity * price
        worth = each.cost if price is None else value
        self.is_exact = self.is_exact and price is not None
        self._worths[key] = (worth, value)
        self.total += worth
        self._count(symbol, abs(value), value)
        self.prices[symbol] = price or ZERO
        self.shares[key] = each.quantity
        self._keys.setdefault(symbol, set()).add(key)
        if not self._traded(symbol):
            self._quoted.add(key)

    def _count(self, symbol: str, size: Decimal, value: Decimal) -> None:
        self.gross += size
        self.net += value
        self.sizes[symbol] = self.sizes.get(symbol, ZERO) + size


class Standing:
    """The account and its session, kept up to date. `last`: newest trade prices, `quotes`: newest quotes, by symbol."""

    def __init__(self, last: dict[str, float], quotes: dict[str, QuoteTick]) -> None:
        self.session: Session | None = None
        self.told: AccountState | None = None
        self.cash = ZERO
        self.held: dict[tuple[str, str], Position] = {}
        self.working: dict[uuid.UUID, Working] = {}
        self.latches: tuple[str, ...] = ()
        self.placed = 0  # orders since the books were told of last
        self._last, self.quotes, self._seen = last, Quotes(quotes), quotes
        self._of_session: tuple[Session, tuple[frozenset[str], frozenset[str], frozenset[str]]] | None = None
        self.worth = Worth(self.held, self.price_of, lambda symbol: symbol in last)
        self._recent: deque[tuple[int, Attempt]] = deque()
        self._unknown: dict[uuid.UUID, Intent] = {}
        self._unanswered: set[uuid.UUID] = set()  # of those placed

    # ── what happens ──────────────────────────────────────────────────────────────────────────────────────────────────

    def tell(self, account: AccountState) -> None:
        """The books, whole. Orders that were placed and that they do not know yet stay as they are."""
        known = set(account.known)
        going = {ref_id: order for ref_id, order in self.working.items() if ref_id not in known}
        self.told, self.cash, self.latches = account, account.cash, account.latches
        held = {(each.strategy, each.symbol): each for each in account.positions if each.quantity}
        as_known = held == self.held and self.worth.is_exact  # most often: every fill was told before
        self.held.clear()
        self.held.update(held)
        if not as_known:
            self.worth.renew()
        self.working = {order.intent.ref_id: order for order in account.working} | going
        self.placed = len(going)
        self._unknown = {}

    def place(self, intents: Iterable[Intent], now: int) -> None:
        """These are on their way."""
        at = instant(now)
        for intent in intents:
            ref_id = intent.ref_id
            self.working[ref_id] = Working(intent, intent.quantity)
            self._recent.append((now, Attempt(intent, at)))
            self.placed += 1
            self._unanswered.add(ref_id)

    def move(self, event: Moved) -> None:
        """An order stands elsewhere."""
        self._unanswered.discard(event.ref_id)
        order = self.working.get(event.ref_id)
        if order is None:
            return
        if event.state.final:
            del self.working[event.ref_id]
        else:
            self.working[event.ref_id] = Working(order.intent, event.left)
        if event.state in UNCLEAR:
            self._unknown[event.ref_id] = order.intent
        elif self._unknown:
            self._unknown.pop(event.ref_id, None)

    def fill(self, event: Filled) -> Position | None:
        """Shares and cash change; what the strategy holds of the symbol then."""
        key = (event.strategy, event.symbol)
        self.cash -= event.side.sign * event.quantity * event.price + event.fee
        now = after_fill(self.held.pop(key, None), event)
        if now.quantity:
            self.held[key] = now
        self.worth.revalue(key)
        return self.held.get(key)

    def answered(self) -> dict[uuid.UUID, Working]:
        """Those of the working orders that the broker has."""
        return {ref_id: order for ref_id, order in self.working.items() if ref_id not in self._unanswered}

    @property
    def unknown(self) -> bool:
        """Whether the fate of an order is not known."""
        return bool(self._unknown) or bool(self.told and self.told.unknown)

    # ── what is asked ─────────────────────────────────────────────────────────────────────────────────────────────────

    def price_of(self, symbol: str) -> Decimal | None:
        """The last trade, the middle of the last quote, or the last close; dollars."""
        if (last := self._last.get(symbol)) is not None:
            return exact(last)
        if (quote := self._seen.get(symbol)) is not None:
            return (exact(quote.bid) + exact(quote.ask)) / 2
        return self.session.prices.get(symbol) if self.session else None

    def entry(self, symbol: str) -> float | None:
        """The average price paid for what is held of a symbol; None where nothing is."""
        if not (mine := [each for (_, name), each in self.held.items() if name == symbol]):
            return None
        quantity = sum((each.quantity for each in mine), ZERO)
        return float(sum((each.cost for each in mine), ZERO) / quantity) if quantity > 0 else None

    def entries(self) -> dict[str, float | None]:
        """The same of every symbol that is held."""
        sums: dict[str, tuple[Decimal, Decimal]] = {}
        for each in self.held.values():
            quantity, cost = sums.get(each.symbol, (ZERO, ZERO))
            sums[each.symbol] = (quantity + each.quantity, cost + each.cost)
        return {name: float(cost / held) if held > 0 else None for name, (held, cost) in sums.items()}

    def holders(self, symbol: str | None) -> list[Position]:
        """Who holds a symbol (None: any), by strategy and symbol."""
        return [each for _, each in sorted(self.held.items()) if symbol in {None, each.symbol}]

    def is_working(self, strategy: str, symbol: str) -> bool:
        """Whether an order of that strategy on that symbol may still fill."""
        return any(o.intent.symbol == symbol and o.intent.strategy == strategy for o in self.working.values())

    def equity(self) -> Decimal:
        """Cash and shares at the last prices; what has no price counts at its cost."""
        self.worth.look()
        return self.cash + self.worth.total

    def picture(self, now: int, window: float) -> Picture | None:
        """What the gate sees; None before the books were told of, or outside of a session. `window`: seconds."""
        told, session = self.told, self.session
        if told is None or session is None:
            return None
        while self._recent and self._recent[0][0] < now - window * SECOND:
            self._recent.popleft()
        prices = dict(session.prices)
        equity, holdings = self._valued(prices)
        working = tuple(self.working.values())
        halted, blocked, universe = self._symbols(session)
        record = told.record
        if record is not None and self.placed:
            record = record.counted(self.placed)
        unknown, unknown_exits = self._unclear(told)
        return at_once(
            Picture,
            session=session.session,
            equity=equity,
            cash=self.cash,
            peak=max(told.peak, equity),
            previous_equity=told.equity,
            shares=dict(self.worth.shares),
            prices=prices,
            bar_age=session.bar_age,
            trading=told.trading,
            halted=halted,
            blocked=blocked,
            latches=self.latches,
            unknown=unknown,
            unknown_exits=unknown_exits,
            settled=told.settled,
            compared=told.compared,
            universe=universe,
            record=record,
            live=self._moment(now, told.skew),
            working=working,
            passed=(),
            # Worked out of the rest, and kept up here: every order asks for both.
            holdings=holdings,
            tally=Tally.of([(order.intent, order.left) for order in working], ()) if working else IDLE,
        )

    def _moment(self, now: int, skew: Decimal | None) -> Live:
        recent = tuple([attempt for _, attempt in self._recent])
        return at_once(Live, now=instant(now), quotes=self.quotes, skew=skew, newest=None, recent=recent)

    def _unclear(self, told: AccountState) -> tuple[frozenset[str], frozenset[str]]:
        """Symbols with an order whose fate is not known, and those where it is an exit."""
        if not self.unknown and not told.unknown_exits:  # as nearly always
            return NONE, NONE
        found = self._unknown.values()
        exits = {intent.symbol for intent in found if intent.reduces}
        return frozenset(told.unknown) | {intent.symbol for intent in found}, frozenset(told.unknown_exits) | exits

    def _symbols(self, session: Session) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
        """Those that are halted, blocked, and that may be traded in the session."""
        if self._of_session is None or self._of_session[0] is not session:
            found = (frozenset(session.halted), frozenset(session.blocked), frozenset(session.prices))
            self._of_session = (session, found)
        return self._of_session[1]

    def _valued(self, prices: dict[str, Decimal]) -> tuple[Decimal, Holdings]:
        """Equity and what positions are worth; the prices of what is held are written into those given."""
        self.worth.look()
        prices.update(self.worth.prices)
        return self.cash + self.worth.total, Holdings(self.worth.gross, self.worth.net, dict(self.worth.sizes))
