"""Jesse has one simulator for candles that share a clock and one for candles with holes. Sigil must get the same from both,
begin where it is told to, let a late symbol join, and survive holes that break Jesse's own replay.
"""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from sigil_ext.bridge import replay
from sigil_ext.bridge.simulate import StrategyRun
from sigil_ext.settings.overlays import load_variant

DAY = 86_400_000
HOUR = 3_600_000


def story(run):
    return [
        (t.symbol, t.opened_at_ms, t.closed_at_ms, t.entry_price, t.exit_price, t.qty, t.fee, t.pnl_usd, t.exit_reason)
        for t in run.record.trades
    ]


@pytest.mark.parametrize("name", ["unhinged", "legacy"])
def test_a_lonely_hole_somewhere_else_changes_no_trade(name, sample_lab, sample_runs):
    """One absent minute in a symbol that is not traded sends the whole run down the other path."""
    quiet = sorted(set(sample_lab.candles) - {t.symbol for t in sample_runs[name].record.trades})
    symbol = quiet[0] if quiet else "KNC-USDT"
    rows = sample_lab.candles[symbol]
    first_day = rows[:, 0] < sample_lab.start_ms + 3 * HOUR
    holed = np.delete(rows, np.flatnonzero(first_day)[100], axis=0)
    (run,) = sample_lab.run([sample_lab.request(load_variant(name), changed={symbol: holed})])
    assert story(run) == story(sample_runs[name])


def test_a_run_with_warm_up_trades_from_its_start_on_as_if_it_had_begun_earlier(sample_lab):
    start = sample_lab.start_ms + 2 * DAY
    free = ["guard.cooldown_hours=0", "ban.after=0", "breaker.daily_loss_pct=0", "guard.max_open_positions=100"]
    whole, late = sample_lab.run(
        [
            sample_lab.request(load_variant("unhinged", free)),
            sample_lab.request(load_variant("unhinged", free), start_ms=start),
        ]
    )
    assert late.record.trades
    assert min(t.opened_at_ms for t in late.record.trades) >= start
    held_at_start = {t.symbol: t.closed_at_ms for t in whole.record.trades if t.opened_at_ms < start < t.closed_at_ms}
    assert [s for s in story(late) if s[1] > max(held_at_start.values(), default=start)] == [
        s for s in story(whole) if s[1] > max(held_at_start.values(), default=start)
    ]
    assert late.equity_times_ms[0] == start


def test_a_symbol_listed_late_joins_without_delaying_the_others(sample_lab, sample_runs):
    rows = sample_lab.candles["TST-USDT"]
    late = rows[rows[:, 0] >= sample_lab.start_ms + 2 * DAY]
    (run,) = sample_lab.run([sample_lab.request(load_variant("unhinged"), changed={"TST-USDT": late})])
    assert run.record.trades[0].opened_at_ms < sample_lab.start_ms + 2 * DAY
    listed = sample_lab.start_ms + 2 * DAY
    reasons = {at: dict(rows) for at, rows in run.record.scan_log}
    assert {r["TST-USDT"] for at, r in reasons.items() if at <= listed} == {"no_candles"}
    assert {r["TST-USDT"] for at, r in reasons.items() if listed < at < listed + DAY} == {"too_young"}
    assert not {r["TST-USDT"] for at, r in reasons.items() if at > listed + DAY} & {"no_candles", "too_young"}


def test_bars_stay_exact_when_orders_fill_on_coarse_candles(sample_lab):
    """Five-minute rows replayed as observed minutes: entries and stops of a strategy that trades from the first bar on."""
    coarse = {}
    for symbol in ("TST-USDT", "NFP-USDT"):
        rows = sample_lab.candles[symbol][:8640].reshape(-1, 5, 6)
        merged = rows[:, 4].copy()  # timestamp of the last minute
        merged[:, 1], merged[:, 2] = rows[:, 0, 1], rows[:, 4, 2]
        merged[:, 3], merged[:, 4], merged[:, 5] = rows[:, :, 3].max(1), rows[:, :, 4].min(1), rows[:, :, 5].sum(1)
        coarse[symbol] = merged
    what = StrategyRun("tests.jesse_strategies:WatchesItsBars", "15m", 10_000.0, 0.001, data_timeframes=("1h",))
    (run,) = sample_lab.run([sample_lab.request(what, symbols=list(coarse), changed=coarse)])
    assert len(run.record.trades) > 50


def without_last_minutes(rows, several_bars=False):
    """Leave out the last minute of two bars in three, and after each such hour, if asked, the next three bars."""
    number = (rows[:, 0] // 60_000).astype(int)
    gone = (number % 15 == 14) & (number // 15 % 3 > 0)
    if several_bars:
        gone |= number % 240 >= 180
    return rows[~gone]


@pytest.mark.parametrize("several_bars", [False, True], ids=["last minutes", "several bars"])
def test_no_bar_is_lost_when_an_order_fills_in_the_minute_after_one_that_was_absent(several_bars, sample_lab):
    """Jesse fills orders before it stores the bar that the same minute completes; the partial bar must not overtake it."""
    symbols = ("TST-USDT", "NFP-USDT")
    holed = {s: without_last_minutes(sample_lab.candles[s][:4320], several_bars) for s in symbols}
    what = StrategyRun("tests.jesse_strategies:WatchesItsBars", "15m", 10_000.0, 0.001, data_timeframes=("1h",))
    (run,) = sample_lab.run([sample_lab.request(what, symbols=symbols, changed=holed)])
    exits = {(t.symbol, t.closed_at_ms) for t in run.record.trades}
    first_minutes = set()
    for symbol, rows in holed.items():
        previous = np.diff(rows[:, 0] // 900_000, prepend=-1) > 0
        overdue = np.r_[False, rows[:-1, 0] % 900_000 != 14 * 60_000]
        first_minutes |= {(symbol, int(at) + 60_000) for at in rows[previous & overdue, 0]}
    assert exits & first_minutes, "the case this test is about has to occur"


def test_a_bar_whose_last_minute_is_absent_is_not_taken_for_closed_as_it_stood_at_a_fill(sample_lab):
    """A fill stores its bar half made; until the symbol's next candle ends it, no variant may read it."""
    changed = {
        "TST-USDT": without_last_minutes(sample_lab.candles["TST-USDT"][:4320]),
        "NFP-USDT": sample_lab.candles["NFP-USDT"][:4320],
    }
    what = StrategyRun("tests.jesse_strategies:ReadsAsVariantsDo", "15m", 10_000.0, 0.001, data_timeframes=("1h",))
    (run,) = sample_lab.run([sample_lab.request(what, symbols=list(changed), changed=changed)])
    assert len(run.record.trades) > 50


def test_jesse_breaks_on_those_candles_without_the_mend(sample_lab, tmp_path):
    """The reason for the mend: should this test fail, Jesse was mended and `replay.py` may shrink."""
    import subprocess
    import sys

    script = tmp_path / "plain_jesse.py"
    script.write_text(
        "import sys\n"
        f"sys.path[:0] = {[p for p in sys.path if p]!r}\n"
        "import numpy as np\n"
        "from jesse import research\n"
        "from tests.jesse_strategies import WatchesItsBars\n"
        f"rows = np.load({str(sample_lab.folder / 'TST-USDT.npy')!r})[:2880]\n"
        "rows = rows[4::5].copy()\n"
        "config = {'starting_balance': 10000, 'fee': 0.001, 'type': 'spot', 'exchange': 'Binance Spot', 'warm_up_candles': 0}\n"
        "route = {'exchange': 'Binance Spot', 'strategy': WatchesItsBars, 'symbol': 'TST-USDT', 'timeframe': '15m'}\n"
        "data = {'exchange': 'Binance Spot', 'symbol': 'TST-USDT', 'timeframe': '1h'}\n"
        "candles = {'Binance Spot-TST-USDT': {'exchange': 'Binance Spot', 'symbol': 'TST-USDT', 'candles': rows}}\n"
        "research.backtest(config, [route], [data], candles)\n"
    )
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, env={"PATH": ""})
    assert done.returncode != 0
    assert "IndexError" in done.stderr or "AssertionError" in done.stderr, done.stderr


@pytest.mark.parametrize("name", replay.PRIVATE_FUNCTIONS)
def test_jesse_still_is_the_jesse_that_the_bridge_was_written_against(name, tmp_path):
    import subprocess
    import sys

    module, _, function = name.partition(":")
    code = (
        f"import sys; sys.path[:0] = {[p for p in sys.path if p]!r}\n"
        f"import importlib; from sigil_ext.bridge.replay import fingerprint\n"
        f"print(fingerprint(getattr(importlib.import_module({module!r}), {function!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, env={"PATH": ""}
    )
    assert done.stdout.strip().endswith(replay.PRIVATE_FUNCTIONS[name]), (
        f"{name} has changed: read what changed in Jesse, check bridge/replay.py against it, then renew the fingerprint"
    )


def test_the_fingerprinted_functions_are_all_used_or_replaced():
    assert importlib.util.find_spec("jesse") is not None
    assert len(replay.PRIVATE_FUNCTIONS) >= 4
