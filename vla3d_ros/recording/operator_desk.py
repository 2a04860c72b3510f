"""One operator, a few keys: start after a countdown, stop, judge, discard, remark; a status line all the while."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

KEYS: Mapping[str, str] = {
    " ": "start / stop",
    "s": "success",
    "f": "failure",
    "d": "discard",
    "n": "note",
    "c": "check",
    "q": "quit",
}
_PATIENCE_S = 5.0


class Recorder(Protocol):
    """The recorder as the desk sees it."""

    def call(self, service: str) -> tuple[bool, str]:
        """Call a service of the recorder: whether it did it, and what it said."""
        ...

    def note(self, text: str) -> None:
        """Add a remark."""
        ...

    def begin(self) -> None:
        """An episode has begun: tell the policy, if it is to be told."""
        ...

    def end(self) -> None:
        """The episode is over."""
        ...

    @property
    def values(self) -> Mapping[str, str]:
        """What the recorder published last on `~/status`."""
        ...


class OperatorDesk:
    """Turns keys and time into calls. Times are seconds of a clock that nobody sets."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        episodes: int | None,
        countdown_s: float,
        seconds: float | None,
        is_forced: bool,
        say: Callable[[str], None],
        ask: Callable[[], str],
    ) -> None:
        """Sit down.

        Args:
            recorder: Who records.
            episodes: How many episodes are wanted, discarded ones not counted; None until the operator quits.
            countdown_s: From the key to the start.
            seconds: End each episode by itself, and start the next: no operator is needed. None: by key.
            is_forced: Start in spite of the health gate; the session file says so.
            say: Where sentences go.
            ask: How a remark is read.
        """
        self._recorder, self._say, self._ask = recorder, say, ask
        self._episodes, self._countdown_s, self._seconds = episodes, countdown_s, seconds
        self._service = "start_forced" if is_forced else "start"
        self._start_at_s: float | None = None
        self._stop_at_s: float | None = None
        self._give_up_at_s: float | None = None
        self._has_last = False
        self.recorded = 0
        self.is_done = False

    @property
    def is_recording(self) -> bool:
        """Whether an episode that was started here is open."""
        return self._stop_at_s is not None

    def press(self, key: str, now_s: float) -> None:
        """Take one key; unknown ones are named."""
        actions: dict[str, Callable[[], object]] = {
            " ": lambda: self._toggle(now_s),
            "s": lambda: self._finish("success"),
            "f": lambda: self._finish("failure"),
            "d": self._discard,
            "n": lambda: self._recorder.note(self._ask()),
            "c": lambda: self._say(self._recorder.call("check")[1]),
            "q": self._quit,
        }
        if key in actions:
            actions[key]()
        elif key.strip():
            self._say(f"key {key!r} does nothing; {self.keys_line()}")

    def _toggle(self, now_s: float) -> None:
        if self.is_recording:
            self._finish("stop")
        elif self._start_at_s is not None:
            self._start_at_s = None
            self._say("countdown called off")
        else:
            self._start_at_s = now_s + self._countdown_s

    def _quit(self) -> None:
        if self.is_recording:
            self._finish("stop")
        self.is_done = True

    def tick(self, now_s: float) -> None:
        """Let time pass: countdown, end of an unattended episode, and an episode that ended by itself."""
        if self._seconds is not None and not self.is_recording and self._start_at_s is None and not self.is_done:
            self._start_at_s = now_s + self._countdown_s
        if self._start_at_s is not None and now_s >= self._start_at_s:
            self._start(now_s)
        elif self.is_recording and self._seconds is not None and now_s >= (self._stop_at_s or 0.0):
            self._finish("stop")
        if self.is_recording and (failure := self._recorder.values.get("failure", "")):
            self._say(failure)
            self._over(is_counted=True)
            self.is_done = self.is_done or self._seconds is not None

    def line(self, now_s: float) -> str:
        """Return the status line."""
        values = self._recorder.values
        wanted = f"/{self._episodes}" if self._episodes else ""
        if self._start_at_s is not None:
            return f"episode {self.recorded + 1}{wanted}: starts in {max(0.0, self._start_at_s - now_s):.0f} s"
        if not self.is_recording:
            problems = values.get("problems", "")
            health = f"NOT READY: {problems.splitlines()[0]}" if problems else "ready"
            return f"episode {self.recorded + 1}{wanted}: {health} · {self.keys_line()}"
        parts = [
            f"● {values.get('seconds', '0')} s",
            f"{values.get('messages', '0')} messages",
            f"dropped {values.get('dropped', '0')}",
            f"queue {float(values.get('queue', '0')):.0%}",
            f"at risk {values.get('at_risk_s', '0')} s",
            f"{float(values.get('free_mb', '0')) / 1e3:.1f} GB free",
        ]
        problems = values.get("problems", "").replace("\n", "; ")
        return " · ".join([*parts, *([f"PROBLEMS: {problems}"] if problems else [])])

    @staticmethod
    def keys_line() -> str:
        """Return what keys do, as one line."""
        return " · ".join(f"{'space' if key == ' ' else key} {what}" for key, what in KEYS.items())

    def _start(self, now_s: float) -> None:
        self._start_at_s = None
        has_started, text = self._recorder.call(self._service)
        self._say(f"recording {text}" if has_started else text)
        if has_started:
            self._stop_at_s, self._has_last = now_s + (self._seconds or 0.0), True
            self._give_up_at_s = None
            self._recorder.begin()
        elif self._seconds is not None:
            self._retry(now_s)

    def _retry(self, now_s: float) -> None:
        """Unattended, ask again for a while: cameras and joints may just be waking up."""
        self._give_up_at_s = self._give_up_at_s or now_s + _PATIENCE_S
        self.is_done = now_s >= self._give_up_at_s
        self._start_at_s = now_s + 1.0

    def _finish(self, service: str) -> None:
        if not self.is_recording and not self._has_last:
            self._say("nothing recorded yet; space starts")
            return
        was_recording = self.is_recording
        self._say(self._recorder.call(service)[1])
        if was_recording:
            self._over(is_counted=True)

    def _discard(self) -> None:
        was_recording = self.is_recording
        has_moved, text = self._recorder.call("discard")
        self._say(text)
        if was_recording:
            self._over(is_counted=False)
        elif has_moved and self._has_last:
            self.recorded -= 1
        self._has_last = False

    def _over(self, *, is_counted: bool) -> None:
        self._stop_at_s = None
        self.recorded += int(is_counted)
        self._recorder.end()
        self.is_done = self.is_done or (self._episodes is not None and self.recorded >= self._episodes)
