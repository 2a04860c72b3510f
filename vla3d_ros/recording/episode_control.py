"""What an operator does with episodes: check, start, judge, discard; and what ends or splits one unasked."""

from __future__ import annotations

import logging
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla3d_ros.errors import RecordingError, join_problems
from vla3d_ros.recording.bag_summary import BagSummary, WriterState
from vla3d_ros.recording.clock_watch import ClockWatch
from vla3d_ros.recording.disk_guard import DiskGuard
from vla3d_ros.recording.episode_recorder import EpisodeRecorder
from vla3d_ros.recording.health import HealthMonitor
from vla3d_ros.recording.session_file import Session

_SPLIT_NS = 500_000_000
_MAX_AT_RISK_S = 1.0
_NS_PER_S = 1e9

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlStatus:
    """What an operator wants to see, at any time.

    Attributes:
        path: The open episode; None between episodes.
        seconds: How long it has been recording, ROS clock.
        instruction: What is to be done.
        operator: Who records.
        writer: Messages, drops, queue, and what a power cut would cost.
        free_bytes: Room on the disk.
        problems: What the health gate finds now.
        failure: Why the last episode ended by itself; "" if it did not.
        last: One line about the last episode.
    """

    path: Path | None
    seconds: float
    instruction: str
    operator: str
    writer: WriterState
    free_bytes: int
    problems: tuple[str, ...]
    failure: str
    last: str


class EpisodeControl:
    """Joins recorder, health gate, disk guard and clock watch; the node calls it, tests do too."""

    def __init__(
        self,
        recorder: EpisodeRecorder,
        *,
        monitor: HealthMonitor,
        guard: DiskGuard,
        clock_watch: ClockWatch,
        instruction_topic: str,
        is_gated: bool,
        provenance: Mapping[str, Any],
    ) -> None:
        """Take the parts.

        Args:
            recorder: Writes the episodes.
            monitor: Looks at what comes.
            guard: Looks at the disk.
            clock_watch: Looks at the ROS clock.
            instruction_topic: Where the policy is told what to do (std_msgs/String): the episode's instruction unless
                the operator gave one.
            is_gated: Refuse to start while there are problems, unless forced.
            provenance: Software, checkout, deployment, files in force; stored with each episode.
        """
        self._recorder, self._monitor, self._guard, self._watch = recorder, monitor, guard, clock_watch
        self._instruction_topic = instruction_topic
        self._is_gated, self._provenance = is_gated, dict(provenance)
        self.instruction = self.operator = ""
        self._graph_instruction = ""
        self._failure = self._last = ""
        self._problems: tuple[str, ...] = ()
        self._newest_ns = self._started_ns = 0
        self._split_steady_ns: int | None = None
        self._is_held = False

    @property
    def is_recording(self) -> bool:
        """Whether an episode is open."""
        return self._recorder.is_recording

    # -------------------------------------------------------------------------------------------- the stream

    def on_message(self, topic: str, msgtype: str, now_ns: int, steady_ns: int, cdr: bytes) -> None:
        """Take one message.

        Args:
            topic: Full name, known to the recorder.
            msgtype: Full type name.
            now_ns: Receive time, ROS clock.
            steady_ns: Receive time, a clock that nobody sets.
            cdr: Serialized message.
        """
        self._monitor.on_message(topic, msgtype, now_ns, cdr)
        if topic == self._instruction_topic:
            self._take_instruction(_text(cdr))
        step_ns = self._watch.step_ns(now_ns, steady_ns)
        try:
            if self.is_recording:
                if step_ns:
                    self._on_clock_step(step_ns, now_ns, steady_ns)
                now_ns = self._in_order(now_ns)
            self._recorder.on_message(topic, now_ns, cdr)
        except RecordingError as error:
            self._give_up(error)

    def _take_instruction(self, text: str) -> None:
        self._graph_instruction = text
        if text and self.is_recording and not self._recorder.session.instruction:
            self._recorder.session.instruction = text

    def _on_clock_step(self, step_ns: int, now_ns: int, steady_ns: int) -> None:
        sentence = f"the ROS clock stepped {'forward' if step_ns > 0 else 'back'} by {abs(step_ns) / _NS_PER_S:.3f} s"
        just_split = self._split_steady_ns is not None and steady_ns - self._split_steady_ns < _NS_PER_S
        if step_ns < -_SPLIT_NS and not just_split:
            summary, path = self._recorder.split(now_ns, sentence)
            self._last, self._split_steady_ns = summary.line(), steady_ns
            self._started_ns = self._newest_ns = now_ns
            self._recorder.remember(now_ns, f"continues {summary.path.name}: {sentence}")
            log.warning("%s: %s ends, %s goes on", sentence, summary.path, path)
        elif step_ns > 0:
            self._recorder.remember(now_ns, sentence)
            log.warning("%s: kept in %s and noted there", sentence, self._recorder.path)

    def _in_order(self, now_ns: int) -> int:
        """Keep the order of arrival: readers sort by receive stamps, so these never go back within a bag."""
        if now_ns < self._newest_ns and not self._is_held:
            back_s = (self._newest_ns - now_ns) / _NS_PER_S
            text = f"the ROS clock went back {back_s:.3f} s; receive stamps wait for it, headers are as sent"
            self._recorder.remember(self._newest_ns, text)
            log.warning("%s", text)
        self._is_held = now_ns < self._newest_ns
        self._newest_ns = max(self._newest_ns, now_ns)
        return self._newest_ns

    def tick(self, now_ns: int) -> None:
        """Look at disk and health; call it about twice a second."""
        before, self._problems = self._problems, (*self._monitor.problems(now_ns), *self._writer_problems())
        if not self.is_recording:
            return
        if problem := self._guard.problem():
            self._end_early(problem)
            return
        old, new = ({_kind(problem): problem for problem in problems} for problems in (before, self._problems))
        for kind in [kind for kind in new if kind not in old]:
            self._recorder.remember(now_ns, new[kind])
        for kind in [kind for kind in old if kind not in new]:
            self._recorder.remember(now_ns, f"over: {old[kind]}")

    def _writer_problems(self) -> list[str]:
        state = self._recorder.state
        found = []
        if state.at_risk_s > _MAX_AT_RISK_S:
            found.append(f"a power cut would cost {state.at_risk_s:.1f} s now; the disk or the processor is too slow")
        if state.dropped:
            found.append(f"messages are lost; {', '.join(f'{n} on {t}' for t, n in state.dropped.items())}")
        return found

    def _end_early(self, problem: str) -> None:
        self._failure = f"episode ended early: {problem}"
        log.error("%s", self._failure)
        try:
            self._last = self._recorder.stop("unjudged", problem).line()
        except RecordingError as error:
            self._failure = str(error)

    def _give_up(self, error: RecordingError) -> None:
        """End an episode that can not be written; the error stays."""
        self._failure = str(error)
        log.error("%s", self._failure)
        try:
            self._recorder.stop()
        except RecordingError as again:
            self._failure = str(again)

    # ---------------------------------------------------------------------------------------------- services

    def check(self, now_ns: int) -> list[str]:
        """Return every reason not to start now."""
        disk = self._guard.problem()
        return [*([disk] if disk else []), *self._monitor.problems(now_ns)]

    def start(self, now_ns: int, session_yaml: str, *, is_forced: bool) -> Path:
        """Open an episode.

        Args:
            now_ns: Now, ROS clock.
            session_yaml: For the session topic inside the bag.
            is_forced: In spite of what the health gate says; it is written down.

        Raises:
            RecordingError: If it is refused, with all reasons, or can not be written.
        """
        problems = self.check(now_ns)
        disk = self._guard.problem()
        if disk or (problems and self._is_gated and not is_forced):
            raise RecordingError(join_problems("not started", problems))
        session = Session(
            episode="",
            instruction=self.instruction or self._graph_instruction,
            operator=self.operator,
            problems_at_start=problems,
            is_forced=bool(problems) and is_forced,
            calibration=self._monitor.calibration(),
            provenance=self._provenance,
        )
        path = self._recorder.start(now_ns, session_yaml, session)
        self._watch.restart()
        self._started_ns = self._newest_ns = now_ns
        self._failure, self._is_held, self._problems = "", False, tuple(problems)
        return path

    def stop(self) -> BagSummary:
        """Finish the open episode without judging it.

        Raises:
            RecordingError: If none is open, or it could not be written.
        """
        summary = self._recorder.stop()
        self._last = summary.line()
        (log.warning if summary.losses() else log.info)("%s", self._last)
        return summary

    def judge(self, outcome: str) -> str:
        """Finish the open episode as a success or failure, or judge the last one; return one line about it.

        Raises:
            RecordingError: If there is none, or it could not be written.
        """
        if self.is_recording:
            self.stop()
        path = self._recorder.judge(outcome)
        return f"{path}: {outcome}"

    def discard(self) -> str:
        """Move the open episode, or the last one, out of the way; return one line about it.

        Raises:
            RecordingError: If there is none, or it could not be moved.
        """
        self._last = f"discarded: it is in {self._recorder.discard()}"
        return self._last

    def note(self, text: str) -> None:
        """Add a remark to the open episode, or to the last one.

        Raises:
            RecordingError: If there is none, or it can not be written.
        """
        self._recorder.note(text)

    def status(self, now_ns: int) -> ControlStatus:
        """Return what an operator wants to see."""
        seconds = (now_ns - self._started_ns) / _NS_PER_S if self.is_recording else 0.0
        return ControlStatus(
            path=self._recorder.path,
            seconds=max(0.0, seconds),
            instruction=self.instruction or self._recorder.session.instruction,
            operator=self.operator,
            writer=self._recorder.state,
            free_bytes=self._guard.free_bytes,
            problems=self._problems,
            failure=self._failure,
            last=self._last,
        )


def _text(cdr: bytes) -> str:
    """Read a serialized std_msgs/String."""
    (length,) = struct.unpack_from("<I" if cdr[1] & 1 else ">I", cdr, 4)
    return bytes(cdr[8 : 8 + length]).rstrip(b"\x00").decode(errors="replace")


def _kind(problem: str) -> str:
    """A problem without its figures, so that it counts as one while they change."""
    return "".join(character for character in problem if not character.isdigit()).partition(";")[0]
