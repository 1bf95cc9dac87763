"""Is a variant alive, judged from its heartbeat by the database's clock. A process can be alive and stuck, so what counts
is work: scans that end, minutes that are processed.

Pure. Silence is never taken for health: what was never written, and what was written in the future, is a finding. Start
at `findings`, and at `rest` for sessions of which nothing is expected; docs/liveness.md explains every kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from sigil_ext.rules.messages import lasting

FindingKind = Literal[
    "never_started", "scan_stale", "scan_hung", "progress_stale", "behind", "stopped", "clock", "clock_skew",
    "probe_gap", "unreachable", "was_unreachable", "feed_lost",
]  # fmt: skip
LIVE_FEEDS = frozenset({"exchange", "redis"})
"""Feeds whose candles are of now; those of a replay are as old as they are."""


class Beat(Protocol):
    """A heartbeat row; None: never written."""

    @property
    def last_scan_start(self) -> datetime | None: ...
    @property
    def last_scan_end(self) -> datetime | None: ...
    @property
    def updated_at(self) -> datetime: ...
    @property
    def last_candle(self) -> datetime | None: ...
    @property
    def last_write(self) -> datetime | None: ...
    @property
    def feed(self) -> str | None: ...
    @property
    def state(self) -> str | None: ...
    @property
    def session_began(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What is too old. An age of exactly the limit is still fresh."""

    stale: timedelta = timedelta(minutes=25)
    """Since the last scan ended, since a scan began that did not end, since the last minute was processed."""
    ahead: timedelta = timedelta(seconds=5)
    """A heartbeat may be this far in the future of the clock that wrote it: a clock set right by a little."""
    skew: timedelta = timedelta(minutes=2)
    """Two machines' clocks may differ by this much."""
    probe_gap: timedelta = timedelta(minutes=15)
    """Between two runs of the probe."""


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with one variant, in a sentence. `trips`: its breaker has to block entries."""

    kind: FindingKind
    detail: str
    trips: bool = True


def findings(view: Beat | None, now: datetime, limits: Limits = DEFAULT_LIMITS) -> list[Finding]:
    """Return what the heartbeat shows to be wrong; empty when the variant is alive.

    Args:
        view: the row, None if there is none. now: the clock of the database that holds the row.
    """
    if view is None:
        return [Finding("never_started", "no heartbeat at all: the session was never started")]
    stale = [*_scan(view, now, limits), *_progress(view, now, limits)]
    if stale and view.state == "feed_lost" and now - view.updated_at <= limits.stale:
        # The session lives and says so. Without minutes there are no entries to block, and they resume with the feed.
        seen = _ago(now, view.last_write) if view.last_write else "never"
        stale = [
            Finding("feed_lost", f"the feed gives nothing; the session waits for it, last minute {seen}", trips=False)
        ]
    if stale and view.state in ("stopped", "ended"):
        verb = "stopped on purpose" if view.state == "stopped" else "brought to its end"
        stale = [Finding("stopped", f"the session was {verb} at {_at(view.updated_at)}; nothing runs since")]
    return [*_future(view, now, limits), *stale]


def rest(view: Beat, *, connected: bool, traded_live: bool = False, retired_at: datetime | None = None) -> str | None:
    """Return why nothing is expected of a session any more, None when it has to be alive.

    Only for sessions of a person's own: the variants that trade are always expected.

    Args:
        connected: a process holds the session's lock. traded_live: the name was ever on a live feed, so that an ended
            recording is not the whole of it. retired_at: when a person said that nothing is expected; what beats
            later is expected again.
    """
    if connected:
        return None
    if retired_at is not None and view.updated_at <= retired_at:
        return f"retired at {_at(retired_at)}: nothing is expected of it until it is started again"
    if view.state == "ended" and view.feed == "replay" and not traded_live:
        return f"its recording ended at {_at(view.updated_at)}: nothing is expected of it"
    return None


def without_silence(found: Sequence[Finding]) -> list[Finding]:
    """Return what remains wrong with a session at rest: a clock that was moved, not that nothing runs."""
    return [finding for finding in found if finding.kind == "clock"]


def clock_skew(now: datetime, here: datetime, limits: Limits = DEFAULT_LIMITS) -> Finding | None:
    """Return a finding if the database's clock and this machine's differ too much. One of the two is wrong, and nobody
    can say which, so no breaker trips for it."""
    if abs(now - here) <= limits.skew:
        return None
    way = "ahead of" if now > here else "behind"
    return Finding(
        "clock_skew", f"the database's clock is {lasting(abs(now - here))} {way} this machine's", trips=False
    )


def probe_gap(previous: datetime | None, now: datetime, limits: Limits = DEFAULT_LIMITS) -> Finding | None:
    """Return a finding if the probe itself did not run for too long before now; its first run ever is none."""
    if previous is None or now - previous <= limits.probe_gap:
        return None
    detail = f"the probe itself was not running: its run before this one was at {_at(previous)}, {_ago(now, previous)}"
    return Finding("probe_gap", detail, trips=False)


def outage(since: datetime, now: datetime, limits: Limits = DEFAULT_LIMITS) -> Finding | None:
    """Return a finding if the database did not answer for too long before now, when it does again.

    A breaker cannot be tripped in a database that does not answer, so it trips then. After a short outage nothing does:
    entries resume by themselves.
    """
    if now - since <= limits.stale:
        return None
    return Finding("was_unreachable", f"the database did not answer for {lasting(now - since)} until now")


def _scan(view: Beat, now: datetime, limits: Limits) -> list[Finding]:
    begun, ended = view.last_scan_start, view.last_scan_end
    if begun is not None and (ended is None or begun > ended) and now - begun > limits.stale:
        return [Finding("scan_hung", f"a scan began {_ago(now, begun)} and has not ended")]
    if ended is not None:
        if now - ended > limits.stale:
            return [Finding("scan_stale", f"the last scan ended {_ago(now, ended)}")]
        return []
    # Never ended: a first scan may still be at work, but not for ever in a session that begins it again and again.
    first_moment = view.session_began or begun
    if first_moment is None or now - first_moment > limits.stale:
        return [Finding("scan_stale", "no scan has ever ended")]
    return []


def _progress(view: Beat, now: datetime, limits: Limits) -> list[Finding]:
    # Judged for every feed, a replay too: the time of the last write is the database's, however old the candles are.
    if view.last_write is None:
        if view.session_began is not None and now - view.session_began > limits.stale:
            return [
                Finding("progress_stale", f"the session began {_ago(now, view.session_began)}, not one minute since")
            ]
        return []
    if now - view.last_write > limits.stale:
        return [Finding("progress_stale", f"the last minute was processed {_ago(now, view.last_write)}")]
    catching_up = view.session_began is not None and now - view.session_began <= limits.stale
    if view.feed in LIVE_FEEDS and view.last_candle and not catching_up and now - view.last_candle > limits.stale:
        detail = f"minutes are processed, but the last one ended {_ago(now, view.last_candle)}: not the market of now"
        return [Finding("behind", detail)]
    return []


def _future(view: Beat, now: datetime, limits: Limits) -> list[Finding]:
    """What was written by the database's clock cannot be later than that clock, unless the clock was moved."""
    written = {
        "last scan start": view.last_scan_start,
        "last scan end": view.last_scan_end,
        "last write": view.last_write,
        "heartbeat": view.updated_at,
        "session start": view.session_began,
    }
    ahead = {name: at - now for name, at in written.items() if at is not None and at - now > limits.ahead}
    if view.feed in LIVE_FEEDS and view.last_candle is not None and view.last_candle - now > limits.skew:
        ahead["last candle"] = view.last_candle - now
    if not ahead:
        return []
    named = ", ".join(f"{name} by {lasting(by)}" for name, by in ahead.items())
    return [
        Finding("clock", f"in the future of the database's clock: {named}; the clock was moved, so nothing is sure")
    ]


def _ago(now: datetime, then: datetime) -> str:
    return f"{lasting(now - then)} ago"


def _at(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"
