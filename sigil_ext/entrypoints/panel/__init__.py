"""The panel under /sigil: pages for people (pages/), an API for programs (api/), one context behind both.

Never decides anything about trading: it parses, asks one service, shows. Start at `app.create_app`.
"""
