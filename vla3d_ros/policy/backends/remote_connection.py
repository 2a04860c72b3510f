"""A connection to a policy server: one request, one reply, never an old one for a new one.

The protocol has no numbers on requests: the n-th reply answers the n-th request. So a reply that came too late is
awaited and thrown away before anything else is asked. Waiting never exceeds its deadline, in no state of the peer:
slow, silent, gone without a word, not reading.
"""

from __future__ import annotations

import importlib
import os
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from vla3d_ros.errors import DependencyError, PolicyServerError, StaleObservationError
from vla3d_ros.policy.backends.remote_codec import unpack
from vla3d_ros.policy.backends.remote_config import ServerSettings

_LONGEST_ERROR = 4000
_CLOSE_S = 0.2
_SOONEST_S = 0.001
_OLDEST_WEBSOCKETS = 15
_CLOSED = "the connection to the policy server was closed"


class PolicyConnection:
    """Asks a policy server. Called from one thread; `close` may come from another."""

    def __init__(self, settings: ServerSettings, clock_ns: Callable[[], int]) -> None:
        """Take settings, and a monotonic clock for deadlines. Connects when first asked.

        Raises:
            DependencyError: If `websockets` is not installed.
        """
        self._settings = settings
        self._clock_ns = clock_ns
        self._client, self._exceptions = _load_websockets()
        self._socket: Any = None
        self._is_closed = False
        self._sent_ns: int | None = None
        self._has_replied = False
        self._pong: threading.Event | None = None
        self._trouble = ""
        self._next_attempt_ns: int | None = None
        self._pause_s = 0.0
        self.metadata: Any = {}
        self.connections = 0
        self.late_replies = 0

    def ask(self, request: bytes) -> bytes:
        """Send a request and return its reply.

        Raises:
            StaleObservationError: If the reply does not come in time; it is never given to a later call.
            PolicyServerError: If the server can not be reached, reports an error, or closes the connection.
        """
        connection = self._socket or self._connect()
        try:
            self._forget_late_reply(connection)
            connection.send(request)
            self._sent_ns = self._clock_ns()
            reply = self._receive(connection, self._settings.timeout_s)
            if reply is None:
                self._pong = connection.ping()
        except (self._exceptions.ConnectionClosed, OSError) as error:
            if isinstance(error, (PolicyServerError, StaleObservationError)):
                raise
            raise self._lost(f"the connection broke: {error}") from error
        if reply is None:
            raise StaleObservationError(
                f"policy server {self._settings.url} did not answer within {self._settings.timeout_s:g} s"
            )
        return reply

    def close(self) -> None:
        """Hang up; safe to call twice, and while another thread asks."""
        self._is_closed = True
        self._hang_up()

    # ------------------------------------------------------------------------------------- connecting

    def _connect(self) -> Any:
        if self._is_closed:
            raise PolicyServerError(_CLOSED)
        now_ns = self._clock_ns()
        if self._next_attempt_ns is not None and now_ns < self._next_attempt_ns:
            raise PolicyServerError(self._trouble)
        settings = self._settings
        deadline_ns = now_ns + int(settings.connect_s * 1e9)
        try:
            connection = self._socket = self._open()
            self._limit_sending(connection)
            left_s = max(_SOONEST_S, (deadline_ns - self._clock_ns()) / 1e9)
            self.metadata = unpack(_as_bytes(connection.recv(timeout=left_s)))
            self._check_metadata()
        except TimeoutError as error:
            raise self._lost(f"no connection and metadata within {settings.connect_s:g} s") from error
        except PolicyServerError as error:
            raise self._lost(str(error)) from error
        except (self._exceptions.WebSocketException, OSError) as error:
            raise self._lost(f"can not connect: {error or type(error).__name__}") from error
        if self._is_closed:
            self._hang_up()
            raise PolicyServerError(_CLOSED)
        self.connections += 1
        self._sent_ns, self._has_replied, self._pong = None, False, None
        return connection

    def _open(self) -> Any:
        return self._client.connect(
            self._settings.url,
            additional_headers=self._headers(),
            compression=None,
            proxy=None,
            open_timeout=self._settings.connect_s,
            close_timeout=_CLOSE_S,
            ping_interval=None,  # servers do not answer pings while they compute
            max_size=int(self._settings.largest_reply_mb * 2**20),
        )

    def _headers(self) -> dict[str, str]:
        variable = self._settings.api_key_env
        if not variable:
            return {}
        key = os.environ.get(variable, "")
        if not key:
            raise PolicyServerError(f"environment variable {variable} holds no API key ('api_key_env' in the settings)")
        return {"Authorization": f"Api-Key {key}"}

    def _limit_sending(self, connection: Any) -> None:
        """Let no send wait longer than a reply may take: a peer that does not read must not hold the thread."""
        seconds, rest = divmod(self._settings.timeout_s, 1.0)
        limit = struct.pack("ll", int(seconds), max(1, int(rest * 1e6)))
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def _check_metadata(self) -> None:
        expected = self._settings.expect_metadata
        said = self.metadata if isinstance(self.metadata, dict) else {}
        wrong = [f"{key} is {said.get(key)!r}; expected {value!r}" for key, value in expected.items()
                 if key not in said or said[key] != value]  # fmt: skip
        if wrong:
            raise PolicyServerError(f"this is not the server of 'expect_metadata': {'; '.join(wrong)}")

    def _lost(self, trouble: str) -> PolicyServerError:
        """Hang up, and say what happened and when it is tried again."""
        self._hang_up()
        shortest, longest = self._settings.retry_s
        self._pause_s = min(longest, max(shortest, 2.0 * self._pause_s))
        self._next_attempt_ns = self._clock_ns() + int(self._pause_s * 1e9)
        self._trouble = (
            f"policy server {self._settings.url}: {trouble}; trying again every {shortest:g} to {longest:g} s"
        )
        return PolicyServerError(self._trouble)

    def _hang_up(self) -> None:
        connection, self._socket = self._socket, None
        if connection is None:
            return
        with suppress(OSError):
            connection.socket.shutdown(socket.SHUT_RDWR)  # a dead peer answers no closing handshake
        with suppress(OSError, self._exceptions.WebSocketException):
            connection.close()

    # -------------------------------------------------------------------------------------- receiving

    def _receive(self, connection: Any, timeout_s: float) -> bytes | None:
        """Return the reply to the last request, or None if it does not come in time."""
        try:
            reply = connection.recv(timeout=timeout_s)
        except TimeoutError:
            return None
        self._sent_ns, self._has_replied, self._pong = None, True, None
        if isinstance(reply, str):
            raise self._lost(f"the server reports an error:\n{reply[-_LONGEST_ERROR:]}")
        self._pause_s = 0.0
        return _as_bytes(reply)

    def _forget_late_reply(self, connection: Any) -> None:
        """Wait for the reply that is still owed, and throw it away.

        Raises:
            StaleObservationError: If it has not come, or only after waiting: there is a newer observation by now.
            PolicyServerError: If it has been owed for too long.
        """
        if self._sent_ns is None:
            return
        sent_ns, has_replied, pong = self._sent_ns, self._has_replied, self._pong
        if self._receive(connection, _SOONEST_S) is not None:
            self.late_replies += 1
            return
        owed_s = (self._clock_ns() - sent_ns) / 1e9
        limit_s = self._settings.silence_s if has_replied else self._settings.first_reply_s
        if owed_s > limit_s:
            breath = "answers pings" if pong is not None and pong.is_set() else "does not answer pings either"
            raise self._lost(f"no reply for {limit_s:g} s; it {breath}")
        if self._receive(connection, self._settings.timeout_s) is not None:
            self.late_replies += 1
        raise StaleObservationError(f"policy server {self._settings.url} still owes the answer to an older observation")


def _load_websockets() -> tuple[Any, Any]:
    found = "none"
    try:
        found = importlib.import_module("websockets.version").version
        client = importlib.import_module("websockets.sync.client")
        exceptions = importlib.import_module("websockets.exceptions")
        is_right, cause = int(found.split(".")[0]) >= _OLDEST_WEBSOCKETS, None
    except ImportError as error:
        is_right, cause = False, error
    if not is_right:
        raise DependencyError(
            f"a remote policy needs the package 'websockets' {_OLDEST_WEBSOCKETS} or later; found {found}: "
            f"'pip install \"websockets>={_OLDEST_WEBSOCKETS}\" msgpack'"
        ) from cause
    return client, exceptions


def _as_bytes(message: Any) -> bytes:
    if not isinstance(message, bytes):
        raise PolicyServerError(f"the server sent text where msgpack was expected: {str(message)[:200]!r}")
    return message
