"""The market as triggers see it: each symbol's watches, tracks and derived series; made when first asked for.

A track is kept for ever, for it knows the last accepted price; a derived series goes with its last trigger.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from quaestor.triggers.conditions import CLOCK, DRAWDOWN, INF, Facts, Key
from quaestor.triggers.derived import Apart, Derived, Range, Volume
from quaestor.triggers.series import Series, Track, Watch
from quaestor.triggers.trigger import Trigger


class Market:
    """What is known of prices, windows, hours and equity; all that a book must store beside its latches."""

    def __init__(self) -> None:
        self.facts = Facts()
        self.trades: dict[str, Watch] = {}
        self.quotes: dict[str, Watch] = {}
        self.derived: dict[tuple[Key, str, float], Derived] = {}
        self.clock, self.drawdown, self.peak = Series(), Series(), 0.0

    def series(self, key: Key, trigger: Trigger) -> Series:
        """The series of that key, as the trigger reads prices."""
        if key in {CLOCK, DRAWDOWN}:
            return self.clock if key == CLOCK else self.drawdown
        own = "trade" if key[0] in {"volume", "range"} else trigger.price
        if key[0] == "price":
            return self._track(str(key[1]), own, trigger.band)
        return self._derive(key, own, trigger.band)

    def _derive(self, key: Key, source: str, band: float) -> Derived:
        if (found := self.derived.get((key, source, band))) is None:
            found = self.derived[key, source, band] = self._made(key, source, band)
            found.key = (key, source, band)
            for track in found.tracks:
                track.watch.tell()
                track.watch.lo = INF
                track.derived.append(found)
        return found

    def _made(self, key: Key, source: str, band: float) -> Derived:
        track = self._track(str(key[1]), source, band)
        if key[0] == "volume":
            return Volume(track, int(key[2]), int(key[3]))
        if key[0] == "range":
            return Range(track, int(key[2]))
        return Apart(str(key[0]), track, self._track(str(key[2]), source, band))

    def _track(self, symbol: str, source: str, band: float) -> Track:
        watches = self.trades if source == "trade" else self.quotes
        watch = watches.setdefault(symbol, Watch(symbol))
        for track in watch.tracks:
            if track.source == source and track.band == band:
                return track
        watch.tell()
        watch.tracks.append(Track(watch, source, band))
        watch.lo = INF
        return watch.tracks[-1]

    def drop(self, series: Iterable[Series]) -> None:
        """Derived series among them that nobody watches any more end."""
        for each in series:
            if isinstance(each, Derived) and not each.users:
                self.derived.pop(each.key, None)
                for track in each.tracks:
                    if each in track.derived:
                        track.derived.remove(each)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        watches = [*self.trades.values(), *self.quotes.values()]
        for watch in watches:
            watch.tell()
        return {
            "opens": dict(self.facts.opens),
            "entries": dict(self.facts.entries),
            "session": None if self.facts.session is None else list(self.facts.session),
            "equity": [self.peak, self.drawdown.value],
            "tracks": [[t.symbol, t.source, t.band, t.value, t.at, t.held] for w in watches for t in w.tracks],
            "derived": [[list(key), source, band, each.kept()] for (key, source, band), each in self.derived.items()],
        }

    def restore(self, kept: dict[str, Any]) -> None:
        """Back to what was kept; before any trigger is added."""
        session = kept["session"]
        self.facts = Facts(dict(kept["opens"]), dict(kept["entries"]), tuple(session) if session else None)
        self.peak, self.drawdown.value = kept["equity"]
        for symbol, source, band, value, at, held in kept["tracks"]:
            track = self._track(symbol, source, band)
            track.value, track.at, track.held = value, at, held
        for key, source, band, state in kept["derived"]:
            self._derive(tuple(key), source, band).restore(state)


def tracks_of(series: Iterable[Any]) -> list[Track]:
    """The tracks that they come from, each once, in their order."""
    found: dict[int, Track] = {}
    for each in series:
        for track in (each,) if isinstance(each, Track) else getattr(each, "tracks", ()):
            found[id(track)] = track
    return list(found.values())


def rescale(kept: dict[str, Any], symbol: str, ratio: float) -> None:
    """What was kept of a market, after a split of `ratio` new shares for one old; the symbol's windows begin anew."""
    for prices in (kept["opens"], kept["entries"]):
        if symbol in prices:
            prices[symbol] /= ratio
    for track in kept["tracks"]:
        if track[0] == symbol:
            track[3], track[5] = (None if price is None else price / ratio for price in (track[3], track[5]))
    kept["derived"] = [each for each in kept["derived"] if symbol not in each[0][1:3]]
