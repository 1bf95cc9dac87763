"""A research document of any kind as tables for a page: its settings and data, its figures, heatmaps of a grid.

What a document holds is its maker's business; what is not known here is shown as it is. Start at `views`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_ROWS = 200
MOST_CHARACTERS = 200_000
DEEP = 3


@dataclass(frozen=True, slots=True)
class Table:
    """A table for the page: a title, its column names, its rows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    left_out: int


def views(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what result.html draws: plain facts, tables, heatmaps and the text of the document."""
    text = json.dumps(document, indent=1, ensure_ascii=False)
    return {
        "facts": list(_facts(document)),
        "tables": list(_tables(document)),
        "heatmaps": [],
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
    return len(value) <= 30 and all(isinstance(v, str | int | float | bool) for v in value)


def _tables(document: Mapping[str, Any], before: str = "", depth: int = 0) -> Iterable[Table]:
    """Yield a table of each list of objects."""
    for key, value in document.items():
        path = f"{before}{key}"
        if isinstance(value, Mapping) and depth < DEEP:
            yield from _tables(value, f"{path}.", depth + 1)
        elif isinstance(value, list | tuple) and value and all(isinstance(v, Mapping) for v in value):
            yield _table(path, value)


def _table(title: str, items: Sequence[Mapping[str, Any]]) -> Table:
    columns = [k for k in dict.fromkeys(k for item in items[:50] for k in item)]
    plain = [c for c in columns if not any(isinstance(item.get(c), Mapping | list) for item in items[:50])]
    rows = tuple(tuple(item.get(c) for c in plain) for item in items[:MOST_ROWS])
    return Table(title, tuple(plain), rows, max(0, len(items) - MOST_ROWS))
