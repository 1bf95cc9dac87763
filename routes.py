"""What the variants trade in Jesse: the bundled pool, one list of routes and data routes a variant.

Jesse's dashboard has its own form for routes; scripts that call `jesse.research.backtest` take them from here.
"""

from sigil_ext.bridge.routing import DEFAULT_EXCHANGE, data_routes_for, extra_timeframes, routes_for
from sigil_ext.settings.overlays import TRADED_VARIANTS, load_variant

pool = [
    "ACH-USDT", "BID-USDT", "COOKIE-USDT", "DOGS-USDT", "HMSTR-USDT", "KNC-USDT", "LISTA-USDT", "MUBARAK-USDT",
    "NFP-USDT", "ORCA-USDT", "PUMPBTC-USDT", "TST-USDT",
]  # fmt: skip

_settings = {name: load_variant(name).settings for name in TRADED_VARIANTS}

routes = {
    name: routes_for(name.capitalize(), pool, s.signal_timeframe, DEFAULT_EXCHANGE) for name, s in _settings.items()
}
data_routes = {name: data_routes_for(pool, extra_timeframes(s), DEFAULT_EXCHANGE) for name, s in _settings.items()}
