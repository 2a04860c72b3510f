"""Serves the page, a line of its own for STOP, the state, the pictures, and the 3D view behind the same door."""

from __future__ import annotations

import contextlib
import hmac
import http.client
import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from vla3d_ros.errors import ConfigError, DependencyError
from vla3d_ros.page_access import CONSOLE_TOKEN, PageAccess, page_headers, page_url, set_headers

_PROTOCOL_LOGGER = logging.getLogger(f"{__name__}.protocol")
_PROTOCOL_LOGGER.setLevel(logging.CRITICAL)  # a browser that opens a connection in advance is no error
_PAGE = Path(__file__).parent / "page"
_FILES = {"/": ("index.html", "text/html"), "/console.css": ("console.css", "text/css")}
_SCRIPTS = ("link", "console", "robot", "trial")
_FILES |= {f"/{name}.js": (f"{name}.js", "text/javascript") for name in _SCRIPTS}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
    "connect-src 'self' ws: wss:; frame-src 'self'"
)
_LONGEST_MESSAGE = 16384
_VIEW, _VIEW_S = "/view", 5.0
_VIEW_HEAD = "view_head.html"  # what is put in front of the 3D view's own page
_TELL_S = 0.1
_PATIENCE_S = 2.0
_LEFT = 1001


class ConsoleServer:
    """As many tabs as one likes; each has threads of its own, so that none waits for another.

    `/stop` is a websocket that carries nothing but STOP, `/ws` the other buttons and the state, `/pictures` JPEGs. What
    a tab does not take in time is skipped, not queued.
    """

    def __init__(self, host: str, port: int, token: str, view_port: int | None) -> None:
        """Take where to listen; port 0 takes a free one.

        Args:
            host: Address to listen on.
            port: Of the page.
            token: Every request needs it in its query; empty on the loopback.
            view_port: Where the 3D view is served on the loopback; None without one.

        Raises:
            ConfigError: If that would let anybody in.
        """
        self._access = PageAccess(host, token, CONSOLE_TOKEN)
        self._host, self._port, self._view_port = host, port, view_port
        self._view_key = secrets.token_urlsafe(16) if view_port is not None else ""
        self._server: Any = None
        self._is_closing = threading.Event()
        self._state = "{}"
        self._pictures: dict[str, tuple[int, bytes]] = {}
        self._changed = threading.Condition()
        self._tabs: set[Any] = set()
        self.on_stop: Callable[[], None] = lambda: None
        """Called in the thread of the tab that says stop."""
        self.on_message: Callable[[str | bytes], None] = lambda text: None
        """Called with what else a tab says, in that tab's thread."""

    @property
    def url(self) -> str:
        """Where the page is, without the token."""
        return page_url(self._host, self._port)

    @property
    def tabs(self) -> int:
        """How many tabs are connected."""
        return len(self._tabs)

    def start(self) -> None:
        """Listen, in threads of its own.

        Raises:
            DependencyError: If websockets is not installed.
            ConfigError: If the port is taken.
        """
        try:
            from websockets.sync.server import serve
        except ImportError as error:
            raise DependencyError("the console needs websockets: pip install 'websockets>=13'") from error
        try:
            self._server = serve(
                self._talk, self._host, self._port, process_request=self._answer, max_size=_LONGEST_MESSAGE,
                select_subprotocol=_first_protocol, compression=None, ping_interval=5, ping_timeout=5,
                close_timeout=1, logger=_PROTOCOL_LOGGER,
            )  # fmt: skip
        except OSError as error:
            remedy = "end who listens there, or choose another port with --port"
            raise ConfigError(f"can not listen on {self._host}:{self._port} ({error.strerror}); {remedy}") from error
        self._port = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, name="console_page", daemon=True).start()

    def stop(self) -> None:
        """Stop listening and turn all tabs away."""
        self._is_closing.set()
        if self._server is not None:
            self._server.shutdown()
            self._server = None
        for tab in list(self._tabs):
            with contextlib.suppress(Exception):  # it may be gone already
                tab.close(_LEFT, "the console has ended")

    def tell(self, state: str) -> None:
        """Take what tabs are told next, JSON."""
        self._state = state

    def show(self, name: str, jpeg: bytes) -> None:
        """Take a camera's newest picture."""
        with self._changed:
            number = self._pictures.get(name, (0, b""))[0] + 1
            self._pictures[name] = (number, jpeg)
            self._changed.notify_all()

    # ----------------------------------------------------------------------------------------- requests

    def _answer(self, connection: Any, request: Any) -> Any:
        """Answer a request: with a file, with a refusal, or with None, which opens the websocket."""
        path = urlsplit(request.path)
        is_view = path.path == _VIEW or path.path.startswith(f"{_VIEW}/")
        is_secret = path.path not in _FILES or path.path == "/"  # style and scripts are the same for everybody
        if is_view and self._view_port is not None:
            refusal = "" if self._has_view_key(path.query) else "the 3D view is opened by the page only"
        else:
            refusal = self._access.refusal(request.headers, path.query) if is_secret else ""
        if refusal:
            return connection.respond(HTTPStatus.FORBIDDEN, f"{refusal}\n")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return None
        if path.path.startswith(f"{_VIEW}/"):
            return self._view_file(connection, path.path.removeprefix(_VIEW))
        if path.path not in _FILES:
            return connection.respond(HTTPStatus.NOT_FOUND, "there is only the page at /\n")
        file, kind = _FILES[path.path]
        text = (_PAGE / file).read_text(encoding="utf-8").replace("VIEW_KEY", self._view_key)
        response = connection.respond(HTTPStatus.OK, text)
        set_headers(response, page_headers(kind, _POLICY))
        return response

    def _has_view_key(self, query: str) -> bool:
        """Whether a request for the view knows what only the page was told: the view has no origin to be judged by."""
        given = parse_qs(query).get("key", [""])[0]
        return hmac.compare_digest(given.encode(), self._view_key.encode())

    def _view_file(self, connection: Any, path: str) -> Any:
        """Fetch a file of the 3D view."""
        if self._view_port is None:
            return connection.respond(HTTPStatus.NOT_FOUND, "this console has no 3D view\n")
        link = http.client.HTTPConnection("127.0.0.1", self._view_port, timeout=_VIEW_S)
        try:
            link.request("GET", path)
            found = link.getresponse()
            response = connection.respond(HTTPStatus(found.status), "")
            response.body = found.read().replace(b"<head>", b"<head>" + (_PAGE / _VIEW_HEAD).read_bytes(), 1)
            kind = found.headers.get("Content-Type", "application/octet-stream")
            kind = f"{kind}; charset=utf-8" if kind == "text/html" else kind  # what is put in front hides its own word
        except OSError as error:
            return connection.respond(HTTPStatus.BAD_GATEWAY, f"the 3D view does not answer: {error}\n")
        finally:
            link.close()
        view_only = {"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
        set_headers(response, {"Content-Type": kind, "Content-Length": str(len(response.body)), **view_only})
        return response

    # --------------------------------------------------------------------------------------- websockets

    def _talk(self, tab: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        path = urlsplit(tab.request.path).path.rstrip("/")
        talks = {"/stop": self._hear_stop, "/ws": self._converse, "/pictures": self._send_pictures, _VIEW: self._pipe}
        if path not in talks:
            tab.close(_LEFT, "there is no such line")
            return
        self._tabs.add(tab)
        with contextlib.suppress(ConnectionClosed):
            talks[path](tab)
        self._tabs.discard(tab)

    def _hear_stop(self, tab: Any) -> None:
        """Stop at whatever comes, and say that it was heard; an empty message only asks whether the line is good."""
        for text in tab:
            if text:
                self.on_stop()
            tab.send("heard" if text else "")

    def _converse(self, tab: Any) -> None:
        """Tell a tab ten times a second what is going on, and hear it."""
        threading.Thread(target=self._keep_telling, args=(tab,), name="console_state", daemon=True).start()
        for text in tab:
            self.on_message(text)

    def _keep_telling(self, tab: Any) -> None:
        with contextlib.suppress(Exception):  # the tab is gone: whoever hears it notices, too
            while not self._is_closing.wait(_TELL_S):
                tab.send(self._state)

    def _send_pictures(self, tab: Any) -> None:
        """Send the newest pictures; the next ones when the tab says that it has drawn these."""
        sent: dict[str, int] = {}
        for name, number, jpeg in self._new_pictures(sent):
            tab.send(bytes([len(name)]) + name.encode() + jpeg)
            sent[name] = number
            tab.recv(timeout=None)

    def _new_pictures(self, sent: dict[str, int]) -> Iterator[tuple[str, int, bytes]]:
        while not self._is_closing.is_set():
            with self._changed:
                self._changed.wait(timeout=_PATIENCE_S)
                fresh = [(name, *kept) for name, kept in self._pictures.items() if kept[0] != sent.get(name)]
            yield from fresh

    def _pipe(self, tab: Any) -> None:
        """Connect a tab with the 3D view; nothing that a tab says there reaches the robot."""
        from websockets.sync.client import connect

        if self._view_port is None:
            return
        protocols = [tab.subprotocol] if tab.subprotocol else None
        with connect(
            f"ws://127.0.0.1:{self._view_port}", subprotocols=protocols, compression=None, max_size=None
        ) as view:
            threading.Thread(target=_pump, args=(view, tab), name="console_view", daemon=True).start()
            _pump(tab, view)


def _pump(source: Any, sink: Any) -> None:
    with contextlib.suppress(Exception):  # either end is gone
        for message in source:
            sink.send(message)
    with contextlib.suppress(Exception):
        sink.close()


def _first_protocol(connection: Any, offered: Any) -> Any:
    return offered[0] if offered else None
