"""Compare: find out what A and B are, fetch or make their trades, compare, keep the result. Start at `compare`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sigil_ext.db import paper_periods as periods
from sigil_ext.errors import UsageError, hint
from sigil_ext.instants import clock, utc
from sigil_ext.research.backtest_format import counted
from sigil_ext.research.comparison import Side, compare_sides
from sigil_ext.research.comparison_figures import ComparedTrade
from sigil_ext.services import shelf
from sigil_ext.services.backtest import BacktestPlan, CandleSource, Progress, parse_instant, run_backtest
from sigil_ext.services.database import open_database
from sigil_ext.settings.overlays import Variant, load_variant
from sigil_ext.settings.project import Project

MINUTE_MS = 60_000
_ON_SHELF = re.compile(rf"({'|'.join(shelf.KINDS)})-[0-9]{{8}}T[0-9]{{6}}Z-[0-9a-f]+")
_NEXT_KEY = re.compile(r",(?=\s*[a-z_]+(?:\.[a-z_]+)*\s*=)")
FORMS = (
    "a variant (baseline), one with keys changed (baseline:hard_stop.multiplier=2.5), a result of the shelf "
    "(backtest-20261121T101500Z-ab12), a file of sigil backtest --json (run.json, run.json#baseline), "
    "or a paper period (paper:baseline, paper:baseline@2026-01-01..2026-02-01)"
)


@dataclass(frozen=True, slots=True)
class Conditions:
    """On which candles and over which period variants are backtested; the period is also that of sides with none."""

    candles: CandleSource
    start_ms: int | None = None
    finish_ms: int | None = None
    exchange: str = "Binance Spot"
    workers: int | None = None


def compare(
    a: str,
    b: str,
    conditions: Conditions,
    *,
    project: Project,
    effect_usd: float | None = None,
    on_progress: Progress = lambda label, share: None,
) -> dict[str, Any]:
    """Return the comparison of `a` and `b`, each written as one of `FORMS`.

    Raises:
        UsageError: a side is none of these, or has no trades to be had, or the two share no time.
    """
    texts = (a.strip(), b.strip())
    found: dict[str, Side] = {t: side for t in texts if (side := _found(t, conditions, project)) is not None}
    wanted = {t: _variant(t, project) for t in texts if t not in found}
    if wanted:
        plan = BacktestPlan(
            tuple(wanted.values()), conditions.candles, *_period(conditions, list(found.values())), conditions.exchange,
            conditions.workers,
        )  # fmt: skip
        reports = run_backtest(plan, on_progress)
        for text, report in zip(wanted, reports, strict=True):
            found[text] = side_of_report(report, name=text, source="backtest")
    first, second = (_cut(found[t], conditions) for t in texts)
    return compare_sides(first, second, effect_usd=effect_usd)


def keep(project: Project, document: Mapping[str, Any]) -> shelf.Shelved:
    """Put a comparison on the shelf and return its entry."""
    title = f"{document['a']['name']} against {document['b']['name']}, {document['start'][:10]} to {document['finish'][:10]}"
    return shelf.put(project, "comparison", document, title=title, page=None, now=datetime.now(UTC))


def _found(text: str, conditions: Conditions, project: Project) -> Side | None:
    """Return the side of what is there already; None where `text` names a variant, which has to be run."""
    if text.startswith("paper:"):
        return _paper_side(text, conditions, project)
    name, _, which = text.partition("#")
    if _ON_SHELF.fullmatch(name):
        document = shelf.load(project, name)
        return side_of_report(_chosen(_reports(document, name), which, name), name=text, source="report")
    if name.endswith(".json") or "/" in name:
        return side_of_report(_chosen(_reports(_read(Path(name)), name), which, name), name=text, source="report")
    return None


def _variant(text: str, project: Project) -> Variant:
    name, colon, keys = text.partition(":")
    overrides = [part.strip() for part in _NEXT_KEY.split(keys)] if keys.strip() else []
    if not name or (colon and not overrides):
        raise UsageError(f"'{text}' is not something to compare; write {FORMS}")
    return replace(load_variant(name, overrides, project), name=text)


def _period(conditions: Conditions, others: Sequence[Side]) -> tuple[int | None, int | None]:
    """Return start and finish of a backtest: as asked for, else those of the other side."""
    start, finish = conditions.start_ms, conditions.finish_ms
    if others:
        start = others[0].start_ms if start is None else start
        finish = others[0].finish_ms if finish is None else finish
    return start, finish


def _cut(side: Side, conditions: Conditions) -> Side:
    """Return the side within the period that was asked for."""
    start = max(side.start_ms, conditions.start_ms or side.start_ms)
    finish = min(side.finish_ms, conditions.finish_ms or side.finish_ms)
    if start >= finish:
        raise UsageError(
            f"{side.name} covers {clock(side.start_ms)} to {clock(side.finish_ms)}: nothing of the period asked for"
        )
    return replace(side, start_ms=start, finish_ms=finish)


# --- reports ------------------------------------------------------------------------------------------------------


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"no file {file}; make one with: sigil backtest --json > {file}") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise UsageError(f"{file} is not JSON ({error})") from error


def _reports(document: Any, where: str) -> list[Mapping[str, Any]]:
    """Return the backtest reports that a document holds: one, several, or several under `reports`."""
    found = document.get("reports", [document]) if isinstance(document, dict) else document
    needed = {"variant", "start", "finish", "trades"}
    if not isinstance(found, list) or not found or not all(isinstance(r, dict) and needed <= r.keys() for r in found):
        raise UsageError(f"{where} holds no backtest; only what sigil backtest --json prints can be compared")
    return found


def _chosen(reports: Sequence[Mapping[str, Any]], which: str, where: str) -> Mapping[str, Any]:
    names = [str(r["variant"]) for r in reports]
    if not which and len(reports) == 1:
        return reports[0]
    if not which:
        raise UsageError(f"{where} holds {len(reports)} runs ({', '.join(names)}); say which: {where}#{names[0]}")
    if which not in names:
        raise UsageError(f"{where} holds no run '{which}'; {hint(which, names)}")
    return reports[names.index(which)]


def side_of_report(report: Mapping[str, Any], *, name: str, source: str) -> Side:
    """Return the side that a backtest report tells of.

    Raises:
        UsageError: a trade of it lacks a field.
    """
    try:
        trades = tuple(
            ComparedTrade(
                str(t["symbol"]), _ms(t["opened_at"]), _ms(t["closed_at"]), _usd(t["pnl_usd"]), _usd(t["fee"]),
                None if t["risk_usd"] is None else _usd(t["risk_usd"]), t["exit_reason"],
            )
            for t in report["trades"]
        )  # fmt: skip
        start, finish = _ms(report["start"]), _ms(report["finish"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{name} is no report of sigil backtest --json: {type(error).__name__} {error}") from error
    return Side(
        name, source, start, finish, trades, dict(report.get("config") or {}), tuple(report.get("symbols") or ())
    )


# --- paper --------------------------------------------------------------------------------------------------------


def _paper_side(text: str, conditions: Conditions, project: Project) -> Side:
    variant, at, wanted = text.removeprefix("paper:").partition("@")
    begins, dots, ends = wanted.partition("..")
    if not variant or (at and not dots):
        raise UsageError(f"'{text}' is no paper period; write paper:baseline or paper:baseline@2026-01-01..2026-02-01")
    start = parse_instant(begins, f"{text}: the start") if begins.strip() else conditions.start_ms
    finish = parse_instant(ends, f"{text}: the end") if ends.strip() else conditions.finish_ms
    database = open_database(variant, project)
    sessions = [s for s in periods.sessions(database) if s.last_ms is not None]
    # What the earlier bot traded lies before the sessions; it belongs to a period only where one is asked for.
    spans = [_recorded(sessions), _traded(periods.span(database))]
    known = _around([s for s in spans if s] if at else [s for s in spans if s][:1])
    if known is None:
        raise UsageError(f"variant '{variant}' has traded nothing on paper yet; begin with: sigil run paper")
    start, finish = max(known[0], start or known[0]), min(known[1], finish or known[1])
    if start >= finish:
        raise UsageError(f"{text}: paper of '{variant}' covers {clock(known[0])} to {clock(known[1])} only")
    since, until = utc(start), utc(finish)
    trades = tuple(
        ComparedTrade(p.symbol, p.opened_ms, p.closed_ms, p.pnl_usd, p.fees_usd, p.risk_usd, p.exit_reason)
        for p in periods.closed_positions(database, since, until, both_books=True)
    )
    then = [s for s in sessions if s.start_ms < finish and (s.last_ms or 0) + MINUTE_MS > start]
    failed = [a for a in periods.audits(database, since, until) if a.unexplained]
    return Side(
        text, "paper", start, finish, trades, _settings(then), tuple(then[-1].symbols) if then else (),
        tuple(_paper_notes(then, failed)),
    )  # fmt: skip


def _recorded(sessions: Sequence[periods.PaperSession]) -> tuple[int, int] | None:
    ends = [s.last_ms + MINUTE_MS for s in sessions if s.last_ms is not None]
    return (min(s.start_ms for s in sessions), max(ends)) if ends else None


def _traded(span: tuple[datetime, datetime] | None) -> tuple[int, int] | None:
    if span is None:
        return None
    first, last = (int(at.timestamp() * 1000) for at in span)
    return first, last + 1


def _around(spans: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    return (min(begin for begin, _ in spans), max(end for _, end in spans)) if spans else None


def _settings(sessions: Sequence[periods.PaperSession]) -> dict[str, Any]:
    """Return the settings of the last session; `_paper_notes` says where they changed within the period."""
    if not sessions:
        return {}
    last = sessions[-1]
    return dict(last.settings) if last.strategy is None else dict(last.strategy)


def _paper_notes(sessions: Sequence[periods.PaperSession], failed: Sequence[periods.StoredAudit]) -> list[str]:
    notes = []
    if not sessions:
        notes.append("no session was recorded, so its settings are not known")
    if any(s.settings != sessions[-1].settings for s in sessions):
        notes.append("the settings changed within the period; shown are the last ones")
    if failed:
        notes.append(f"{counted(len(failed), 'audit')} of the period found trades without a cause (sigil audit)")
    return notes


def _ms(text: str) -> int:
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _usd(value: Any) -> float:
    amount = float(value)
    if not math.isfinite(amount):
        raise ValueError(f"{value} is no amount of money")
    return amount
