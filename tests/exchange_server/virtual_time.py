"""An event loop whose time stands still while anything works and leaps when all wait: hours pass in seconds, on any machine.

Made for a server and its clients in one process. What they sent each other is read before time goes on, so a test takes the
same course whether the machine is idle or busy. Never for other processes: those live by the wall's clock. Start at `run`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import selectors
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop that never waits for time, only for threads it has started."""

    def __init__(self) -> None:
        self._leaping = _LeapingSelector()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now

    def run_in_executor(self, *args: Any) -> Any:
        future = super().run_in_executor(*args)
        self._leaping.threads += 1
        future.add_done_callback(self._thread_is_done)
        return future

    def _thread_is_done(self, _: object) -> None:
        self._leaping.threads -= 1


class _LeapingSelector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found or timeout == 0:
            return found
        if timeout is None or self.threads:
            return super().select(timeout)
        os.sched_yield()  # the kernel hands loopback data over at once, unless it is very busy
        found = super().select(0)
        if not found:
            self.now += timeout
        return found


def run(work: Callable[[], Awaitable[T]], seconds: float = 6 * 3600.0) -> T:
    """Run `work` in virtual time, for `seconds` of it at most; ccxt's own clocks run with it.

    Fails when work leaves a task behind, or when something broke where nobody awaited it.
    """
    throttler = import_module("ccxt.async_support.base.throttler")
    client = import_module("ccxt.async_support.base.ws.client")
    unheard: list[dict[str, Any]] = []
    if not gc.get_freeze_count():
        gc.freeze()  # what was imported is no litter of this run, and looking through it takes longer than most runs
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner, pytest.MonkeyPatch.context() as patch:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _, context: unheard.append(context))
        patch.setattr(throttler, "time", loop.time)
        patch.setattr(client, "milliseconds", lambda: int(loop.time() * 1000))
        result = runner.run(_within(work, seconds))
    gc.collect()  # futures with an exception that nobody asked for, sessions that nobody closed
    assert unheard == []
    return result


async def _within(work: Callable[[], Awaitable[T]], seconds: float) -> T:
    async with asyncio.timeout(seconds):
        result = await work()
    await asyncio.sleep(120)  # what was told to end has ended by then
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"left running: {left}"
    return result
