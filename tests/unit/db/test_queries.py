"""Queries by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sigil_ext.db import queries

USED = "".join(p.read_text() for p in Path(queries.__file__).parent.glob("*.py"))
SUBJECTS = sorted(p.stem for p in queries.FOLDER.glob("*.sql"))


def test_there_are_queries():
    assert set(SUBJECTS) >= {"positions", "protections", "reading", "record", "state", "status"}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_query_has_text_and_is_used_by_its_name(subject):
    for name, text in queries.load(subject).items():
        assert re.match(r"(--|SELECT|INSERT|UPDATE|DELETE|WITH)", text), name
        assert f'"{name}"' in USED or f"'{name}'" in USED, name


def test_a_name_that_stands_twice_is_refused(tmp_path, monkeypatch):
    (tmp_path / "twice.sql").write_text("-- name: a\nSELECT 1\n-- name: a\nSELECT 2\n")
    monkeypatch.setattr(queries, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="twice"):
        queries.load("twice")
