"""Stored jobs of a live session: a run that was missed while nobody ran is made up once; what is not due waits."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_EXECUTED, EVENT_JOB_MISSED, JobExecutionEvent

from sigil_ext.db.connection import Database
from sigil_ext.services.schedule import Jobs
from sigil_ext.settings.overlays import Variant, load_variant

HOUR = timedelta(hours=1)


@dataclass
class IdleSession:
    """What the jobs ask of a session, of one that has processed every minute."""

    variant: Variant
    database: Database
    last_ms: int = 2**62


def missed_by(jobs: Jobs, job: str, late: timedelta) -> None:
    """Leave the store as a session that was killed `late` before its job was due would."""
    jobs.scheduler.pause()
    jobs.scheduler.modify_job(job, next_run_time=datetime.now(UTC) - late)


def ran(database, project, late: timedelta, jobs_late: tuple[str, ...]) -> tuple[Counter[str], dict[str, datetime]]:
    """Run a session's jobs, end them, let `jobs_late` come due meanwhile, begin again; return what ran, and what is next."""
    counts: Counter[str] = Counter()

    async def work() -> dict[str, datetime]:
        session = IdleSession(load_variant("baseline"), database)
        first = Jobs(session, project)
        first.start(scans=True)
        for job in jobs_late:
            missed_by(first, job, late)
        await first.stop()

        second = Jobs(session, project)

        def count(event: JobExecutionEvent) -> None:
            counts[f"{event.job_id} {'missed' if event.code == EVENT_JOB_MISSED else 'ran'}"] += 1

        second.scheduler.add_listener(count, EVENT_JOB_EXECUTED | EVENT_JOB_MISSED)
        second.start(scans=True)
        deadline = asyncio.get_running_loop().time() + 60
        while not all(any(key.startswith(job) for key in counts) for job in (*jobs_late, "first_scan")):
            assert asyncio.get_running_loop().time() < deadline, counts
            await asyncio.sleep(0.05)
        due = {job.id: job.next_run_time for job in second.scheduler.get_jobs("default")}
        await second.stop()
        return due

    due = asyncio.run(work())
    return counts, due


def test_a_nightly_run_that_was_missed_is_made_up_once_and_the_next_is_where_it_belongs(database, empty_project):
    counts, due = ran(database, empty_project, 3 * HOUR, ("summaries",))
    assert (counts["summaries ran"], counts["summaries missed"]) == (1, 0)
    assert counts["audit ran"] == 0, "nothing was due"
    assert (due["audit"].hour, due["audit"].minute, due["summaries"].minute) == (0, 20, 2)
    assert due["summaries"] > datetime.now(UTC) - timedelta(minutes=1)
