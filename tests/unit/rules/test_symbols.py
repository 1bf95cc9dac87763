from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigil_ext.rules.symbols import QUOTES, to_exchange, to_jesse


@pytest.mark.parametrize(
    ("exchange", "jesse"),
    [
        ("TSTUSDT", "TST-USDT"),
        ("1000SATSUSDT", "1000SATS-USDT"),
        ("1INCHUSDT", "1INCH-USDT"),
        ("TUSDUSDT", "TUSD-USDT"),
        ("USDCUSDT", "USDC-USDT"),
        ("BTCFDUSD", "BTC-FDUSD"),
        ("ETHBTC", "ETH-BTC"),
        ("BTCEUR", "BTC-EUR"),
        ("GUSDT", "G-USDT"),
    ],
)
def test_a_symbol_is_the_same_after_going_to_jesse_and_back(exchange, jesse):
    assert to_jesse(exchange) == jesse
    assert to_exchange(jesse) == exchange


@pytest.mark.parametrize("text", ["TST/USDT", "tst_usdt", " tst-usdt ", "TSTUSDT"])
def test_every_common_spelling_is_understood(text):
    assert to_jesse(text) == "TST-USDT"


@pytest.mark.parametrize("text", ["USDT", "", "-USDT", "TST-", "A-B-C", "HELLO"])
def test_a_name_that_cannot_be_cut_is_refused(text):
    with pytest.raises(ValueError, match="TST-USDT"):
        to_jesse(text)


@given(st.from_regex(r"[A-Z0-9]{1,10}", fullmatch=True), st.sampled_from(["USDT", "USDC"]))
def test_every_stablecoin_pair_survives_the_round_trip(base, quote):
    assert to_jesse(to_exchange(f"{base}-{quote}")) == f"{base}-{quote}"


def test_longer_quotes_are_tried_first():
    assert list(QUOTES) == sorted(QUOTES, key=lambda q: (-len(q), q))
