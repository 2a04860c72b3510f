"""Adapter and safety next to the policy: chunks go out in order, verdicts come back in that order, here or elsewhere.

Planning is Python from end to end, and so is half of what surrounds inference. In one process they wait for each other.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, Pipe
from typing import Protocol

from vla3d_ros.datatypes import ActionChunk
from vla3d_ros.errors import RecordingError, Vla3dError
from vla3d_ros.replay.chunk_judge import ChunkJudge, Judgement
from vla3d_ros.replay.recorded_run import JointReading
from vla3d_ros.replay.replay_setup import ReplaySetup

_BEGIN = "begin"
_GOODBYE_S = 2.0


class Judging(Protocol):
    """Judges the chunks of one replay after another."""

    def prepare(self, joints: Sequence[JointReading], setup: ReplaySetup) -> None:
        """Take what the next replays begin with, to be ready for them; may be left out."""

    def begin(self, joints: Sequence[JointReading], setup: ReplaySetup) -> None:
        """Start a replay with the recorded joint states, in order of reception; an unfinished one is forgotten."""

    def take(self, chunk: ActionChunk, now_ns: int) -> None:
        """Take a chunk that arrives at a time, not before that of the last one."""

    def finish(self) -> list[Judgement]:
        """Return the verdict on every chunk taken since the start, in order."""


class JudgingHere:
    """Judges each chunk while it is handed over."""

    def __init__(self) -> None:
        self._judge: ChunkJudge | None = None
        self._judgements: list[Judgement] = []

    def prepare(self, joints: Sequence[JointReading], setup: ReplaySetup) -> None:
        """Do nothing: it would be no sooner."""

    def begin(self, joints: Sequence[JointReading], setup: ReplaySetup) -> None:
        """Start a replay."""
        self.start(ChunkJudge(joints, setup))

    def start(self, judge: ChunkJudge) -> None:
        """Start a replay with a judge who has not judged yet."""
        self._judge, self._judgements = judge, []

    def take(self, chunk: ActionChunk, now_ns: int) -> None:
        """Judge a chunk."""
        if self._judge is None:
            raise RuntimeError("take() before begin()")
        self._judgements.append(self._judge.judge(chunk, now_ns))

    def finish(self) -> list[Judgement]:
        """Return all verdicts."""
        return self._judgements


class JudgingProcess:
    """Judges in a process of its own, with the same numbers; use as a context manager.

    It starts at once and loads what it needs meanwhile. A chunk that it has no room for yet is waited with.
    """

    def __init__(self) -> None:
        """Start the process."""
        self._sent: tuple[Sequence[JointReading], ReplaySetup] | None = None
        self._line, theirs = Pipe()
        code = f"from {__name__} import serve; serve({theirs.fileno()})"
        self._process = subprocess.Popen([sys.executable, "-c", code], pass_fds=[theirs.fileno()])
        theirs.close()

    def __enter__(self) -> JudgingProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self, joints: Sequence[JointReading], setup: ReplaySetup) -> None:
        """Send what the next replays begin with, unless it was the last that was sent.

        Raises:
            RecordingError: If the process is gone.
        """
        if self._sent is None or joints is not self._sent[0] or setup is not self._sent[1]:
            self._send((joints, setup))
            self._sent = joints, setup

    def begin(self, joints: Sequence[JointReading], setup: ReplaySetup) -> None:
        """Start a replay.

        Raises:
            RecordingError: If the process is gone.
        """
        self.prepare(joints, setup)
        self._send(_BEGIN)

    def take(self, chunk: ActionChunk, now_ns: int) -> None:
        """Send a chunk, without the policy's report on it.

        Raises:
            RecordingError: If the process is gone.
        """
        self._send((replace(chunk, report=None), now_ns))

    def finish(self) -> list[Judgement]:
        """Wait for all verdicts.

        Raises:
            RecordingError: If the process is gone.
            Vla3dError: What judging raised.
        """
        self._send(None)
        try:
            answer: list[Judgement] | Vla3dError = self._line.recv()
        except (EOFError, OSError) as error:
            raise self._is_gone() from error
        if isinstance(answer, Vla3dError):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        self._line.close()
        try:
            self._process.wait(_GOODBYE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, what: object) -> None:
        try:
            self._line.send(what)
        except OSError as error:
            raise self._is_gone() from error

    def _is_gone(self) -> RecordingError:
        self.close()
        code = self._process.returncode
        return RecordingError(f"the process that judges the chunks ended with exit code {code}; was it out of memory?")


def serve(descriptor: int) -> None:
    """Judge until the other end of a line closes; the first error of a replay is its answer."""
    line: Connection = Connection(descriptor)
    here, failure = JudgingHere(), None
    given: tuple[Sequence[JointReading], ReplaySetup] | None = None
    ready: ChunkJudge | None = None
    while True:
        try:
            what = line.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        try:
            if what is None:
                line.send(failure or here.finish())
            elif what == _BEGIN and given is not None:
                failure = None
                here.start(ready or ChunkJudge(*given))
                ready = None
            elif isinstance(what[0], ActionChunk):
                if failure is None:
                    here.take(*what)
            else:
                given, ready = what, None
                ready = ChunkJudge(*what)
                gc.freeze()  # what is there now stays: it need not be looked through again and again
        except Vla3dError as error:
            failure = error
