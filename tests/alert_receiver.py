"""A real HTTP server as an alert channel, which can be told to fail, to be slow, to break off, and to go away."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pydantic import SecretStr

from sigil_ext.notify.channel import Channel, open_channel
from sigil_ext.settings.alerts import AlertFilter, ChannelSetting


class Receiver:
    """What arrived is in `got`, as (title, body), in the order of arrival; `answer` decides the status of a message."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.got: list[tuple[str, str]] = []
        self.answer: Callable[[str], int] = lambda title: 200
        self.delay_s = 0.0
        self.break_off = False
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/SECRET-TOKEN"

    @property
    def titles(self) -> list[str]:
        return [title for title, _ in self.got]

    def channel(self, *filters: AlertFilter) -> Channel:
        return open_channel(ChannelSetting(SecretStr(self.url), filters, "SIGIL_ALERT_URLS"))

    def start(self) -> Receiver:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = receiver.answer(message["title"])
                if 200 <= status < 300:
                    receiver.got.append((message["title"], message["message"]))
                time.sleep(receiver.delay_s)
                if receiver.break_off:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # the sender hung up: that is what some tests are about

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
