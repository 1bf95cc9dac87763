"""A comparison and a backtest as a reader wants them: sentences first, then few tables. Start at `report`.

A document of another version, or one that somebody wrote by hand, may lack what is read here; then there is no such view and
`shelf_views` shows it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sigil_ext.research.backtest_format import shown
from sigil_ext.research.backtest_report import verdict
from sigil_ext.research.comparison_figures import money
from sigil_ext.research.comparison_text import difference_rows, power_lines, side_rows

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Section:
    """A table of text: a title, its column names, its rows; numbers from the second column on."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What stands above everything else: what it found, over what, the tables, what to keep in mind."""

    sentences: tuple[str, ...]
    period: str
    sections: tuple[Section, ...]
    notes: tuple[str, ...]


def report(kind: str, document: Document) -> Report | None:
    """Return the view of a document of `kind`, None where there is none for it."""
    maker = _MAKERS.get(kind)
    try:
        return None if maker is None else maker(document)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None  # not what this version writes; nothing is lost, the whole document follows below


# --- comparison -------------------------------------------------------------------------------------------------------


def _comparison(c: Document) -> Report:
    sections = [
        Section("Both sides", ("", f"A: {c['a']['name']}", f"B: {c['b']['name']}"), tuple(side_rows(c))),
        Section("Difference", ("A − B", "n", "USD, 95 % interval", "R, 95 % interval"), tuple(difference_rows(c))),
        Section("How sure", ("question", "answer"), tuple(_power(c["power"]))),
    ]
    if keys := c["settings"]["differing"]:
        rows = tuple((str(k["key"]), str(k["a"]), str(k["b"])) for k in keys)
        sections.append(Section("Differing keys", ("key", "A", "B"), rows))
    return Report(
        (c["verdict"]["sentence"], c["settings"]["sentence"]),
        f"{_period(c['start'], c['finish'])}, {c['days']} days",
        tuple(sections),
        (*power_lines(c), *c["notes"]),
    )


def _power(power: Document) -> list[tuple[str, str]]:
    least, needed = power["minimum_detectable_usd"], power["days_needed"]
    effect = f"a difference of {money(abs(power['effect_usd']))[1:]} a day, {power['effect_is']}"
    rows = [
        (f"smallest true difference that {power['days']} days show, 4 times in 5", _known(least, _a_day)),
        (f"days until a verdict on {effect}", _known(needed, lambda v: f"{v:,.0f}")),
    ]
    if power["further_days"] is not None:
        rows.append(("of them still to come", f"{power['further_days']:,.0f}"))
        rows.append(("trades of both sides until then", f"{power['trades_needed']:,.0f}"))
    return rows


def _a_day(usd: float) -> str:
    return f"{money(usd)[1:]} a day"


def _known(estimate: Document, write: Callable[[float], str]) -> str:
    return f"unknown: {estimate['reason']}" if estimate["value"] is None else write(estimate["value"])


# --- backtest ---------------------------------------------------------------------------------------------------------

_TOTALS: tuple[tuple[str, Callable[[Document], str]], ...] = (
    ("trades", lambda r: shown(r["totals"]["count"], "count")),
    ("net P&L", lambda r: shown(r["totals"]["pnl_usd"], "signed_usd")),
    ("P&L before costs", lambda r: shown(r["costs"]["gross_pnl_usd"], "signed_usd")),
    ("win rate had", lambda r: shown(r["totals"]["win_rate"], "share")),
    ("win rate needed", lambda r: shown(r["totals"]["win_rate_needed"], "share")),
    ("hard stops, share", lambda r: shown(r["by_exit_reason"].get("hard_stop", {}).get("share", 0.0), "share")),
    ("signals refused", lambda r: shown(sum(v["signals"] for v in r["refused"].values()), "count")),
    ("symbols", lambda r: shown(len(r["symbols"]), "count")),
)


def _backtest(document: Document) -> Report:
    runs: Sequence[Document] = document["reports"]
    names = tuple(str(r["variant"]) for r in runs)
    exits = tuple(
        (
            str(r["variant"]), reason.replace("_", " "), shown(e["count"], "count"), shown(e["share"], "share"),
            shown(e["pnl_usd"], "signed_usd"), shown(e["avg_pnl_usd"], "signed_usd"), shown(e["win_rate"], "share"),
        )
        for r in runs
        for reason, e in r["by_exit_reason"].items()
    )  # fmt: skip
    sections = [
        Section("Figures", ("", *names), tuple((label, *(write(r) for r in runs)) for label, write in _TOTALS)),
        Section("Exits by reason", ("variant", "exit", "trades", "share", "P&L", "a trade", "won"), exits),
        Section("Settings", ("key", *names), _settings(runs)),
    ]
    return Report((verdict(runs),), _period(runs[0]["start"], runs[0]["finish"]), tuple(sections), tuple(_notes(runs)))


def _notes(runs: Sequence[Document]) -> list[str]:
    """Return the notes of each run, what is true of every one of several once and last."""
    if len(runs) == 1:
        return list(runs[0]["notes"])
    shared = [note for note in runs[0]["notes"] if all(note in r["notes"] for r in runs)]
    return [f"{r['variant']}: {note}" for r in runs for note in r["notes"] if note not in shared] + shared


def _settings(runs: Sequence[Document]) -> tuple[tuple[str, ...], ...]:
    keys = dict.fromkeys(key for r in runs for key in r["config"])
    return tuple((key, *(_setting(r["config"].get(key)) for r in runs)) for key in keys)


def _setting(value: Any) -> str:
    return "–" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _period(start: str, finish: str) -> str:
    return f"{start[:16].replace('T', ' ')} to {finish[:16].replace('T', ' ')} UTC"


_MAKERS: dict[str, Callable[[Document], Report]] = {"comparison": _comparison, "backtest": _backtest}
