"""`player`: plays a bag as topics, in the words of `ros2 bag play`, after looking for jumps."""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image, MultiDOFJointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.errors import RecordingError, Vla3dError
from vla3d_ros.replay import bag_decoding
from vla3d_ros.replay.playback import Playback, PlaybackClock, PlaybackSettings, PlayedMessage, parse_remaps
from vla3d_ros.replay.qos_overrides import read_qos_overrides
from vla3d_ros.ros import conversions, qos
from vla3d_ros.ros.lifecycle import ManagedNode
from vla3d_ros.ros.node_thread import NodeThread
from vla3d_ros.ros.parameters import declare, parameter
from vla3d_ros.ros.qos_words import offered_profile
from vla3d_ros.twin.pacing import Pacing

_NS = 1_000_000_000
_LONGEST_WAIT_S, _POLL_S = 0.05, 0.001
_PATIENCE_S = 1.0
_COMPRESSED = "/compressed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BagPlayerParameters:
    """Parameters of `player`, by the names of `ros2 bag play`."""

    bag: str = parameter("Folder of the bag, or a storage file")
    rate: float = parameter("Speed of playing", default=1.0)
    start_offset: float = parameter("How far into the bag to start", unit="s", default=0.0)
    playback_duration: float = parameter("How much of the bag to play; negative: all", unit="s", default=-1.0)
    loop: bool = parameter("Start again at the end; stamps go on", default=False)
    start_paused: bool = parameter("Wait for ~/resume", default=False)
    clock: float = parameter("Rate of /clock, besides one with every message; 0: none", unit="Hz", default=0.0)
    topics: tuple[str, ...] = parameter("Only these; empty: all", default=())
    exclude_topics: tuple[str, ...] = parameter("All but these", default=())
    remap: tuple[str, ...] = parameter("OLD:=NEW", default=())
    message_order: str = parameter("received, or sent: by the stamps in the headers", default="received")
    qos_profile_overrides_path: str = parameter("QoS by topic, as for ros2 bag", default="")
    robot_file: str = parameter("Whose velocity limits tell a jump; empty: cautious ones", default="")
    max_state_lag_s: float = parameter("Wait for an adapter further behind; 0: never", unit="s", default=0.0)
    max_chunk_lag_s: float = parameter("Wait for a policy further behind; 0: never", unit="s", default=0.0)
    discovery_s: float = parameter("Wait for subscribers before the first message", unit="s", default=1.0)


class BagPlayerNode(ManagedNode):
    """Publishes in a thread of its own; services `~/pause`, `~/resume`, `~/toggle_paused`; latched `~/state`."""

    def __init__(self) -> None:
        super().__init__("player")
        self._settings = declare(self, BagPlayerParameters)
        self._outputs: dict[str, Publisher] = {}
        self._playing = NodeThread("player", self._play)
        self._word, self._failure, self._played, self._position_s = "waiting", "", 0, 0.0
        self._state_publisher = self.create_publisher(DiagnosticStatus, "~/state", qos.LATCHED)
        for name in ("pause", "resume", "toggle_paused"):
            self.create_service(Trigger, f"~/{name}", getattr(self, f"_on_{name}"))

    def configure(self) -> None:
        """Look through the bag, refuse it if an arm would jump, and offer its topics."""
        p = self._settings
        self._playback = Playback(
            Path(p.bag),
            PlaybackSettings(
                rate=p.rate,
                start_offset_s=p.start_offset,
                duration_s=p.playback_duration,
                is_looping=p.loop,
                topics=p.topics,
                exclude=p.exclude_topics,
                remap=parse_remaps(p.remap),
                message_order=p.message_order,
            ),
        )
        self._playback.check(_speeds(p.robot_file))
        self._progress = PlaybackClock(p.rate, time.monotonic_ns(), is_paused=True)
        overrides = read_qos_overrides(Path(p.qos_profile_overrides_path)) if p.qos_profile_overrides_path else {}
        self._clock_publisher = self.create_publisher(Clock, "/clock", qos.CLOCK) if p.clock > 0 else None
        self._pacing = self._listen_for_laggards()
        self._unpacked = self._raw_topics()
        remaps = parse_remaps(p.remap)
        for topic, msgtype in self._playback.types.items():
            profiles = getattr(self._playback.connections[topic].ext, "offered_qos_profiles", [])
            name, kind = remaps.get(topic, topic), _message_class(topic, msgtype)
            if topic in self._unpacked:
                name, kind = name.removesuffix(_COMPRESSED), Image
            self._outputs[topic] = self.create_publisher(kind, name, offered_profile(profiles, overrides.get(topic)))

    def _listen_for_laggards(self) -> Pacing:
        """Follow the stamps of what the nodes make of the bag, as the twin does: it waits for who is behind."""
        given = {
            "ee_state": (self._settings.max_state_lag_s, MultiDOFJointState),
            "policy/chunk": (self._settings.max_chunk_lag_s, MultiDOFJointTrajectory),
        }
        lags_s = {topic: lag_s for topic, (lag_s, _) in given.items() if lag_s > 0}
        pacing = Pacing(lags_s, patience_s=_PATIENCE_S)
        for topic in lags_s:

            def hear(cdr: bytes, topic: str = topic) -> None:
                pacing.hear(topic, conversions.stamp_ns_of_cdr(cdr), time.monotonic())

            self.create_subscription(given[topic][1], topic, hear, qos.SENSOR, raw=True)
        return pacing

    def _raw_topics(self) -> set[str]:
        """Compressed image topics whose raw images are not in the bag: nodes want those, so they are decoded."""
        return {
            topic
            for topic, msgtype in self._playback.types.items()
            if msgtype == "sensor_msgs/msg/CompressedImage"
            and topic.endswith(_COMPRESSED)
            and topic.removesuffix(_COMPRESSED) not in self._playback.types
        }

    def activate(self) -> None:
        """Start playing."""
        self._playing.start()

    def deactivate(self) -> None:
        """Stop playing."""
        self._playing.stop()

    def clean_up(self) -> None:
        """Withdraw the topics."""
        for publisher in self._outputs.values():
            self.destroy_publisher(publisher)
        self._outputs = {}

    # ------------------------------------------------------------------------------------------ playing

    def _play(self) -> None:
        try:
            self._announce_clock(self._playback.start_ns)
            self._playing.rest(self._settings.discovery_s)
            if not self._settings.start_paused:
                self._progress.resume(time.monotonic_ns())
            self._say("paused" if self._progress.is_paused else "playing")
            for message in self._playback.messages():
                if not self._is_due(message):
                    return
                self._announce_clock(message.bag_ns)
                self._publish(message)
                self._played += 1
                self._position_s = message.offset_ns / _NS
            self._say("finished")
        except Exception as error:  # the boundary of the thread: whatever it was, it must be seen
            self._failure = str(error) if isinstance(error, Vla3dError) else repr(error)
            self.get_logger().error(self._failure)
            self._say("failed")

    def _is_due(self, message: PlayedMessage) -> bool:
        """Wait until a message is due, with /clock going on; False if playing ends."""
        period_s = 1.0 / self._settings.clock if self._settings.clock > 0 else _LONGEST_WAIT_S
        reached_ns = round(self._position_s * _NS)
        while self._playing.is_wanted and self.context.ok():
            now_ns = time.monotonic_ns()
            if self._pacing.lagging(self._playback.start_ns + reached_ns, now_ns / _NS):
                self._progress.hold(reached_ns, now_ns)
                self._playing.rest(_POLL_S)
                continue
            left_s = self._progress.wait_s(message.offset_ns, now_ns)
            if not self._progress.is_paused and left_s <= 0:
                return True
            if not self._progress.is_paused:
                reached_ns = max(reached_ns, min(self._progress.offset_ns(now_ns), message.offset_ns))
                self._announce_clock(self._playback.start_ns + reached_ns)
            self._playing.rest(_LONGEST_WAIT_S if self._progress.is_paused else min(left_s, period_s, _LONGEST_WAIT_S))
        return False

    def _publish(self, message: PlayedMessage) -> None:
        publisher = self._outputs[message.recorded_topic]
        if message.recorded_topic not in self._unpacked:
            publisher.publish(message.cdr)
            return
        if publisher.get_subscription_count():
            from rclpy.serialization import deserialize_message

            packed = deserialize_message(message.cdr, CompressedImage)
            image = bag_decoding.image(message.topic, packed, message.bag_ns)
            publisher.publish(conversions.image_to_msg(image, packed.header.frame_id))

    def _announce_clock(self, now_ns: int) -> None:
        if self._clock_publisher is not None and self.context.ok():
            self._clock_publisher.publish(Clock(clock=conversions.stamp_from_ns(now_ns)))

    # ----------------------------------------------------------------------------------------- services

    def _on_pause(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._set_paused(True, response)

    def _on_resume(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._set_paused(False, response)

    def _on_toggle_paused(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._set_paused(self._playing.is_wanted and not self._progress.is_paused, response)

    def _set_paused(self, is_paused: bool, response: Trigger.Response) -> Trigger.Response:
        response.success = self._playing.is_wanted
        response.message = "paused" if is_paused else "playing"
        if not self._playing.is_wanted:
            response.message = "the player is not active; bring it up first"
            return response
        with self._playing.changed:
            (self._progress.pause if is_paused else self._progress.resume)(time.monotonic_ns())
            self._playing.changed.notify()
        self._say(response.message)
        return response

    def _say(self, word: str) -> None:
        self._word = word
        if not self.context.ok():
            return
        values = {"played": str(self._played), "position_s": f"{self._position_s:.3f}", "failure": self._failure}
        name = self.get_fully_qualified_name()
        self._state_publisher.publish(conversions.status_msg(name, not self._failure, word, values))
        self.publish_diagnostics()

    def diagnose(self) -> tuple[bool, str, dict[str, str]]:
        """Report how far it has come."""
        values = {"played": str(self._played), "position_s": f"{self._position_s:.3f}"}
        return not self._failure, self._failure or self._word, values


def _speeds(robot_file: str) -> dict[str, float]:
    if not robot_file:
        return {}
    arms = load_embodiment(Path(robot_file)).arms
    return {n: float(v) for arm in arms for n, v in zip(arm.joint_names, arm.limits.velocity, strict=True)}


def _message_class(topic: str, msgtype: str) -> Any:
    package, kind, name = msgtype.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.{kind}"), name)
    except (ImportError, AttributeError) as error:
        raise RecordingError(
            f"topic '{topic}': Python bindings of '{msgtype}' are missing; install and source package '{package}', "
            "or leave the topic out with --exclude-topics"
        ) from error
