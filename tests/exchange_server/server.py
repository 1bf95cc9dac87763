"""The exchange's doors: REST and websocket of Binance spot and Kraken, on loopback, with faults on command.

    server = ExchangeServer(Market(candles, clock))
    await server.start()          # server.rest_url, server.ws_url
    server.refuse(3, 429, retry_after=2)

Start at `ExchangeServer`.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from typing import Any

from aiohttp import WSMsgType, web

from sigil_ext.paper.feed import MINUTE_MS, Row
from tests.exchange_server import binance, kraken
from tests.exchange_server.market import Market

FRAMES_A_MINUTE = 4


class ExchangeServer:
    """Serves one market in both dialects. The attributes below are the faults; all off at first."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.delay_s = 0.0  # before every answer to a request
        self.swallow_closing = False  # the websocket never sends the last state of a minute
        self.send_twice = False
        self.send_reversed = False  # frames of a moment in the opposite order, and the newer minute before the older
        self.mute = False  # connected, but no candle is sent
        self.frozen = False  # not even a ping is answered
        self.no_websockets = False  # as behind a firewall
        self.fills_flat = False  # Kraken's requests give a candle without volume where its websocket is silent
        self.broken: set[str] = set()  # symbols whose candles cannot be asked for
        self.called_halted: set[str] = set()  # listed as halted while they trade
        self.skew_ms = 0
        self.requests: Counter[str] = Counter()
        self.connections = 0
        self._refusals: deque[tuple[int, float | None, str]] = deque()
        self._sockets: dict[web.WebSocketResponse, _Subscriptions] = {}
        self._away = False
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._port = 0
        self._pusher: asyncio.Task[None] | None = None

    # --- running ------------------------------------------------------------------------------------------------------

    @property
    def rest_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self._port}"

    @property
    def watchers(self) -> int:
        """Return how many websockets are open."""
        return len(self._sockets)

    async def start(self) -> None:
        app = web.Application(middlewares=[self._faults])
        app.router.add_get("/api/v3/exchangeInfo", self._binance_info)
        app.router.add_get("/api/v3/klines", self._binance_klines)
        app.router.add_get("/api/v3/time", self._binance_time)
        app.router.add_get("/ws/{stream}", self._websocket)
        app.router.add_get("/ws", self._websocket)
        app.router.add_get("/0/public/AssetPairs", self._kraken_pairs)
        app.router.add_get("/0/public/Assets", self._kraken_assets)
        app.router.add_get("/0/public/OHLC", self._kraken_ohlc)
        app.router.add_get("/0/public/Time", self._kraken_time)
        app.router.add_get("/0/public/SystemStatus", self._kraken_status)
        app.router.add_get("/v2", self._websocket)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await self._open()
        self._pusher = asyncio.create_task(self._push())

    async def stop(self) -> None:
        assert self._runner is not None
        assert self._pusher is not None
        self._pusher.cancel()
        await asyncio.gather(self._pusher, return_exceptions=True)
        self.drop_connections()
        await self._runner.cleanup()

    async def _open(self) -> None:
        assert self._runner is not None
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await self._site.start()
        self._port = self._site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    # --- faults -------------------------------------------------------------------------------------------------------

    def drop_connections(self) -> None:
        """Cut every websocket in the middle of nowhere: no close frame."""
        for socket in list(self._sockets):
            self._sockets.pop(socket, None)
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()

    async def go_away(self) -> None:
        """Refuse connections and cut those there are, until `come_back`."""
        assert self._site is not None
        self._away = True
        await self._site.stop()
        self.drop_connections()

    async def come_back(self) -> None:
        self._away = False
        await self._open()

    def refuse(self, times: int, status: int, retry_after: float | None = None, body: str = "{}") -> None:
        """Answer the next requests with `status`."""
        self._refusals.extend([(status, retry_after, body)] * times)

    async def send_garbage(self, *texts: str) -> None:
        """Send `texts` down every websocket."""
        for socket in list(self._sockets):
            for text in texts:
                await socket.send_str(text)

    @web.middleware
    async def _faults(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self._away:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        if request.path.startswith(("/ws", "/v2")):
            return await handler(request)
        self.requests[request.path.rsplit("/", 1)[-1]] += 1
        if self._refusals:
            status, retry_after, body = self._refusals.popleft()
            self.requests["refused"] += 1
            headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
            return web.Response(status=status, headers=headers, text=body, content_type="application/json")
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        return await handler(request)

    # --- Binance ------------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return self.market.clock.now_ms() + self.skew_ms

    async def _binance_info(self, _: web.Request) -> web.Response:
        return web.json_response(binance.listing(self.market.listed, self.market.halted | self.called_halted))

    async def _binance_time(self, _: web.Request) -> web.Response:
        return web.json_response({"serverTime": self._now()})

    async def _binance_klines(self, request: web.Request) -> web.Response:
        symbol = self._by_binance(request.query["symbol"])
        if symbol is None:
            return web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)
        limit = min(int(request.query.get("limit", 500)), 1000)
        now = self.market.clock.now_ms()
        since = int(request.query.get("startTime", now - limit * MINUTE_MS))
        if symbol in self.broken:
            return web.json_response({"code": -1000, "msg": "An unknown error occurred while processing the request."})
        return web.json_response([binance.row(r) for r in self.market.rows_from(symbol, since, now, limit)])

    def _by_binance(self, name: str) -> str | None:
        return next((s for s in self.market.listed if binance.name(s) == name.upper()), None)

    # --- Kraken -------------------------------------------------------------------------------------------------------

    async def _kraken_pairs(self, _: web.Request) -> web.Response:
        return web.json_response(kraken.listing(self.market.listed, self.market.halted | self.called_halted))

    async def _kraken_assets(self, _: web.Request) -> web.Response:
        return web.json_response(kraken.assets(self.market.listed))

    async def _kraken_time(self, _: web.Request) -> web.Response:
        return web.json_response(kraken.time(self._now()))

    async def _kraken_status(self, _: web.Request) -> web.Response:
        return web.json_response(kraken.status(self._now()))

    async def _kraken_ohlc(self, request: web.Request) -> web.Response:
        pair = request.query["pair"]
        known = kraken.listing(self.market.listed, ())["result"].get(pair)
        symbol = next((s for s in self.market.listed if known and kraken.name(s) == known["wsname"]), None)
        if symbol is None:
            return web.json_response({"error": ["EQuery:Unknown asset pair"]})
        if symbol in self.broken:
            return web.json_response(kraken.ohlc(pair, [], 0) | {"result": {pair: "none"}})
        now = self.market.clock.now_ms()
        since = int(float(request.query.get("since", 0))) * 1000
        oldest = now // MINUTE_MS * MINUTE_MS - (kraken.ROWS - 1) * MINUTE_MS
        rows = self.market.rows_from(symbol, max(since + 1, oldest), now, kraken.ROWS)
        return web.json_response(kraken.ohlc(pair, self._filled(rows) if self.fills_flat else rows, now))

    def _filled(self, rows: list[Row]) -> list[Row]:
        filled = rows[:1]
        for row in rows[1:]:
            while filled[-1][0] + MINUTE_MS < row[0]:
                filled.append(kraken.flat(int(filled[-1][0]) + MINUTE_MS, filled[-1][2]))
            filled.append(row)
        return filled

    # --- websocket ----------------------------------------------------------------------------------------------------

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if self.no_websockets:
            return web.Response(status=403)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self.connections += 1
        mine = self._sockets[socket] = _Subscriptions(is_kraken=request.path == "/v2")
        if mine.is_kraken:
            await socket.send_json({"channel": "status", "type": "update", "data": [{"system": "online"}]})
        try:
            async for message in socket:
                if self.frozen:
                    continue
                if message.type == WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type == WSMsgType.TEXT:
                    await self._asked(socket, mine, json.loads(message.data))
        finally:
            self._sockets.pop(socket, None)
        return socket

    async def _asked(self, socket: web.WebSocketResponse, mine: _Subscriptions, asked: dict[str, Any]) -> None:
        if asked["method"] == "ping":
            await socket.send_json({"method": "pong", "req_id": asked.get("req_id")})
        elif asked["method"] == "SUBSCRIBE":
            for name in asked["params"]:
                symbol = self._by_binance(name.partition("@")[0])
                if symbol is not None:
                    mine.symbols.add(symbol)
            await socket.send_json({"result": None, "id": asked["id"]})
        elif asked["method"] == "subscribe" and asked["params"]["channel"] == "ohlc":
            now = self.market.clock.now_ms()
            for name in asked["params"]["symbol"]:
                symbol = name.replace("/", "-")
                mine.symbols.add(symbol)
                accepted = {"channel": "ohlc", "symbol": name, "interval": 1}
                await socket.send_json({"method": "subscribe", "result": accepted, "success": True})
                rows = self.market.rows_from(symbol, now - 10 * MINUTE_MS, now, 20)
                await socket.send_json(kraken.frame("snapshot", symbol, rows, now))

    async def _push(self) -> None:
        """Send every subscriber the state of its minutes, `FRAMES_A_MINUTE` times a minute and when one closes."""
        step = MINUTE_MS // FRAMES_A_MINUTE
        clock = self.market.clock
        last = clock.now_ms() // step
        while True:
            await clock.sleep(max(0.0, ((last + 1) * step - clock.now_ms()) / 1000))
            now = clock.now_ms()
            if now // step <= last:
                continue
            closed = now // MINUTE_MS > last * step // MINUTE_MS
            last = now // step
            if self.mute or self.frozen:
                continue
            for socket, mine in list(self._sockets.items()):
                frames = [f for s in sorted(mine.symbols) for f in self._frames(s, mine, now, closed)]
                if self.send_reversed:
                    frames.reverse()
                if self.send_twice:
                    frames = [f for f in frames for _ in range(2)]
                for frame in frames:
                    try:
                        await socket.send_str(frame)
                    except (ConnectionError, RuntimeError):
                        break

    def _frames(self, symbol: str, mine: _Subscriptions, now: int, closed: bool) -> list[str]:
        frames: list[str] = []
        if symbol in self.market.delisted:
            return frames
        before = self.market.rows[symbol].get(now // MINUTE_MS * MINUTE_MS - MINUTE_MS)
        forming = self.market.forming(symbol, now)
        if closed and before is not None and not self.swallow_closing:
            frames.append(self._frame(symbol, mine, before, now, is_final=True))
        if forming is not None and symbol not in self.market.halted:
            frames.append(self._frame(symbol, mine, forming, now, is_final=False))
        return frames

    def _frame(self, symbol: str, mine: _Subscriptions, row: Row, now: int, *, is_final: bool) -> str:
        if mine.is_kraken:
            return json.dumps(kraken.frame("update", symbol, [row], now))
        return json.dumps(binance.frame(symbol, row, now, is_final=is_final))


class _Subscriptions:
    def __init__(self, *, is_kraken: bool) -> None:
        self.is_kraken = is_kraken
        self.symbols: set[str] = set()
