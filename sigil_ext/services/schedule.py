"""The scheduled jobs of a live session: scan, alerts, summaries, nightly audit.

Jobs with a memory are kept in the variant's database (`apscheduler_jobs`), so they survive a crash; a run that was missed
is made up once, however many there were, within its grace. Start at `Jobs.start`.

The scan itself is a function of the candles and happens in the minute that closes at its time, so that paper and backtest
scan alike. The job says when one is due, begins the heartbeat, sees that it was done, and ends the heartbeat: a session that
no longer processes minutes never ends one, and a scheduler that died never begins one.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from apscheduler.executors.asyncio import AsyncIOExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from sigil_ext.db.heartbeat import Heartbeat
from sigil_ext.errors import DatabaseUnavailable
from sigil_ext.paper.feed import MINUTE_MS
from sigil_ext.paper.session import PaperSession
from sigil_ext.services.alert_summaries import daily_summaries, refused_summary
from sigil_ext.services.alerts import sender_job
from sigil_ext.settings.overlays import Variant
from sigil_ext.settings.project import Project

BEAT_EVERY = timedelta(minutes=15)  # the probe calls a scan older than 25 minutes stale
SCAN_GRACE_S = 600
NIGHT_GRACE_S = 12 * 3600
SEND_EVERY_S = 10
LAST_SEND_S = 5.0

_ENGINE = {
    "pool_pre_ping": True,
    "pool_size": 1,
    "connect_args": {"connect_timeout": 5, "application_name": "sigil-jobs"},
}

log = structlog.get_logger("sigil.schedule")


class LastingScheduler(AsyncIOScheduler):  # type: ignore[misc]
    """A scheduler that outlives its job store, and says in one line that it is lost and in one that it is back.

    APScheduler guards the question for due jobs and nothing after it: a database lost while a job's next run is written
    ends its timer without a word, and no job ever runs again. Here it looks again. That question's own failure it logs at
    every try, every 10 s; of a server that cannot be reached only the first is let through, as a line of ours.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lost_since: datetime | None = None
        self._reached = True
        # Its own, not the one that all schedulers share: the filter knows of this one's stores alone.
        self._logger = logging.Logger("apscheduler.scheduler")
        self._logger.parent = logging.getLogger("apscheduler")
        self._logger.addFilter(self._worth_saying)

    def _process_jobs(self) -> float | None:
        self._reached = True
        try:
            wait_s: float | None = super()._process_jobs()
        except SQLAlchemyError as lost:
            wait_s = float(self.jobstore_retry_interval)
            if _is_outage(lost):
                self._lose(lost)
            else:
                self._reached = False
                log.error("job store failed", detail=_first_line(lost))
        if self._reached and self._lost_since is not None:
            log.warning("job store back", lost_since=self._lost_since.isoformat())
            self._lost_since = None
        return wait_s

    def _worth_saying(self, record: logging.LogRecord) -> bool:
        """Return whether a line of APScheduler is logged; one of a server that cannot be reached is said by `_lose`."""
        error = next((a for a in record.args or () if isinstance(a, SQLAlchemyError)), None)
        if error is None or not _is_outage(error):
            return True
        self._lose(error)
        return False

    def _lose(self, error: SQLAlchemyError) -> None:
        self._reached = False
        if self._lost_since is None:
            self._lost_since = datetime.now(UTC)
            log.error("job store lost", detail=_first_line(error))


def _is_outage(error: SQLAlchemyError) -> bool:
    """Return whether a server could not be reached, or was lost, as against a statement that it did not like."""
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or isinstance(error, OperationalError | InterfaceError)


def _first_line(error: SQLAlchemyError) -> str:
    return str(error).splitlines()[0][:200]


class Jobs:
    """The scheduler of one live session, on the running event loop."""

    def __init__(self, session: PaperSession, project: Project) -> None:
        self.session = session
        self.project = project
        self.variant = session.variant.name
        url = session.database.address.url().get_secret_value()
        self.scheduler = LastingScheduler(
            timezone=UTC,
            executors={"default": AsyncIOExecutor()},
            jobstores={
                "default": SQLAlchemyJobStore(url=url, engine_options=_ENGINE),
                "memory": MemoryJobStore(),
            },
            job_defaults={"coalesce": True, "max_instances": 1},
        )

    def start(self, *, scans: bool) -> None:
        """Schedule every job that is not scheduled yet, and begin; without `scans` (a recording) alerts are sent only."""
        _running[self.variant] = self
        keep = {"replace_existing": True, "args": [self.variant]}
        self.scheduler.add_job(
            send, IntervalTrigger(seconds=SEND_EVERY_S), id="send", jobstore="memory", misfire_grace_time=None, **keep
        )
        self.scheduler.start(paused=True)  # with its stores at hand: what they hold is asked below
        if scans:
            self._schedule_stored(keep)
        self.scheduler.resume()

    def _schedule_stored(self, keep: dict[str, Any]) -> None:
        what = self.session.variant
        every = min(what.settings.universe.every, BEAT_EVERY) if isinstance(what, Variant) else BEAT_EVERY
        minutes = max(1, int(every.total_seconds() // 60))
        self._keep(scan, CronTrigger(minute=f"*/{minutes}" if minutes < 60 else "0", timezone=UTC), SCAN_GRACE_S)
        # Once more right away: after a stop the next beat could be a quarter of an hour off, and the probe would trip.
        self.scheduler.add_job(scan, id="first_scan", jobstore="memory", misfire_grace_time=None, **keep)
        self._keep(summaries, CronTrigger(minute=2, timezone=UTC), NIGHT_GRACE_S)
        self._keep(audit, CronTrigger(hour=0, minute=20, timezone=UTC), NIGHT_GRACE_S)

    def _keep(self, work: Callable[[str], Awaitable[None]], trigger: CronTrigger, grace_s: int) -> None:
        """Put a job into the store, with the run that was due there already: one that was missed is still to be made up."""
        name = work.__name__
        stored = self.scheduler.get_job(name, "default")
        due = {"next_run_time": stored.next_run_time} if stored and str(stored.trigger) == str(trigger) else {}
        self.scheduler.add_job(
            work, trigger, id=name, misfire_grace_time=grace_s, replace_existing=True, args=[self.variant], **due
        )

    async def stop(self) -> None:
        """End the scheduler and send what still waits; stored jobs stay for the next start."""
        if self.scheduler.running:
            self.scheduler.shutdown(wait=False)
        _running.pop(self.variant, None)
        await asyncio.to_thread(sender_job, self.variant, self.project, LAST_SEND_S)

    async def scanned(self, boundary: datetime) -> bool:
        """Wait until the session has processed the minute that ends at `boundary`; False if it does not come."""
        target = int(boundary.timestamp() * 1000)
        for _ in range(SCAN_GRACE_S):
            if self.session.last_ms is not None and self.session.last_ms + MINUTE_MS >= target:
                return True
            await asyncio.sleep(1)
        return False


_running: dict[str, Jobs] = {}


async def scan(variant: str) -> None:
    """Begin the heartbeat, see the minute of this quarter of an hour processed, end the heartbeat."""
    jobs = _running.get(variant)
    if jobs is None:
        return
    heartbeat = Heartbeat(jobs.session.database)
    now = datetime.now(UTC)
    boundary = now.replace(minute=now.minute - now.minute % 15, second=0, microsecond=0)
    try:
        await asyncio.to_thread(heartbeat.scan_started)
        if await jobs.scanned(boundary):
            await asyncio.to_thread(heartbeat.scan_ended)
        else:
            log.error("scan did not happen", variant=variant, due=boundary.isoformat())
    except DatabaseUnavailable as lost:
        log.error("scan not noted", variant=variant, detail=str(lost))


async def summaries(variant: str) -> None:
    """Put the summaries of the hour and of days that are over into the outbox."""
    jobs = _running.get(variant)
    if jobs is None:
        return
    database, now = jobs.session.database, datetime.now(UTC)
    try:
        await asyncio.to_thread(refused_summary, database, now)
        await asyncio.to_thread(daily_summaries, database, now)
    except DatabaseUnavailable as lost:
        log.error("no summary", variant=variant, detail=str(lost))


async def audit(variant: str) -> None:
    """Audit the running session, in a process of its own: Jesse's state is process-wide."""
    jobs = _running.get(variant)
    if jobs is None:
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sigil_ext", "audit", "--variant", variant, "--json",
        cwd=jobs.project.root, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    log.info("audit", variant=variant, status=process.returncode, said=said.decode(errors="replace")[-500:])


async def send(variant: str) -> None:
    """Deliver waiting alerts."""
    jobs = _running.get(variant)
    if jobs is not None:
        await asyncio.to_thread(sender_job, variant, jobs.project)
