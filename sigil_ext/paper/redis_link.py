"""A connection to a Redis server that may go away and come back, perhaps elsewhere. Never gives up, never doubles an
attempt by itself: who asks decides how to go on. Start at `Link.ask`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import redis.asyncio as aioredis
import redis.exceptions
import tenacity

from sigil_ext.errors import SigilError
from sigil_ext.paper.feed import EventKind

TIMEOUT_S = 5.0
LONGEST_WAIT_S = 5.0
T = TypeVar("T")
Where = str | Callable[[], str]
"""A URL, or what finds it (and starts the server, where it is ours); that may block and raise a SigilError."""

_REFUSALS = (redis.exceptions.AuthenticationError, redis.exceptions.AuthorizationError, redis.exceptions.ResponseError)
_PASSING = (
    redis.exceptions.OutOfMemoryError, redis.exceptions.ReadOnlyError, redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
)  # fmt: skip
_PASSING_CODES = ("MISCONF", "NOREPLICAS", "LOADING", "OOM", "READONLY", "BUSY")


class ServerLost(Exception):
    """The server does not answer, or cannot serve now."""


class Link:
    """One connection. `is_lost` says how the last attempt ended."""

    def __init__(self, where: Where, note: Callable[[EventKind, str], None]) -> None:
        """Prepare a connection to `where`; `note` is told once when the server is lost, and once when it is back."""
        self._where, self._note = where, note
        self._url: str | None = None
        self._client: aioredis.Redis | None = None
        self._has_answered = False
        self.is_lost = False

    async def ask(self, work: Callable[[aioredis.Redis], Awaitable[T]]) -> T:
        """Return what `work` gets from the server, in one attempt.

        Raises:
            ServerLost: no answer in time. The attempt may have worked all the same.
            SigilError: the server never answered yet and refuses us: password, rights, a key that is no stream.
        """
        try:
            client = self._client if self._client is not None and not self.is_lost else await self._find()
            answer = await _cancellable(work(client))
        except SigilError as error:
            if not self._has_answered:
                raise
            raise self._lose(str(error)) from None
        except (redis.exceptions.RedisError, OSError) as error:
            said = " ".join(str(error).split())[:200] or type(error).__name__
            if not self._has_answered and isinstance(error, _REFUSALS) and not _is_passing(error, said):
                raise SigilError(f"{describe(self._client)} refuses: {said}") from None
            raise self._lose(said) from None
        self._has_answered = True
        if self.is_lost:
            self.is_lost = False
            self._note("back", f"{describe(self._client)} answers again")
        return answer

    async def insist(self, work: Callable[[aioredis.Redis], Awaitable[T]]) -> T:
        """Return what `work` gets from the server, however often and long it takes: `work` must bear being repeated."""
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(ServerLost),
            wait=tenacity.wait_exponential_jitter(multiplier=0.1, max=LONGEST_WAIT_S, jitter=0.1),
        )
        return await retrying(self.ask, work)

    async def close(self) -> None:
        """Give back the connection. May be called twice."""
        if self._client is not None:
            await self._client.aclose()

    async def _find(self) -> aioredis.Redis:
        url = self._where if isinstance(self._where, str) else await asyncio.to_thread(self._where)
        if self._client is None or url != self._url:
            await self.close()
            self._url, self._client = url, connect(url)
        return self._client

    def _lose(self, said: str) -> ServerLost:
        if not self.is_lost:
            self.is_lost = True
            self._note("lost", f"{describe(self._client)}: {said}")
        return ServerLost(said)


async def _cancellable(answer: Awaitable[T]) -> T:
    """Return `answer`, unless we were cancelled meanwhile.

    redis-py sends within `asyncio.wait_for`, which forgets a cancellation that comes just when the work is done, until
    Python 3.12 (github.com/python/cpython/issues/86296): whoever stops a feed would then wait for ever.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        return await answer
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


def connect(url: str) -> aioredis.Redis:
    """Return a client whose attempts fail soon and are not repeated, so that the caller decides how to go on."""
    return aioredis.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=None,
        health_check_interval=30,
        protocol=2,
    )


def describe(client: aioredis.Redis | None) -> str:
    """Return where `client` is connected to, without secrets."""
    if client is None:
        return "Redis"
    known = client.connection_pool.connection_kwargs
    return f"Redis at {known.get('path') or '{}:{}'.format(known.get('host', 'localhost'), known.get('port', 6379))}"


def _is_passing(error: Exception, said: str) -> bool:
    return isinstance(error, _PASSING) or said.startswith(_PASSING_CODES)
