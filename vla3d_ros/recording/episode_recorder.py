"""A session of numbered episodes: every bag holds what was latched before it began."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from rosbags.interfaces import Qos

from vla3d_ros.errors import RecordingError
from vla3d_ros.recording.bag_summary import BagSummary, WriterState
from vla3d_ros.recording.bag_writer import BagWriter
from vla3d_ros.recording.image_packing import ImagePacking
from vla3d_ros.recording.message_definitions import MessageDefinitions
from vla3d_ros.recording.qos import is_latched, offered_qos
from vla3d_ros.recording.session_file import Session

_MOST_LATCHED = 64
_EPISODE = re.compile(r"episode_(\d+)(\.partial)?")
DISCARDED_FOLDER = "discarded"
SESSION_TYPE = "std_msgs/msg/String"


@dataclass(slots=True)
class _RecordedTopic:
    msgtype: str
    qos: Qos
    publishers: int = 1
    latched: list[bytes] = field(default_factory=list)

    def keep(self, cdr: bytes) -> None:
        """Remember a latched message as the newest; equal ones once."""
        self.latched = [*(kept for kept in self.latched if kept != cdr), cdr][-_MOST_LATCHED:]

    def to_replay(self) -> list[bytes]:
        """What a late subscriber would get: the last message, or with several publishers all that differ."""
        return self.latched[-1:] if self.publishers <= 1 else list(self.latched)


class EpisodeRecorder:
    """Records episodes one after the other below one folder, numbered from 1.

    Topics and latched messages are remembered from the beginning, so that an episode started later still holds
    `/tf_static`, the extrinsics, the camera models and the instruction.
    """

    def __init__(
        self,
        output_dir: Path,
        *,
        definitions: MessageDefinitions,
        queue_bytes: int,
        custom_data: Mapping[str, str],
        session_topic: str,
        packing: ImagePacking | None = None,
    ) -> None:
        """Prepare; nothing is written before `start`.

        Args:
            output_dir: Where episodes go.
            definitions: Where message types are looked up.
            queue_bytes: Most bytes waiting for the disk, see `BagWriter`.
            custom_data: Facts stored in every bag's metadata.
            session_topic: Full name of the latched topic that carries the session's description.
            packing: Store colour images as JPEG; raw by default.
        """
        self._output_dir = output_dir
        self._definitions = definitions
        self._queue_bytes, self._packing = queue_bytes, packing
        self._custom_data = dict(custom_data)
        self._session_topic = session_topic
        self._topics: dict[str, _RecordedTopic] = {}
        self._writer: BagWriter | None = None
        self._session = Session(episode="")
        self._session_yaml = ""
        self._last: tuple[Path, Session] | None = None

    @property
    def is_recording(self) -> bool:
        """Whether an episode is open."""
        return self._writer is not None

    @property
    def path(self) -> Path | None:
        """The open episode, if any."""
        return self._writer.path if self._writer else None

    @property
    def dropped(self) -> int:
        """Messages the open episode has lost so far."""
        return self._writer.dropped if self._writer else 0

    @property
    def state(self) -> WriterState:
        """How the open episode is doing."""
        return self._writer.state if self._writer else WriterState()

    @property
    def session(self) -> Session:
        """The story of the open episode, or of the last one."""
        return self._session

    def add_topic(self, topic: str, msgtype: str, qos: Qos, publishers: int = 1) -> None:
        """Record a topic from now on, or update how many publishers it has.

        Raises:
            RecordingError: If its type is unknown; the topic is then not recorded.
        """
        if topic in self._topics:
            self._topics[topic].publishers = publishers
            return
        self._definitions.lookup(msgtype, topic)
        self._topics[topic] = _RecordedTopic(msgtype, qos, publishers)
        if self._writer:
            self._writer.add_topic(topic, msgtype, qos)

    def on_message(self, topic: str, stamp_ns: int, cdr: bytes) -> None:
        """Take one message of a known topic: record it if an episode is open, remember it if it is latched.

        Args:
            topic: Full name.
            stamp_ns: Receive time, ROS clock.
            cdr: Serialized message.

        Raises:
            RecordingError: If the open bag has failed.
        """
        known = self._topics[topic]
        if is_latched(known.qos):
            known.keep(cdr)
        if self._writer:
            self._writer.write(topic, stamp_ns, cdr)

    def on_missed(self, topic: str, count: int) -> None:
        """Count messages of a known topic that were published during the open episode and never arrived."""
        if self._writer:
            self._writer.count_missed(topic, count)

    # ------------------------------------------------------------------------------------------- episodes

    def start(self, stamp_ns: int, session_yaml: str, session: Session | None = None) -> Path:
        """Open the next episode.

        Args:
            stamp_ns: Now, ROS clock; the stamp of the latched messages repeated at the start.
            session_yaml: Parameters, versions, instruction: what a reader needs to understand the bag.
            session: What is known of the episode; name and start are filled in.

        Returns:
            Where the finished bag will be.

        Raises:
            RecordingError: If an episode is open already or the folder can not be written.
        """
        if self._writer:
            raise RecordingError(f"episode {self._writer.path} is being recorded; stop it before starting another")
        path = self._next_path()
        writer = BagWriter(
            path,
            definitions=self._definitions,
            queue_bytes=self._queue_bytes,
            custom_data=self._custom_data,
            packing=self._packing,
        )
        session = replace(session or Session(episode=""), episode=path.name, started_ns=stamp_ns, outcome="recording")
        session.write(writer.folder)
        writer.add_topic(self._session_topic, SESSION_TYPE, offered_qos(is_latched=True, depth=1))
        writer.write(self._session_topic, stamp_ns, self._string_cdr(session_yaml))
        for topic, known in self._topics.items():
            writer.add_topic(topic, known.msgtype, known.qos)
            for cdr in known.to_replay():
                writer.write(topic, stamp_ns, cdr)
        self._writer, self._session, self._session_yaml = writer, session, session_yaml
        return writer.path

    def stop(self, outcome: str = "unjudged", because: str = "the operator ended it") -> BagSummary:
        """Finish the open episode.

        Args:
            outcome: One of `session_file.OUTCOMES`.
            because: Why it ends, for the session file.

        Raises:
            RecordingError: If none is open, or it could not be written.
        """
        if self._writer is None:
            raise RecordingError("no episode is being recorded; call start first")
        writer, self._writer = self._writer, None
        summary = writer.close()
        self._session.outcome = outcome
        self._session.result = {
            "ended_because": because,
            "duration_s": round(summary.duration_s, 3),
            "size_bytes": summary.size_bytes,
            "messages": dict(sorted(summary.messages.items())),
            "dropped": {topic: count for topic, count in sorted(summary.dropped.items()) if count},
            "longest_sync_s": round(summary.longest_sync_s, 3),
        }
        self._session.write(summary.path)
        self._last = summary.path, self._session
        return summary

    def split(self, stamp_ns: int, because: str) -> tuple[BagSummary, Path]:
        """Finish the open episode and go on in the next one: what must not stand in one order stands in two bags.

        Raises:
            RecordingError: If none is open, or one of them could not be written.
        """
        before = self._session
        summary = self.stop("unjudged", because)
        following = replace(before, continues=before.episode, events=[], result={})
        return summary, self.start(stamp_ns, self._session_yaml, following)

    def discard(self) -> Path:
        """Finish the open episode, or take the last one, and move it to `discarded`, out of the way but not lost.

        Returns:
            Where it is now.

        Raises:
            RecordingError: If there is none, or it can not be moved.
        """
        if self._writer:
            self.stop("discarded", "the operator discarded it")
        path, _ = self._judged("discarded")
        target = path.parent / DISCARDED_FOLDER / path.name
        try:
            target.parent.mkdir(exist_ok=True)
            path.rename(target)
        except OSError as error:
            raise RecordingError(f"episode {path} can not be moved to {target}: {error}") from error
        self._last = None
        return target

    def judge(self, outcome: str) -> Path:
        """Finish the open episode as a success or a failure, or judge the last one.

        Raises:
            RecordingError: If there is none, or it can not be written.
        """
        if self._writer:
            self.stop(outcome, f"the operator called it a {outcome}")
        path, _ = self._judged(outcome)
        return path

    def note(self, text: str) -> None:
        """Add a remark to the open episode, or to the last one.

        Raises:
            RecordingError: If it can not be written.
        """
        if self._writer is None and self._last is None:
            raise RecordingError(f"no episode to note {text!r} for; start one first")
        self._session.note = "\n".join(filter(None, (self._session.note, text)))
        folder = self._writer.folder if self._writer else self._last[0] if self._last else None
        assert folder is not None
        self._session.write(folder)

    def remember(self, stamp_ns: int, sentence: str) -> None:
        """Write into the open episode's story what happened."""
        if self._writer:
            self._session.add_event(stamp_ns, sentence)
            self._session.write(self._writer.folder)

    def _judged(self, outcome: str) -> tuple[Path, Session]:
        if self._last is None:
            raise RecordingError(f"no episode to call {outcome!r}; start one first")
        path, session = self._last
        session.outcome = outcome
        session.write(path)
        return path, session

    def _next_path(self) -> Path:
        """The number after the highest one taken, half-written bags of a crash and discarded ones included."""
        folders = [self._output_dir, self._output_dir / DISCARDED_FOLDER]
        names = [entry.name for folder in folders if folder.is_dir() for entry in folder.iterdir()]
        taken = [int(match[1]) for name in names if (match := _EPISODE.fullmatch(name))]
        return self._output_dir / f"episode_{max(taken, default=0) + 1:04d}"

    def _string_cdr(self, text: str) -> bytes:
        store = self._definitions.typestore
        return bytes(store.serialize_cdr(store.types[SESSION_TYPE](data=text), SESSION_TYPE))
