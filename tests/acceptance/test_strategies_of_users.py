"""`--strategy`: a strategy that knows nothing of Sigil gives what Jesse alone gives, and wrong ones are refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]

STRATEGY = """
import jesse.indicators as ta
from jesse.strategies import Strategy


class MyStrategy(Strategy):
    def should_long(self):
        return ta.rsi(self.candles) < 35

    def go_long(self):
        self.buy = 20 / self.price, self.price

    def on_open_position(self, order):
        self.stop_loss = self.position.qty, self.price * 0.98
        self.take_profit = self.position.qty, self.price * 1.02
"""

PLAIN = """
import json, sys
import numpy as np
from jesse import research
from my_module import MyStrategy

symbols = ["TST-USDT", "NFP-USDT"]
config = {"starting_balance": 10000, "fee": 0.0015, "type": "spot", "exchange": "Binance Spot", "warm_up_candles": 0}
routes = [{"exchange": "Binance Spot", "strategy": MyStrategy, "symbol": s, "timeframe": "15m"} for s in sorted(symbols)]
candles = {
    f"Binance Spot-{s}": {"exchange": "Binance Spot", "symbol": s, "candles": np.load(f"{s}.npy")} for s in symbols
}
result = research.backtest(config, routes, [], candles)
print(json.dumps([[t[k] for k in ("symbol", "opened_at", "closed_at", "entry_price", "exit_price", "qty", "fee", "PNL")]
                  for t in result["trades"]]))
"""


@pytest.fixture
def users_folder(tmp_path):
    (tmp_path / "my_module.py").write_text(STRATEGY)
    return tmp_path


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    return kept | {"SIGIL_HOME": str(ROOT), "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
def test_a_users_strategy_trades_as_in_jesse_to_the_last_float(users_folder, sample_lab):
    for symbol in ("TST-USDT", "NFP-USDT"):
        np.save(users_folder / f"{symbol}.npy", sample_lab.candles[symbol])
    (users_folder / "plain.py").write_text(PLAIN)
    plain = subprocess.run(
        [sys.executable, "plain.py"], cwd=users_folder, env=environment(), capture_output=True, text=True, check=True
    )
    ours = subprocess.run(
        [str(Path(sys.executable).with_name("sigil")), "backtest", "--strategy", "my_module:MyStrategy", "--symbols",
         "TST-USDT,NFPUSDT", "--timeframe", "15m", "--candles", str(ROOT / "sample"), "--json"],
        cwd=users_folder, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ours.returncode == 0, ours.stderr
    report = json.loads(ours.stdout)
    expected = json.loads(plain.stdout.strip().splitlines()[-1])
    assert len(expected) > 10
    from datetime import UTC, datetime

    def iso(ms: float) -> str:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    assert [
        [
            t["symbol"],
            t["opened_at"],
            t["closed_at"],
            t["entry_price"],
            t["exit_price"],
            t["qty"],
            t["fee"],
            t["pnl_usd"],
        ]
        for t in report["trades"]
    ] == [[s, iso(opened), iso(closed), *rest] for s, opened, closed, *rest in expected]
    assert report["variant"] == "MyStrategy"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("self.buy = 10**9, self.price", ["MyStrategy", "InsufficientBalance"]),
        ("self.buy = None", ["MyStrategy"]),
        ("raise ValueError('my own mistake')", ["MyStrategy", "my own mistake"]),
        ("import os; os._exit(3)", ["MyStrategy", "died"]),
    ],
)
def test_a_strategy_that_breaks_is_named_with_its_own_words(users_folder, body, words):
    broken = STRATEGY.replace("self.buy = 20 / self.price, self.price", body)
    (users_folder / "my_module.py").write_text(broken)
    done = subprocess.run(
        [sys.executable, "-m", "sigil_ext", "backtest", "--strategy", "my_module:MyStrategy", "--symbols", "TST-USDT",
         "--candles", str(ROOT / "sample")],
        cwd=users_folder, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
