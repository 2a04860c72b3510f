"""Everything of a recorded run but its pictures: states, instructions, and which observations the policy answered."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from vla3d_ros.datatypes import CameraModel, CameraMount, ExecutedSteps, ReferringPrompt
from vla3d_ros.errors import ConfigError, RecordingError, ShapeError
from vla3d_ros.evaluation.referring import mask_colour
from vla3d_ros.policy.prompt_pairing import PromptPairing
from vla3d_ros.recording.bag_reader import BagMessage, BagReader
from vla3d_ros.replay import bag_decoding as decoding
from vla3d_ros.replay.bag_layout import BagLayout, bag_layout
from vla3d_ros.replay.chunk_record import ChunkRecord, record_of_message

Float = NDArray[np.float64]

_MOST_NOTES = 20
_EXECUTED = "_executed_stamp_ns"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class JointReading:
    """One joint state message: names (N,), q (N,) rad, dq (N,) rad/s or NaN."""

    names: tuple[str, ...]
    q: Float
    dq: Float
    stamp_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """One observation that the live policy was given: its task (counted from the start), and what became of it.

    `digest` names the numbers it saw, "" if the recording does not tell. Without an answer it gave no chunk, but the
    policy may remember it. `prompt_colour`: that of the mask it was shown, "" if none; `depth_cameras`: views that had
    depth; None where the recording does not tell.
    """

    stamp_ns: int
    task: int
    instruction: str
    receive_ns: int = 0
    digest: str = ""
    is_answered: bool = True
    executed_steps: tuple[ExecutedSteps, ...] = ()
    prompt_colour: str | None = None
    depth_cameras: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AnsweredChunk:
    """A recorded chunk and when it was received, ROS clock; `compute_ms` is NaN where no report tells it."""

    record: ChunkRecord
    receive_ns: int
    compute_ms: float = float("nan")


class AnswerLog:
    """Puts chunks and reports of a policy node together, recorded or heard, into what it was given and answered."""

    def __init__(self, instructions: Sequence[tuple[int, str]]) -> None:
        """Take (time of reception, text) of every instruction; the list may still grow."""
        self.chunks: dict[int, AnsweredChunk] = {}
        self._instructions = instructions
        self._reports: list[tuple[int, dict[str, str]]] = []

    def take_chunk(self, receive_ns: int, msg: Any) -> None:
        """Take a message of `policy/chunk`.

        Raises:
            ShapeError: If it is incomplete.
        """
        record = record_of_message(msg)
        self.chunks.setdefault(record.stamp_ns, AnsweredChunk(record=record, receive_ns=receive_ns))

    def take_report(self, receive_ns: int, msg: Any) -> None:
        """Take a message of `policy/report`."""
        values = decoding.status_values(msg)
        if values.get("stamp_ns", "").isdigit():
            self._reports.append((receive_ns, values))

    def fed(self) -> list[Fed]:
        """What the policy was given, in its order, as its reports tell, or else as its chunks do."""
        for _, values in self._reports:
            stamp_ns = int(values["stamp_ns"])
            if stamp_ns in self.chunks:
                compute_ms = float(values.get("compute_ms", "nan"))
                self.chunks[stamp_ns] = replace(self.chunks[stamp_ns], compute_ms=compute_ms)
        told = self._reports or [(c.receive_ns, {"stamp_ns": str(stamp)}) for stamp, c in self.chunks.items()]
        return [fed for receive_ns, values in told for fed in self._fed_by(receive_ns, values)]

    def _fed_by(self, receive_ns: int, values: Mapping[str, str]) -> list[Fed]:
        begun = [text for stamp_ns, text in self._instructions if stamp_ns <= receive_ns]
        task = int(values.get("task", len(begun)))
        instruction = values.get("instruction", begun[-1] if begun else "")
        unanswered = [
            Fed(stamp_ns=int(stamp), task=task, instruction=instruction, receive_ns=receive_ns, is_answered=False)
            for stamp in values.get("unanswered_stamps_ns", "").split()
        ]
        digest = values.get("observation", "")
        answered = Fed(
            stamp_ns=int(values["stamp_ns"]),
            task=task,
            instruction=instruction,
            receive_ns=receive_ns,
            digest=digest,
            executed_steps=_executed_steps(values),
            prompt_colour=values.get("prompt"),
            depth_cameras=tuple(values["depth_cameras"].split()) if "depth_cameras" in values else None,
        )
        return [*unanswered, answered]


@dataclass(slots=True, kw_only=True)
class RecordedRun:
    """One bag, read once. Lists are in order of reception; `ee_messages` are (stamp, decoded message).

    bag: stays open for the pictures: to open one takes longer than to read seconds of it. read_s: wall time that
    reading took.
    """

    path: Path
    bag: BagReader
    layout: BagLayout
    topics: Mapping[str, str]
    start_ns: int
    duration_ns: int
    session: Mapping[str, Any] = field(default_factory=dict)
    joints: list[JointReading] = field(default_factory=list)
    ee_messages: list[tuple[int, Any]] = field(default_factory=list)
    instructions: list[tuple[int, str]] = field(default_factory=list)
    prompts: list[tuple[int, ReferringPrompt]] = field(default_factory=list)
    chunks: dict[int, AnsweredChunk] = field(default_factory=dict)
    fed: list[Fed] = field(default_factory=list)
    models: dict[str, CameraModel] = field(default_factory=dict)
    mounts: dict[str, CameraMount] = field(default_factory=dict)
    verdicts: dict[str, int] = field(default_factory=dict)
    read_s: float = 0.0
    notes: list[str] = field(default_factory=list)


def prompt_at(
    instructions: Sequence[tuple[int, str]], prompts: Sequence[tuple[int, ReferringPrompt]], receive_ns: int
) -> ReferringPrompt | None:
    """Return the prompt in force at a time of reception, joined with its instruction as the policy node does.

    Args:
        instructions: (Time of reception, text).
        prompts: (Time of reception, prompt).
        receive_ns: What came later does not count.
    """
    pairing = PromptPairing()
    events: list[tuple[int, ReferringPrompt | str]] = [*instructions, *prompts]
    for stamp_ns, event in sorted(events, key=lambda entry: entry[0]):
        if stamp_ns <= receive_ns:
            pairing.start(event) if isinstance(event, str) else pairing.add_prompt(event)
    return pairing.current


def prompt_given(
    fed: Fed, instructions: Sequence[tuple[int, str]], prompts: Sequence[tuple[int, ReferringPrompt]]
) -> ReferringPrompt | None:
    """Return the prompt that the live policy was shown with an observation.

    What its report tells counts more than the order in which two topics were heard elsewhere.

    Args:
        fed: The observation.
        instructions: (Time of reception, text).
        prompts: (Time of reception, prompt).
    """
    found = prompt_at(instructions, prompts, fed.receive_ns)
    colour = fed.prompt_colour
    if colour is None or colour == (found.colour if found else ""):
        return found
    same = [(receive_ns, prompt) for receive_ns, prompt in prompts if prompt.colour == colour]
    heard = [prompt for receive_ns, prompt in same if receive_ns <= fed.receive_ns]
    return heard[-1] if heard else same[0][1] if same else None


def read_run(path: Path, joint_states: str = "") -> RecordedRun:
    """Read all of a bag but its images.

    Args:
        path: Bag folder or storage file.
        joint_states: Topic of the joint states, where the bag does not name it as usual.

    Returns:
        The run; what could not be decoded is told in its notes.

    Raises:
        RecordingError: If the bag can not be opened, is damaged, or lacks the topic.
    """
    begun = time.perf_counter()
    bag = BagReader(path)
    layout = bag_layout(bag.topics)
    if joint_states:
        if joint_states not in bag.topics:
            raise RecordingError(f"bag {path} has no topic '{joint_states}'; available: {sorted(bag.topics)}")
        layout = replace(layout, joint_states=joint_states)
    run = RecordedRun(
        path=path, bag=bag, layout=layout, topics=bag.topics, start_ns=bag.start_ns, duration_ns=bag.duration_ns
    )
    if notice := bag.custom_data.get("composition"):
        run.notes.append(notice)
    reader = _Reader(bag, run)
    wanted = reader.wanted
    if wanted:
        for message in bag.messages(wanted):
            reader.take(message)
    run.fed, run.chunks = reader.answers.fed(), reader.answers.chunks
    run.read_s = time.perf_counter() - begun
    return run


class _Reader:
    """Sorts the messages of one bag."""

    def __init__(self, bag: BagReader, run: RecordedRun) -> None:
        self._bag, self._run, layout = bag, run, run.layout
        roles = ("joint_states", "ee_state", "instruction", "session", "prompt", "chunk", "report", "verdict")
        self._take = {getattr(layout, role): getattr(self, f"_take_{role}") for role in roles if getattr(layout, role)}
        self._infos = {topic: camera for camera, topic in layout.infos.items()}
        self._mounts = {topic: camera for camera, topic in layout.mounts.items()}
        self.answers = AnswerLog(run.instructions)

    @property
    def wanted(self) -> tuple[str, ...]:
        return (*self._take, *self._infos, *self._mounts)

    def take(self, message: BagMessage) -> None:
        run = self._run
        if message.topic in self._infos and self._infos[message.topic] in run.models:
            return
        try:
            decoded = self._bag.decode(message)
            if message.topic in self._infos:
                camera = self._infos[message.topic]
                run.models[camera] = decoding.camera_model(camera, decoded)
            elif message.topic in self._mounts:
                camera = self._mounts[message.topic]
                run.mounts.setdefault(camera, decoding.camera_mount(camera, decoded))
            else:
                self._take[message.topic](message.stamp_ns, decoded)
        except (ShapeError, ConfigError, OSError) as error:
            if len(run.notes) < _MOST_NOTES:
                run.notes.append(f"'{message.topic}': {error}")

    def _take_joint_states(self, receive_ns: int, msg: Any) -> None:
        names, q, dq, stamp_ns = tuple(msg.name), np.array(msg.position, dtype=np.float64), msg.velocity, msg.header
        dq = np.array(dq, dtype=np.float64)
        dq = dq if dq.shape == q.shape else np.full(q.shape, np.nan)
        self._run.joints.append(JointReading(names=names, q=q, dq=dq, stamp_ns=decoding.duration_ns(stamp_ns.stamp)))

    def _take_ee_state(self, receive_ns: int, msg: Any) -> None:
        self._run.ee_messages.append((decoding.duration_ns(msg.header.stamp), msg))

    def _take_instruction(self, receive_ns: int, msg: Any) -> None:
        self._run.instructions.append((receive_ns, msg.data.strip()))

    def _take_session(self, receive_ns: int, msg: Any) -> None:
        content = yaml.safe_load(msg.data)
        if isinstance(content, dict):
            self._run.session = content

    def _take_prompt(self, receive_ns: int, msg: Any) -> None:
        cameras = {mount.optical_frame: camera for camera, mount in self._run.mounts.items()}
        camera = cameras.get(msg.header.frame_id, msg.header.frame_id)
        rgb = decoding.image(camera, msg, receive_ns).rgb
        self._run.prompts.append((receive_ns, ReferringPrompt(camera=camera, rgb=rgb, colour=mask_colour(rgb))))

    def _take_chunk(self, receive_ns: int, msg: Any) -> None:
        self.answers.take_chunk(receive_ns, msg)

    def _take_report(self, receive_ns: int, msg: Any) -> None:
        self.answers.take_report(receive_ns, msg)

    def _take_verdict(self, receive_ns: int, msg: Any) -> None:
        self._run.verdicts[msg.message] = self._run.verdicts.get(msg.message, 0) + 1


def _executed_steps(values: Mapping[str, str]) -> tuple[ExecutedSteps, ...]:
    """The accounts of executed steps that a report repeats from the observation, in its order."""
    arms = [key.removesuffix(_EXECUTED) for key in values if key.endswith(_EXECUTED)]
    return tuple(
        ExecutedSteps(
            arm=arm,
            chunk_stamp_ns=int(values[f"{arm}_executed_stamp_ns"]),
            first=int(values[f"{arm}_executed_first"]),
            count=int(values[f"{arm}_executed_steps"]),
        )
        for arm in arms
    )
