"""Server, publisher and readers as processes, ended by kill -9 and held up: every minute arrives once, bit for bit."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sigil_ext.paper import redis_link
from sigil_ext.paper.feed import MINUTE_MS
from sigil_ext.paper.publisher import publish
from sigil_ext.paper.redis_feed import RedisFeed
from sigil_ext.paper.replay_feed import ReplayFeed
from tests.integration.feeds.bench import SYMBOLS, recording, run, truth
from tests.integration.feeds.redis_server import RedisServer

pytestmark = pytest.mark.timeout(180)

NAMES = SYMBOLS["binance"]
CANDLES = recording(NAMES, 1500)
FIRST = int(CANDLES[NAMES[0]].candles[0, 0])
SCRIPT = Path(__file__).with_name("stream_process.py")
STREAM = "minutes"
LOCK_S = "1.5"


class Processes:
    """Publishers and readers of one stream; all are killed at the end of a test."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        self.folder, self.server = folder, server
        self.candles = folder / "candles.npz"
        self._started: list[subprocess.Popen[str]] = []

    def record(self, minutes: int) -> None:
        np.savez(self.candles, **{s: c.candles[:minutes] for s, c in CANDLES.items()})

    def publisher(self, speed: float, *options: str) -> subprocess.Popen[str]:
        return self._start("publish", self.server.url, STREAM, str(self.candles), LOCK_S, str(speed), *options)

    def reader(self, number: int) -> subprocess.Popen[str]:
        return self._start("read", self.server.url, STREAM, str(FIRST - MINUTE_MS), str(self.file(number)))

    def file(self, number: int) -> Path:
        return self.folder / f"read{number}"

    def lines(self, number: int) -> int:
        return self.file(number).read_bytes().count(b"\n") if self.file(number).exists() else 0

    def kill_all(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *arguments],
            stdout=subprocess.PIPE if "standby" in arguments else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "SYMBOLS": json.dumps(NAMES)},
        )
        self._started.append(process)
        return process


@pytest.fixture
def processes(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Processes]:
    with RedisServer(tmp_path, keeps=getattr(request, "param", True)) as server:
        processes = Processes(tmp_path, server)
        try:
            yield processes
        finally:
            processes.kill_all()


def check(path: Path, minutes: int) -> None:
    """Every recorded minute is there once, in order, with the very floats of the recording."""
    known = truth(CANDLES)
    read = [json.loads(line) for line in path.read_text().splitlines()]
    assert [m["open_ms"] for m in read] == [FIRST + i * MINUTE_MS for i in range(minutes)]
    assert [{s: tuple(row) for s, row in m["candles"].items()} for m in read] == [known[m["open_ms"]] for m in read]


def wait_until(what: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("processes", "victims"),
    [(True, ("server", "publisher", 0, 1)), (False, ("server", 0, 1))],
    ids=["a server with its data", "a server that forgets everything"],
    indirect=["processes"],
)
def test_whatever_is_killed_at_any_instant_each_reader_gets_each_minute_once(processes, victims):
    """Of a server that forgets, the publisher's memory is what is left; so the publisher lives."""
    chance, count, kills = random.Random(5), 500, 8
    processes.record(count)
    alive = {"publisher": processes.publisher(100), 0: processes.reader(0), 1: processes.reader(1)}
    for victim in [*victims, *(chance.choice(victims) for _ in range(kills - len(victims)))]:
        before = min(processes.lines(number) for number in (0, 1))
        wait_until(lambda before=before: min(map(processes.lines, (0, 1))) > min(before + 5, count - 1))
        time.sleep(chance.uniform(0, 0.1))
        if victim == "server":
            processes.server.kill()
            time.sleep(chance.uniform(0, 0.3))
            processes.server.start()
            continue
        alive[victim].kill()
        alive[victim].communicate()
        alive[victim] = processes.publisher(100) if victim == "publisher" else processes.reader(victim)
    for name, process in alive.items():
        _, said = process.communicate(timeout=90)
        assert process.returncode == 0, f"{name}: {said}"
    check(processes.file(0), count)
    check(processes.file(1), count)


def test_a_second_publisher_is_refused_and_one_on_standby_takes_over_from_a_killed_one(processes):
    processes.record(300)
    reader, first = processes.reader(0), processes.publisher(100)
    wait_until(lambda: processes.lines(0) > 5)
    second = processes.publisher(100)
    _, said = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"filled by another publisher ({os.uname().nodename}, pid {first.pid})" in said
    standby = processes.publisher(100, "standby")
    time.sleep(1)
    first.kill()
    first.communicate()
    _, said = standby.communicate(timeout=90)
    assert standby.returncode == 0, said
    reader.communicate(timeout=60)
    check(processes.file(0), 300)


def test_a_publisher_that_slept_through_its_lock_cannot_write_any_more(processes):
    processes.record(300)
    reader, first = processes.reader(0), processes.publisher(100)
    wait_until(lambda: processes.lines(0) > 5)
    first.send_signal(signal.SIGSTOP)
    standby = processes.publisher(100, "standby")
    seen = processes.lines(0)
    wait_until(lambda: processes.lines(0) > seen + 20)
    first.send_signal(signal.SIGCONT)
    _, said = first.communicate(timeout=60)
    assert first.returncode == 1
    assert f"pid {standby.pid}" in said
    standby.communicate(timeout=90)
    reader.communicate(timeout=60)
    check(processes.file(0), 300)


def test_a_server_that_hangs_is_told_once_and_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(redis_link, "TIMEOUT_S", 1.3)

    async def work(server: RedisServer) -> None:
        replay = ReplayFeed(CANDLES, speed=60 * 100)
        publishing = asyncio.create_task(
            publish(replay, server.url, STREAM, NAMES, after_ms=FIRST - MINUTE_MS, lock_s=0.9)
        )
        feed = RedisFeed(server.url, STREAM)
        got: list[int] = []

        async def read() -> None:
            async for minute in feed.minutes(NAMES, FIRST - MINUTE_MS):
                got.append(minute.open_ms)
                if len(got) == 150:
                    return

        async def hang() -> None:
            while len(got) < 30:
                await asyncio.sleep(0.01)
            server.hang()
            await asyncio.sleep(3)
            server.go_on()

        await asyncio.gather(read(), hang())
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        assert got == [FIRST + i * MINUTE_MS for i in range(150)]
        assert [e.kind for e in feed.events()] == ["lost", "back"]
        await feed.close()

    with RedisServer(tmp_path) as server:
        run(lambda: work(server))
