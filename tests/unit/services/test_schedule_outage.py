"""A scheduler whose job store is lost: one line when it is lost, one when it is back, and every line of anything else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC

import pytest
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import create_engine
from structlog.testing import capture_logs

from sigil_ext.services.schedule import LastingScheduler

NOBODY = "postgresql+psycopg2://u@127.0.0.1:1/x"


async def work() -> None:
    """A job that is never due here."""


@pytest.fixture
def store(tmp_path) -> Iterator[SQLAlchemyJobStore]:
    kept = SQLAlchemyJobStore(url=f"sqlite:///{tmp_path}/jobs.db")
    yield kept
    kept.engine.dispose()


@contextmanager
def scheduler(store: SQLAlchemyJobStore) -> Iterator[LastingScheduler]:
    one = LastingScheduler(timezone=UTC, jobstores={"default": store})
    one.add_job(work, IntervalTrigger(hours=1), id="work")
    one.start()
    try:
        yield one
    finally:
        one.shutdown(wait=False)


def passes(store: SQLAlchemyJobStore, caplog, *engines: str | None) -> tuple[list[str], list[str]]:
    """Look for due jobs once for each of `engines`, the store's own where None; return what we and what the library said."""
    own = store.engine

    async def look() -> None:
        with scheduler(store) as one:
            caplog.clear()
            for url in engines:
                store.engine = own if url is None else create_engine(url)
                assert one._process_jobs() is not None, "it looks again"
                if url is not None:
                    store.engine.dispose()
            store.engine = own

    with capture_logs() as ours, caplog.at_level(logging.WARNING):
        asyncio.run(look())
    return [line["event"] for line in ours], [record.getMessage() for record in caplog.records]


def test_a_store_that_is_lost_and_back_again_is_two_lines_each_time(store, caplog):
    said, by_the_library = passes(store, caplog, None, NOBODY, NOBODY, NOBODY, None, None, NOBODY, None)
    assert said == ["job store lost", "job store back"] * 2
    assert by_the_library == []


def test_a_store_that_fails_in_another_way_is_said_every_time_as_the_library_says_it(store, caplog):
    own = store.get_due_jobs
    store.get_due_jobs = lambda now: own("no time at all")
    said, by_the_library = passes(store, caplog, None, None)
    assert said == []
    assert len(by_the_library) >= 2, "once for each look"
    assert all("Error getting due jobs from job store 'default'" in line for line in by_the_library)
