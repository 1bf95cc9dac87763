"""One process, one exchange connection, many sessions: the minutes of a feed go into a Redis stream.

The id of an entry is the open time of its minute, so Redis itself refuses a minute that is already there. One publisher
at a time holds the stream, by a lock that expires; each write checks the lock on the server, so a publisher that slept
through its lock cannot write either. The publisher remembers its last hours and brings a server that lost its data back
to where it was. Start at `publish`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import redis.asyncio as aioredis

from sigil_ext.errors import LockHeld, SigilError, UsageError
from sigil_ext.paper.feed import ClosedMinute, EventKind, Feed, FeedEvent
from sigil_ext.paper.redis_link import Link, ServerLost, Where
from sigil_ext.paper.stream_entry import NOTHING, EntryId, encode, format_id, parse_id, readable

KEPT_MINUTES = 7 * 1440
REMEMBERED_MINUTES = 720
LOCK_S = 10.0
STREAMS_KEY = "sigil:streams"

# KEYS: stream, lock. ARGV: our token, ms of the lock, then for a write: id that must be the last one, id, kept, field, value.
_WRITE = """
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return {'held', holder, redis.call('PTTL', KEYS[2])} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
local last = '0-0'
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last = info[i + 1] end end
end
if #ARGV == 2 or last ~= ARGV[3] then return {'last', last} end
if ARGV[5] == '0' then redis.call('XADD', KEYS[1], ARGV[4], ARGV[6], ARGV[7])
else redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[5], ARGV[4], ARGV[6], ARGV[7]) end
return {'last', ARGV[4]}
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


async def publish(
    feed: Feed,
    where: Where,
    stream: str,
    symbols: Sequence[str],
    *,
    source: str = "",
    after_ms: int | None = None,
    earliest_ms: int | None = None,
    kept_minutes: int | None = KEPT_MINUTES,
    lock_s: float = LOCK_S,
    standby: bool = False,
    tell: Callable[[FeedEvent], None] = lambda event: None,
    on_minute: Callable[[ClosedMinute], None] = lambda minute: None,
) -> None:
    """Put the minutes of `feed` into `stream`, going on after the last one that is there; return when the feed ends.

    A server that is lost is waited for, without losing a minute. Cancelling stops it and gives the stream free.

    Args:
        source: what the minutes are of; a stream that holds those of another source is refused.
        after_ms: begin after this minute where the stream is empty; None as the feed does.
        earliest_ms: begin no earlier, however long ago the stream ended.
        kept_minutes: how long the stream is, about; older minutes are trimmed. None: all are kept.
        lock_s: how long a publisher that was killed holds the stream, seconds.
        standby: wait for as long as another publisher holds the stream, and then take over.
        tell: is told what the feed and the connection meet with.
        on_minute: is called with each minute that is in the stream.
    Raises:
        LockHeld: another publisher is at it, or took over.
        UsageError: the stream holds another source's minutes.
    """
    stand = _Stand(where, stream, kept_minutes, lock_s, tell)
    try:
        await stand.take(standby)
        last = await stand.introduce(source, symbols)
        begin = after_ms if last is None else last
        if earliest_ms is not None and begin is not None:
            begin = max(begin, earliest_ms)
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(stand.keep())
            async with aclosing(cast(Any, feed.minutes(symbols, begin))) as minutes:
                async for minute in minutes:
                    events = feed.events()
                    for event in events:
                        tell(event)
                    await stand.add((minute.open_ms, 0), encode(minute, symbols, events))
                    on_minute(minute)
            await stand.finish()
            keeping.cancel()
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    finally:
        await stand.leave()


class _Stand:
    """A publisher's place at a stream: the lock, what was written last, and the hours remembered."""

    def __init__(
        self, where: Where, stream: str, kept: int | None, lock_s: float, tell: Callable[[FeedEvent], None]
    ) -> None:
        self._tell = tell
        self._link = Link(where, self._note)
        self._stream, self._kept, self._lock_s = stream, kept, lock_s
        self._lock_key, self._about_key = lock_key(stream), about_key(stream)
        self._token = _token()
        self._about: dict[str, Any] = {}
        self._last: EntryId = NOTHING
        self._remembered: deque[tuple[EntryId, Mapping[str, str]]] = deque(maxlen=REMEMBERED_MINUTES)
        self._writing = asyncio.Lock()

    async def take(self, standby: bool) -> None:
        """Hold the stream, perhaps after waiting for the lock of a publisher that was killed; on standby after any wait."""
        left_ms: float | None = None
        while True:
            answer = await self._link.insist(self._write)
            if answer[0] == "last":
                self._last = parse_id(answer[1])
                return
            if _is_dead(answer[1]):
                await self._link.insist(partial(self._release, token=answer[1]))
                continue
            renewed = left_ms is not None and int(answer[2]) > left_ms
            if renewed and not standby:
                raise self._held(answer[1])
            left_ms = int(answer[2])
            await asyncio.sleep(self._lock_s / 20)

    async def introduce(self, source: str, symbols: Sequence[str]) -> int | None:
        """Say who publishes what; return the open time of the newest minute of the stream, None where there is none."""
        text = await self._link.insist(lambda client: client.get(self._about_key))
        known = json.loads(text) if text else {}
        if self._last != NOTHING and known.get("source", source) != source:
            raise UsageError(
                f"stream '{self._stream}' holds minutes of {known['source']}, not of {source}; choose another --stream"
            )
        await self._tell_dropped(known, symbols)
        self._about = {
            "source": source, "symbols": sorted(symbols), "host": socket.gethostname(), "pid": os.getpid(),
            "started_ms": int(time.time() * 1000),
        }  # fmt: skip
        await self._link.insist(self._write_about)
        return self._last[0] if self._last != NOTHING else None

    async def _tell_dropped(self, known: Mapping[str, Any], symbols: Sequence[str]) -> None:
        """Tell which symbols of the stream nobody publishes from here on: sessions on them hold what has no price any more."""
        if self._last == NOTHING:
            return
        first = await self._link.insist(lambda client: cast(Any, client.xrange(self._stream, count=1)))
        had = set(known.get("symbols", ())).union(*(entry.published for entry in readable(first)))
        if dropped := sorted(had.difference(symbols)):
            self._note(
                "stale",
                f"warning: stream '{self._stream}' holds {', '.join(dropped)}, which from here on nobody publishes: sessions "
                "get no candles of them; publish them too with --symbols",
            )

    async def add(self, entry_id: EntryId, fields: Mapping[str, str]) -> None:
        """Put an entry into the stream; return when it is there."""
        self._remembered.append((entry_id, fields))
        await self._catch_up()

    async def finish(self) -> None:
        """Tell the readers that the recording is over."""
        if self._last != NOTHING:
            await self.add((self._last[0], 1), {"end": "1"})

    async def keep(self) -> None:
        """Renew the lock, and see to it that a server that came back without its data gets them again."""
        while True:
            await asyncio.sleep(self._lock_s / 3)
            async with self._writing:
                self._last = self._checked(await self._link.insist(self._write))
            await self._catch_up()

    async def leave(self) -> None:
        """Give the stream free, if the server is there, and the connection back."""
        if not self._link.is_lost:
            with suppress(ServerLost, SigilError):
                await self._link.ask(self._release)
        await self._link.close()

    async def _catch_up(self) -> None:
        """Write what is remembered and is later than the end of the stream, in order."""
        async with self._writing:
            forgotten = False
            while (entry := next((e for e in self._remembered if e[0] > self._last), None)) is not None:
                end = self._checked(await self._link.insist(partial(self._write, entry=entry)))
                forgotten = forgotten or end < self._last
                self._last = end
            if forgotten:
                await self._link.insist(self._write_about)

    async def _write(self, client: aioredis.Redis, entry: tuple[EntryId, Mapping[str, str]] | None = None) -> list[str]:
        arguments: list[str] = [self._token, str(int(self._lock_s * 1000))]
        if entry is not None:
            [(field, value)] = entry[1].items()
            arguments += [format_id(self._last), format_id(entry[0]), str(self._kept or 0), field, value]
        answer: list[str] = await cast(Any, client.eval(_WRITE, 2, self._stream, self._lock_key, *arguments))
        return answer

    async def _write_about(self, client: aioredis.Redis) -> None:
        await client.set(self._about_key, json.dumps(self._about))
        await cast(Any, client.sadd(STREAMS_KEY, self._stream))

    async def _release(self, client: aioredis.Redis, token: str | None = None) -> None:
        await cast(Any, client.eval(_RELEASE, 1, self._lock_key, token or self._token))

    def _checked(self, answer: list[str]) -> EntryId:
        if answer[0] == "held":
            raise self._held(answer[1])
        return parse_id(answer[1])

    def _held(self, holder: str) -> LockHeld:
        return LockHeld(
            f"stream '{self._stream}' is filled by another publisher ({holder_of(holder)}); stop that one first, or wait with --standby"
        )

    def _note(self, kind: EventKind, detail: str) -> None:
        self._tell(FeedEvent(int(time.time() * 1000), kind, None, detail))


def holder_of(token: str) -> str:
    """Return who holds a lock, for people: `host, pid 123`."""
    return token.partition(" #")[0]


def _token() -> str:
    """Return who we are and where: the last word is ours alone, the one before it names this machine's processes."""
    return f"{socket.gethostname()}, pid {os.getpid()} #{_processes()} {uuid4().hex}"


def _is_dead(token: str) -> bool:
    """Return whether the holder was a process of this machine that is gone; of another machine nobody can know."""
    known = re.fullmatch(r".*, pid (\d+) #(\S+) \S+", token)
    if known is None or known[2] != _processes() or not known[2]:
        return False
    try:
        os.kill(int(known[1]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@cache
def _processes() -> str:
    """Return what tells this machine since its start, and this container, from all others; nothing where unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def lock_key(stream: str) -> str:
    """Return the key of the lock on `stream`; the braces keep both on one node of a cluster."""
    return f"{{{stream}}}:lock"


def about_key(stream: str) -> str:
    """Return the key of what is known about `stream`."""
    return f"{{{stream}}}:about"


async def end_of(client: aioredis.Redis, stream: str) -> EntryId:
    """Return the id of the newest entry that `stream` ever had, NOTHING where there is none."""
    if not await client.exists(stream):
        return NOTHING
    return parse_id(str((await client.xinfo_stream(stream))["last-generated-id"]))
