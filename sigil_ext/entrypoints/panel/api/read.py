"""The routes that read. Each asks one question of `services.readings*`; nothing here writes. Start at `router`."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from sigil_ext.db.connection import Database
from sigil_ext.db.standing import market_now
from sigil_ext.entrypoints.panel.api.envelope import Envelope, answer
from sigil_ext.entrypoints.panel.api.parameters import (
    AskedPage,
    AskedPageOfSymbol,
    AskedSpan,
    Symbol,
    Variant,
    VariantInPath,
    Variants,
    asked_of,
    joined,
    page,
)
from sigil_ext.entrypoints.panel.api.system import SystemView, system_view
from sigil_ext.entrypoints.panel.auth import Refused
from sigil_ext.entrypoints.panel.context import Context
from sigil_ext.services import readings, readings_account, readings_market, shelf
from sigil_ext.services.readings_account_views import (
    BreakerView,
    EquityCurve,
    GateView,
    HeartbeatView,
    PerformanceView,
    RiskView,
    VariantView,
)
from sigil_ext.services.readings_market import TIMEFRAMES, Bar, Benchmark
from sigil_ext.services.readings_views import (
    ActView,
    AlertView,
    AuditView,
    PositionView,
    ProbeView,
    ProtectionEventView,
    ProtectionView,
    RefusalView,
    ScanView,
    SignalView,
    UniverseView,
)

router = APIRouter()
Number = Annotated[int, Path(ge=1, le=2**62)]
ExitReason = Annotated[str | None, Query(pattern=r"^[a-z_]{1,40}$", description="Only of this exit reason.")]
Reason = Annotated[str | None, Query(pattern=r"^[a-z_]{1,40}$", description="Only refused for this reason.")]
Kind = Literal["backtest", "grid", "walkforward", "diagnosis", "comparison"]


@router.get("/system", response_model=Envelope[SystemView])
async def system(context: Context) -> Response:
    """The server itself: versions, and which databases answer how quickly."""
    return answer(await system_view(context))


@router.get("/variants", response_model=Envelope[list[VariantView]])
async def variants(context: Context, variant: Variants = None) -> Response:
    """Each variant at a glance: alive or not, wallet, P&L, what bars it, what is wrong."""
    return await asked_of(context, variant, readings_account.summary)


@router.get("/variants/{variant}", response_model=Envelope[VariantView])
async def one_variant(context: Context, variant: VariantInPath) -> Response:
    """One variant at a glance."""
    return answer(await context.ask(variant, readings_account.summary))


@router.get("/positions", response_model=Envelope[list[PositionView]])
async def positions(
    context: Context,
    asked: AskedPageOfSymbol,
    variant: Variants = None,
    status: Literal["open", "closed", "superseded", "all"] = "open",
    exit_reason: ExitReason = None,
) -> Response:
    """Positions; open ones by their entry, closed ones by their exit, newest first."""
    return await page(
        context, variant, asked, lambda d, w: readings.positions(d, w, status=status, exit_reason=exit_reason)
    )


@router.get("/trades", response_model=Envelope[list[PositionView]])
async def trades(
    context: Context, asked: AskedPageOfSymbol, variant: Variants = None, exit_reason: ExitReason = None
) -> Response:
    """Closed positions, newest exit first."""
    return await page(
        context, variant, asked, lambda d, w: readings.positions(d, w, status="closed", exit_reason=exit_reason)
    )


@router.get("/performance", response_model=Envelope[list[PerformanceView]])
async def performance(context: Context, span: AskedSpan, variant: Variants = None) -> Response:
    """What closed trades brought: win rate and the one needed, payoff, by exit reason, by day, by symbol."""
    return await asked_of(context, variant, lambda d: readings_account.performance(d, span.since, span.until))


@router.get("/risk", response_model=Envelope[list[RiskView]])
async def risk(context: Context, variant: Variants = None) -> Response:
    """What is at stake now, and how near the breaker's limits are."""
    return await asked_of(context, variant, readings_account.risk)


@router.get("/signals", response_model=Envelope[list[SignalView]])
async def signals(
    context: Context,
    asked: AskedPageOfSymbol,
    variant: Variants = None,
    acted: bool | None = None,
    reason: Reason = None,
) -> Response:
    """Entry signals and what became of them."""
    return await page(context, variant, asked, lambda d, w: readings.signals(d, w, acted=acted, reason=reason))


@router.get("/refusals", response_model=Envelope[list[RefusalView]])
async def refusals(
    context: Context, variant: Variants = None, symbol: Symbol = None, reason: Reason = None
) -> Response:
    """How often each symbol was refused, by reason."""
    return await joined(context, variant, lambda d: readings.refusals(d, symbol, reason))


@router.get("/universe", response_model=Envelope[list[UniverseView]])
async def universe(context: Context, variant: Variants = None) -> Response:
    """The last scan of each variant: every symbol of the pool with the reason why it is in or out."""
    return await asked_of(context, variant, readings.universe)


@router.get("/universe/scans", response_model=Envelope[list[ScanView]])
async def scans(context: Context, asked: AskedPage, variant: Variants = None) -> Response:
    """Scans, newest first."""
    return await page(context, variant, asked, readings.scans)


@router.get("/universe/{variant}/{number}", response_model=Envelope[UniverseView])
async def scan(context: Context, variant: VariantInPath, number: Number) -> Response:
    """One scan."""
    return _found(await context.ask(variant, lambda d: readings.universe(d, number)), f"scan {number}")


@router.get("/protections", response_model=Envelope[list[ProtectionView]])
async def protections(context: Context, variant: Variants = None, active: bool | None = None) -> Response:
    """Cooldowns and bans, those in force first."""

    def ask(database: Database) -> list[ProtectionView]:
        return readings.protections(database, market_now(database), active)

    return await joined(context, variant, ask)


@router.get("/protections/events", response_model=Envelope[list[ProtectionEventView]])
async def protection_events(context: Context, asked: AskedPageOfSymbol, variant: Variants = None) -> Response:
    """What happened to protections: who did what, when and why."""
    return await page(context, variant, asked, readings.protection_events)


@router.get("/breaker", response_model=Envelope[list[BreakerView]])
async def breaker(context: Context, variant: Variants = None) -> Response:
    """The circuit breaker and the pause of each variant."""
    return await asked_of(context, variant, readings_account.breaker)


@router.get("/heartbeats", response_model=Envelope[list[HeartbeatView]])
async def heartbeats(context: Context, variant: Variants = None) -> Response:
    """How each variant lives, with ages by its database's clock."""
    return await asked_of(context, variant, readings_account.heartbeat)


@router.get("/probes", response_model=Envelope[list[ProbeView]])
async def probes(context: Context, asked: AskedPage, variant: Variants = None) -> Response:
    """Runs of the probe and what each found."""
    return await page(context, variant, asked, readings.probes)


@router.get("/alerts", response_model=Envelope[list[AlertView]])
async def alerts(context: Context, asked: AskedPage, variant: Variants = None) -> Response:
    """Messages to people and whether they were delivered."""
    return await page(context, variant, asked, readings.alerts)


@router.get("/acts", response_model=Envelope[list[ActView]])
async def acts(context: Context, asked: AskedPageOfSymbol, variant: Variants = None) -> Response:
    """Acts of persons and of the system, with who, when and why."""
    return await page(context, variant, asked, readings.acts)


@router.get("/equity", response_model=Envelope[list[EquityCurve]])
async def equity(
    context: Context,
    span: AskedSpan,
    variant: Variants = None,
    points: Annotated[int, Query(ge=2, le=2000, description="At most about so many points a variant.")] = 500,
) -> Response:
    """The wallet over time."""
    return await asked_of(context, variant, lambda d: readings_account.equity(d, span.since, span.until, points))


@router.get("/audits", response_model=Envelope[list[AuditView]])
async def audits(context: Context, asked: AskedPage, variant: Variants = None) -> Response:
    """Audits of paper against backtest."""
    return await page(context, variant, asked, readings.audits)


@router.get("/audits/{variant}/{number}", response_model=Envelope[dict[str, Any]])
async def one_audit(context: Context, variant: VariantInPath, number: Number) -> Response:
    """One audit with every difference and its cause."""
    found = await context.ask(variant, lambda d: readings.audit(d, number))
    return _found(None if found is None else {"audit": found[0], "report": found[1]}, f"audit {number}")


@router.get("/gate", response_model=Envelope[list[GateView]])
async def gate(context: Context, variant: Variants = None) -> Response:
    """How far each variant is from graduation."""
    return await asked_of(context, variant, readings_account.progress)


@router.get("/benchmarks", response_model=Envelope[list[Benchmark]])
async def benchmarks(
    context: Context,
    variant: Variants = None,
    points: Annotated[int, Query(ge=2, le=500, description="At most about so many points a variant.")] = 100,
) -> Response:
    """The newest session's pool, bought in equal parts and held, against the variant's wallet."""
    return await asked_of(context, variant, lambda d: readings_market.benchmark(d, points))


@router.get("/candles", response_model=Envelope[list[Bar]])
async def candles(
    context: Context,
    span: AskedSpan,
    variant: Variant,
    symbol: Annotated[str, Query(pattern=r"^[\w./-]{1,40}$", description="A symbol: TST-USDT or TSTUSDT.")],
    timeframe: Annotated[str, Query(json_schema_extra={"enum": list(TIMEFRAMES)})] = "15m",
    limit: Annotated[int, Query(ge=1, le=2000, description="The newest so many bars.")] = 500,
) -> Response:
    """Bars of a symbol as the variant's sessions recorded it, oldest first."""
    name = readings.symbol_of(symbol)
    return answer(
        await context.ask(variant, lambda d: readings_market.bars(d, name, timeframe, span.since, span.until, limit))
    )


@router.get("/runs", response_model=Envelope[list[dict[str, Any]]])
async def runs(
    context: Context, kind: Kind | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Response:
    """Results of research on the shelf, newest first."""
    found = await asyncio.to_thread(shelf.listing, context.project, kind)
    return answer([_run(entry) for entry in found[:limit]])


@router.get("/runs/{run_id}", response_model=Envelope[dict[str, Any]])
async def run(context: Context, run_id: Annotated[str, Path(max_length=60)]) -> Response:
    """One result of research with its document."""
    found = await asyncio.to_thread(shelf.listing, context.project, _kind_of(run_id))
    entry = next((e for e in found if e.id == run_id), None)
    if entry is None:
        raise Refused(404, "not_found", "there is no result of that id; see /sigil/api/v1/runs")
    return answer({**_run(entry), "document": await asyncio.to_thread(shelf.load, context.project, run_id)})


def _kind_of(run_id: str) -> str:
    if (match := re.match(rf"({'|'.join(shelf.KINDS)})-", run_id)) is None:
        raise Refused(404, "not_found", "there is no result of that id; see /sigil/api/v1/runs")
    return match[1]


def _run(entry: shelf.Shelved) -> dict[str, Any]:
    """Return what a list shows; a file's path stays inside."""
    return {
        "id": entry.id, "kind": entry.kind, "at": entry.at, "title": entry.title, "readable": entry.problem is None,
        "page": f"/sigil/research/{entry.id}" if entry.page is not None else None,
    }  # fmt: skip


def _found(value: Any, what: str) -> Response:
    if value is None:
        raise Refused(404, "not_found", f"there is no {what}")
    return answer(value)
