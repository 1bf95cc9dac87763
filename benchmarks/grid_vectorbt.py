"""The vectorbt side of grid_speed.py, run by a Python that has vectorbt: `PYTHON grid_vectorbt.py IN.npz OUT.npz`.

The same exits, cooldown and limits as a custom order function; signals, universe and ATR are given, so that none of their
cost is counted here. Bans, breaker and stacked entries are off in this comparison, and cash never binds.
"""

import sys
import time

import numpy as np
import vectorbt as vbt
from numba import njit
from vectorbt.portfolio import nb

STOP, HARD, HIGH, LOW, ENTRY, ATR, OPENED, COOL, LEFT, BAR_HIGH, BAR_LOW, HELD = range(12)
CELLS_AT_ONCE = 8


@njit
def decide(c, rows, lows, highs, closes, signal, atr, scan_row, params, state, action, price, size, count, rate):
    """Fill what each column of the group does in this row: sells of reached stops, then acts at a bar's close."""
    i, symbols = c.i, closes.shape[1]
    cell = params[c.group]
    for col in range(c.from_col, c.to_col):
        s, st = col - c.from_col, state[col]
        action[col] = 0
        if st[HELD] > 0:
            if rows[i, s] <= st[STOP] or lows[i, s] <= st[STOP]:
                action[col] = -1
                price[col] = rows[i, s] if rows[i, s] <= st[STOP] else st[STOP]
                st[LEFT] = 2 * i
                count[c.group] -= 1
            st[BAR_HIGH], st[BAR_LOW] = max(st[BAR_HIGH], highs[i, s]), min(st[BAR_LOW], lows[i, s])
    if i % 15 == 14:
        for s in range(symbols):
            col = c.from_col + s
            st = state[col]
            held = st[HELD] > 0 and action[col] == 0
            close = closes[i, s]
            if signal[i, s] > 0 and not held and st[HELD] == 0:
                inside = signal[i, s] == 2 or st[LEFT] > 2 * scan_row[i]
                if inside and i >= st[COOL] and count[c.group] < cell[7]:
                    pct = cell[1]
                    if atr[i, s] > 0:
                        pct = min(max(cell[0] * atr[i, s] / close * 100.0, cell[1]), cell[2])
                    size[col] = min(cell[8] / (pct / 100.0), cell[9]) / close
                    st[STOP] = st[HARD] = close * (1.0 - pct / 100.0)
                    st[HIGH] = st[LOW] = st[ENTRY] = close
                    st[ATR], st[OPENED], st[COOL] = atr[i, s], i, i + cell[6]
                    st[BAR_HIGH], st[BAR_LOW] = 0.0, np.inf
                    action[col], price[col] = 1, close
                    count[c.group] += 1
            elif held:
                st[HIGH], st[LOW] = max(st[HIGH], st[BAR_HIGH]), min(st[LOW], st[BAR_LOW])
                st[BAR_HIGH], st[BAR_LOW] = 0.0, np.inf
                if st[ATR] > 0 and st[HIGH] >= st[ENTRY] + cell[3] * st[ATR]:
                    st[STOP] = max(st[STOP], st[HIGH] - cell[4] * st[ATR])
                flat = False
                if i - st[OPENED] >= cell[5]:
                    move = max(st[HIGH] - st[ENTRY], st[ENTRY] - st[LOW]) / st[ENTRY] * 100.0
                    flat = move < cell[10]
                if st[STOP] >= close or abs(1.0 - st[STOP] / close) <= 0.00015 or flat:
                    action[col], price[col] = -1, close
                    st[LEFT] = 2 * i + 1
                    count[c.group] -= 1
    return ()


@njit
def order(c, action, price, size, state, rate):
    """Return what `decide` found for this column: the exchange takes its fee from the coins that were bought."""
    if action[c.col] == 1:
        state[c.col, HELD] = 1
        return nb.order_nb(size[c.col] * (1 - rate), price[c.col], fees=rate / (1 - rate))
    if action[c.col] == -1:
        state[c.col, HELD] = 0
        return nb.order_nb(-c.position_now, price[c.col], fees=rate)
    return nb.order_nothing_nb()


def run(data, params, rows):
    """Return the order records of these cells over the first `rows` minutes."""
    cells, symbols = len(params), data["closes"].shape[1]
    columns = cells * symbols
    state = np.zeros((columns, 12))
    state[:, LEFT] = -1
    action, price, size = np.zeros(columns, np.int64), np.zeros(columns), np.zeros(columns)
    count, rate = np.zeros(cells, np.int64), float(data["rate"])
    minutes = [np.ascontiguousarray(data[k][:rows]) for k in ("opens", "lows", "highs", "closes", "signal", "atr")]
    portfolio = vbt.Portfolio.from_order_func(
        np.tile(minutes[3], (1, cells)), order, action, price, size, state, rate,
        pre_segment_func_nb=decide,
        pre_segment_args=(*minutes, data["scan_row"][:rows], params, state, action, price, size, count, rate),
        group_by=np.repeat(np.arange(cells), symbols), cash_sharing=True, init_cash=float(data["cash"]),
        update_value=False, fill_pos_record=False, max_logs=0,
    )  # fmt: skip
    return portfolio.orders.records_arr, state


def main(source, target):
    """Run all cells, timed, a first short run compiling."""
    data = dict(np.load(source))
    params, symbols = data["params"], data["closes"].shape[1]
    run(data, params[:CELLS_AT_ONCE], 3000)
    seconds, found = 0.0, []
    for first in range(0, len(params), CELLS_AT_ONCE):
        part = params[first : first + CELLS_AT_ONCE]
        began = time.process_time()
        records, _ = run(data, part, len(data["closes"]))
        seconds += time.process_time() - began
        for r in records:
            cell, symbol = first + int(r["col"]) // symbols, int(r["col"]) % symbols
            found.append((cell, symbol, int(r["idx"]), float(r["price"]), float(r["size"]), int(r["side"])))
    np.savez(target, orders=np.array(found), seconds=seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
