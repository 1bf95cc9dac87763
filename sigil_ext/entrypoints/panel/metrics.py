"""/sigil/metrics for Prometheus: ages, counts, equity and latency of every variant, and how the panel itself does.

Read by a bearer of either token, or with a session: where no token is configured no program gets in. The variants are asked at most every `FRESH_S`, however many ask. Start at `router`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from starlette.responses import Response

from sigil_ext import __version__
from sigil_ext.db.connection import Database
from sigil_ext.entrypoints.panel.auth import require_viewer
from sigil_ext.entrypoints.panel.context import Answer, PanelContext, context_of
from sigil_ext.entrypoints.panel.hub import Hub, hub_of
from sigil_ext.services.readings_account import summary
from sigil_ext.services.readings_account_views import VariantView

FRESH_S = 5.0
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
router = APIRouter(include_in_schema=False)

# name after sigil_ -> what it is, how it is read off a variant; None is left out of the answer
GAUGES: dict[str, tuple[str, Callable[[VariantView], float | None]]] = {
    "alive": (
        "1 while the session lives and gets on; 0 also where the database does not answer.",
        lambda v: v.life == "alive",
    ),
    "problems": ("How many things are wrong with the variant.", lambda v: len(v.problems)),
    "scan_age_seconds": ("Since the end of the last scan, by the database's clock.", lambda v: v.heartbeat.scan_age_s),
    "candle_age_seconds": ("Since the end of the last candle processed.", lambda v: v.heartbeat.candle_age_s),
    "write_age_seconds": ("Since the session last wrote progress.", lambda v: v.heartbeat.write_age_s),
    "equity_usd": ("Marked equity.", lambda v: v.equity_usd),
    "cash_usd": ("Free cash.", lambda v: v.cash_usd),
    "positions_usd": ("Open positions at their last prices.", lambda v: v.positions_usd),
    "pnl_usd": ("P&L of all closed positions.", lambda v: v.pnl_usd),
    "pnl_today_usd": ("P&L of positions closed since 00:00 UTC.", lambda v: v.pnl_today_usd),
    "open_positions": ("Open positions.", lambda v: v.open_positions),
    "closed_positions": ("Closed positions.", lambda v: v.closed_positions),
    "hard_stop_share": ("Share of closed positions that the hard stop ended, 0 to 1.", lambda v: v.hard_stop_share),
    "win_rate": ("Share of closed positions that won, 0 to 1.", lambda v: v.win_rate),
    "bans": ("Symbols that are banned now.", lambda v: v.bans),
    "cooldowns": ("Symbols that cool down now.", lambda v: v.cooldowns),
    "universe_accepted": ("Symbols that may be entered.", lambda v: v.universe_accepted),
    "universe_pool": ("Symbols that are followed.", lambda v: v.universe_pool),
    "breaker_tripped": ("1 while the breaker has tripped.", lambda v: v.breaker.tripped),
    "paused": ("1 while entries are paused.", lambda v: v.breaker.paused),
    "alerts_waiting": ("Alerts that are not delivered yet.", lambda v: v.alerts_waiting),
    "database_bytes": ("Size of the variant's database.", lambda v: v.database_bytes),
}


@dataclass(slots=True)
class Meter:
    """The panel's own figures, and the last look at the variants."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    answers: dict[str, Answer[tuple[VariantView, float]]] = field(default_factory=dict)
    looked_at: float = -FRESH_S
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    requests: Histogram = field(init=False)

    def __post_init__(self) -> None:
        self.requests = Histogram(
            "sigil_panel_request_seconds", "How long requests took.", ["method", "route", "status"],
            registry=self.registry, buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
        )  # fmt: skip

    def served(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note a request; `route` is its pattern, never the address that somebody typed."""
        self.requests.labels(method, route, f"{status // 100}xx").observe(seconds)


def _timed(database: Database) -> tuple[VariantView, float]:
    began = time.perf_counter()
    return summary(database), time.perf_counter() - began


def _families(answers: Iterable[Answer[tuple[VariantView, float]]], hub: Hub) -> Iterable[Metric]:
    known = list(answers)
    info = GaugeMetricFamily("sigil_info", "Version of Sigil.", labels=["version"])
    info.add_metric([__version__], 1)
    up = GaugeMetricFamily("sigil_database_up", "1 while the variant's database can be read.", labels=["variant"])
    took = GaugeMetricFamily(
        "sigil_database_latency_seconds", "How long the variant's database took to answer.", labels=["variant"]
    )
    for answer in known:
        up.add_metric([answer.variant], float(answer.value is not None))
        if answer.value is not None:
            took.add_metric([answer.variant], answer.value[1])
    yield from (info, up, took)
    for name, (what, read) in GAUGES.items():
        family = GaugeMetricFamily(f"sigil_{name}", what, labels=["variant"])
        for answer in known:
            if answer.value is not None and (value := read(answer.value[0])) is not None:
                family.add_metric([answer.variant], float(value))
            elif answer.value is None and name == "alive":  # what cannot be seen is not taken for well
                family.add_metric([answer.variant], 0.0)
        yield family
    for name, what, value in (
        ("listeners", "Listeners of the stream of events.", hub.listeners),
        ("listeners_dropped", "Listeners that were let go because they were too slow.", hub.dropped),
        ("events", "Events of the stream so far.", hub.last),
    ):
        family = GaugeMetricFamily(f"sigil_panel_{name}", what)
        family.add_metric([], float(value))
        yield family


class _Collected:
    """Metrics that are known already, in the shape that the registry wants."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


async def look(context: PanelContext, meter: Meter) -> None:
    """Ask the variants, unless they were asked just now."""
    async with meter.lock:
        if time.monotonic() - meter.looked_at >= FRESH_S:
            meter.answers = await context.ask_all(_timed)
            meter.looked_at = time.monotonic()


@router.get("/sigil/metrics")
async def metrics(request: Request) -> Response:
    """Return the figures as Prometheus reads them."""
    require_viewer(request)
    meter: Meter = request.app.state.meter
    await look(context_of(request), meter)
    now = CollectorRegistry()
    now.register(_Collected(_families(meter.answers.values(), hub_of(request.app.state))))
    return Response(generate_latest(now) + generate_latest(meter.registry), headers={"Content-Type": CONTENT_TYPE})
