"""The stream of prices: the configured feed, when its silence is a fault, and whose protocol it speaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from quaestor.config import FeedSection
from quaestor.errors import BadConfig
from quaestor.symbols import Symbology
from quaestor.wiring.configuration import Loaded
from quaestor.wiring.replays import replay
from quaestor.wiring.vaults import configured_vault

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Database
    from quaestor.feeds import Hours, Liveness
    from quaestor.ports_live import Dialect, Feed, QuotePoll


def feed(
    loaded: Loaded,
    now: Callable[[], int],
    hours: Hours | None = None,
    *,
    database: Database | None = None,
    poll: QuotePoll | None = None,
) -> Feed:
    """The configured feed. now: the run's clock; hours: when silence is a fault; database: open, for a replay of what
    is stored; poll: the broker's quotes, for kind = 'poll'.

    Raises BadConfig where none is configured, or a part of it is missing; NotFound for a key that is not in the vault.
    """
    from quaestor.feeds import Liveness

    said = loaded.config.feed
    channels = tuple(name for name in ("trades", "quotes") if getattr(said, name))
    watch = Liveness(hours=hours or feed_hours(loaded))

    def due() -> bool:
        return watch.open(now())

    match said.kind:
        case "replay":
            return replay(loaded, now, channels, database)
        case "poll" if poll is not None:
            from quaestor.doors.polling import PollingFeed

            return PollingFeed(poll, channels=channels, every=said.every, due=due)
        case "poll":
            raise BadConfig(f"{loaded.place(['feed', 'kind'])}: this broker has no quotes to ask for; choose another.")
        case "none":
            raise BadConfig(f"{loaded.place(['feed'])}: no feed is configured; say its kind under [feed].")
        case "alpaca-py":
            from quaestor.doors.alpaca_stream_fallback import AlpacaStreamFallback

            return AlpacaStreamFallback(
                *_stream_keys(loaded),
                feed=said.data,
                url=said.url,
                channels=channels,
                silence=said.mute,
                due=due,
                symbology=Symbology("Alpaca", aliases=loaded.config.market.aliases),
            )
    from quaestor.doors.streaming import Stream, Timing

    return Stream(_dialect(loaded, now), channels=channels, due=due, timing=Timing(data=said.mute))


def live_feed(
    loaded: Loaded,
    now: Callable[[], int],
    url: str = "",
    database: Database | None = None,
    poll: QuotePoll | None = None,
) -> Feed | None:
    """The configured feed; None where none is. url: instead of the configured address; poll: the broker's quotes."""
    said = loaded.config.feed
    if said.kind == "none":
        return None
    if url:
        loaded = fed_at(loaded, url)
    return feed(loaded, now, database=database, poll=poll)


def fed_at(loaded: Loaded, url: str) -> Loaded:
    """The same configuration with another address of the feed."""
    try:
        section = FeedSection.model_validate(loaded.config.feed.model_dump() | {"url": url})
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise BadConfig(f"The feed cannot be at {url!r}: {why}.") from error
    return replace(loaded, config=loaded.config.model_copy(update={"feed": section}))


def feed_hours(loaded: Loaded) -> Hours:
    """When the configured feed's silence is a fault."""
    from quaestor import feeds

    said = loaded.config.feed
    return feeds.always if said.kind == "kraken" else getattr(feeds, said.hours)


def liveness(loaded: Loaded, symbols: Sequence[str]) -> Liveness:
    """What tells of the configured feed's silence, and of its symbols'."""
    from quaestor.feeds import Liveness
    from quaestor.ticks import SECOND

    said = loaded.config.feed
    limits = {"mute": round(said.mute * SECOND), "stale": round(said.stale * SECOND)}
    return Liveness(symbols, hours=feed_hours(loaded), **limits)


def _dialect(loaded: Loaded, now: Callable[[], int]) -> Dialect:
    said, aliases = loaded.config.feed, loaded.config.market.aliases
    if said.kind == "kraken":
        from quaestor.doors.kraken_stream import Kraken

        return Kraken(url=said.url, aliases=aliases, now=now)
    from quaestor.doors.alpaca_stream import Alpaca

    names = Symbology("Alpaca", aliases=aliases)
    return Alpaca(*_stream_keys(loaded), feed=said.data, url=said.url, symbology=names)


def _stream_keys(loaded: Loaded) -> tuple[str, str]:
    """Alpaca's key and its secret; a protocol server on this machine takes any where the vault has none."""
    said, keys = loaded.config.alpaca, configured_vault(loaded)
    if loaded.config.feed.url.startswith("ws://") and not {said.key_secret, said.secret_secret} <= set(keys.names()):
        return "any", "any"
    return keys.get(said.key_secret).value, keys.get(said.secret_secret).value
