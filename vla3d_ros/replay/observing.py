"""What a policy is given in a replay, rebuilt from the bag in order: here, or in a process of its own.

To decompress and to cut out pictures takes a quarter as long as to look at them, and half of it is Python: in one
process, inference and decoding wait for each other. Pictures come through memory that both processes share, and are
not copied again.
"""

from __future__ import annotations

import mmap
import os
import pickle
import subprocess
import sys
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vla3d_ros.datatypes import Observation, ReferringPrompt
from vla3d_ros.errors import RecordingError, Vla3dError
from vla3d_ros.policy.observation_window import WindowCounters
from vla3d_ros.recording.bag_reader import BagReader
from vla3d_ros.replay.observation_stream import Footage, ObservationStream
from vla3d_ros.replay.recorded_run import Fed, prompt_at, prompt_given

Given = tuple[Observation, int]
Spans = tuple[tuple[int, int], ...]

_SLOTS, _SLOT_BYTES = 8, 1 << 26  # address space; memory is taken when it is written
_PICTURE_BYTES, _ALIGNMENT = 1 << 12, 64
_PLAY, _ENOUGH, _BY_WIRE = "play", "enough", -1
_GOODBYE_S = 2.0
_KEEPS_MEMORY = {  # of glibc: chunk after chunk of 2 MB in the same place, instead of pages from the kernel for each
    "MALLOC_MMAP_THRESHOLD_": str(1 << 25),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ReplayInputs:
    """All that decides what a policy is given, but for the bag itself.

    instructions, prompts: (time of reception, what), in its order. fed: the observations to use; None: every complete
    one while there is an instruction.
    """

    bag: Path
    footage: Footage
    instructions: Sequence[tuple[int, str]]
    prompts: Sequence[tuple[int, ReferringPrompt]] = ()
    fed: Sequence[Fed] | None = None

    def given(self, stream: ObservationStream) -> Iterator[Given]:
        """Iterate over (observation with instruction, prompt and executed steps; number of its task)."""
        fed = None if self.fed is None else {one.stamp_ns: one for one in self.fed}
        for observation in stream():
            if fed is None:
                begun = [text for stamp_ns, text in self.instructions if stamp_ns <= observation.stamp_ns]
                if begun and begun[-1]:
                    prompt = prompt_at(self.instructions, self.prompts, observation.stamp_ns)
                    yield replace(observation, instruction=begun[-1], prompt=prompt), len(begun)
            elif (one := fed.get(observation.stamp_ns)) is not None and one.instruction:
                yield self._as_given(observation, one), one.task

    def _as_given(self, observation: Observation, fed: Fed) -> Observation:
        """Add what the live policy was told besides, and take away depth that it did not get in time."""
        views, known = observation.views, fed.depth_cameras
        if known is not None:
            views = tuple(view if view.camera in known else replace(view, depth_m=None) for view in views)
        return replace(
            observation,
            views=views,
            instruction=fed.instruction,
            executed_steps=fed.executed_steps,
            prompt=prompt_given(fed, self.instructions, self.prompts),
        )


@dataclass(frozen=True, slots=True)
class _Packed:
    """An observation, pickled; its pictures lie in the place it was given, at these bytes of it, or else in data."""

    data: bytes
    spans: Spans
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Left:
    """The last word of a replay: places that were not needed."""

    slots: tuple[int, ...]


class Observing(Protocol):
    """Gives the observations of one replay after another."""

    counters: WindowCounters
    """What became of the view sets of the last replay, once it has ended."""

    def prepare(self, inputs: ReplayInputs) -> None:
        """Take what is to be replayed; does nothing if it has it already."""

    def __iter__(self) -> Iterator[Given]:
        """Iterate over observations and the numbers of their tasks."""


class ObservingHere:
    """Decodes each observation when it is asked for."""

    def __init__(self, bag: BagReader) -> None:
        """Take the bag, open."""
        self._bag = bag
        self._inputs: ReplayInputs | None = None
        self.counters = WindowCounters()

    def prepare(self, inputs: ReplayInputs) -> None:
        """Take what is to be replayed."""
        self._inputs = inputs

    def __iter__(self) -> Iterator[Given]:
        """Iterate over observations and the numbers of their tasks."""
        if self._inputs is None:
            raise RuntimeError("iterated before prepare()")
        stream = ObservationStream.of(self._inputs.footage, self._bag)
        yield from self._inputs.given(stream)
        self.counters = stream.counters


class ObservingProcess:
    """Decodes ahead in a process of its own, with the same numbers; use as a context manager.

    It starts at once and loads what it needs meanwhile. A picture's place in the shared memory is used again when
    nobody holds the picture any more; for who keeps them all, the others are copied.
    """

    def __init__(self) -> None:
        """Start the process."""
        self._line, theirs = Pipe()
        memory = os.memfd_create("vla3d_observations")
        os.ftruncate(memory, _SLOTS * _SLOT_BYTES)
        self._memory = memoryview(mmap.mmap(memory, _SLOTS * _SLOT_BYTES)).toreadonly()
        code = f"from {__name__} import serve; serve({theirs.fileno()}, {memory})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=[theirs.fileno(), memory], env={**os.environ, **_KEEPS_MEMORY}
        )
        os.close(memory)
        theirs.close()
        self._free = deque(range(_SLOTS))
        self._inputs: ReplayInputs | None = None
        self.counters = WindowCounters()

    def __enter__(self) -> ObservingProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self, inputs: ReplayInputs) -> None:
        """Send what is to be replayed.

        Raises:
            RecordingError: If the process is gone.
        """
        if inputs is not self._inputs:
            self._send(inputs)
            self._inputs = inputs

    def __iter__(self) -> Iterator[Given]:
        """Iterate over observations and the numbers of their tasks.

        Raises:
            RecordingError: If the process is gone, or the bag is damaged.
            Vla3dError: What decoding raised.
        """
        if self._inputs is None:
            raise RuntimeError("iterated before prepare()")
        self._send(_PLAY)
        promised, outcome = 0, None
        try:
            while True:
                while self._free:
                    self._send(self._free.popleft())
                    promised += 1
                if not promised:
                    self._send(_BY_WIRE)
                    promised = 1
                outcome = self._receive()
                if not isinstance(outcome, _Packed):
                    break
                promised -= 1
                yield self._unpacked(outcome)
        finally:
            self._take_back()
        if isinstance(outcome, Vla3dError):
            raise outcome
        self.counters = outcome

    def close(self) -> None:
        """End the process."""
        self._line.close()
        try:
            self._process.wait(_GOODBYE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _take_back(self) -> None:
        """Let the other end stop, if it has not, and take back the places that were promised to it."""
        self._send(_ENOUGH)
        while not isinstance(answer := self._receive(), _Left):
            if isinstance(answer, _Packed):
                self._free.extend(answer.slots)
        self._free.extend(answer.slots)

    def _unpacked(self, packed: _Packed) -> Given:
        if packed.spans:
            (slot,), end = packed.slots, packed.spans[-1][1]
            place = np.frombuffer(self._memory, np.uint8, end, slot * _SLOT_BYTES)
            weakref.finalize(place, self._free.append, slot).atexit = False  # every picture refers to its place
            buffers = [place[start:stop] for start, stop in packed.spans]
        else:
            buffers = []
            self._free.extend(packed.slots)
        given: Given = pickle.loads(packed.data, buffers=buffers)
        return given

    def _send(self, what: object) -> None:
        try:
            self._line.send(what)
        except OSError as error:
            raise self._is_gone() from error

    def _receive(self) -> Any:
        try:
            return self._line.recv()
        except (EOFError, OSError) as error:
            raise self._is_gone() from error

    def _is_gone(self) -> RecordingError:
        self.close()
        code = self._process.returncode
        return RecordingError(f"the process that reads the bag ended with exit code {code}; was it out of memory?")


def serve(descriptor: int, memory_descriptor: int) -> None:
    """Decode replay after replay until the other end of a line closes."""
    line: Connection = Connection(descriptor)
    memory = memoryview(mmap.mmap(memory_descriptor, 0))
    inputs: ReplayInputs | None = None
    bag: BagReader | None = None
    while True:
        try:
            what = line.recv()
            if isinstance(what, ReplayInputs):
                bag = BagReader(what.bag) if inputs is None or inputs.bag != what.bag else bag
                inputs = what
            elif inputs is not None and bag is not None:
                _play(line, memory, inputs, bag)
        except (EOFError, OSError, KeyboardInterrupt):
            return


def _play(line: Connection, memory: memoryview, inputs: ReplayInputs, bag: BagReader) -> None:
    """Decode one replay: an observation for every place that is promised."""
    stream = ObservationStream.of(inputs.footage, bag)
    outcome: WindowCounters | Vla3dError = stream.counters
    try:
        for given in inputs.given(stream):
            slot = line.recv()
            if slot == _ENOUGH:
                line.send(_Left(()))
                return
            line.send(_packed(given, slot, memory))
        outcome = stream.counters
    except Vla3dError as error:
        outcome = error
    line.send(outcome)
    left = []
    while (slot := line.recv()) != _ENOUGH:
        left.append(slot)
    line.send(_Left(tuple(slot for slot in left if slot != _BY_WIRE)))


def _packed(given: Given, slot: int, memory: memoryview) -> _Packed:
    """Put the pictures where they are wanted, and the rest into a string."""
    if slot == _BY_WIRE:
        return _Packed(pickle.dumps(given, protocol=5), (), ())
    buffers: list[memoryview] = []

    def stays_in_data(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes >= _PICTURE_BYTES:
            buffers.append(raw)
        return raw.nbytes < _PICTURE_BYTES

    data = pickle.dumps(given, protocol=5, buffer_callback=stays_in_data)
    spans, end = [], 0
    for buffer in buffers:
        start = -(-end // _ALIGNMENT) * _ALIGNMENT
        end = start + buffer.nbytes
        spans.append((start, end))
    if end > _SLOT_BYTES:
        return _Packed(pickle.dumps(given, protocol=5), (), (slot,))
    place = memory[slot * _SLOT_BYTES :]
    for buffer, (start, end) in zip(buffers, spans, strict=True):
        place[start:end] = buffer
    return _Packed(data, tuple(spans), (slot,))
