"""Symbol names: `TSTUSDT` in rows and on the exchange, `TST-USDT` in Jesse. Pure, both directions, no guessing.

An exchange's name has no separator, so the quote currency decides where to cut: the longest known quote that ends the
name and leaves a base. `1000SATSUSDT` -> `1000SATS-USDT`, `TUSDUSDT` -> `TUSD-USDT`, `BTCFDUSD` -> `BTC-FDUSD`.
"""

from __future__ import annotations

# Longest first, so that FDUSD is tried before USD and USDT before USD.
QUOTES: tuple[str, ...] = tuple(
    sorted(
        (
            "USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDP", "USD1", "USDS", "USDE", "DAI", "USD",
            "BTC", "ETH", "BNB", "SOL", "XRP", "TRX", "DOGE",
            "EUR", "GBP", "TRY", "BRL", "JPY", "AUD", "UAH", "RUB", "ZAR", "PLN", "RON", "ARS", "MXN", "COP", "CZK",
            "IDR", "IDRT", "NGN", "BIDR", "VAI",
        ),
        key=lambda quote: (-len(quote), quote),
    )
)  # fmt: skip


def to_jesse(symbol: str) -> str:
    """Return `TST-USDT` for `TSTUSDT`, `TST/USDT`, `tst_usdt` or `TST-USDT`.

    Raises:
        ValueError: no known quote currency ends the name, or nothing stands before it.
    """
    name = symbol.strip().upper().replace("/", "-").replace("_", "-")
    base, dash, quote = name.partition("-")
    if dash:
        if not base or not quote or "-" in quote:
            raise ValueError(f"'{symbol}' is not a symbol like TST-USDT or TSTUSDT")
        return name
    for known in QUOTES:
        if name.endswith(known) and len(name) > len(known):
            return f"{name.removesuffix(known)}-{known}"
    raise ValueError(f"'{symbol}' ends with no known quote currency; write it with a dash, like TST-USDT")


def to_exchange(symbol: str) -> str:
    """Return `TSTUSDT` for `TST-USDT` (and for anything `to_jesse` understands)."""
    return to_jesse(symbol).replace("-", "")
