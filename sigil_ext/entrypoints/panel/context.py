"""What every page and route of the panel stands on: the project, its variants, and their databases asked side by side.

Handlers are `async def` and await `PanelContext.ask` (one variant) or `ask_all` (several at once). A question is a plain
function of one `Database`; it runs in a thread that belongs to that variant alone, so a database that hangs holds up
nobody else's. A variant that did not answer within `DEADLINE_S` counts as away: for `RETRY_AFTER_S` every question is
answered at once with the stored reason, then the next question tries again, and the variant is back by itself.

Connections are read only and give up a statement after `STATEMENT_LIMIT_S`. Acts do not go this way: see `api/acts.py`.

    async def page(request: Request, context: Context) -> ...:
        answers = await context.ask_all(readings_account.summary)
        for name, answer in answers.items():
            answer.value        # what the question returned, None while the variant is away
            answer.away         # why, in a sentence (`Away.sentence`), None while it is there
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

import psycopg2
from fastapi import Depends
from psycopg2.extensions import connection
from starlette.requests import HTTPConnection

from sigil_ext.db.connection import Database
from sigil_ext.errors import DamagedRecord, MigrationError, SigilError, UnknownVariant, UsageError
from sigil_ext.services.status import readable
from sigil_ext.settings.overlays import RESEARCH_ONLY, TRADED_VARIANTS
from sigil_ext.settings.project import Project
from sigil_ext.settings.strategies import strategy_sessions

DEADLINE_S = 2.0
STATEMENT_LIMIT_S = 5
RETRY_AFTER_S = 3.0
THREADS_OF_A_VARIANT = 4

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Away:
    """Why a variant cannot be read now.

    `sentence` is for the operator's own pages: it names the server and says what to do. `said` names nothing of the inside.
    """

    variant: str
    kind: Literal["absent", "unreachable", "outdated", "slow", "damaged"]
    sentence: str

    @property
    def said(self) -> str:
        return f"{self.variant}: {_SAID[self.kind]}"


_SAID = {
    "absent": "nothing ran yet, so it has no database",
    "unreachable": "its database cannot be reached",
    "outdated": "its database waits for a migration",
    "slow": "its database did not answer in time",
    "damaged": "its record is damaged; the panel's log names the minute and the way out",
}


class VariantAway(SigilError):
    """A variant's database cannot be read now."""

    def __init__(self, away: Away) -> None:
        super().__init__(away.sentence)
        self.away = away


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What one variant said: its value, or why it said nothing."""

    variant: str
    value: T | None
    away: Away | None


class PanelDatabase(Database):
    """Connections that only read, and give up a statement that takes too long."""

    def connect(self) -> connection:
        link = super().connect()
        link.set_session(readonly=True)
        with link, link.cursor() as cur:
            cur.execute(f"SET statement_timeout = '{STATEMENT_LIMIT_S}s'; SET lock_timeout = '{STATEMENT_LIMIT_S}s'")
        return link


class _Lane:
    """The threads of one variant. Daemons: one that waits for a dead server must not keep the process from its end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._started = 0
        self._idle = 0
        self._lock = threading.Lock()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            if not self._idle and self._started < THREADS_OF_A_VARIANT:
                self._started += 1
                threading.Thread(target=self._run, name=f"panel {self.name}", daemon=True).start()
        self._work.put((future, work))
        return future

    def retire(self) -> None:
        """Let every thread end once it is done with what it does; for some that is when a lost connection is given up."""
        with self._lock:
            for _ in range(self._started):
                self._work.put(None)

    def _run(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            order = self._work.get()
            with self._lock:
                self._idle -= 1
            if order is None:
                return
            future, work = order
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again where the answer is awaited
                future.set_exception(error)


class _Variant:
    """One variant as the panel sees it: its lane, its database once found, and why it is away."""

    def __init__(self, name: str, project: Project) -> None:
        self.name, self.project = name, project
        self.lane = _Lane(name)
        self.away: Away | None = None
        self._retry_at = 0.0
        self._trying = False
        self._answered_at = 0.0
        self._database: PanelDatabase | None = None
        self._lock = threading.Lock()

    def standing_away(self) -> Away | None:
        """Return the stored reason while it is fresh, or while one question is at the door already."""
        with self._lock:
            if self.away is None:
                return None
            if time.monotonic() < self._retry_at or self._trying:
                return self.away
            self._trying = True  # this question tries; the others are answered from memory meanwhile
            return None

    def is_there(self) -> None:
        with self._lock:
            self.away, self._trying, self._answered_at = None, False, time.monotonic()

    def is_away(self, away: Away, asked_at: float) -> None:
        """Keep the reason for the questions to come, unless another one was answered meanwhile: then only this was slow."""
        with self._lock:
            self._trying = False
            if away.kind == "slow" and self._answered_at > asked_at:
                return
            self.away, self._retry_at = away, time.monotonic() + RETRY_AFTER_S
            lost, self._database = self._database, None
            if away.kind == "slow":  # its threads may wait for long; the next question must not wait behind them
                self.lane.retire()
                self.lane = _Lane(self.name)
        if lost is not None:
            lost.close()

    def nobody_waits(self) -> None:
        """The one who asked is gone; the next question may try."""
        with self._lock:
            self._trying = False

    def asked(self, question: Callable[[Database], T]) -> T:
        """Ask in this thread. Finding the database checks its schema, so no question meets an older one."""
        database = self._database
        if database is None:
            found = readable(self.name, self.project)
            found.close()
            database = self._database = PanelDatabase(self.name, found.address)
        return question(database)


class PanelContext:
    """The project behind the panel. One for a process; safe between threads and event loops."""

    def __init__(self, project: Project, *, beside_jesse: bool = False, deadline_s: float = DEADLINE_S) -> None:
        self.project = project
        self.beside_jesse = beside_jesse
        self.deadline_s = deadline_s
        self.acts_enabled = False  # for programs; the application says so where a token for acts is configured
        self.closings = asyncio.Semaphore(2)  # processes that close positions, at once
        self._variants: dict[str, _Variant] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Return the variants that trade, then the sessions of strategies that ever began here."""
        own = [name for name in strategy_sessions(self.project) if name not in TRADED_VARIANTS]
        return [*TRADED_VARIANTS, *(name for name in own if name not in RESEARCH_ONLY)]

    def demand(self, name: str) -> str:
        """Return `name`.

        Raises:
            UnknownVariant: nothing of that name trades here.
        """
        if name not in (known := self.names()):
            raise UnknownVariant(name, known)
        return name

    async def ask(self, variant: str, question: Callable[[Database], T]) -> T:
        """Return what `question` says of one variant.

        Raises:
            UnknownVariant: there is none of that name. VariantAway: its database cannot be read now.
        """
        answer = await self._answer(self.demand(variant), question)
        if answer.away is not None:
            raise VariantAway(answer.away)
        return answer.value  # type: ignore[return-value]

    async def ask_all(
        self, question: Callable[[Database], T], variants: Sequence[str] | None = None
    ) -> dict[str, Answer[T]]:
        """Return what `question` says of each of `variants`, all asked at once; without any, of all.

        Raises:
            UnknownVariant: one of them is not known.
        """
        names = [self.demand(name) for name in variants] if variants else self.names()
        answers = await asyncio.gather(*(self._answer(name, question) for name in names))
        return dict(zip(names, answers, strict=True))

    async def _answer(self, name: str, question: Callable[[Database], T]) -> Answer[T]:
        variant = self._variant(name)
        if (away := variant.standing_away()) is not None:
            return Answer(name, None, away)
        asked_at = time.monotonic()
        future = variant.lane.submit(lambda: variant.asked(question))
        try:
            value = await asyncio.wait_for(asyncio.wrap_future(future), self.deadline_s)
        except TimeoutError:
            away = Away(name, "slow", f"the database of {name} did not answer within {self.deadline_s:g} s")
        except (SigilError, psycopg2.Error) as error:
            if isinstance(error, UsageError) and not isinstance(error, MigrationError):
                variant.is_there()  # what was asked for is wrong; the database said so
                raise
            away = _away(name, error)
            if isinstance(error, DamagedRecord):
                variant.is_there()  # other questions do not read that minute
                _log.error("%s", error)
                return Answer(name, None, away)
        except BaseException:
            variant.nobody_waits()
            raise
        else:
            variant.is_there()
            return Answer(name, value, None)
        variant.is_away(away, asked_at)
        return Answer(name, None, away)

    def _variant(self, name: str) -> _Variant:
        with self._lock:
            if name not in self._variants:
                self._variants[name] = _Variant(name, self.project)
            return self._variants[name]


def _away(name: str, error: Exception) -> Away:
    if not isinstance(error, SigilError):
        return Away(name, "unreachable", f"the database of {name} cannot be read: {type(error).__name__}")
    said = str(error)
    if "nothing ran yet" in said or "no database yet" in said:
        return Away(name, "absent", said)
    if isinstance(error, DamagedRecord):
        return Away(name, "damaged", said)
    return Away(name, "outdated" if "sigil migrate up" in said else "unreachable", said)


def context_of(connection: HTTPConnection) -> PanelContext:
    """Return the context of the application that serves `connection`."""
    context: PanelContext = connection.app.state.context
    return context


Context = Annotated[PanelContext, Depends(context_of)]
