"""`sigil feed` as people use it: publishers that are killed, refused, stopped; the embedded Redis; what is typed wrong."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sigil_ext.bridge.candle_files import load_candles
from sigil_ext.errors import UsageError
from sigil_ext.paper import embedded_redis
from sigil_ext.paper.feed import MINUTE_MS, ClosedMinute
from sigil_ext.paper.publisher import publish
from sigil_ext.paper.replay_feed import ReplayFeed
from sigil_ext.services.feed import feed_status, find_server, open_redis_feed
from sigil_ext.services.paper_feeds import PaperRequest, open_source
from sigil_ext.settings.overlays import load_variant
from sigil_ext.settings.project import Project
from tests.conftest import Ran
from tests.exchange_server.market import Market, MarketClock
from tests.exchange_server.server import ExchangeServer

pytestmark = pytest.mark.timeout(180)

NAMES = ["ACH-USDT", "DOGS-USDT"]
REPLAY = ("feed", "publish", "--feed", "replay", "--candles", "sample", "--symbols", ",".join(NAMES))
STREAM = "sigil:replay:binance"
FIRST = 1_750_107_600_000  # 2025-06-16 21:00


@pytest.fixture
def project(empty_project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.chdir(empty_project.root)
    monkeypatch.setenv("SIGIL_HOME", str(empty_project.root))
    yield empty_project
    embedded_redis.stop(empty_project)


@pytest.fixture
def start(project: Project) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command as a process of its own; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "sigil_ext", *arguments],
            cwd=project.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def recorded(start_ms: int, finish_ms: int) -> dict[int, dict[str, tuple[float, ...]]]:
    minutes: dict[int, dict[str, tuple[float, ...]]] = {m: {} for m in range(start_ms, finish_ms, MINUTE_MS)}
    for symbol, found in load_candles(Path("sample"), NAMES, start_ms, finish_ms).items():
        for row in found.candles.tolist():
            minutes[int(row[0])][symbol] = tuple(row)
    return minutes


def read(project: Project, stream: str, after_ms: int, count: int) -> list[ClosedMinute]:
    """Read as a session does."""

    async def work() -> list[ClosedMinute]:
        feed = open_redis_feed(stream, project=project)
        minutes: list[ClosedMinute] = []
        async for minute in feed.minutes(NAMES, after_ms):
            minutes.append(minute)
            if len(minutes) == count:
                break
        await feed.close()
        return minutes

    return asyncio.run(asyncio.wait_for(work(), 90))


def wait_until(what: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.05)


def length(project: Project) -> int:
    found = feed_status(project=project).streams
    return found[0].entries if found else 0


def test_a_recording_is_published_once_and_read_as_it_was_recorded(project, sigil):
    finish = "2025-06-17T03:00"
    done = sigil(*REPLAY, "--finish", finish)
    assert (done.status, done.out) == (
        0, f"360 minutes published into {STREAM}, the last of 2025-06-17 02:59; the recording is over\n",
    )  # fmt: skip
    assert "publishing 2 symbols into sigil:replay:binance on the embedded Redis, 127.0.0.1:" in done.err
    minutes = read(project, STREAM, FIRST - MINUTE_MS, 1000)
    assert {m.open_ms: dict(m.candles) for m in minutes} == recorded(FIRST, FIRST + 360 * MINUTE_MS)
    again = sigil(*REPLAY, "--finish", finish)
    assert again.out == f"{STREAM} holds the whole recording already; choose another --stream to publish it anew\n"
    further = sigil(*REPLAY, "--finish", "2025-06-17T04:00")
    assert further.out.startswith("60 minutes published")

    shown = sigil("feed", "status", "--json")
    [stream] = json.loads(shown.out)["streams"]
    assert shown.status == 0
    assert (stream["stream"], stream["source"], stream["symbols"]) == (STREAM, "replay binance", NAMES)
    assert (stream["first"], stream["last"]) == ("2025-06-16T21:00:00+00:00", "2025-06-17T03:59:00+00:00")
    assert (stream["ended"], stream["publisher"], stream["finding"]) == (True, None, None)
    table = sigil("feed", "status").out
    assert "2025-06-16 21:00" in table
    assert "done" in table


def test_a_session_on_a_stream_of_two_quote_currencies_has_to_say_which(project, sigil):
    for name in ("ACHUSDT-1m", "AT-USD-1m"):
        shutil.copy("sample/ACHUSDT-1m.parquet", project.root / f"{name}.parquet")
    options = ("--feed", "replay", "--candles", str(project.root), "--finish", "2025-06-16T21:05")
    assert sigil("feed", "publish", *options, "--stream", "both").status == 0
    asked = PaperRequest(load_variant("baseline"), feed="redis", stream="both")
    with pytest.raises(UsageError, match=r"this one has 2 \(USD: AT-USD; USDT: ACH-USDT\); take the symbols of one"):
        open_source(asked, project, None, lambda event: None)
    open_source(replace(asked, symbols=("ACH-USDT",)), project, None, lambda event: None)


def test_symbols_that_a_publisher_leaves_out_are_named_at_its_start_and_by_the_status(project, sigil, start):
    options = ("feed", "publish", "--feed", "replay", "--candles", "sample", "--symbols")
    whole = sigil(*options, ",".join(NAMES), "--finish", "2025-06-16T21:30")
    assert (whole.status, "nobody publishes" in whole.err) == (0, False), "nothing is missing yet"
    for finish in ("2025-06-16T21:35", "2025-06-16T22:00"):  # and the second time, when it knows of one symbol only
        fewer = sigil(*options, "ACH-USDT", "--finish", finish)
        assert fewer.status == 0, "it goes on"
        assert f"warning: stream '{STREAM}' holds DOGS-USDT, which from here on nobody publishes" in fewer.err
        shown = sigil("feed", "status")
        assert (shown.status, f"{STREAM}: no longer published: DOGS-USDT\n" in shown.out) == (0, True)
    document = json.loads(sigil("feed", "status", "--json").out)["streams"][0]
    assert (document["dropped"], document["silent"], document["finding"]) == (["DOGS-USDT"], [], None)
    again = start(*options, ",".join(NAMES), "--speed", "600")
    wait_until(lambda: str(again.pid) in (feed_status(project=project).streams[0].publisher or ""))
    wait_until(lambda: length(project) > 60 + 3 + 3)
    assert "no longer published" not in sigil("feed", "status").out
    again.terminate()
    assert "nobody publishes" not in again.communicate(timeout=60)[1]


def test_a_published_symbol_without_a_candle_lately_is_named_and_no_finding(project, sigil):
    class Unended(ReplayFeed):
        async def minutes(self, symbols, after_ms):
            async for minute in super().minutes(symbols, after_ms):
                yield minute
            await asyncio.Event().wait()

    candles = load_candles(Path("sample"), NAMES, FIRST, FIRST + 30 * MINUTE_MS)
    dogs = candles["DOGS-USDT"]
    candles["DOGS-USDT"] = replace(dogs, candles=dogs.candles[:20])
    where, _ = find_server(project)

    async def status_when(minutes: int) -> Ran:
        feed = Unended(candles, finish_ms=FIRST + minutes * MINUTE_MS)
        publishing = asyncio.create_task(publish(feed, where, STREAM, NAMES, source="replay binance"))
        await asyncio.to_thread(wait_until, lambda: length(project) == minutes)
        shown = await asyncio.to_thread(sigil, "feed", "status")
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        return shown

    assert "no candle" not in asyncio.run(status_when(29)).out, "the twentieth minute is among the last ten"
    shown = asyncio.run(status_when(30))
    assert (shown.status, f"{STREAM}: no candle in its last 10 minutes: DOGS-USDT\n" in shown.out) == (0, True)


def test_publisher_and_embedded_server_are_killed_and_every_minute_arrives_once(project, start):
    publishing = ("--speed", "6000", "--finish", "2025-06-17T03:00")
    first = start(*REPLAY, *publishing)
    wait_until(lambda: length(project) > 30)
    os.kill(embedded_redis.status(project).pid, signal.SIGKILL)
    before = 60
    wait_until(lambda: embedded_redis.status(project).running and length(project) > before)
    first.kill()
    assert "lost: Redis at 127.0.0.1:" in first.communicate()[1]
    began = time.monotonic()
    second = start(*REPLAY, *publishing)
    wait_until(lambda: str(second.pid) in (feed_status(project=project).streams[0].publisher or ""))
    third = start(*REPLAY, *publishing, "--standby")
    minutes = read(project, STREAM, FIRST - MINUTE_MS, 1000)
    assert {m.open_ms: dict(m.candles) for m in minutes} == recorded(FIRST, FIRST + 360 * MINUTE_MS)
    assert [m.open_ms for m in minutes] == [FIRST + i * MINUTE_MS for i in range(360)]
    for process in (second, third):
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
    assert time.monotonic() - began < 60


def test_one_publishes_a_second_is_refused_and_sigterm_ends_the_first_well(project, sigil, start):
    first = start(*REPLAY, "--speed", "600")
    wait_until(lambda: length(project) > 5)
    refused = sigil(*REPLAY)
    assert refused.status == 1
    assert refused.err.splitlines()[-1] == (
        f"error: stream '{STREAM}' is filled by another publisher ({os.uname().nodename}, pid {first.pid}); "
        "stop that one first, or wait with --standby"
    )
    assert sigil("feed", "status").status == 0
    first.send_signal(signal.SIGTERM)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    assert out.endswith("stopped, goes on with the same command\n")
    left = sigil("feed", "status")
    assert left.status == 1
    assert "no publisher" in left.out
    assert sigil(*REPLAY, "--finish", "2025-06-17T03:00").out.endswith("the recording is over\n")


def test_a_server_that_a_person_stopped_stays_stopped_and_the_publisher_goes_on_when_it_is_back(project, sigil, start):
    publisher = start(*REPLAY, "--speed", "6000", "--finish", "2025-06-17T01:00")
    wait_until(lambda: length(project) > 30)
    assert sigil("feed", "server", "stop").out == "stopped\n"
    assert sigil("feed", "server", "stop").out == "was not running\n"
    time.sleep(1.5)
    shown = sigil("feed", "status")
    assert (shown.status, shown.out) == (
        1, "the embedded Redis: does not run; start it with: sigil feed server start\n",
    )  # fmt: skip
    assert publisher.poll() is None
    assert sigil("feed", "server", "start").out.startswith("runs: 127.0.0.1:")
    _, err = publisher.communicate(timeout=60)
    assert publisher.returncode == 0, err
    assert "back: " in err
    minutes = read(project, STREAM, FIRST - MINUTE_MS, 1000)
    assert {m.open_ms: dict(m.candles) for m in minutes} == recorded(FIRST, FIRST + 240 * MINUTE_MS)


def test_an_embedded_server_that_hangs_is_told_and_can_be_stopped(project, sigil, monkeypatch):
    monkeypatch.setattr(embedded_redis, "STOP_LIMIT_S", 0.5)
    assert sigil("feed", "server", "start").status == 0
    pid = embedded_redis.status(project).pid
    os.kill(pid, signal.SIGSTOP)
    shown = sigil("feed", "status")
    assert (shown.status, shown.out) == (
        1, f"the embedded Redis: does not answer; stop it with: sigil feed server stop, pid {pid}\n",
    )  # fmt: skip
    assert sigil("feed", "server", "stop").out == "stopped\n"


def test_an_exchange_is_published_over_one_connection_and_without_a_key(project, start):
    """The local exchange trades the recording as if it were now; the last half hour is asked for, then SIGTERM."""
    now = int(time.time() * 1000) // MINUTE_MS * MINUTE_MS
    shift = now - 120 * MINUTE_MS - FIRST
    candles = {
        s: replace(c, candles=c.candles + np.array([shift, 0, 0, 0, 0, 0]))
        for s, c in load_candles(Path("sample"), NAMES, FIRST, FIRST + 240 * MINUTE_MS).items()
    }
    after = now - 31 * MINUTE_MS

    async def work() -> list[ClosedMinute]:
        clock = MarketClock(int(time.time() * 1000), 1.0)
        server = ExchangeServer(Market(candles, clock))
        await server.start()
        since = time.strftime("%Y-%m-%dT%H:%M", time.gmtime((after + MINUTE_MS) / 1000))
        publisher = await asyncio.to_thread(
            start, "feed", "publish", "--symbols", ",".join(NAMES), "--exchange-url", server.rest_url, "--start", since
        )
        feed = await asyncio.to_thread(open_redis_feed, "sigil:exchange:binance", project=project)
        minutes: list[ClosedMinute] = []
        async for minute in feed.minutes(NAMES, after):
            minutes.append(minute)
            if len(minutes) == 28:
                break
        await feed.close()
        publisher.send_signal(signal.SIGTERM)
        _, err = await asyncio.to_thread(publisher.communicate, timeout=60)
        await server.stop()
        assert publisher.returncode == 0, err
        return minutes

    minutes = asyncio.run(asyncio.wait_for(work(), 120))
    assert [m.open_ms for m in minutes] == [after + (i + 1) * MINUTE_MS for i in range(28)]
    known = recorded(FIRST, FIRST + 240 * MINUTE_MS)
    for minute in minutes:
        then = {s: (row[0] - shift, *row[1:]) for s, row in minute.candles.items()}
        assert then == known[minute.open_ms - shift]


# --- typed or configured wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("--feed", "replay"), 2, "--feed replay needs recorded candles: --candles DIR"),
        (("--feed", "replay", "--candles", "nowhere"), 2, "no folder nowhere"),
        (("--feed", "replay", "--candles", "sample", "--symbols", "ACHH-USDT"), 2, "did you mean 'ACH-USDT'"),
        (("--feed", "replay", "--candles", "sample", "--symbols", ","), 2, "--symbols names no symbol; example"),
        (("--feed", "replay", "--candles", "sample", "--speed", "fast"), 2, "--speed 'fast' is no number; write 1, 60"),
        (("--feed", "replay", "--candles", "sample", "--speed", "0"), 2, "--speed must be above 0, was 0"),
        (("--feed", "replay", "--candles", "sample", "--start", "soon"), 2, "--start 'soon' is not a date"),
        (("--symbols", "@nowhere.txt"), 2, "--symbols: cannot read nowhere.txt"),
        (("--symbols", "ACH"), 2, "--symbols: 'ACH' ends with no known quote currency"),
        ((), 2, "--feed exchange needs the symbols to publish: --symbols TST-USDT,DOGS-USDT"),
        (("--symbols", "ACH-USDT", "--speed", "60"), 2, "--speed and --finish go with --feed replay"),
        (("--symbols", "ACH-USDT", "--keep", "0"), 2, "--keep"),
        (("--feed", "candles"), 2, "--feed"),
    ],
)  # fmt: skip
def test_what_cannot_be_published_is_one_sentence_and_starts_no_server(project, sigil, arguments, status, sentence):
    done = sigil("feed", "publish", *arguments)
    assert (done.status, done.out) == (status, "")
    assert sentence in done.err
    assert len(done.err.splitlines()) == 1
    assert not embedded_redis.status(project).data.exists()


def test_an_address_that_cannot_be_read_is_one_sentence_without_the_password(project, sigil, monkeypatch):
    monkeypatch.setenv("SIGIL_REDIS_URL", "redis://eva:geheim@one:port")
    for arguments in (REPLAY, ("feed", "status"), ("feed", "server", "start")):
        done = sigil(*arguments)
        assert done.status == 2
        assert done.err.startswith("error: SIGIL_REDIS_URL is not an address; example: redis://user:password@127.0.0.1")
        assert "geheim" not in done.err + done.out


def test_a_server_of_ones_own_counts_and_a_wrong_password_is_said_without_it(project, sigil, monkeypatch):
    port = embedded_redis.ensure_running(project).place.rpartition(":")[2]
    monkeypatch.setenv("SIGIL_REDIS_URL", f"redis://:geheim@127.0.0.1:{port}/0")
    for arguments in ((*REPLAY, "--finish", "2025-06-16T22:00"), ("feed", "status")):
        done = sigil(*arguments)
        assert done.status == 1
        assert f"Redis at 127.0.0.1:{port}" in done.err + done.out
        assert "password" in done.err + done.out
        assert "geheim" not in done.err + done.out
    refused = sigil("feed", "server", "start")
    assert refused.status == 1
    assert f"SIGIL_REDIS_URL names Redis at 127.0.0.1:{port}, so the embedded Redis is not used" in refused.err

    secret = (project.storage / "redis" / "password").read_text().strip()
    monkeypatch.setenv("SIGIL_REDIS_URL", f"redis://:{secret}@127.0.0.1:{port}/0")
    assert sigil(*REPLAY, "--finish", "2025-06-16T22:00").status == 0
    shown = json.loads(sigil("feed", "status", "--json").out)
    assert (shown["server"], shown["configured"]) == (f"Redis at 127.0.0.1:{port}", True)
    assert secret not in json.dumps(shown)


def test_a_stream_of_live_minutes_takes_no_recording(project, sigil):
    assert sigil(*REPLAY, "--finish", "2025-06-16T22:00", "--stream", "mine").status == 0
    refused = sigil(*REPLAY, "--exchange", "kraken", "--stream", "mine")
    assert refused.status == 2
    assert "stream 'mine' holds minutes of replay binance, not of replay kraken; choose another --stream" in refused.err
