"""`sigil panel` as a process: where it listens, who gets in, a database that goes away and comes back, positions closed
from outside."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from dotenv import dotenv_values

from sigil_ext.db import embedded
from sigil_ext.db.connection import Database
from sigil_ext.services.database import open_database

ROOT = Path(__file__).resolve().parents[2]
API = "/sigil/api/v1"
ACTS = {"Authorization": "Bearer that-acts"}
PATIENCE_S = 120


def environment(project) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "SIGIL_"))}
    return kept | {"SIGIL_HOME": str(project.root)}


@contextlib.contextmanager
def panel(project, *options: str):
    """A running `sigil panel` and a client of it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = project.root / "panel.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "sigil_ext", "panel", "--port", str(port), *options],
            cwd=project.root, env=environment(project), stdout=file, stderr=file,
        )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE_S) as client:
            until(lambda: process.poll() is not None or answers(client))
            assert process.poll() is None, log.read_text()
            client.log = log
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def answers(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get("/sigil/login").status_code == 200
    return False


def until(condition, seconds: float = PATIENCE_S) -> float:
    """Wait for `condition` and return how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not come about"
        time.sleep(0.1)
    return time.monotonic() - began


def reachable(client: httpx.Client) -> dict[str, bool]:
    databases = client.get(f"{API}/system", headers=ACTS).json()["data"]["databases"]
    return {d["variant"]: d["reachable"] for d in databases}


def test_without_a_password_one_is_made_up_and_the_panel_is_for_this_machine_alone(empty_project):
    with panel(empty_project) as client:
        said = client.log.read_text()
        assert re.search(r"Sigil's panel: http://127\.0\.0\.1:\d+/sigil/ \(password: PASSWORD in .*jesse\.env\)", said)
        own = empty_project.storage / "jesse.env"
        assert own.stat().st_mode & 0o077 == 0
        assert client.get("/").headers["location"] == "/sigil/"
        assert client.get("/sigil/").headers["location"].startswith("/sigil/login?next=")
        assert client.post("/sigil/login", json={"password": "guess"}).status_code == 401
        assert client.post("/sigil/login", json={"password": dotenv_values(own)["PASSWORD"]}).status_code == 200
        assert client.get("/sigil/").status_code == 200
        assert client.get(f"{API}/variants").json()["data"] == []
        port = client.base_url.port
        with socket.socket() as other, pytest.raises(OSError, match="refused"):
            other.connect((own_address(), port))
        second = subprocess.run(
            [sys.executable, "-m", "sigil_ext", "panel", "--port", str(port)],
            cwd=empty_project.root, env=environment(empty_project), capture_output=True, text=True, timeout=PATIENCE_S,
        )  # fmt: skip
        assert second.returncode == 2
        assert second.stderr.count("\n") == 1
        assert "is taken" in second.stderr
        # Looking on starts nothing: no server, no database.
        assert embedded.running_address(empty_project) is None


def own_address() -> str:
    """An address of this machine that is not its loopback one; another of the loopback's where it has no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing
        if not probe.getsockname()[0].startswith("127."):
            address: str = probe.getsockname()[0]
            return address
    return "127.0.0.2"


@pytest.fixture
def traded(empty_project):
    """A project whose unhinged traded over two symbols of the sample and was stopped with a position open."""
    (empty_project.root / ".env").write_text("PASSWORD=x\nSIGIL_API_ACT_TOKEN=that-acts\n")
    (empty_project.root / ".env").chmod(0o600)
    candles = empty_project.root / "candles"
    candles.mkdir()
    for symbol in ("LISTA", "BID"):
        (candles / f"{symbol}USDT-1m.parquet").symlink_to(ROOT / "sample" / f"{symbol}USDT-1m.parquet")
    subprocess.run(
        [sys.executable, "-m", "sigil_ext", "run", "paper", "--variant", "unhinged", "--candles", str(candles), "--finish",
         "2025-06-19", "--keep-open"],
        cwd=empty_project.root, env=environment(empty_project), check=True, capture_output=True, timeout=280,
    )  # fmt: skip
    return empty_project


@pytest.mark.slow
def test_positions_are_closed_from_outside_and_a_database_that_was_stopped_comes_back(traded):
    with panel(traded) as client:
        held = client.get(f"{API}/positions", headers=ACTS).json()["data"]
        assert [p["symbol"] for p in held] == ["LISTA-USDT"]
        act = f"{API}/variants/unhinged/acts"
        refused = client.post(f"{act}/close", json={"reason": "x", "symbol": "BTC-USDT"}, headers=ACTS)
        assert refused.status_code == 409
        assert "BTC-USDT" in refused.json()["error"]["message"]
        done = client.post(f"{act}/flatten", json={"reason": "the weekend"}, headers=ACTS)
        assert done.status_code == 200, done.text
        assert done.json()["data"]["outcome"].endswith("0 still open")
        assert client.get(f"{API}/positions", headers=ACTS).json()["data"] == []
        (closed,) = client.get(f"{API}/trades", params={"exit_reason": "kill_switch"}, headers=ACTS).json()["data"]
        assert closed["id"] == held[0]["id"]
        (noted,) = client.get(f"{API}/acts", headers=ACTS).json()["data"]
        assert (noted["act"], noted["actor"], noted["reason"]) == ("flatten", "api@127.0.0.1", "the weekend")

        assert reachable(client)["unhinged"]
        embedded.stop(traded)
        until(lambda: not reachable(client)["unhinged"], 30)
        assert client.get(f"{API}/variants/unhinged", headers=ACTS).status_code == 503
        open_database("unhinged", traded).close()  # starts the server; its port may be another one
        until(lambda: reachable(client)["unhinged"])
        assert client.get(f"{API}/variants/unhinged", headers=ACTS).json()["data"]["closed_positions"] > 0


def test_a_database_that_waits_for_a_migration_says_so_and_is_left_alone(
    empty_project, server, empty_database: Database
):
    url = empty_database.address.url().get_secret_value()
    (empty_project.root / ".env").write_text(
        f"PASSWORD=x\nSIGIL_API_ACT_TOKEN=that-acts\nSIGIL_DATABASE_URL_BASELINE={url}\n"
    )
    (empty_project.root / ".env").chmod(0o600)
    with panel(empty_project) as client:
        for path in ("variants/baseline", "positions?variant=baseline"):
            answer = client.get(f"{API}/{path}", headers=ACTS)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "variant_outdated")
        act = client.post(f"{API}/variants/baseline/acts/pause", json={"reason": "x"}, headers=ACTS)
        assert act.status_code == 503
        assert "migration" in json.dumps(act.json())
    with empty_database.transaction() as cur:
        cur.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert cur.fetchone()[0] == 0
