"""Candle checks: a good series is described, a bad row is found and named whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigil_ext.bridge.candle_checks import CLOSE, HIGH, LOW, OPEN, TIMESTAMP, VOLUME, Array, Gap, check_candles
from sigil_ext.errors import CandleError

NOON = datetime(2025, 6, 16, 12, tzinfo=UTC)
NOON_MS = 1_750_075_200_000
MINUTE = 60_000


def bars(*closes: float, interval: int = 1) -> Array:
    """Return one good bar for each close, opening where the one before closed."""
    close = np.array(closes)
    opened = np.concatenate((close[:1], close[:-1]))
    times = NOON_MS + np.arange(len(close)) * interval * MINUTE
    volume = np.arange(len(close)) * 2.0
    return np.column_stack(
        (times, opened, close, np.maximum(opened, close) * 1.01, np.minimum(opened, close) * 0.99, volume)
    )


def message(candles: Array, interval: int = 1, **options: object) -> str:
    with pytest.raises(CandleError) as caught:
        check_candles(candles, interval, "TSTUSDT-1m.parquet", **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_good_series_is_described():
    report = check_candles(np.delete(bars(10, 10, 10, 10, 10, 8, 8, 8), [2, 3], axis=0), 1, "x")
    assert (report.rows, report.start, report.finish) == (6, NOON, NOON.replace(minute=8))
    assert report.gaps == (Gap(NOON.replace(minute=1), NOON.replace(minute=4), missing=2),)
    assert (report.missing, report.missing_pct) == (2, 25.0)
    assert report.zero_volume == 1
    assert report.zero_volume_pct == pytest.approx(100 / 6)
    assert report.largest_move_pct == pytest.approx(-20.0)


def test_one_candle_is_a_series():
    report = check_candles(bars(10), 1, "x")
    assert (report.rows, report.missing_pct, report.largest_move_pct, report.gaps) == (1, 0.0, 0.0, ())


def test_the_error_names_file_row_time_problem_and_values():
    candles = bars(10, 10, 10)
    candles[1, LOW] = 10.5
    assert message(candles) == (
        "TSTUSDT-1m.parquet, row 2 (2025-06-16 12:01 UTC): impossible bar: high is below open, close or low "
        "(open 10, close 10, high 10.1, low 10.5, volume 2)"
    )


def test_rows_of_a_csv_file_are_counted_as_lines_with_the_header():
    candles = bars(10, 10, 10)
    candles[2, VOLUME] = -1
    assert "line 4 (2025-06-16 12:02 UTC): volume is -1, it cannot be negative" in message(
        candles, first_row=2, row_word="line"
    )


def test_no_candles_are_refused():
    assert message(np.empty((0, 6))) == "TSTUSDT-1m.parquet holds no candles"


def test_another_shape_is_the_callers_mistake():
    with pytest.raises(ValueError, match="shape"):
        check_candles(np.empty((3, 5)), 1, "x")


def test_of_several_bad_rows_the_first_is_named():
    candles = bars(*[10.0] * 9)
    candles[7, TIMESTAMP] = np.nan
    candles[5, VOLUME] = -1
    assert "row 6 (2025-06-16 12:05 UTC): volume" in message(candles)


def test_a_duplicate_names_both_rows():
    candles = bars(10, 10, 10)
    candles[2, TIMESTAMP] = candles[1, TIMESTAMP]
    assert "row 3 (2025-06-16 12:01 UTC): duplicate of row 2 (2025-06-16 12:01 UTC)" in message(candles)


def test_rows_out_of_order_name_both():
    candles = bars(10, 10, 10)[[0, 2, 1]]
    assert "row 3 (2025-06-16 12:01 UTC): out of order: it comes after row 2 (2025-06-16 12:02 UTC)" in message(candles)


def test_minute_bars_in_a_file_of_five_minutes_are_off_the_grid():
    assert "row 2 (2025-06-16 12:01 UTC): the open time is not a whole multiple of 5 min" in message(bars(10, 10), 5)


def test_a_series_in_seconds_is_told_by_its_first_row():
    candles = bars(10, 10, 10)
    candles[:, TIMESTAMP] /= 1000
    assert "row 1 (1750075200): timestamp 1750075200 looks like seconds; multiply by 1000" in message(candles)


# --- laws -------------------------------------------------------------------------------------------------------------

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no counterexample

good_series = st.builds(
    lambda closes, interval: (bars(*closes, interval=interval), interval),
    st.lists(st.floats(1e-6, 1e5), min_size=3, max_size=40),
    st.sampled_from([1, 5, 15, 60]),
)

CORRUPTIONS: dict[str, Callable[[Array, int], None]] = {
    "not a number": lambda c, i: c[i].__setitem__(CLOSE, np.nan),
    "high is inf": lambda c, i: c[i].__setitem__(HIGH, np.inf),
    "open is 0": lambda c, i: c[i].__setitem__(OPEN, 0.0),
    "low is -": lambda c, i: c[i].__setitem__(LOW, -c[i, LOW]),
    "high is below": lambda c, i: c[i].__setitem__(HIGH, c[i, LOW] * 0.5),
    "low is above": lambda c, i: c[i].__setitem__(slice(HIGH, LOW + 1), [c[i, HIGH] * 3, c[i, HIGH] * 2]),
    "volume is -": lambda c, i: c[i].__setitem__(VOLUME, -1e-9),
    "whole multiple": lambda c, i: c[i].__setitem__(TIMESTAMP, c[i, TIMESTAMP] + 1),
    "looks like seconds": lambda c, i: c[i].__setitem__(TIMESTAMP, c[i, TIMESTAMP] / 1000),
    "looks like microseconds": lambda c, i: c[i].__setitem__(TIMESTAMP, c[i, TIMESTAMP] * 1000),
}


@calm
@given(good_series)
def test_a_good_series_is_never_refused(series):
    candles, interval = series
    before = candles.copy()
    report = check_candles(candles, interval, "x")
    assert (report.rows, report.missing) == (len(candles), 0)
    assert (candles == before).all()


@calm
@given(good_series, st.sampled_from(sorted(CORRUPTIONS)), st.data())
def test_one_bad_row_of_a_good_series_is_found_and_named(series, told, data):
    candles, interval = series
    index = data.draw(st.integers(0, len(candles) - 1))
    CORRUPTIONS[told](candles, index)
    text = message(candles, interval)
    assert f", row {index + 1} (" in text
    assert told in text


@calm
@given(good_series, st.data())
def test_a_repeated_row_is_found_and_named(series, data):
    candles, interval = series
    index = data.draw(st.integers(1, len(candles) - 1))
    text = message(np.insert(candles, index, candles[index - 1], axis=0), interval)
    assert f", row {index + 1} (" in text
    assert "duplicate" in text


@calm
@given(good_series, st.data())
def test_two_rows_swapped_are_found_and_named(series, data):
    candles, interval = series
    index = data.draw(st.integers(1, len(candles) - 1))
    candles[[index - 1, index]] = candles[[index, index - 1]]
    text = message(candles, interval)
    assert f", row {index + 1} (" in text
    assert "out of order" in text


@calm
@given(good_series, st.data())
def test_every_row_taken_out_is_counted_as_missing(series, data):
    candles, interval = series
    inner = st.sets(st.integers(1, len(candles) - 2), max_size=len(candles) - 2)
    taken = sorted(data.draw(inner))
    report = check_candles(np.delete(candles, taken, axis=0), interval, "x")
    assert report.missing == sum(gap.missing for gap in report.gaps) == len(taken)
    assert report.rows + report.missing == len(candles)
