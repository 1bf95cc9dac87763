"""Two channels that are real HTTP servers on this machine, and a way to write alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from sigil_ext.db.connection import Database
from sigil_ext.db.outbox import Outbox
from tests.alert_receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver().start()
    yield one
    one.stop()


@pytest.fixture
def second_receiver() -> Iterator[Receiver]:
    other = Receiver().start()
    yield other
    other.stop()


@pytest.fixture
def alert(database: Database) -> Callable[..., bool]:
    """alert("entry", "title") writes an alert into the outbox."""

    def put(event: str, title: str, reason: str | None = None, key: str | None = None) -> bool:
        return Outbox(database).put(event, at=datetime.now(UTC), title=title, body="body", reason=reason, key=key)

    return put
