"""Notify: one file a channel, and the outbox. Empty until the paper engine is built.

Never here: decisions about trades.
"""
