"""A publisher and a reader as processes of their own, for tests that kill them.

    python stream_process.py publish URL STREAM CANDLES.npz LOCK_S MINUTES_A_SECOND [standby]
    python stream_process.py read URL STREAM AFTER_MS FILE

The publisher replays a recording. The reader writes a line a minute and, started again, goes on after the last whole line,
as a session goes on after the last minute of its database; it ends with the recording.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sigil_ext.bridge.candle_files import CandleSet
from sigil_ext.errors import LockHeld
from sigil_ext.paper.publisher import publish
from sigil_ext.paper.redis_feed import RedisFeed
from sigil_ext.paper.replay_feed import ReplayFeed


def _publish(url: str, stream: str, candles: str, lock_s: str, speed: str, *standby: str) -> None:
    with np.load(candles) as arrays:
        recording = {s: CandleSet(s, 1, np.ascontiguousarray(rows), candles) for s, rows in arrays.items()}
    feed = ReplayFeed(recording, speed=float(speed) * 60)
    first = min(int(c.candles[0, 0]) for c in recording.values())
    try:
        asyncio.run(
            publish(
                feed, url, stream, sorted(recording),
                after_ms=first - 60_000, lock_s=float(lock_s), standby=bool(standby),
                on_minute=lambda minute: print(minute.open_ms, flush=True),
            )
        )  # fmt: skip
    except LockHeld as error:
        sys.exit(f"refused: {error}")


def _read(url: str, stream: str, after_ms: str, file: str) -> None:
    path = Path(file)
    whole = path.read_bytes()[: path.read_bytes().rfind(b"\n") + 1] if path.exists() else b""
    path.write_bytes(whole)
    last = json.loads(whole.splitlines()[-1])["open_ms"] if whole else int(after_ms)

    async def work(symbols: Sequence[str]) -> None:
        feed = RedisFeed(url, stream)
        with path.open("ab", buffering=0) as out:
            async for minute in feed.minutes(symbols, last):
                line = json.dumps({"open_ms": minute.open_ms, "candles": dict(minute.candles)}) + "\n"
                half = len(line) // 2
                os.write(out.fileno(), line[:half].encode())  # a kill may fall between the two
                os.write(out.fileno(), line[half:].encode())
        await feed.close()

    asyncio.run(work(json.loads(os.environ["SYMBOLS"])))


if __name__ == "__main__":
    {"publish": _publish, "read": _read}[sys.argv[1]](*sys.argv[2:])
