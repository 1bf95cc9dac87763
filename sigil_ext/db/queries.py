"""Queries by name: `sql/<subject>.sql` holds them, each under a line `-- name: <name>`. Start at `load`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from psycopg2.extensions import cursor

from sigil_ext.db.connection import Database

FOLDER = Path(__file__).parent / "sql"
_NAME = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)


@cache
def load(subject: str) -> Mapping[str, str]:
    """Return the queries of `sql/<subject>.sql` by name.

    Raises:
        ValueError: a name stands there twice.
    """
    parts = _NAME.split((FOLDER / f"{subject}.sql").read_text(encoding="utf-8"))
    names, bodies = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise ValueError(f"sql/{subject}.sql names a query twice")
    return MappingProxyType({name: body.strip() for name, body in zip(names, bodies, strict=True)})


def fetch(database: Database, query: str, /, **values: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query, in the caller's transaction if there is one."""
    with database.transaction() as cur:
        cur.execute(query, values or None)
        return cur.fetchall()


def one(cur: cursor) -> tuple[Any, ...]:
    """Return the row of the query that was run last and always has one."""
    row = cur.fetchone()
    assert row is not None
    return row
