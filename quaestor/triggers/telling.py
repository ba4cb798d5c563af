"""Telling: what a trigger would do, in plain words; how far the price is from it; how it stands."""

from __future__ import annotations

from quaestor.triggers.conditions import (
    Above,
    AllOf,
    AnyOf,
    Below,
    Condition,
    Crossing,
    Drawdown,
    Leaf,
    Moved,
    SessionTime,
    Spread,
    Trailing,
    VolatilitySpike,
    VolumeSpike,
)
from quaestor.triggers.figures import digits, span, write_moment
from quaestor.triggers.trigger import Action, Alert, Flatten, Halt, Latch, OrderTemplate, RunDeployment, Trigger

PRICE = {"trade": "a trade's price", "bid": "the bid", "ask": "the ask", "mid": "the middle of bid and ask"}
BASIS = {"open": "the session's opening price", "entry": "the position's average price"}


def told(trigger: Trigger) -> list[str]:
    """What it would do, sentence by sentence."""
    found = [f"Waits until {_condition(trigger.condition, trigger)}.", f"Then it would {_action(trigger)}."]
    if trigger.mode == "once":
        found.append("It fires once.")
    else:
        slack = f" by more than {digits(trigger.hysteresis)}% of its level" if trigger.hysteresis else ""
        found.append(f"It fires again each time after this has ceased to hold{slack}.")
    if trigger.cooldown:
        found.append(f"Between two firings lie {span(trigger.cooldown)} at least.")
    if trigger.expires is not None:
        found.append(f"It expires at {write_moment(trigger.expires)}.")
    found.append(
        f"A price older than {span(trigger.max_age)} does not fire it, and one more than {digits(trigger.band)}% from "
        "the last is believed only when a second one confirms it."
    )
    return found


def state(trigger: Trigger, latch: Latch, now: int) -> str:
    """How it stands at `now` (ns since 1970): armed, fired (not armed again yet), done, expired."""
    if latch.done:
        return "done"
    if trigger.expires is not None and now >= trigger.expires:
        return "expired"
    return "armed" if latch.armed else "fired"


def level(leaf: Leaf, latch_memory: float | None, close: float) -> float | None:
    """The price, dollars, at which a leaf changes its mind, where it is known; `close`: the mark of a new trail."""
    match leaf:
        case Above(at) | Below(at) | Crossing(at):
            return at
        case Moved(percent, _, reference) if reference is not None:
            return reference * (1 + percent / 100)
        case Trailing():
            return leaf.stop(close if latch_memory is None else latch_memory)
    return None


def nearest(trigger: Trigger, latch: Latch, close: float) -> float | None:
    """Of all known price levels the one nearest to a close."""
    leaves = trigger.condition.leaves()
    memory = latch.memory if len(latch.memory) == len(leaves) else [None] * len(leaves)
    levels = [level(leaf, each, close) for leaf, each in zip(leaves, memory, strict=True)]
    return min((at for at in levels if at is not None), key=lambda at: abs(at - close), default=None)


def distance(trigger: Trigger, latch: Latch, close: float) -> float | None:
    """How far the price must go from a close to the nearest level, as a part of the close: 0.05 is up five percent."""
    at = nearest(trigger, latch, close)
    return None if at is None else at / close - 1


def _condition(condition: Condition, trigger: Trigger) -> str:
    if isinstance(condition, AllOf | AnyOf):
        word = ", and " if isinstance(condition, AllOf) else ", or "
        inner = [_condition(each, trigger) for each in condition.conditions]
        grouped = [
            f"({words})" if isinstance(each, AllOf | AnyOf) and len(each.conditions) > 1 else words
            for each, words in zip(condition.conditions, inner, strict=True)
        ]
        return word.join(grouped)
    return _leaf(condition, trigger)


def _leaf(leaf: Leaf, trigger: Trigger) -> str:  # noqa: PLR0911  # a case for each kind
    price = f"{PRICE[trigger.price]} of {trigger.symbol}"
    match leaf:
        case Above(at):
            return f"{price} is {money(at)} or more"
        case Below(at):
            return f"{price} is {money(at)} or less"
        case Crossing(at, direction):
            side = {"up": "from below", "down": "from above", "either": "from either side"}[direction]
            return f"{price} reaches {money(at)} {side}"
        case Moved(percent, basis, reference):
            base = BASIS[basis] if reference is None else money(reference)
            that = "" if reference is None else f" ({money(reference * (1 + percent / 100))})"
            return f"{price} is {digits(abs(percent))}% or more {'above' if percent > 0 else 'below'} {base}{that}"
        case Trailing(percent, dollars):
            fall = money(dollars or 0) if percent is None else f"{digits(percent)}%"
            return f"{price} has fallen {fall} from its highest since the trigger watches"
        case SessionTime(after, before):
            return (
                f"the session is in its last {digits(before or 0)} minutes"
                if after is None
                else f"{digits(after)} minutes of the session have passed (until its close)"
            )
        case VolumeSpike(factor, seconds, windows):
            usual = f"the average of the {windows} windows of {span(seconds)} before"
            return f"{trigger.symbol} trades {digits(factor)} times {usual}"
        case VolatilitySpike(percent, seconds):
            return f"within {span(seconds)}, prices of {trigger.symbol} lie {digits(percent)}% or more apart"
        case Spread(other, gap, measure, side):
            how = f"less {other}'s" if measure == "difference" else f"divided by {other}'s"
            shown = money(gap) if measure == "difference" else digits(gap)
            return f"{price} {how} is {shown} or {'more' if side == 'above' else 'less'}"
        case Drawdown(percent):
            return f"the account's equity is {digits(percent)}% or more below its peak"
    raise TypeError(f"a condition without words: {leaf!r}")


def _action(trigger: Trigger) -> str:
    action: Action = trigger.action
    match action:
        case Flatten(everything):
            return "sell everything that is held" if everything else f"sell all {trigger.symbol} that is held"
        case Alert(message):
            return f"alert you: {message}" if message else "alert you"
        case RunDeployment(name):
            return f"start the deployment {name}"
        case Halt(reason):
            return f"halt: no entries until a person resumes{f' ({reason})' if reason else ''}"
        case OrderTemplate():
            return _order(action, trigger.symbol)


def _order(order: OrderTemplate, symbol: str) -> str:
    shares = f"{digits(order.quantity)} shares of" if order.quantity is not None else ""
    if order.fraction is not None:
        shares = "all shares held of" if order.fraction == 1 else f"{order.fraction * 100:g}% of the shares held of"
    terms = [
        f"a {kind} {money(abs(offset))} {'below' if offset < 0 else 'above'} the price that fired it"
        for kind, offset in (("stop", order.stop_offset), ("limit", order.limit_offset))
        if offset is not None
    ]
    return f"{order.side} {shares} {symbol}, {' and '.join(terms) if terms else 'at the market'}"


def money(dollars: float) -> str:
    """$190.50; finer where it is finer than a cent."""
    sign = "−" if dollars < 0 else ""
    shown = f"{abs(dollars):,.2f}"
    return f"{sign}${shown}" if float(shown.replace(",", "")) == abs(dollars) else f"{sign}${digits(abs(dollars))}"
