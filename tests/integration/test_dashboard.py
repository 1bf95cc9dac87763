"""Jesse's own dashboard on a fresh project: `sigil run`, log in, find the variants, backtest one on imported candles."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import httpx
import pytest
from dotenv import dotenv_values
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parents[2]
EXCHANGE = "Binance Spot"
SYMBOLS = ("TST-USDT", "BID-USDT", "LISTA-USDT")


def sigil(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"SIGIL_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "sigil_ext", *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def ask(base: str, path: str, body: dict | None = None, token: str = "") -> dict:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        base + path, data=data, headers={"content-type": "application/json", "authorization": token}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    home = tmp_path_factory.mktemp("project")
    for folder in ("strategies", "overlays", "migrations"):
        shutil.copytree(ROOT / folder, home / folder)
    for script in ("routes.py", "config.py"):
        shutil.copy(ROOT / script, home / script)
    (home / "storage").mkdir()
    files = [str(ROOT / "sample" / f"{s.replace('-', '')}-1m.parquet") for s in SYMBOLS]
    imported = sigil(home, "candles", "import", *files)
    assert imported.returncode == 0, imported.stderr
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"SIGIL_HOME": str(home)}
    with open(home / "run.log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "sigil_ext", "run", "--port", str(port)],
            env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        base = f"http://127.0.0.1:{port}"
        try:
            for _ in range(240):
                assert server.poll() is None, (home / "run.log").read_text()
                try:
                    with urllib.request.urlopen(base, timeout=5):
                        break
                except (urllib.error.URLError, OSError):
                    time.sleep(0.5)
            else:
                pytest.fail("no answer in two minutes: " + (home / "run.log").read_text())
            yield home, base
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(30)
            finally:
                if server.poll() is None:
                    os.killpg(server.pid, signal.SIGKILL)
                    server.wait()
                sigil(home, "db", "stop")


@pytest.mark.slow
def test_the_variants_show_up_in_jesses_dashboard_and_backtest_there(dashboard):
    home, base = dashboard
    secrets = dotenv_values(home / "storage" / "jesse.env")
    assert (home / "storage" / "jesse.env").stat().st_mode & 0o077 == 0
    token = ask(base, "/auth/login", {"password": secrets["PASSWORD"]})["auth_token"]
    assert set(ask(base, "/strategy/all", token=token)["strategies"]) == {
        "Baseline", "Moderate", "Aggressive", "Unhinged", "Legacy",
    }  # fmt: skip

    session = str(uuid.uuid4())
    logging = dict.fromkeys(
        ("order_submission", "order_cancellation", "order_execution", "position_opened", "position_increased",
         "position_reduced", "position_closed", "trading_candles", "balance_update", "shorter_period_candles"), False
    )  # fmt: skip
    account = {"name": EXCHANGE, "fee": 0.0015, "type": "spot", "simulation_model": "spot", "balance": 1000,
               "futures_leverage": 1, "futures_leverage_mode": "cross"}  # fmt: skip
    ask(
        base,
        "/backtest",
        {
            "id": session, "exchange": EXCHANGE,
            "routes": [
                {"symbol": s, "timeframe": "15m", "strategy": "Unhinged", "exchange": EXCHANGE} for s in SYMBOLS
            ],
            "data_routes": [], "config": {"logging": logging, "exchanges": {EXCHANGE: account}, "warm_up_candles": 96},
            "start_date": "2025-06-18", "finish_date": "2025-06-22", "debug_mode": False, "export_csv": False,
            "export_json": False, "export_chart": False, "fast_mode": False, "benchmark": False, "state": {},
        },
        token,
    )  # fmt: skip
    for _ in range(120):
        found = ask(base, f"/backtest/sessions/{session}", {}, token)["session"]
        if found["status"] not in ("running", "queued"):
            break
        time.sleep(1)
    assert found["status"] == "finished", found
    assert found["metrics"]["total"] > 0


def test_a_wrong_password_is_refused_and_the_server_is_local(dashboard):
    _, base = dashboard
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(base, "/auth/login", {"password": "wrong"})
    assert refused.value.code == 401
    refused.value.close()


def test_whoever_is_logged_in_to_jesse_is_let_into_the_panel_on_the_same_server(dashboard):
    home, base = dashboard
    password = dotenv_values(home / "storage" / "jesse.env")["PASSWORD"]
    token = ask(base, "/auth/login", {"password": password})["auth_token"]
    with httpx.Client(base_url=base, trust_env=False, timeout=60) as client:
        assert client.get("/sigil/").headers["location"].startswith("/sigil/login")
        assert client.post("/sigil/login", json={"token": token}).status_code == 200
        assert client.get("/sigil/").status_code == 200
        assert client.get("/sigil/api/v1/system").json()["data"]["beside_jesse"]
        # Jesse lets every site read its answers; the panel lets none.
        evil = {"Origin": "http://evil.example"}
        assert "access-control-allow-origin" in client.get("/", headers=evil).headers
        answer = client.get("/sigil/api/v1/system", headers=evil)
        assert answer.status_code == 401
        assert "access-control-allow-origin" not in answer.headers
    with connect(base.replace("http", "ws", 1) + "/sigil/api/v1/events", proxy=None, open_timeout=60) as link:
        link.send(json.dumps({"type": "auth", "token": "wrong"}))
        with pytest.raises(ConnectionClosed) as ended:
            link.recv(60)
    assert ended.value.rcvd.code == 4401


def test_a_page_of_jesses_dashboard_leads_to_the_panel_and_its_files_are_untouched(dashboard):
    _, base = dashboard
    with httpx.Client(base_url=base, trust_env=False, timeout=60) as client:
        page = client.get("/", headers={"Accept": "text/html"})
        assert page.status_code == 200
        assert page.text.count('href="/sigil/"') == 1
        assert page.text.index('href="/sigil/"') < page.text.index("</body>")
        assert int(page.headers["content-length"]) == len(page.content)
        again = client.get("/", headers={"Accept": "text/html", "If-None-Match": page.headers.get("etag", '"x"')})
        assert (again.status_code, again.text) == (200, page.text)
        script = page.text.partition('"#entry":"')[2].partition('"')[0]
        assert "sigil" not in client.get(script, headers={"Accept": "*/*"}).text


def test_a_second_dashboard_on_the_same_port_says_so(dashboard):
    home, base = dashboard
    second = sigil(home, "run", "--port", base.rpartition(":")[2])
    assert second.returncode == 2
    assert "port" in second.stderr
    assert "Traceback" not in second.stderr


SCRIPT = """
import json, sys
import routes, config
from jesse import research
from sigil_ext.bridge.candle_files import load_candles
from pathlib import Path

wanted = ("TST-USDT", "BID-USDT", "LISTA-USDT")
candles = {
    f"Binance Spot-{s}": {"exchange": "Binance Spot", "symbol": s, "candles": c.candles}
    for s, c in load_candles(Path(sys.argv[1]), wanted).items()
}
result = research.backtest(
    config.config["unhinged"],
    [r for r in routes.routes["unhinged"] if r["symbol"] in wanted],
    [r for r in routes.data_routes["unhinged"] if r["symbol"] in wanted],
    candles,
)
print(json.dumps(len(result["trades"])))
"""


@pytest.mark.slow
def test_a_script_in_the_project_takes_routes_and_configuration_from_it(dashboard):
    home, _ = dashboard
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    environment |= {"JESSE_ENV_FILE": str(home / "storage" / "jesse.env"), "SIGIL_HOME": str(home)}
    (home / "mine.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "mine.py", str(ROOT / "sample")],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.strip().splitlines()[-1]) > 3
