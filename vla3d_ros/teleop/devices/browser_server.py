"""Serves the page and its one websocket: to this machine only, or to whoever has the token."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vla3d_ros.errors import ConfigError, DependencyError
from vla3d_ros.page_access import TELEOP_TOKEN, PageAccess, page_headers, page_url, set_headers

_LOGGER = logging.getLogger(__name__)
_PROTOCOL_LOGGER = logging.getLogger(f"{__name__}.protocol")
_PROTOCOL_LOGGER.setLevel(logging.CRITICAL)  # a browser that opens a connection in advance is no error
_PAGE = Path(__file__).parent.parent / "page" / "index.html"
_TELL_S = 0.1
_SILENT_S = 1.0  # a page that says nothing for longer makes room for another one
_BUSY, _LEFT = 4000, 1001
_LONGEST_MESSAGE = 4096
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self' ws: wss:"


class PageServer:
    """One page in control at a time; another one is told so and turned away."""

    def __init__(self, host: str, port: int, token: str = "") -> None:
        """Take where to listen; port 0 takes a free one.

        Raises:
            ConfigError: If that would let anybody in.
        """
        self._access = PageAccess(host, token, TELEOP_TOKEN)
        self._host, self._port = host, port
        self._server: Any = None
        self._in_control: Any = None
        self._heard_s = 0.0
        self._status = "{}"
        self._lock = threading.Lock()
        self._on_message: Callable[[str | bytes], None] = lambda text: None
        self._on_leave: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        """Where the page is, without the token."""
        return page_url(self._host, self._port)

    def start(self, on_message: Callable[[str | bytes], None], on_leave: Callable[[], None]) -> None:
        """Listen, in threads of its own.

        Args:
            on_message: Called with each message of the page in control.
            on_leave: Called when that page is gone.

        Raises:
            DependencyError: If websockets is not installed.
            ConfigError: If the port is taken.
        """
        try:
            from websockets.sync.server import serve
        except ImportError as error:
            raise DependencyError("the page needs websockets: pip install 'websockets>=13'") from error
        self._on_message, self._on_leave = on_message, on_leave
        try:
            self._server = serve(
                self._talk, self._host, self._port, process_request=self._answer, max_size=_LONGEST_MESSAGE,
                compression=None, ping_interval=5, ping_timeout=5, close_timeout=1, logger=_PROTOCOL_LOGGER,
            )  # fmt: skip
        except OSError as error:
            remedy = "end who listens there, or choose another port"
            raise ConfigError(f"can not listen on {self._host}:{self._port} ({error.strerror}); {remedy}") from error
        self._port = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, name="teleop_page", daemon=True).start()

    def stop(self) -> None:
        """Stop listening and turn the page away."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None
        with self._lock:
            page, self._in_control = self._in_control, None
        if page is not None:
            with contextlib.suppress(Exception):  # it may be gone already
                page.close(_LEFT, "teleoperation has ended")

    def tell(self, status: str) -> None:
        """Take what pages are told next."""
        self._status = status

    def _answer(self, connection: Any, request: Any) -> Any:
        """Answer a request: with the page, with a refusal, or with None, which opens the websocket."""
        path = urlsplit(request.path)
        if refusal := self._access.refusal(request.headers, path.query):
            return connection.respond(HTTPStatus.FORBIDDEN, f"{refusal}\n")
        if path.path == "/ws":
            return None
        if path.path != "/":
            return connection.respond(HTTPStatus.NOT_FOUND, "there is only the page at /\n")
        response = connection.respond(HTTPStatus.OK, _PAGE.read_text(encoding="utf-8"))
        set_headers(response, page_headers("text/html", _POLICY))
        return response

    def _talk(self, page: Any) -> None:
        """Hear one page until it leaves, and tell it ten times a second what is going on."""
        from websockets.exceptions import ConnectionClosed

        if not self._take_control(page):
            page.close(_BUSY, "another page is in control")
            return
        told_s = 0.0
        try:
            while True:
                if (now_s := time.monotonic()) - told_s >= _TELL_S:
                    told_s = now_s
                    page.send(self._status)
                with contextlib.suppress(TimeoutError):
                    text = page.recv(timeout=_TELL_S)
                    self._heard_s = time.monotonic()
                    if self._in_control is not page:
                        return
                    self._on_message(text)
        except ConnectionClosed:
            pass
        finally:
            with self._lock:
                was_in_control = self._in_control is page
                if was_in_control:
                    self._in_control = None
            if was_in_control:
                self._on_leave()

    def _take_control(self, page: Any) -> bool:
        """Give control to a page unless another one was heard just now."""
        with self._lock:
            if self._in_control is not None and time.monotonic() - self._heard_s < _SILENT_S:
                return False
            self._in_control, self._heard_s = page, time.monotonic()
        _LOGGER.info("a page is in control")
        return True
