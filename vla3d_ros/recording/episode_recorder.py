"""A session of numbered episodes: every bag holds what was latched before it began."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rosbags.interfaces import Qos

from vla3d_ros.errors import RecordingError
from vla3d_ros.recording.bag_writer import BagSummary, BagWriter
from vla3d_ros.recording.message_definitions import MessageDefinitions
from vla3d_ros.recording.qos import is_latched, offered_qos

_MOST_LATCHED = 64
_EPISODE = re.compile(r"episode_(\d+)(\.partial)?")
SESSION_TYPE = "std_msgs/msg/String"

log = logging.getLogger(__name__)


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
    ) -> None:
        """Prepare; nothing is written before `start`.

        Args:
            output_dir: Where episodes go.
            definitions: Where message types are looked up.
            queue_bytes: Most bytes waiting for the disk, see `BagWriter`.
            custom_data: Facts stored in every bag's metadata.
            session_topic: Full name of the latched topic that carries the session's description.
        """
        self._output_dir = output_dir
        self._definitions = definitions
        self._queue_bytes = queue_bytes
        self._custom_data = dict(custom_data)
        self._session_topic = session_topic
        self._topics: dict[str, _RecordedTopic] = {}
        self._writer: BagWriter | None = None

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

    def start(self, stamp_ns: int, session_yaml: str) -> Path:
        """Open the next episode.

        Args:
            stamp_ns: Now, ROS clock; the stamp of the latched messages repeated at the start.
            session_yaml: Parameters, versions, instruction: what a reader needs to understand the bag.

        Returns:
            Where the finished bag will be.

        Raises:
            RecordingError: If an episode is open already or the folder can not be written.
        """
        if self._writer:
            raise RecordingError(f"episode {self._writer.path} is being recorded; stop it before starting another")
        writer = BagWriter(
            self._next_path(),
            definitions=self._definitions,
            queue_bytes=self._queue_bytes,
            custom_data=self._custom_data,
        )
        writer.add_topic(self._session_topic, SESSION_TYPE, offered_qos(is_latched=True, depth=1))
        writer.write(self._session_topic, stamp_ns, self._string_cdr(session_yaml))
        for topic, known in self._topics.items():
            writer.add_topic(topic, known.msgtype, known.qos)
            for cdr in known.to_replay():
                writer.write(topic, stamp_ns, cdr)
        self._writer = writer
        return writer.path

    def stop(self) -> BagSummary:
        """Finish the open episode.

        Raises:
            RecordingError: If none is open, or it could not be written.
        """
        if self._writer is None:
            raise RecordingError("no episode is being recorded; call start first")
        writer, self._writer = self._writer, None
        return writer.close()

    def _next_path(self) -> Path:
        """The number after the highest one taken, half-written bags of a crash included."""
        names = [entry.name for entry in self._output_dir.iterdir()] if self._output_dir.is_dir() else []
        taken = [int(match[1]) for name in names if (match := _EPISODE.fullmatch(name))]
        return self._output_dir / f"episode_{max(taken, default=0) + 1:04d}"

    def _string_cdr(self, text: str) -> bytes:
        store = self._definitions.typestore
        return bytes(store.serialize_cdr(store.types[SESSION_TYPE](data=text), SESSION_TYPE))
