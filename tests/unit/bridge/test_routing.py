"""What Jesse is told of a pool, and which pool it is not told of."""

from __future__ import annotations

import numpy as np
import pytest

from sigil_ext.bridge.routing import demand_one_quote
from sigil_ext.bridge.simulate import SimulationRequest, StrategyRun, simulate
from sigil_ext.errors import UsageError


def test_a_pool_of_one_quote_currency_is_taken_and_one_of_two_is_refused_with_both_and_the_way_out():
    demand_one_quote(["TST-USDT", "1000SATS-USDT"])
    with pytest.raises(UsageError) as refused:
        demand_one_quote(["E-USDT", "D-USDT", "C-USDT", "B-USDT", "A-USD"])
    assert str(refused.value) == (
        "a pool has one quote currency, this one has 2 (USD: A-USD; USDT: B-USDT, C-USDT, D-USDT and 1 more); "
        "take the symbols of one of them: --symbols A,B"
    )


def test_a_simulation_of_two_quote_currencies_is_refused_in_our_words():
    candles = {symbol: np.zeros((1, 6)) for symbol in ("AT-USD", "BID-USDT")}
    request = SimulationRequest(StrategyRun("nowhere:Nothing", "1m", 1000.0, 0.0), candles, 0, 60_000)
    with pytest.raises(UsageError, match="one quote currency"):
        simulate(request)
