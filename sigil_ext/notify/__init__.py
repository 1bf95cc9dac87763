"""Notify: alerts leave the outbox through channels (apprise addresses), each alert once through each channel.

Never here: decisions about trades, or what an alert says (rules/messages.py). Read `sender.py` first, then `channel.py`.
"""
