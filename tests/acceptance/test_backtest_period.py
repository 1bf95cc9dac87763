"""`--start`: what comes before it is warm-up, and enough of it that nothing is other than with all of history."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sigil_ext.errors import CandleError
from sigil_ext.services.backtest import BacktestPlan, folder_source, parse_instant, run_backtest
from sigil_ext.services.paper_feeds import warmup_minutes
from sigil_ext.settings.lookback import lookback_minutes
from sigil_ext.settings.overlays import load_variant

FIRST = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1000)
BAR_MS, DAY_MS = 15 * 60_000, 86_400_000
OPEN_TO_ALL = [
    "universe.min_quote_volume_usd=0", "universe.max_quote_volume_usd=0", "universe.min_atr_pct=0", "universe.max_atr_pct=100",
    "universe.min_price=0", "universe.max_price=0", "universe.max_tick_pct=100", "universe.max_zero_volume_pct=100",
]  # fmt: skip


def walk(folder: Path, symbol: str, days: int, begins: int, seed: int) -> None:
    """Write a random walk of 15-minute bars."""
    dice = np.random.default_rng(seed)
    closes = np.round(np.cumprod(1 + dice.normal(0, 0.006, days * 96)), 5)
    opens = np.concatenate(([1.0], closes[:-1]))
    frame = pd.DataFrame({
        "timestamp": begins + BAR_MS * np.arange(days * 96), "open": opens, "high": np.maximum(opens, closes) + 0.001,
        "low": np.minimum(opens, closes) - 0.001, "close": closes, "volume": dice.uniform(1e5, 9e5, days * 96),
    })  # fmt: skip
    frame.to_parquet(folder / f"{symbol}-15m.parquet")


@pytest.fixture(scope="module")
def forty_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An old symbol, and one that is listed on the 25th day."""
    folder = tmp_path_factory.mktemp("walk")
    walk(folder, "OLDUSDT", 40, FIRST, 1)
    walk(folder, "NEWUSDT", 15, FIRST + 25 * DAY_MS, 2)
    return folder


def scans(folder: Path, min_age: str, start_ms: int) -> dict[str, object]:
    variant = load_variant("baseline", [*OPEN_TO_ALL, f"universe.min_age={min_age}"])
    (report,) = run_backtest(BacktestPlan((variant,), folder_source(folder, None), start_ms))
    universe: dict[str, object] = report["universe"]
    return universe


def test_a_symbol_is_as_old_after_a_late_start_as_with_all_of_history(forty_days):
    late = FIRST + 35 * DAY_MS
    assert scans(forty_days, "20d", late)["size_mean"] == 1.0  # the old one, for the new one is too young
    assert scans(forty_days, "12d", late)["size_mean"] == pytest.approx(1.6, abs=0.01)  # the new one comes on day 37


@pytest.mark.parametrize(
    ("overrides", "days"),
    [((), 12), (("universe.min_age=13d",), 15), (("universe.min_age=90d",), 92), (("atr_timeframe=4h",), 42)],
)
def test_the_warm_up_covers_the_longest_look_back(overrides, days):
    variant = load_variant("baseline", overrides)
    assert lookback_minutes(variant, max(variant.settings.signal_minutes, variant.settings.atr_minutes)) == days * 1440
    assert warmup_minutes(variant) == days * 1440  # of a paper session


@dataclass(frozen=True)
class Foreign:
    path: str = "a:B"


def test_a_foreign_strategy_has_no_universe_to_look_back_for():
    assert lookback_minutes(Foreign(), 60) == 12 * 1440


def test_a_start_past_the_candles_names_no_date_that_nobody_gave(forty_days):
    variant = load_variant("baseline")
    for day in ("2030-01-01", "2025-02-15"):
        plan = BacktestPlan((variant,), folder_source(forty_days, None), parse_instant(day, "--start"))
        with pytest.raises(CandleError) as refused:
            run_backtest(plan)
        assert "2025-02-10 00:00" in str(refused.value)
        assert set(re.findall(r"\d{4}-\d\d-\d\d", str(refused.value))) <= {"2025-01-01", "2025-02-10", day}
