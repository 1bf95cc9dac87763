"""How pages are drawn: the template environment, its filters, and what every page is given. Start at `page`.

Every value is escaped, and made `harmless`; the filters below are the only ones that make markup, of values that they escape
themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from sigil_ext import __version__
from sigil_ext.entrypoints.panel.auth import csrf_token
from sigil_ext.entrypoints.panel.context import context_of
from sigil_ext.entrypoints.panel.texts import harmless
from sigil_ext.rules.messages import lasting
from sigil_ext.services.status import begins
from sigil_ext.settings.overlays import TRADED_VARIANTS

NOTHING = "–"
LIVE_EVERY_MS = 4000
COLOURS = 6
LIFE_TONE = {
    "alive": "good",
    "stale": "bad",
    "dead": "bad",
    "stopped": "warn",
    "ended": "",
    "retired": "",
    "never started": "",
}

# Frames hold saved research pages only, which bring a policy of their own: see research.py.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def page(request: Request, template: str, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
    """Return a page of the panel drawn from `template`."""
    context = context_of(request)
    csrf = csrf_token(request)
    names = context.names() if csrf else []  # a stranger who is told of an error learns no names
    given = {
        "path": request.url.path,
        "variants": names,
        "colour": {name: i % COLOURS for i, name in enumerate(names)},
        "csrf": csrf,
        "beside_jesse": context.beside_jesse,
        "version": __version__,
        "now": datetime.now(UTC),
        "live_every": LIVE_EVERY_MS,
        **values,
    }
    return HTMLResponse(_environment.get_template(template).render(given), status, headers=dict(HEADERS))


def error_page(request: Request, status: int, sentence: str) -> HTMLResponse:
    """Return an error as a page: what happened in a sentence, and the way back."""
    head = {404: "Not found", 429: "Too much at once", 503: "Not now"}.get(status, "This did not work")
    return page(request, "error.html", {"head": head, "sentence": sentence, "status": status, "live_every": 0}, status)


def when(at: datetime | None, form: str = "%Y-%m-%d %H:%M") -> Markup:
    """Return an instant in UTC; the page's script adds the reader's local time on hover."""
    if at is None:
        return Markup(NOTHING)
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"), utc.strftime("%Y-%m-%d %H:%M:%S"), utc.strftime(form)
    )


def ago(at: datetime | None, now: datetime) -> Markup:
    """Return how long ago an instant was, by the clock that `now` is of."""
    if at is None:
        return Markup("never")
    utc = at.astimezone(UTC)
    said = f"{lasting(now - at)} ago" if now - at >= timedelta(seconds=1) else "now"
    if at - now > timedelta(seconds=5):
        said = f"in {lasting(at - now)}"
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"), utc.strftime("%Y-%m-%d %H:%M:%S"), said
    )


def usd(value: float | None, tone: bool = True) -> Markup:
    """Return signed USD, green or red."""
    if value is None or not math.isfinite(value):
        return Markup(NOTHING)
    colour = "" if not tone or round(value, 2) == 0 else "good" if value > 0 else "bad"
    return Markup('<span class="{}">{}</span>').format(colour, f"{value:+,.2f}".replace("-", "−"))


def signed(value: float | None, unit: str = "") -> Markup:
    """Return a signed figure, green or red."""
    if value is None or not math.isfinite(value):
        return Markup(NOTHING)
    colour = "" if round(value, 2) == 0 else "good" if value > 0 else "bad"
    return Markup('<span class="{}">{}{}</span>').format(colour, f"{value:+.2f}".replace("-", "−"), unit)


def price(value: float | None) -> str:
    """Return a price with six significant digits, never in powers of ten."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    digits = max(0, 5 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(digits, 14)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def plain(value: float | None, digits: int = 2) -> str:
    """Return a figure without a sign of its own, or a dash."""
    return NOTHING if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"


def share(part: float, whole: float) -> str:
    """Return a share in percent, a dash of nothing."""
    return f"{part / whole:.0%}" if whole else NOTHING


def figure(value: Any) -> str:
    """Return any plain value of a document for a table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None:
        return NOTHING
    if isinstance(value, list | tuple) and all(isinstance(v, str | int | float | bool) for v in value):
        return ", ".join(figure(v) for v in value)
    return str(value)


def words(name: str) -> str:
    """Return a stored name for people: hard_stop -> hard stop."""
    return name.replace("_", " ")


def long(span: timedelta) -> str:
    """Return a length of time for people."""
    return lasting(span)


def _begins(name: str) -> str:
    return begins(name, own=name not in TRADED_VARIANTS)


def variant_path(name: str) -> str:
    return f"/sigil/variant/{quote(name, safe='')}"


_FILTERS: dict[str, Callable[..., Any]] = {
    "when": when, "ago": ago, "usd": usd, "signed": signed, "price": price, "plain": plain, "words": words,
    "figure": figure, "variant_path": variant_path, "long": long, "begins": _begins,
}  # fmt: skip


def _make_environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).resolve().parent.parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(_FILTERS)
    made.globals.update(share=share, life_tone=LIFE_TONE, escape=escape)
    return made


_environment = _make_environment()
