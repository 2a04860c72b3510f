"""`recorder`: every topic of the graph into one bag per episode, as the bytes came from the wire."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.camera.rig import load_rig
from vla3d_ros.errors import RecordingError, Vla3dError, join_problems
from vla3d_ros.recording.clock_watch import ClockWatch
from vla3d_ros.recording.disk_guard import DiskGuard
from vla3d_ros.recording.episode_control import ControlStatus, EpisodeControl
from vla3d_ros.recording.episode_recorder import EpisodeRecorder
from vla3d_ros.recording.health import HealthMonitor
from vla3d_ros.recording.image_packing import ImagePacking
from vla3d_ros.recording.message_definitions import MessageDefinitions
from vla3d_ros.recording.provenance import files_in_force, git_state, library_versions, software_facts
from vla3d_ros.ros import qos
from vla3d_ros.ros.graph_follower import GraphFollower
from vla3d_ros.ros.lifecycle import ManagedNode
from vla3d_ros.ros.parameters import declare, parameter

_DISCOVERY_PERIOD_S = 0.5
_BYTES_PER_MB = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderNodeParameters:
    """Parameters of `recorder`."""

    output_dir: str = parameter("Folder in which episodes are numbered")
    session_yaml: str = parameter("Deployment and parameters of all nodes, kept in every bag", default="")
    include: tuple[str, ...] = parameter("Topics to record, regular expressions on full names", default=(".*",))
    exclude: tuple[str, ...] = parameter(
        "Topics to leave out; the receive stamps already carry /clock, and raw images are recorded",
        default=("/parameter_events", "/clock", ".*/_.*", ".*/image_raw/compressed"),
    )
    queue_mb: float = parameter("Most data waiting for the disk before messages are dropped", unit="MB", default=256.0)
    jpeg_quality: int = parameter("JPEG quality of colour images, 1 to 100; 0 records them raw", default=0)
    min_free_mb: float = parameter("An episode ends before the disk has less room", unit="MB", default=500.0)
    gate: bool = parameter("Refuse to start while the health gate finds problems", default=False)
    rig_file: str = parameter("Camera rig that the health gate expects; any cameras if empty", default="")
    robot_file: str = parameter("Robot whose joints the health gate expects; any if empty", default="")
    operator: str = parameter("Who records", default="")


class RecorderNode(ManagedNode):
    """Follows the graph, keeps what is latched, and writes an episode between `~/start` and `~/stop`.

    Services (std_srvs/Trigger): `start`, `start_forced`, `stop`, `success`, `failure`, `discard`, `check`. Topics:
    `note`, `instruction` and `operator` (std_msgs/String) come in; `status` (DiagnosticStatus) goes out twice a second.
    """

    def __init__(self) -> None:
        super().__init__("recorder")
        self._settings = declare(self, RecorderNodeParameters)
        self._control: EpisodeControl | None = None
        self._follower: GraphFollower | None = None
        self._session_publisher = self.create_publisher(String, "session", qos.LATCHED)
        self._status_publisher = self.create_publisher(DiagnosticStatus, "~/status", qos.EVENT)
        for name, action in (
            ("start", lambda control: self._start(control, is_forced=False)),
            ("start_forced", lambda control: self._start(control, is_forced=True)),
            ("stop", lambda control: control.stop().line()),
            ("success", lambda control: control.judge("success")),
            ("failure", lambda control: control.judge("failure")),
            ("discard", lambda control: control.discard()),
            ("check", self._check),
        ):
            self.create_service(Trigger, f"~/{name}", self._serving(name, action))
        self.create_subscription(String, "~/note", self._on_note, qos.EVENT)
        self.create_subscription(String, "~/instruction", self._on_own_instruction, qos.LATCHED)
        self.create_subscription(String, "~/operator", self._on_operator, qos.LATCHED)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._tick_timer = self.create_timer(_DISCOVERY_PERIOD_S, self._tick, clock=steady)

    def configure(self) -> None:
        """Check the filters and the folder, and start following the graph."""
        settings = self._settings
        output_dir = Path(settings.output_dir).expanduser()
        try:
            output_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordingError(
                f"output_dir {output_dir} can not be created: {error}; choose a writable one"
            ) from error
        self._recorder = EpisodeRecorder(
            output_dir,
            definitions=MessageDefinitions.from_environment(),
            queue_bytes=int(settings.queue_mb * _BYTES_PER_MB),
            custom_data=software_facts(),
            session_topic=self._session_publisher.topic_name,
            packing=ImagePacking(settings.jpeg_quality) if settings.jpeg_quality else None,
        )
        self._follower = GraphFollower(
            self,
            include=settings.include,
            exclude=settings.exclude,
            on_topic=self._recorder.add_topic,
            on_message=self._on_message,
            on_missed=self._recorder.on_missed,
        )
        self._control = self._new_control(self._recorder, output_dir)
        self._follower.discover([self._session_publisher.topic_name])

    def _new_control(self, recorder: EpisodeRecorder, output_dir: Path) -> EpisodeControl:
        settings = self._settings
        is_simulated = bool(self.get_parameter("use_sim_time").value)
        rig = load_rig(Path(settings.rig_file)) if settings.rig_file else None
        arms = load_embodiment(Path(settings.robot_file)).arms if settings.robot_file else ()
        monitor = HealthMonitor(
            MessageDefinitions().typestore,
            rig=rig,
            joint_names=[joint for arm in arms for joint in arm.joint_names],
            is_simulated=is_simulated,
            today=lambda: datetime.now().astimezone().date(),
        )
        deployment = yaml.safe_load(settings.session_yaml or "{}")
        files = {"rig_file": settings.rig_file, "robot_file": settings.robot_file, "deployment": deployment}
        control = EpisodeControl(
            recorder,
            monitor=monitor,
            guard=DiskGuard(output_dir, int(settings.min_free_mb * _BYTES_PER_MB)),
            clock_watch=ClockWatch(is_simulated=is_simulated),
            instruction_topic=self.resolve_topic_name("instruction"),
            is_gated=settings.gate,
            provenance={
                "software": software_facts() | library_versions(),
                "checkout": git_state(Path(__file__).parent),
                "deployment": deployment,
                "files": files_in_force(files),
            },
        )
        control.operator = settings.operator
        return control

    def deactivate(self) -> None:
        """Finish an open episode."""
        if self._control is not None and self._control.is_recording:
            self._control.stop()

    def clean_up(self) -> None:
        """Forget the graph."""
        if self._follower is not None:
            self._follower.close()
        self._control = self._follower = None

    def diagnose(self) -> tuple[bool, str, dict[str, str]]:
        """Report what is recorded, what was lost, and topics that can not be recorded."""
        if self._control is None or self._follower is None:
            return True, "not configured", {}
        status = self._control.status(self.now_ns)
        values = self._values(status)
        if status.failure:
            return False, status.failure, values
        if status.path is None:
            return True, status.last or "ready", values
        is_well = not status.writer.dropped and not (self._settings.gate and status.problems)
        return is_well, f"recording {status.path}", values

    def _values(self, status: ControlStatus) -> dict[str, str]:
        assert self._follower is not None
        values = {
            "topics": str(len(self._follower)),
            "dropped": str(sum(status.writer.dropped.values())),
            "path": str(status.path or ""),
            "seconds": f"{status.seconds:.2f}",
            "messages": str(status.writer.received),
            "queue": f"{status.writer.waiting_share:.2f}",
            "at_risk_s": f"{status.writer.at_risk_s:.2f}",
            "free_mb": f"{status.free_bytes / _BYTES_PER_MB:.0f}",
            "instruction": status.instruction,
            "operator": status.operator,
            "problems": "\n".join(status.problems),
            "failure": status.failure,
            "last": status.last,
        }
        values |= {f"dropped {topic}": str(count) for topic, count in status.writer.dropped.items()}
        return values | {f"not recorded {topic}": reason for topic, reason in self._follower.refused.items()}

    # ------------------------------------------------------------------------------------------ services

    def _serving(self, name: str, action: Callable[[EpisodeControl], str]) -> Callable[..., Trigger.Response]:
        def serve(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            try:
                if self._control is None:
                    raise RecordingError("the recorder is not configured; bring the deployment up first")
                response.message = action(self._control)
                response.success = True
            except Vla3dError as error:
                response.message = str(error)
            self.get_logger().info(f"{name}: {response.message}")
            self._publish_status()
            return response

        return serve

    def _start(self, control: EpisodeControl, *, is_forced: bool) -> str:
        now_ns = self.now_ns
        if now_ns == 0:
            raise RecordingError("ROS time has not started: use_sim_time is set and nobody publishes /clock yet")
        assert self._follower is not None
        self._follower.discover([self._session_publisher.topic_name])
        session = yaml.safe_dump({"recorder": software_facts()}, sort_keys=False) + self._settings.session_yaml
        path = control.start(now_ns, session, is_forced=is_forced)
        self._session_publisher.publish(String(data=session))
        return str(path)

    def _check(self, control: EpisodeControl) -> str:
        if problems := control.check(self.now_ns):
            raise RecordingError(join_problems("not ready", problems))
        return "ready"

    # ---------------------------------------------------------------------------------------------- topics

    def _on_message(self, topic: str, msgtype: str, cdr: bytes) -> None:
        if self._control is not None:
            self._control.on_message(topic, msgtype, self.now_ns, time.monotonic_ns(), cdr)

    def _on_note(self, msg: String) -> None:
        try:
            if self._control is not None:
                self._control.note(msg.data)
        except RecordingError as error:
            self.get_logger().error(str(error))

    def _on_own_instruction(self, msg: String) -> None:
        if self._control is not None:
            self._control.instruction = msg.data

    def _on_operator(self, msg: String) -> None:
        if self._control is not None:
            self._control.operator = msg.data

    def _tick(self) -> None:
        if self._control is None or self._follower is None or not self.context.ok():
            return
        self._follower.discover([self._session_publisher.topic_name])
        self._control.tick(self.now_ns)
        self._publish_status()

    def _publish_status(self) -> None:
        healthy, message, values = self.diagnose()
        level = DiagnosticStatus.OK if healthy else DiagnosticStatus.ERROR
        pairs: list[Any] = [KeyValue(key=key, value=value) for key, value in values.items()]
        name = self.get_fully_qualified_name()
        self._status_publisher.publish(DiagnosticStatus(level=level, name=name, message=message, values=pairs))
