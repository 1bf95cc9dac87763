"""A local exchange: Binance's and Kraken's public protocols over recorded candles, with faults on command.

Start at `server.ExchangeServer`. The listings in `data/` are what the exchanges answered, cut to a few symbols.
"""
