"""A recorded run through policy, adapter and safety in one process: as fast as it goes, the same every time."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vla3d_ros.datatypes import ActionChunk, Observation
from vla3d_ros.errors import Vla3dError
from vla3d_ros.policy.backend import PolicyBackend
from vla3d_ros.policy.observation_digest import observation_digest
from vla3d_ros.replay.chunk_judge import Judgement
from vla3d_ros.replay.chunk_record import ChunkRecord, record_of_chunk
from vla3d_ros.replay.judging import Judging, JudgingHere
from vla3d_ros.replay.observation_stream import ObservationStream, require_observations
from vla3d_ros.replay.observing import Given, Observing, ObservingHere, ReplayInputs
from vla3d_ros.replay.recorded_run import Fed, RecordedRun
from vla3d_ros.replay.replay_setup import ReplaySetup

_BYTES = 16


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ReplayedChunk:
    """What a replay made of one observation; `observation` is its digest, `compute_ms` wall time of inference."""

    record: ChunkRecord
    judgement: Judgement
    observation: str
    views: int
    compute_ms: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Replay:
    """One pass over a bag.

    unanswered: stamp -> why the policy gave no chunk. unseen: stamps which the live policy saw and this replay could
    not rebuild. wall_s and recorded_s give the speed.
    """

    policy: str
    chunks: tuple[ReplayedChunk, ...]
    unanswered: dict[int, str]
    unseen: tuple[int, ...]
    observations: int
    lost_sets: int
    wall_s: float
    recorded_s: float

    @property
    def digest(self) -> str:
        """32 hexadecimal digits over every chunk, verdict and refusal: two runs that agree in it are the same."""
        hashed = hashlib.blake2b(digest_size=_BYTES)
        for chunk in self.chunks:
            hashed.update(f"{chunk.record.digest}{chunk.observation}{chunk.judgement!r}".encode())
        hashed.update(repr((sorted(self.unanswered.items()), self.unseen)).encode())
        return hashed.hexdigest()

    @property
    def verdicts(self) -> dict[str, int]:
        """How many chunks were allowed, clamped, refused and stopped."""
        return dict(sorted(Counter(chunk.judgement.kind for chunk in self.chunks).items()))

    @property
    def objections(self) -> dict[str, int]:
        """How often each check had a reason."""
        return dict(sorted(Counter(check for c in self.chunks for check, _ in c.judgement.reasons).items()))


class OfflineReplay:
    """One bag, prepared once, to be run through any number of policies that look through the same cameras."""

    def __init__(
        self,
        run: RecordedRun,
        setup: ReplaySetup,
        cameras: Sequence[str],
        fed: Sequence[Fed] | None = None,
        depth_cameras: Sequence[str] = (),
        judging: Judging | None = None,
        observing: Observing | None = None,
    ) -> None:
        """Prepare.

        Args:
            run: The recording.
            setup: Robot, bounds and calibration.
            cameras: Views the policies want.
            fed: The observations to use, in order; None: every complete one while there is an instruction.
            depth_cameras: Cameras whose depth the policies look at.
            judging: Adapter and safety; by default in this thread, after each inference.
            observing: Decoding; by default in this thread, before each inference.
        """
        self.judging = judging or JudgingHere()
        self.observing = observing or ObservingHere(run.bag)
        self.run, self.setup, self.cameras = run, setup, tuple(cameras)
        self.stream = ObservationStream(run, setup, cameras, depth_cameras)
        self.judging.prepare(run.joints, setup)
        self.feed(fed)
        self.on_observation: Callable[[Observation], None] = lambda observation: None
        """Called with every observation before the policy is, for surveys of what was seen."""

    def feed(self, fed: Sequence[Fed] | None) -> None:
        """Choose the observations to use, in order; None: every complete one while there is an instruction.

        Their times of reception, and those of the run's instructions and prompts, are to be told by one clock.
        """
        run = self.run
        self.fed = None if fed is None else {one.stamp_ns: one for one in fed}
        self._inputs = ReplayInputs(
            bag=run.path,
            footage=self.stream.footage,
            instructions=tuple(run.instructions),
            prompts=tuple(run.prompts),
            fed=None if fed is None else tuple(fed),
        )
        self.observing.prepare(self._inputs)

    def observations(self) -> Iterator[Given]:
        """Iterate over (observation with its instruction, number of its task), in this process."""
        return self._inputs.given(self.stream)

    def play(self, backend: PolicyBackend, on_chunk: Callable[[int], None] = lambda stamp_ns: None) -> Replay:
        """Run the bag through one policy.

        Args:
            backend: The policy; it is reset at the start of every task.
            on_chunk: Called with each chunk's stamp, for progress.

        Raises:
            ConfigError: If the policy moves the arms of another robot.
            ShapeError: If the bag gives no observation.
            InstructionError: If the policy does not know an instruction.
        """
        backend.description.require_arms([arm.name for arm in self.setup.embodiment.arms])
        begun = time.perf_counter()
        self.judging.begin(self.run.joints, self.setup)
        task, stamps = None, set()
        answers: list[_Answer] = []
        unanswered: dict[int, str] = {}
        self.observing.prepare(self._inputs)
        for observation, number in self.observing:
            if number != task:
                backend.reset(observation.instruction)
                task = number
            stamps.add(observation.stamp_ns)
            self.on_observation(observation)
            try:
                chunk, compute_ms = _infer(backend, observation)
            except Vla3dError as error:
                unanswered[observation.stamp_ns] = str(error)
                continue
            self.judging.take(chunk, self._arrival_ns(observation.stamp_ns))
            record = record_of_chunk(chunk, self.setup.strokes_m)
            answers.append(_Answer.to(observation, record, compute_ms))
            on_chunk(observation.stamp_ns)
        counters = self.observing.counters
        require_observations(len(stamps), self.run, counters)
        return Replay(
            policy=backend.description.name,
            chunks=tuple(map(_Answer.judged, answers, self.judging.finish())),
            unanswered=unanswered,
            unseen=tuple(sorted(one for one, fed in (self.fed or {}).items() if fed.instruction and one not in stamps)),
            observations=len(stamps),
            lost_sets=counters.lost,
            wall_s=time.perf_counter() - begun,
            recorded_s=self.run.duration_ns * 1e-9,
        )

    def _arrival_ns(self, stamp_ns: int) -> int:
        """When the chunk of an observation reaches the adapter: as recorded, or after the usual latency."""
        known = self.run.chunks.get(stamp_ns)
        return max(stamp_ns, known.receive_ns if known is not None else stamp_ns + self.setup.latency_ns)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Answer:
    """A chunk, and what is kept of its observation when the pictures are not needed any more."""

    record: ChunkRecord
    observation: str
    views: int
    compute_ms: float

    @classmethod
    def to(cls, observation: Observation, record: ChunkRecord, compute_ms: float) -> _Answer:
        digest = observation_digest(observation)
        return cls(record=record, observation=digest, views=len(observation.views), compute_ms=compute_ms)

    def judged(self, judgement: Judgement) -> ReplayedChunk:
        return ReplayedChunk(
            record=self.record,
            judgement=judgement,
            observation=self.observation,
            views=self.views,
            compute_ms=self.compute_ms,
        )


def _infer(backend: PolicyBackend, observation: Observation) -> tuple[ActionChunk, float]:
    """Return the chunk and how long it took, ms of wall time."""
    before_ns = time.perf_counter_ns()
    chunk = backend.infer(observation)
    return chunk, (time.perf_counter_ns() - before_ns) / 1e6
