"""What of a bag is published when: the words of `ros2 bag play`, without ROS and without a clock of its own."""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vla3d_ros.errors import ConfigError, RecordingError, join_problems
from vla3d_ros.recording.bag_reader import BagMessage, BagReader
from vla3d_ros.replay.jump_guard import JumpGuard

_NS = 1_000_000_000
_EARLIEST_NS, _LATEST_NS = -100_000_000, 1_500_000_000  # how long after its stamp a message is plausibly recorded
MESSAGE_ORDERS = ("received", "sent")
_JOINTS = "sensor_msgs/msg/JointState"
_STAMPS = (struct.Struct(">iI"), struct.Struct("<iI"))  # by the byte order that a serialized message names


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybackSettings:
    """Speed, part and topics of a bag; durations in seconds of the bag, negative for all of it; remap: old -> new.

    message_order: `received`: messages are due when they were recorded, with every stall of that machine; `sent`: when
    their headers say they were sampled, where they have one that is plausible.
    """

    rate: float = 1.0
    start_offset_s: float = 0.0
    duration_s: float = -1.0
    is_looping: bool = False
    topics: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    remap: Mapping[str, str] = field(default_factory=dict)
    message_order: str = "received"

    def __post_init__(self) -> None:
        problems = []
        if not self.rate > 0:
            problems.append(f"rate is {self.rate}; expected above 0")
        if self.start_offset_s < 0:
            problems.append(f"start offset is {self.start_offset_s} s; expected 0 or more")
        if self.message_order not in MESSAGE_ORDERS:
            problems.append(f"message order is '{self.message_order}'; expected one of {MESSAGE_ORDERS}")
        if problems:
            raise ConfigError(join_problems("playback", problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedMessage:
    """One message: topic as remapped, where it comes from, bytes of the wire, and when it is due.

    offset_ns counts from the start of playing, at rate 1, laps included; bag_ns is the bag's time, laps added.
    """

    topic: str
    recorded_topic: str
    msgtype: str
    offset_ns: int
    bag_ns: int
    cdr: bytes


def parse_remaps(words: Sequence[str]) -> dict[str, str]:
    """Read `old:=new` words.

    Raises:
        ConfigError: Lists those that are none.
    """
    wrong = [word for word in words if word.count(":=") != 1]
    if wrong:
        raise ConfigError(f"remap {wrong}: expected OLD:=NEW, e.g. /camera/image:=/head/image_raw")
    return dict(word.split(":=") for word in words)


def restamped(cdr: bytes, shift_ns: int) -> bytes:
    """Return a serialized message that starts with a header, with its stamp moved by a number of nanoseconds."""
    stamp = _STAMPS[cdr[1] & 1]
    sec, nanosec = stamp.unpack_from(cdr, 4)
    stamp_ns = sec * _NS + nanosec + shift_ns
    return cdr[:4] + stamp.pack(stamp_ns // _NS, stamp_ns % _NS) + cdr[12:]


class Playback:
    """The messages of one bag in order, lap after lap."""

    def __init__(self, path: Path, settings: PlaybackSettings) -> None:
        """Look at the bag's topics.

        Raises:
            RecordingError: If the bag can not be read, or lacks a topic that is asked for; lists those it has.
        """
        self._path, self._settings = path, settings
        with BagReader(path) as bag:
            unknown = sorted({*settings.topics, *settings.remap} - set(bag.topics))
            if unknown:
                raise RecordingError(f"bag {path} has no topics {unknown}; available: {sorted(bag.topics)}")
            counts = bag.counts
            wanted = settings.topics or tuple(bag.topics)
            self.types = {
                topic: msgtype
                for topic, msgtype in bag.topics.items()
                if topic in wanted and topic not in settings.exclude and counts.get(topic)
            }
            self.connections = {c.topic: c for c in bag.connections if c.topic in self.types}
            self._with_header = {
                topic for topic, found in self.connections.items() if _starts_with_header(found.msgdef.data)
            }
            self.start_ns = bag.start_ns + round(settings.start_offset_s * _NS)
            end_ns = bag.start_ns + bag.duration_ns
        if settings.duration_s >= 0:
            end_ns = min(end_ns, self.start_ns + round(settings.duration_s * _NS))
        if not self.types or end_ns < self.start_ns:
            held = f"{sum(counts.values())} messages on {len(counts)} topics"
            raise RecordingError(f"bag {path}: nothing is left to play of {held}; check offset and topics")
        self.end_ns = end_ns

    @property
    def lap_ns(self) -> int:
        """Length of one lap: a millisecond longer than what is played, so that stamps go on."""
        return self.end_ns - self.start_ns + 1_000_000

    def check(self, speeds: Mapping[str, float]) -> None:
        """Refuse a bag with joint states that would make an arm jump.

        Args:
            speeds: Velocity limits by joint, rad/s; joints it does not know are judged by a cautious one.

        Raises:
            RecordingError: Lists every topic and kind of trouble.
        """
        guards = {topic: JumpGuard(topic, speeds) for topic, msgtype in self.types.items() if msgtype == _JOINTS}
        if not guards:
            return
        with BagReader(self._path) as bag:
            for message in bag.messages(guards):
                if self.start_ns <= message.stamp_ns <= self.end_ns:
                    msg = bag.decode(message)
                    stamp_ns = int(msg.header.stamp.sec) * _NS + int(msg.header.stamp.nanosec)
                    guards[message.topic].accepts(tuple(msg.name), msg.position, stamp_ns)
        sentences = [text for guard in guards.values() for text in guard.sentences()]
        if sentences:
            raise RecordingError(join_problems(f"bag {self._path} is not played: an arm would jump", sentences))

    def messages(self) -> Iterator[PlayedMessage]:
        """Iterate over messages; without end if the bag is looped.

        What was recorded before the start offset is left out, but for latched topics: their last message comes first,
        as a late subscriber would get it.
        """
        lap = 0
        while True:
            yield from self._lap(lap)
            lap += 1
            if not self._settings.is_looping:
                return

    def _lap(self, lap: int) -> Iterator[PlayedMessage]:
        shift_ns = lap * self.lap_ns
        early: dict[str, PlayedMessage] = {}
        for due_ns, message in self._in_order():
            played = PlayedMessage(
                topic=self._settings.remap.get(message.topic, message.topic),
                recorded_topic=message.topic,
                msgtype=message.msgtype,
                offset_ns=max(0, due_ns - self.start_ns) + shift_ns,
                bag_ns=max(due_ns, self.start_ns) + shift_ns,
                cdr=self._restamped(message.topic, message.cdr, shift_ns),
            )
            if due_ns < self.start_ns:
                if self._is_latched(message.topic):
                    early[message.topic] = played
                continue
            yield from early.values()
            early = {}
            yield played
        yield from early.values()

    def _in_order(self) -> Iterator[tuple[int, BagMessage]]:
        """Messages and when they are due, up to the end; in the order of the headers' stamps if that is asked for."""
        waiting: list[tuple[int, int, BagMessage]] = []
        with BagReader(self._path) as bag:
            for number, message in enumerate(bag.messages(tuple(self.types))):
                heapq.heappush(waiting, (self._due_ns(message), number, message))
                while waiting and waiting[0][0] <= message.stamp_ns - self._patience_ns:
                    due_ns, _, ready = heapq.heappop(waiting)
                    if due_ns <= self.end_ns:
                        yield due_ns, ready
                if message.stamp_ns > self.end_ns + self._patience_ns:
                    break
        while waiting:
            due_ns, _, ready = heapq.heappop(waiting)
            if due_ns <= self.end_ns:
                yield due_ns, ready

    @property
    def _patience_ns(self) -> int:
        return _LATEST_NS if self._settings.message_order == "sent" else 0

    def _due_ns(self, message: BagMessage) -> int:
        if self._settings.message_order == "received" or message.topic not in self._with_header:
            return message.stamp_ns
        sec, nanosec = _STAMPS[message.cdr[1] & 1].unpack_from(message.cdr, 4)
        stamp_ns = int(sec) * _NS + int(nanosec)
        is_plausible = _EARLIEST_NS <= message.stamp_ns - stamp_ns <= _LATEST_NS
        return stamp_ns if is_plausible and not self._is_latched(message.topic) else message.stamp_ns

    def _is_latched(self, topic: str) -> bool:
        profiles = getattr(self.connections[topic].ext, "offered_qos_profiles", [])
        return any(profile.durability.name == "TRANSIENT_LOCAL" for profile in profiles)

    def _restamped(self, topic: str, cdr: bytes, shift_ns: int) -> bytes:
        """Add the laps to the stamp of a message that starts with a header, so that time does not go back."""
        return restamped(cdr, shift_ns) if shift_ns and topic in self._with_header else cdr


class PlaybackClock:
    """Turns wall time into time since the start of playing, at a rate, with pauses. Wall times in ns, passed in."""

    def __init__(self, rate: float, wall_ns: int, *, is_paused: bool = False) -> None:
        """Start at a wall time."""
        self._rate, self._anchor_ns, self._offset_ns = rate, wall_ns, 0
        self.is_paused = is_paused

    def offset_ns(self, wall_ns: int) -> int:
        """Return how much of the bag should have been played."""
        if self.is_paused:
            return self._offset_ns
        return self._offset_ns + int((wall_ns - self._anchor_ns) * self._rate)

    def pause(self, wall_ns: int) -> None:
        """Hold on; safe to call twice."""
        self._offset_ns, self.is_paused = self.offset_ns(wall_ns), True

    def resume(self, wall_ns: int) -> None:
        """Go on; safe to call twice."""
        self._offset_ns, self._anchor_ns, self.is_paused = self.offset_ns(wall_ns), wall_ns, False

    def hold(self, offset_ns: int, wall_ns: int) -> None:
        """Take back time that went by while somebody was waited for: playing goes on from this offset."""
        if self.offset_ns(wall_ns) > offset_ns:
            self._offset_ns, self._anchor_ns = offset_ns, wall_ns

    def wait_s(self, offset_ns: int, wall_ns: int) -> float:
        """Return how many seconds of wall time are left until a message is due; at most 0 if it is."""
        return (offset_ns - self.offset_ns(wall_ns)) / self._rate / _NS


def _starts_with_header(definition: str) -> bool:
    lines = (line.split("#")[0].split() for line in definition.splitlines())
    first = next((words for words in lines if words), [])
    return bool(first) and first[0] in ("std_msgs/Header", "Header", "std_msgs/msg/Header")
