"""A page in a browser: touch sticks, the keyboard, or a gamepad the browser sees. Any phone or tablet will do."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vla3d_ros.errors import ShapeError
from vla3d_ros.teleop.device import AXES, PRESSES, SILENT, DeviceState, HandState
from vla3d_ros.teleop.devices.browser_server import PageServer

_LONGEST_MESSAGE = 4096


def read_page_message(text: str | bytes) -> tuple[HandState, tuple[str, ...]]:
    """Return what a page says, with age 0.

    Args:
        text: JSON: `twist` (6 numbers), `clutch` (true or false), `presses` (names of `PRESSES`).

    Raises:
        ShapeError: If it is anything else.
    """
    try:
        content = json.loads(text) if len(text) <= _LONGEST_MESSAGE else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or set(content) != {"twist", "clutch", "presses"}:
        raise ShapeError("the page sent something else than {twist, clutch, presses}")
    twist, presses = content["twist"], content["presses"]
    is_twist = isinstance(twist, list) and len(twist) == len(AXES)
    if not is_twist or not all(type(value) in (int, float) and math.isfinite(value) for value in twist):
        raise ShapeError(f"the page sent twist {str(twist)[:80]}; expected {len(AXES)} finite numbers")
    if (
        not isinstance(content["clutch"], bool)
        or not isinstance(presses, list)
        or not set(map(str, presses)) <= set(PRESSES)
    ):
        raise ShapeError("the page sent a clutch that is not true or false, or presses that do not exist")
    array = np.clip(np.array(twist, dtype=np.float64), -1.0, 1.0)
    return HandState(age_s=0.0, clutch=content["clutch"], twist=array), tuple(presses)


class BrowserPage:
    """The newest message of the one page in control. A page that is closed, hidden or cut off is silent: it is lost."""

    name = "browser"

    def __init__(self, server: PageServer, clock_s: Callable[[], float]) -> None:
        """Take a server that is not started yet.

        Args:
            server: Serves the page and hands its messages on.
            clock_s: Steady time in seconds; messages come between two looks.
        """
        self._server = server
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._hand = SILENT
        self._heard_s = -math.inf
        self._presses: list[str] = []
        self._objection = ""

    @property
    def url(self) -> str:
        """Where the page is."""
        return self._server.url

    def open(self) -> None:
        """Serve the page."""
        self._server.start(self._hear, self._leave)

    def close(self) -> None:
        """Stop serving."""
        self._server.stop()

    def show(self, status: Mapping[str, Any]) -> None:
        """Tell the page what is going on."""
        self._server.tell(json.dumps(dict(status)))

    def poll(self, now_s: float) -> DeviceState:
        """Return what the page said last, and how long ago."""
        with self._lock:
            presses, self._presses = tuple(self._presses), []
            hand, age_s = self._hand, max(now_s - self._heard_s, 0.0)
        aged = HandState(age_s=age_s, clutch=hand.clutch, twist=hand.twist)
        return DeviceState(hands=(aged,), presses=presses, trouble=self._objection)

    def _hear(self, text: str | bytes) -> None:
        try:
            hand, presses = read_page_message(text)
        except ShapeError as error:
            with self._lock:
                self._hand, self._objection = SILENT, str(error)
            return
        with self._lock:
            self._hand, self._heard_s, self._objection = hand, self._clock_s(), ""
            self._presses += presses

    def _leave(self) -> None:
        with self._lock:
            self._hand, self._heard_s, self._objection = SILENT, -math.inf, ""
