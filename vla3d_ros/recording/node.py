"""`recorder`: every topic of the graph into one bag per episode, as the bytes came from the wire."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from rclpy.clock import Clock, ClockType
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla3d_ros.errors import ConfigError, RecordingError
from vla3d_ros.recording.episode_recorder import EpisodeRecorder
from vla3d_ros.recording.message_definitions import MessageDefinitions
from vla3d_ros.recording.qos import offered_qos
from vla3d_ros.ros import qos
from vla3d_ros.ros.lifecycle import ManagedNode
from vla3d_ros.ros.parameters import declare, parameter

_DISCOVERY_PERIOD_S = 0.5
_QUEUE_DEPTH = 200
_PACKAGE = "vla3d_ros"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderNodeParameters:
    """Parameters of `recorder`."""

    output_dir: str = parameter("Folder in which episodes are numbered")
    session_yaml: str = parameter("Deployment and parameters of all nodes, kept in every bag", default="")
    include: tuple[str, ...] = parameter("Topics to record, regular expressions on full names", default=(".*",))
    exclude: tuple[str, ...] = parameter(
        "Topics to leave out; the receive stamps already carry /clock, and raw images are recorded",
        default=("/rosout", "/parameter_events", "/clock", ".*/_.*", ".*/image_raw/compressed"),
    )
    queue_mb: float = parameter("Most data waiting for the disk before messages are dropped", unit="MB", default=256.0)


class RecorderNode(ManagedNode):
    """Follows the graph, keeps what is latched, and writes an episode between `~/start` and `~/stop`."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self._settings = declare(self, RecorderNodeParameters)
        self._recorder: EpisodeRecorder | None = None
        self._followed: dict[str, tuple[QoSProfile, Subscription]] = {}
        self._refused: dict[str, str] = {}
        self._last_summary = ""
        self._failure = ""
        self._session_publisher = self.create_publisher(String, "session", qos.LATCHED)
        self.create_service(Trigger, "~/start", self._on_start)
        self.create_service(Trigger, "~/stop", self._on_stop)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._discovery_timer = self.create_timer(_DISCOVERY_PERIOD_S, self._discover, clock=steady)

    def configure(self) -> None:
        """Check the filters and the folder, and start following the graph."""
        self._include = _compiled("include", self._settings.include)
        self._exclude = _compiled("exclude", self._settings.exclude)
        output_dir = Path(self._settings.output_dir).expanduser()
        try:
            output_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordingError(
                f"output_dir {output_dir} can not be created: {error}; choose a writable one"
            ) from error
        self._recorder = EpisodeRecorder(
            output_dir,
            definitions=MessageDefinitions.from_environment(),
            queue_bytes=int(self._settings.queue_mb * 1e6),
            custom_data=_facts(),
            session_topic=self._session_publisher.topic_name,
        )
        self._discover()

    def deactivate(self) -> None:
        """Finish an open episode."""
        if self._recorder is not None and self._recorder.is_recording:
            self._finish(self._recorder)

    def clean_up(self) -> None:
        """Forget the graph."""
        for _, subscription in self._followed.values():
            self.destroy_subscription(subscription)
        self._followed.clear()
        self._recorder = None

    def diagnose(self) -> tuple[bool, str, dict[str, str]]:
        """Report what is recorded, what was lost, and topics that can not be recorded."""
        if self._recorder is None:
            return True, "not configured", {}
        values = {"topics": str(len(self._followed)), "dropped": str(self._recorder.dropped)}
        values |= {f"not recorded {topic}": reason for topic, reason in self._refused.items()}
        if self._failure:
            return False, self._failure, values
        if self._recorder.is_recording:
            return self._recorder.dropped == 0, f"recording {self._recorder.path}", values
        return True, self._last_summary or "ready", values

    # ------------------------------------------------------------------------------------------ services

    def _on_start(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            response.message = str(self._start())
            response.success = True
        except RecordingError as error:
            response.message = str(error)
        self.get_logger().info(f"start: {response.message}")
        return response

    def _start(self) -> Path:
        recorder = self._configured()
        now_ns = self.now_ns
        if now_ns == 0:
            raise RecordingError("ROS time has not started: use_sim_time is set and nobody publishes /clock yet")
        self._discover()
        session = yaml.safe_dump({"recorder": _facts()}, sort_keys=False) + self._settings.session_yaml
        path = recorder.start(now_ns, session)
        self._session_publisher.publish(String(data=session))
        self._failure = ""
        return path

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            response.message = self._finish(self._configured())
            response.success = True
        except RecordingError as error:
            response.message = str(error)
            self.get_logger().error(response.message)
        return response

    def _finish(self, recorder: EpisodeRecorder) -> str:
        summary = recorder.stop()
        self._last_summary = summary.line()
        has_lost = any(summary.dropped.values())
        (self.get_logger().warning if has_lost else self.get_logger().info)(self._last_summary)
        return self._last_summary

    def _configured(self) -> EpisodeRecorder:
        if self._recorder is None:
            raise RecordingError("the recorder is not configured; bring the deployment up first")
        return self._recorder

    # --------------------------------------------------------------------------------------------- graph

    def _discover(self) -> None:
        """Subscribe to topics that appeared, and again where the offered QoS changed."""
        if self._recorder is None or not self.context.ok():
            return
        for topic, msgtypes in self.get_topic_names_and_types():
            if topic in self._refused or not self._is_wanted(topic):
                continue
            publishers = self.get_publishers_info_by_topic(topic)
            if publishers:
                self._follow(topic, msgtypes[0], [info.qos_profile for info in publishers])

    def _is_wanted(self, topic: str) -> bool:
        is_included = any(pattern.fullmatch(topic) for pattern in self._include)
        is_ours = topic == self._session_publisher.topic_name  # written into each bag by the recorder itself
        return is_included and not is_ours and not any(pattern.fullmatch(topic) for pattern in self._exclude)

    def _follow(self, topic: str, msgtype: str, offered: Sequence[QoSProfile]) -> None:
        assert self._recorder is not None
        profile = _matching(offered)
        try:
            known = offered_qos(
                is_reliable=profile.reliability is ReliabilityPolicy.RELIABLE,
                is_latched=profile.durability is DurabilityPolicy.TRANSIENT_LOCAL,
                depth=max(1, *(each.depth for each in offered)),
            )
            self._recorder.add_topic(topic, msgtype, known, publishers=len(offered))
            if topic in self._followed:
                before, subscription = self._followed[topic]
                if before == profile:
                    return
                self.destroy_subscription(subscription)
            on_message = partial(self._on_message, topic)
            kind = _message_class(topic, msgtype)
            self._followed[topic] = profile, self.create_subscription(kind, topic, on_message, profile, raw=True)
        except RecordingError as error:
            self._refused[topic] = str(error)
            self.get_logger().warning(f"not recorded: {error}")

    def _on_message(self, topic: str, cdr: bytes) -> None:
        if self._recorder is None:
            return
        try:
            self._recorder.on_message(topic, self.now_ns, cdr)
        except RecordingError as error:
            self._give_up(error)

    def _give_up(self, error: RecordingError) -> None:
        """End an episode that can not be written; the error is kept on `/diagnostics`."""
        assert self._recorder is not None
        self._failure = str(error)
        self.get_logger().error(self._failure)
        try:
            self._recorder.stop()
        except RecordingError:
            self.publish_diagnostics()


def _compiled(name: str, expressions: Sequence[str]) -> list[re.Pattern[str]]:
    try:
        return [re.compile(expression) for expression in expressions]
    except re.error as error:
        raise ConfigError(f"parameter '{name}' has {error.pattern!r}: not a regular expression: {error}") from error


def _matching(offered: Sequence[QoSProfile]) -> QoSProfile:
    """The strictest subscription that every publisher of a topic is compatible with."""
    is_reliable = all(each.reliability is ReliabilityPolicy.RELIABLE for each in offered)
    is_latched = all(each.durability is DurabilityPolicy.TRANSIENT_LOCAL for each in offered)
    return QoSProfile(
        depth=_QUEUE_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE,
    )


def _message_class(topic: str, msgtype: str) -> Any:
    package, kind, name = msgtype.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.{kind}"), name)
    except (ImportError, AttributeError) as error:
        raise RecordingError(
            f"topic '{topic}': Python bindings of '{msgtype}' are missing; install and source package '{package}', "
            "or exclude the topic from recording"
        ) from error


def _facts() -> dict[str, str]:
    try:
        package_version = version(_PACKAGE)
    except PackageNotFoundError:
        package_version = "not installed"
    return {
        "package": _PACKAGE,
        "package_version": package_version,
        "ros_distro": os.environ.get("ROS_DISTRO", "unknown"),
        "rmw": os.environ.get("RMW_IMPLEMENTATION", "default"),
    }
