"""A variant that hangs, goes away and comes back: others do not notice, and it is back by itself."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from sigil_ext.entrypoints.panel import context as context_module
from sigil_ext.entrypoints.panel.context import THREADS_OF_A_VARIANT, PanelContext, VariantAway
from sigil_ext.errors import UnknownVariant, UsageError
from tests.panel_server import write_env

from .conftest import address_of, new_home

PATIENCE_S = 60


@pytest.fixture
def context(settings_of_nobody, own, nobody, tmp_path):
    home = new_home(tmp_path)
    write_env(home, {"baseline": address_of(own), "moderate": f"postgresql://eva:a-secret@127.0.0.1:{nobody}/x"})
    return PanelContext(home, deadline_s=20)


def one(database) -> int:
    with database.transaction() as cur:
        cur.execute("SELECT 1")
        return cur.fetchone()[0]


def waits(condition):
    end = time.monotonic() + PATIENCE_S

    async def wait():
        while not await condition():
            assert time.monotonic() < end, "it did not come about"
            await asyncio.sleep(0.05)

    return wait()


def test_all_are_asked_at_once_and_each_says_why_it_says_nothing(context):
    answers = asyncio.run(context.ask_all(one))
    assert (answers["baseline"].value, answers["baseline"].away) == (1, None)
    assert answers["moderate"].away.kind == "unreachable"
    assert answers["aggressive"].away.kind == "absent"
    assert "a-secret" not in answers["moderate"].away.sentence
    assert "127.0.0.1" not in answers["moderate"].away.said


def test_threads_that_never_come_back_do_not_keep_the_variant_away(context, monkeypatch):
    monkeypatch.setattr(context_module, "RETRY_AFTER_S", 0.1)
    released = threading.Event()

    def hangs(database):
        released.wait(PATIENCE_S)

    async def course():
        assert await context.ask("baseline", one) == 1
        context.deadline_s = 0.3
        hung = await asyncio.gather(*(context.ask_all(hangs, ["baseline"]) for _ in range(THREADS_OF_A_VARIANT * 2)))
        assert {answer["baseline"].away.kind for answer in hung} == {"slow"}
        context.deadline_s = 20
        await waits(lambda: answers(context))
        assert not released.is_set()

    try:
        asyncio.run(course())
    finally:
        released.set()


async def answers(context) -> bool:
    return (await context.ask_all(one, ["baseline"]))["baseline"].value == 1


def test_one_slow_question_among_quick_ones_does_not_make_the_variant_away(context):
    released = threading.Event()

    async def course():
        assert await context.ask("baseline", one) == 1
        context.deadline_s = 5
        slow = asyncio.create_task(context.ask_all(lambda d: released.wait(PATIENCE_S), ["baseline"]))
        while not slow.done():
            assert await context.ask("baseline", one) == 1
            await asyncio.sleep(0.05)
        assert (await slow)["baseline"].away.kind == "slow"
        assert await context.ask("baseline", one) == 1

    try:
        asyncio.run(course())
    finally:
        released.set()


def test_while_away_only_one_question_at_a_time_tries(context, monkeypatch):
    monkeypatch.setattr(context_module, "RETRY_AFTER_S", 0.0)
    tried = []
    monkeypatch.setattr(context_module, "readable", lambda name, project: tried.append(name) or failing(name))

    def failing(name):
        time.sleep(0.2)
        raise context_module.MigrationError("run: sigil migrate up")

    async def course():
        await asyncio.gather(*(context.ask_all(one, ["moderate"]) for _ in range(3)))  # nothing is known yet: all try
        tried.clear()
        await asyncio.gather(*(context.ask_all(one, ["moderate"]) for _ in range(20)))

    asyncio.run(course())
    assert len(tried) == 1


def test_a_wrong_question_is_no_outage(context):
    def wrong(database):
        raise UsageError("no such thing")

    async def course():
        with pytest.raises(UsageError):
            await context.ask("baseline", wrong)
        assert await context.ask("baseline", one) == 1
        with pytest.raises(UnknownVariant):
            await context.ask("legacy", one)
        with pytest.raises(VariantAway):
            await context.ask("aggressive", one)

    asyncio.run(course())


def test_what_reads_cannot_write(context):
    def writes(database):
        with database.transaction() as cur:
            cur.execute("INSERT INTO system_state (key) VALUES ('x')")

    answer = asyncio.run(context.ask_all(writes, ["baseline"]))["baseline"]
    assert answer.away is not None
    assert "read-only" in answer.away.sentence
