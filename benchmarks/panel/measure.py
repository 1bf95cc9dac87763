"""How quickly the API answers over a month of four variants with ten clients, when a browser first paints the pages, and
how 200 listeners fare.

    python -m benchmarks.panel.measure FOLDER [ROUNDS]

Server and clients are processes of this machine, so they share its cores: the figures are those of a small server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from websockets.asyncio.client import connect

from benchmarks.panel.history import ACT_TOKEN, TOKEN, make
from sigil_ext.services.database import open_database
from sigil_ext.settings.project import Project

API = "/sigil/api/v1"
CLIENTS = 10
LISTENERS = 200
EVENTS = 60
ROUTES = (
    "/system", "/variants", "/variants/unhinged", "/positions", "/trades", "/trades?limit=1000", "/performance", "/risk",
    "/signals", "/refusals", "/universe", "/universe/scans", "/protections", "/protections/events", "/breaker", "/heartbeats",
    "/probes", "/alerts", "/acts", "/equity", "/audits", "/gate", "/benchmarks",
    "/candles?variant=unhinged&symbol=S01-USDT&timeframe=15m&limit=300",
    "/candles?variant=unhinged&symbol=S01-USDT&timeframe=1h&limit=720",
)  # fmt: skip
PAGES = ("/sigil/", "/sigil/variant/unhinged", "/sigil/research", "/sigil/operations")
_SERVE = """
import sys, uvicorn
from pathlib import Path
from sigil_ext.entrypoints.panel.app import create_app
from sigil_ext.entrypoints.panel.context import PanelContext
from sigil_ext.entrypoints.panel.limits import Limits
from sigil_ext.entrypoints.panel.server import Paced
from sigil_ext.settings.project import Project
root = Path(sys.argv[1])
limits = Limits(requests_a_minute=1e9, burst=1e9, strangers_a_minute=1e9, strangers_burst=1e9)
app = create_app(PanelContext(Project(root, root / "storage"), deadline_s=20), limits)
uvicorn.run(app, port=int(sys.argv[2]), log_level="critical", ws=Paced)
"""


@contextlib.contextmanager
def serving(project: Project) -> Iterator[tuple[str, int]]:
    """Yield the address of a server and its process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-c", _SERVE, str(project.root), str(port)])
    base = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(trust_env=False, timeout=60) as client:
            until = time.monotonic() + 120
            while time.monotonic() < until:
                with contextlib.suppress(httpx.TransportError):
                    if client.get(base + API + "/system", headers={"Authorization": f"Bearer {TOKEN}"}).is_success:
                        break
                time.sleep(0.2)
        yield base, server.pid
    finally:
        server.terminate()
        server.wait(30)


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


async def ask(
    base: str, paths: tuple[str, ...], rounds: int, clients: int, headers: dict[str, str], every_s: float = 0.0
) -> dict[str, list[float]]:
    """Return path -> milliseconds of each request; every client asks for everything, each from another place on.

    Args:
        every_s: a client begins a request so often, as one that shows figures does; 0: as soon as it has its answer.
    """
    took: dict[str, list[float]] = {path: [] for path in paths}

    async def one(number: int) -> None:
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=60, headers=headers) as client:
            await asyncio.sleep(every_s * number / clients)
            for turn in range(rounds * len(paths)):
                path = paths[(turn + number * 3) % len(paths)]
                began = time.perf_counter()
                answer = await client.get(path)
                took[path].append((time.perf_counter() - began) * 1000)
                await asyncio.sleep(max(0.0, every_s - (time.perf_counter() - began)))
                assert answer.status_code == 200, (path, answer.text[:300])

    await asyncio.gather(*(one(n) for n in range(clients)))
    return took


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def table(took: dict[str, list[float]]) -> None:
    everything = [ms for values in took.values() for ms in values]
    for path, values in [*sorted(took.items(), key=lambda i: -quantile(i[1], 0.99)), ("all", everything)]:
        print(f"{path:75} n {len(values):5}  p50 {quantile(values, 0.5):7.1f}  p99 {quantile(values, 0.99):7.1f} ms")


def paint(base: str, rounds: int) -> None:
    """Print when a real browser first paints each page, and when what scripts load is drawn; a new context each time."""
    from tests.panel_in_browser import DESKTOP, chromium

    with chromium() as browser:
        for path in PAGES:
            first, quiet = [], []
            for _ in range(rounds):
                context = browser.new_context(viewport=DESKTOP, base_url=base)
                context.request.post("/sigil/login", data={"password": "bench"}, headers={"Origin": base})
                page = context.new_page()
                began = time.perf_counter()
                page.goto(path, wait_until="networkidle")
                quiet.append((time.perf_counter() - began - 0.5) * 1000)  # the network has to be idle for half a second
                first.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
                context.close()
            print(
                f"{path:30} n {rounds:3}  first paint p50 {quantile(first, 0.5):6.0f}, longest {max(first):6.0f} ms;"
                f" everything drawn p50 {quantile(quiet, 0.5):6.0f} ms"
            )


async def listen(base: str, project: Project, pid: int) -> None:
    """Let 200 listeners hear `EVENTS` events; print how many of them each heard and how late."""
    link = base.replace("http", "ws", 1) + API + "/events?variant=unhinged&kind=alert"
    ready, heard, late = asyncio.Semaphore(0), [], []

    async def one() -> None:
        async with connect(
            link, proxy=None, additional_headers={"Authorization": f"Bearer {TOKEN}"}, open_timeout=120
        ) as ws:
            assert json.loads(await ws.recv())["type"] == "hello"
            ready.release()
            count, prev = 0, None
            while count < EVENTS:
                message = json.loads(await asyncio.wait_for(ws.recv(), 60))
                if message["type"] == "event":
                    late.append(time.time() - float(message["data"]["title"]))
                    assert prev in (None, message["prev"])
                    prev, count = message["seq"], count + 1
            heard.append(count)

    began = time.monotonic()
    tasks = [asyncio.create_task(one()) for _ in range(LISTENERS)]
    for _ in range(LISTENERS):
        await ready.acquire()
    print(f"{LISTENERS} listeners connected in {time.monotonic() - began:.1f} s; server {resident_mb(pid):.0f} MB")
    before, began = cpu_s(pid), time.monotonic()
    database = await asyncio.to_thread(open_database, "unhinged", project)

    def happen() -> None:
        with database.transaction() as cur:
            cur.execute(
                "INSERT INTO alerts (at, event, title, body) VALUES (now(), 'entry', %s, 'x')", (str(time.time()),)
            )

    for _ in range(EVENTS):
        await asyncio.to_thread(happen)
        await asyncio.sleep(0.2)
    await asyncio.gather(*tasks)
    wall = time.monotonic() - began
    print(
        f"{len(heard)} of {LISTENERS} heard all {EVENTS} events without a gap; from commit to arrival p50"
        f" {statistics.median(late):.2f} s, p99 {quantile(late, 0.99):.2f} s; server {(cpu_s(pid) - before) / wall:.2f} of a"
        f" core, {resident_mb(pid):.0f} MB"
    )
    database.close()


def main(folder: Path, rounds: int) -> None:
    project = make(folder)
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with serving(project) as (base, pid):
        routes = tuple(API + path for path in ROUTES)
        asyncio.run(ask(base, routes, 1, 1, {"Authorization": f"Bearer {ACT_TOKEN}"}))  # warm
        for clients, every_s in ((1, 0.0), (CLIENTS, 1.0), (CLIENTS, 0.0)):
            before, began = cpu_s(pid), time.monotonic()
            took = asyncio.run(ask(base, routes, rounds, clients, {"Authorization": f"Bearer {TOKEN}"}, every_s))
            count = sum(len(v) for v in took.values())
            wall = time.monotonic() - began
            pace = f"a request each {every_s:g} s" if every_s else "the next request at once"
            each = (cpu_s(pid) - before) / count * 1000
            print(
                f"--- {clients} clients, {pace}: {count / wall:.0f} requests/s, {each:.1f} ms CPU of the server each,"
            )
            print(f"    load {os.getloadavg()[0]:.1f}")
            table(took)
        with httpx.Client(base_url=base, trust_env=False, headers={"Origin": base}) as client:
            client.post("/sigil/login", json={"password": "bench"})
            cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in client.cookies.items())}
        print("--- pages, one client, until the last byte")
        table(asyncio.run(ask(base, PAGES, rounds, 1, cookie)))
        print("--- pages in Chromium, nothing in its cache")
        paint(base, rounds)
        asyncio.run(listen(base, project, pid))
        print(f"load of the machine: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10)
