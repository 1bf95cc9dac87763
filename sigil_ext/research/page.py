"""The frame of every page of research: one self-contained HTML file, opened without a network, in light and dark, on a phone.

Style and behaviour that pages share stand beside this file in `page.css` and `page.js`. Start at `whole_page`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

# The page may load nothing at all: what it needs stands in it.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def whole_page(title: str, body: Sequence[str], data: Mapping[str, Any], *, script: str, style: str = "") -> str:
    """Return the page as HTML.

    Args:
        body: HTML, already escaped. data: for the script, as `page.data`; its `figures` are plotly figures by name, drawn
            into the elements with that `data-chart`. script, style: of this kind of page, after the shared ones.
    """
    from plotly.offline import get_plotlyjs

    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">',
            f"<title>{escape(title)}</title>",
            f"<style>{asset('page.css')}{style}</style>",
            "</head><body><main>",
            *body,
            "</main>",
            f'<script type="application/json" id="data">{script_json(data)}</script>',
            f"<script>{get_plotlyjs()}</script>",
            f"<script>{asset('page.js')}{script}</script>",
            "</body></html>",
        ]
    )


def asset(name: str, room: str = "sigil_ext.research") -> str:
    """Return the text of a file that lies beside the code of `room`."""
    return (files(room) / name).read_text(encoding="utf-8")


def script_json(data: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
