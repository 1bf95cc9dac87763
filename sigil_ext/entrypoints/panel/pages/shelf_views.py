"""A research document of any kind as tables for a page: its settings and data, its figures, heatmaps of a grid.

What a document holds is its maker's business; what is not known here is shown as it is. Start at `views`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sigil_ext.entrypoints.panel.pages.heatmaps import choices, heatmaps

MOST_ROWS = 200
MOST_COLUMNS = 24
MOST_CHARACTERS = 200_000
DEEP = 3
MOST_LISTED = 30


@dataclass(frozen=True, slots=True)
class Table:
    """A table for the page: a title, its column names, its rows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    left_out: int


def views(document: Mapping[str, Any], chosen: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what result.html draws: plain facts, tables, heatmaps (`chosen` as they take it) and the document's text."""
    text = json.dumps(document, indent=1, ensure_ascii=False)
    return {
        "facts": list(_facts(document)),
        "tables": list(_tables(document)),
        "heatmaps": heatmaps(document, chosen),
        "choices": choices(document, chosen),
        "text": text[:MOST_CHARACTERS],
        "cut": len(text) > MOST_CHARACTERS,
    }


def _facts(document: Mapping[str, Any], before: str = "", depth: int = 0) -> Iterable[tuple[str, Any]]:
    """Yield (path, value) of what is plain, nested parts with their path."""
    for key, value in document.items():
        path = f"{before}{key}"
        if isinstance(value, Mapping):
            if depth < DEEP:
                yield from _facts(value, f"{path}.", depth + 1)
        elif _is_plain(value):
            yield path, value


def _is_plain(value: Any) -> bool:
    if not isinstance(value, list | tuple):
        return True
    return len(value) <= MOST_LISTED and all(isinstance(v, str | int | float | bool) for v in value)


def _tables(document: Mapping[str, Any], before: str = "", depth: int = 0) -> Iterable[Table]:
    """Yield a table of each list of objects."""
    for key, value in document.items():
        path = f"{before}{key}"
        if isinstance(value, Mapping) and depth < DEEP:
            yield from _tables(value, f"{path}.", depth + 1)
        elif isinstance(value, list | tuple) and value and all(isinstance(v, Mapping) for v in value):
            yield _table(path, value)


def _table(title: str, items: Sequence[Mapping[str, Any]]) -> Table:
    shown = [_flat(item) for item in items[:MOST_ROWS]]
    columns = tuple(dict.fromkeys(key for item in shown for key in item))[:MOST_COLUMNS]
    rows = tuple(tuple(item.get(c) for c in columns) for item in shown)
    return Table(_titled(title), columns, rows, max(0, len(items) - MOST_ROWS))


def _titled(path: str) -> str:
    """Return a path as a heading: posture.rows -> Posture, curves.cells -> Curves: cells."""
    said = ": ".join(path.removesuffix(".rows").replace("_", " ").split("."))
    return said[:1].upper() + said[1:]


def _flat(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain values of an object and of the objects in it."""
    found: dict[str, Any] = {}
    for key, value in item.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{k}": v for k, v in value.items() if _is_plain(v) and not isinstance(v, Mapping)}
        elif _is_plain(value):
            found[key] = value
    return found
