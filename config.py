"""Jesse's configuration for each variant, made of Sigil's settings: balance, costs, market.

`config["baseline"]` is what `jesse.research.backtest` takes as its first argument.
"""

from sigil_ext.bridge.routing import DEFAULT_EXCHANGE, jesse_config
from sigil_ext.settings.overlays import TRADED_VARIANTS, load_variant

config = {
    name: jesse_config(s.sizing.starting_balance, s.costs.rate, "spot", DEFAULT_EXCHANGE)
    for name, s in ((name, load_variant(name).settings) for name in TRADED_VARIANTS)
}
