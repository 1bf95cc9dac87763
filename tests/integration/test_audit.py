"""What an audit refuses to audit, on records in PostgreSQL."""

from __future__ import annotations

import pytest

from tests.paper_history import PaperHistory


@pytest.fixture
def history(database, monkeypatch) -> PaperHistory:
    """The record of baseline, found by commands too."""
    monkeypatch.setenv("SIGIL_DATABASE_URL_BASELINE", database.address.url().get_secret_value())
    return PaperHistory(database)


@pytest.mark.parametrize("since", ["2030-01-01", "2026-01-06"])
def test_an_audit_of_nothing_is_refused_and_not_stored(history, server, sigil, since):
    history.session(1)  # its last minute ends at the very beginning of the sixth
    ran = sigil("audit", "--variant", "baseline", "--since", since, project=server)
    assert (ran.status, ran.out) == (2, "")
    assert f"recorded nothing since {since} 00:00 UTC, its last minute ended 2026-01-06 00:00" in ran.err
    with history.database.transaction() as cur:
        cur.execute("SELECT count(*) FROM audits")
        assert cur.fetchone() == (0,)
