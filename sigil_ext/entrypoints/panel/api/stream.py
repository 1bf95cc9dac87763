"""`/events`: the websocket of what happens, and the same numbers by GET for whoever missed some.

A listener proves itself by an Authorization header, by the session cookie of this origin, or within `PROOF_S` by its first
message, {"type": "auth", "token": "..."}; never in the address. It is told, as JSON:

    {"type": "hello", "stream": "...", "seq": 41, "lost": false, "heartbeat_s": 15}
    {"type": "event", "seq": 42, "prev": 41, "variant": "...", "kind": "...", "at": "...", "data": {...}}
    {"type": "ping", "stream": "...", "seq": 42}          every `HEARTBEAT_S`

`prev` is the number of the event before it that this listener was to get: if it is not the last one that arrived, some are
missing, and GET /events?stream=...&after=<last one that arrived> has them. With `?stream=&after=` on the websocket the
missed ones come first; `lost` in hello says that some of them are gone, or that the stream is another one by now. A
listener that does not keep up is let go with code 4408; nobody else notices.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, WebSocket
from pydantic import AfterValidator, WithJsonSchema
from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.websockets import WebSocketDisconnect, WebSocketState

from sigil_ext.entrypoints.panel.api.envelope import Envelope, answer
from sigil_ext.entrypoints.panel.api.parameters import Variants, demand_known
from sigil_ext.entrypoints.panel.auth import UNAUTHORIZED, Refused, identify, keys_of
from sigil_ext.entrypoints.panel.context import PanelContext, context_of
from sigil_ext.entrypoints.panel.hub import Hub, hub_of
from sigil_ext.errors import UsageError, hint
from sigil_ext.services.events import KINDS, Event, Stream

PROOF_S = 5.0
HEARTBEAT_S = 15.0
SEND_S = 10.0
WAITING = 4000  # events: a burst of a few looks, for one who reads all the time
MOST_LISTENERS = 500
LONGEST_MESSAGE = 4096
MOST_OF_A_REASON = 123  # bytes that a close frame carries
TOO_SLOW, UNKNOWN, TOO_MANY, TOO_BIG = 4408, 4422, 4429, 1009
PARAMETERS = ("variant", "kind", "stream", "after")


router = APIRouter()
socket_router = APIRouter()


def _known_kind(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"there is no kind '{kind}'; {hint(kind, KINDS)}")
    return kind


Kinds = Annotated[
    list[Annotated[str, AfterValidator(_known_kind), WithJsonSchema({"type": "string", "enum": list(KINDS)})]] | None,
    Query(alias="kind", max_length=40, description=f"Only these kinds; repeatable. Known: {', '.join(KINDS)}."),
]


@dataclass(frozen=True, slots=True)
class EventsView:
    """A stretch of the stream. `lost`: events after `after` are gone or belong to another stream; read the API anew.

    `next_after` is what to ask for next; it equals `last` when nothing more is there.
    """

    stream: str
    last: int
    lost: bool
    next_after: int
    events: tuple[Event, ...]


@router.get("/events", response_model=Envelope[EventsView])
async def events(
    request: Request,
    after: Annotated[int, Query(ge=0, le=2**62, description="The number of the last event that arrived.")] = 0,
    stream: Annotated[str | None, Query(max_length=40, description="The stream that `after` belongs to.")] = None,
    variant: Variants = None,
    kind: Kinds = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
) -> Response:
    """The events after a number, oldest first. The stream begins when somebody first asks for it."""
    for name in variant or ():
        context_of(request).demand(name)
    found = await hub_of(request.app.state).stream()
    if stream is not None and stream != found.name:
        return answer(EventsView(found.name, found.last, True, found.last, ()))
    kept, lost = found.after(after, limit)
    wanted = tuple(e for e in kept if (not variant or e.variant in variant) and (not kind or e.kind in kind))
    return answer(EventsView(found.name, found.last, lost, kept[-1].seq if kept else found.last, wanted))


@socket_router.websocket("/events")
async def listen(socket: WebSocket) -> None:
    """Send what happens from now on, or from `after` on."""
    hub = hub_of(socket.app.state)
    if hub.listeners >= MOST_LISTENERS:
        await socket.close(TOO_MANY)
        return
    known = identify(socket) is not None
    if not known and "authorization" in socket.headers:
        await socket.close(UNAUTHORIZED)  # before it is accepted: the answer is a plain 403
        return
    await socket.accept()
    if not known and not await _proves_itself(socket):
        await _close(socket, UNAUTHORIZED, "this needs a token")
        return
    try:
        asked = _Asked.of(socket.query_params, context_of(socket))
    except (Refused, UsageError, ValueError) as error:
        await _close(socket, UNKNOWN, str(error))
        return
    listener = _Listener(asked.variants, asked.kinds)
    stream, leave = await hub.listen(listener.hear)
    try:
        missed, lost = asked.missed(stream)
        hello = {
            "type": "hello", "stream": stream.name, "seq": stream.last, "lost": lost, "heartbeat_s": HEARTBEAT_S,
        }  # fmt: skip
        listener.begin(stream.last, missed, missed[0].seq - 1 if missed else stream.last)
        await _serve(socket, listener, hello, hub)
    finally:
        leave()


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a listener wants to hear, and where it left off."""

    variants: frozenset[str]
    kinds: frozenset[str]
    stream: str | None
    after: int

    @classmethod
    def of(cls, given: QueryParams, context: PanelContext) -> _Asked:
        """Return what stands in the address.

        Raises:
            Refused, UsageError, ValueError: a parameter or a value is none; in silence it would hear nothing, or miss some.
        """
        demand_known(given, PARAMETERS)
        variants, kinds = given.getlist("variant"), given.getlist("kind")
        for name in variants:
            context.demand(name)
        for kind in kinds:
            _known_kind(kind)
        stream, after = given.get("stream"), given.get("after")
        if (stream is None) != (after is None):
            raise ValueError("stream and after go together: the stream's name and the last number that arrived")
        if after is not None and not re.fullmatch("[0-9]{1,18}", after):
            raise ValueError("after: has to be the number of the last event that arrived, 0 or more")
        return cls(frozenset(variants), frozenset(kinds), stream, int(after or 0))

    def missed(self, stream: Stream) -> tuple[Sequence[Event], bool]:
        """Return the events since it left off that are still kept, and whether others are gone."""
        if self.stream is None:
            return (), False
        return stream.after(self.after, stream.last) if self.stream == stream.name else ((), True)


async def _proves_itself(socket: WebSocket) -> bool:
    try:
        async with asyncio.timeout(PROOF_S):
            text = await socket.receive_text()
        said = json.loads(text) if len(text) <= LONGEST_MESSAGE else None
    except (TimeoutError, ValueError, KeyError, RecursionError, WebSocketDisconnect):
        return False
    token = said.get("token") if isinstance(said, dict) and said.get("type") == "auth" else None
    return isinstance(token, str) and keys_of(socket).bearer(token) is not None


class _Listener:
    """One listener's queue. It holds `WAITING` events at most: who lets it fill is too slow."""

    def __init__(self, variants: frozenset[str], kinds: frozenset[str]) -> None:
        self.variants, self.kinds = variants, kinds
        self.queue: asyncio.Queue[tuple[int, int, str]] = asyncio.Queue()
        self.too_slow = asyncio.Event()
        self._waiting_first: list[tuple[Event, str]] | None = []
        self._prev = 0

    def hear(self, event: Event, text: str) -> None:
        """Queue an event; called by the stream."""
        if self._waiting_first is not None:
            self._waiting_first.append((event, text))
        elif self._wants(event):
            if self.queue.qsize() >= WAITING:
                self.too_slow.set()
                return
            self._put(event, text)

    def begin(self, last: int, missed: Sequence[Event], after: int) -> None:
        """Queue what was missed, then what came since it began to listen, then everything else as it comes."""
        self._prev = after
        for event in missed:
            if self._wants(event):
                self._put(event, event.text())
        waited, self._waiting_first = self._waiting_first or [], None
        for event, text in waited:
            if event.seq > last:
                self.hear(event, text)

    def _put(self, event: Event, text: str) -> None:
        self.queue.put_nowait((event.seq, self._prev, text))  # the text is one for all listeners
        self._prev = event.seq

    def _wants(self, event: Event) -> bool:
        return (not self.variants or event.variant in self.variants) and (not self.kinds or event.kind in self.kinds)


async def _serve(socket: WebSocket, listener: _Listener, hello: dict[str, Any], hub: Hub) -> None:
    tasks = [
        asyncio.create_task(_send(socket, listener, hello, hub)),
        asyncio.create_task(_read(socket)),
        asyncio.create_task(listener.too_slow.wait()),
        asyncio.create_task(_session_ends(socket)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    if tasks[2] in done or any(isinstance(r, TimeoutError) for r in results):
        hub.dropped += 1
        await _close(socket, TOO_SLOW, "too slow; begin anew with ?stream=&after=")
    elif tasks[3] in done:
        await _close(socket, UNAUTHORIZED, "the session has ended")
    elif isinstance(results[1], _TooBig):
        await _close(socket, TOO_BIG, "a message of a listener is at most 4096 characters")


async def _send(socket: WebSocket, listener: _Listener, hello: dict[str, Any], hub: Hub) -> None:
    await socket.send_text(json.dumps(hello))
    while True:
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                seq, prev, text = await listener.queue.get()
            message = f'{{"type":"event","seq":{seq},"prev":{prev},{text}}}'
        except TimeoutError:
            message = json.dumps({"type": "ping", "stream": hello["stream"], "seq": hub.last})
        async with asyncio.timeout(SEND_S):
            await socket.send_text(message)


async def _session_ends(socket: WebSocket) -> None:
    """Wait until the session that a listener came with has ended; for ever, if it came with a token."""
    viewer = identify(socket)
    while viewer is None or viewer.by == "token" or identify(socket) is not None:
        await asyncio.sleep(HEARTBEAT_S)


class _TooBig(Exception):
    """A listener sent more than listeners have to say."""


async def _read(socket: WebSocket) -> None:
    """Read and forget what a listener says until it leaves."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if len(message.get("text") or message.get("bytes") or "") > LONGEST_MESSAGE:
            raise _TooBig


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    """Close, if the other side still is there; it is not waited for long."""
    if socket.application_state != WebSocketState.CONNECTED:
        return
    try:
        async with asyncio.timeout(1):
            await socket.close(code, reason.encode()[:MOST_OF_A_REASON].decode(errors="ignore"))
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        return
