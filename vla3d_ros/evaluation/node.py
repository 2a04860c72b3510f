"""`trial_runner`: the running graph as a `LiveSession`, by services and topics."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, JointState, MultiDOFJointState
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from vla3d_ros.datatypes import ReferringPrompt, Rgb
from vla3d_ros.errors import TransportError
from vla3d_ros.evaluation.interventions import InterventionWatch
from vla3d_ros.evaluation.live_trials import LiveMeasurements, LiveStatus, TrialError
from vla3d_ros.evaluation.milestones import Moment
from vla3d_ros.evaluation.prompting import TargetMask
from vla3d_ros.evaluation.verdict_words import objections, verdict_kind
from vla3d_ros.ros import conversions, qos, twin_conversions
from vla3d_ros.ros.bring_up import BringUp
from vla3d_ros.ros.persistent_client import PersistentClient, ask_again
from vla3d_ros.ros.prompt_link import PromptLink
from vla3d_ros.ros.robot_services import RobotServices

_SERVICE_TIMEOUT_S = 15.0
_SERVICES = (
    *(f"adapter/{name}" for name in ("arm", "disarm", "stop", "reset", "home")),
    "recorder/start", "recorder/stop", "/twin/place", "/twin/show_target",
)  # fmt: skip
_IMAGE_TIMEOUT_S = 3.0
_MOVING_RAD_S = 0.01


class TrialRunner:
    """Drives the graph of one namespace from outside: brings it up, runs trials, watches."""

    def __init__(self, namespace: str, dead_processes: Callable[[], list[str]]) -> None:
        """Join the graph.

        Args:
            namespace: Namespace of the robot, without slashes.
            dead_processes: Sentences about processes that ended by themselves.
        """
        self._owns_ros = not rclpy.ok()
        if self._owns_ros:
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self._is_closing = threading.Event()
        self._node = Node("trial_runner", namespace=f"/{namespace}", start_parameter_services=False)
        self._dead_processes = dead_processes
        self._values: dict[str, str] = {}
        self._now_ns = 0
        self._is_moving = False
        self._latencies_ms: list[float] = []
        self._skews_ms: list[float] = []
        self._verdicts: Counter[str] = Counter()
        self._interventions = InterventionWatch()
        self._p_ees: dict[str, Any] = {}
        self.on_moment: Callable[[Moment], None] = lambda moment: None
        """Called with the twin's truth, some twenty times a second."""
        self._executor = SingleThreadedExecutor()
        self._thread = threading.Thread(target=self._spin, name="trial_runner", daemon=True)

    def bring_up(self, names: tuple[str, ...], on_active: Callable[[str], None]) -> None:
        """Drive the nodes to active, then start listening.

        Raises:
            BringUpError: Naming the node that refused and why.
        """
        bring_up = BringUp(self._node)
        try:
            bring_up.activate(names, timeout_s=30.0, on_active=on_active, dead_processes=self._dead_processes)
        finally:
            bring_up.close()
        self._listen()
        self._executor.add_node(self._node)
        self._thread.start()

    @property
    def node(self) -> Node:
        """The node in the graph, for who else has to say or hear something there."""
        return self._node

    def close(self) -> None:
        """Leave the graph, and shut ROS down if this started it."""
        self._is_closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        self._node.destroy_node()
        if self._owns_ros:
            rclpy.try_shutdown()

    def _spin(self) -> None:
        try:
            while rclpy.ok() and not self._is_closing.is_set():
                self._executor.spin_once(timeout_sec=0.1)
        except ExternalShutdownException:
            return

    def _listen(self) -> None:
        node = self._node
        self._instruction_publisher = node.create_publisher(String, "instruction", qos.LATCHED)
        node.create_subscription(DiagnosticStatus, "/twin/judge", self._on_judge, qos.LATCHED)
        node.create_subscription(DiagnosticStatus, "policy/report", self._on_report, qos.EVENT)
        node.create_subscription(DiagnosticStatus, "adapter/state", self._on_adapter_state, qos.LATCHED)
        node.create_subscription(DiagnosticStatus, "adapter/verdict", self._on_verdict, qos.EVENT)
        node.create_subscription(DiagnosticStatus, "teleop/state", self._on_teleoperation, qos.LATCHED)
        node.create_subscription(JointState, "joint_states", self._on_joint_state, qos.SENSOR)
        node.create_subscription(MultiDOFJointState, "ee_state", self._on_ee_state, qos.SENSOR)
        node.create_subscription(MarkerArray, "/twin/truth", self._on_truth, qos.EVENT)
        self._prompts = PromptLink(node)
        self._services = RobotServices(node, _SERVICES, patience_s=_SERVICE_TIMEOUT_S)
        self._seeder = PersistentClient(node, SetParameters, "twin/set_parameters", patience_s=_SERVICE_TIMEOUT_S)

    def _on_judge(self, msg: DiagnosticStatus) -> None:
        values = _values(msg)
        if values.get("scene_seed") == self._values.get("scene_seed"):  # not the last trial's verdict, still latched
            self._values |= {"outcome": msg.message, "reason": values.get("reason", "")}

    def _on_report(self, msg: DiagnosticStatus) -> None:
        values = _values(msg)
        self._values["phase"] = values.get("phase", "")
        for key, kept in (("latency_ms", self._latencies_ms), ("skew_ms", self._skews_ms)):
            if key in values:
                kept.append(float(values[key]))

    def _on_verdict(self, msg: DiagnosticStatus) -> None:
        checks = objections(_values(msg)) if msg.message != "allow" else ()
        self._verdicts[verdict_kind(msg.message, checks)] += 1
        self._interventions.see_objections(checks, self._now_ns)

    def _on_adapter_state(self, msg: DiagnosticStatus) -> None:
        values = _values(msg)
        self._values["stopped"] = values.get("stopped", "")
        is_armed = values.get("armed") == "armed"
        self._interventions.see_adapter(is_armed=is_armed, stop_reason=self._values["stopped"], now_ns=self._now_ns)

    def _on_teleoperation(self, msg: DiagnosticStatus) -> None:
        clutches = [value for key, value in _values(msg).items() if key.endswith("_clutch")]
        self._interventions.see_teleoperation(is_driving="closed" in clutches)

    def _on_joint_state(self, msg: JointState) -> None:
        self._now_ns = conversions.stamp_to_ns(msg.header.stamp)
        self._is_moving = max(map(abs, msg.velocity), default=0.0) > _MOVING_RAD_S
        self._interventions.see_motion(is_moving=self._is_moving, now_ns=self._now_ns)

    def _on_ee_state(self, msg: MultiDOFJointState) -> None:
        self._p_ees = twin_conversions.ee_positions_from_msg(msg)

    def _on_truth(self, msg: MarkerArray) -> None:
        p_objects = twin_conversions.truth_positions_from_msg(msg)
        self.on_moment(Moment(p_cubes=p_objects["cube"], p_pads=p_objects["pad"], p_ees=self._p_ees))

    # ------------------------------------------------------------------------------------- LiveSession

    def status(self) -> LiveStatus:
        """Return what is known now."""
        values = self._values
        return LiveStatus(
            now_ns=self._now_ns,
            outcome=values.get("outcome", "running"),
            reason=values.get("reason", ""),
            phase=values.get("phase", ""),
            stop_reason=values.get("stopped", ""),
            is_moving=self._is_moving,
        )

    def place(self, seed: int) -> str:
        """Set the scene from a seed and return the instruction."""
        value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=seed)
        request = SetParameters.Request(parameters=[Parameter(name="scene_seed", value=value)])
        try:
            response = self._seeder.call(request, on_silence=ask_again)
        except TransportError as error:
            raise TrialError(str(error)) from error
        if not response.results[0].successful:
            raise TrialError(f"the twin refused seed {seed}: {response.results[0].reason}")
        self._values |= {"scene_seed": "", "outcome": "running", "reason": "", "phase": ""}
        scene = yaml.safe_load(self._trigger("/twin/place"))
        self._values["scene_seed"] = str(seed)
        return str(scene["instruction"])

    def instruct(self, instruction: str) -> None:
        """Tell the policy what to do; an empty instruction makes it idle."""
        if instruction:
            self._interventions.open()
        else:
            self._interventions.close()
        self._instruction_publisher.publish(String(data=instruction))

    def home(self) -> None:
        """Start moving to the home configuration."""
        self._trigger("adapter/home")

    def arm(self) -> None:
        """Let chunks move the arm."""
        self._trigger("adapter/arm")

    def disarm(self) -> None:
        """Bring the arm to rest and ignore chunks."""
        self._trigger("adapter/disarm")

    def reset_stop(self) -> None:
        """Clear a latched stop."""
        self._trigger("adapter/reset")

    def start_recording(self) -> Path:
        """Start a bag and return its path; what is measured counts from here."""
        self._latencies_ms, self._skews_ms, self._verdicts = [], [], Counter()
        self._interventions.clear()
        return Path(self._trigger("recorder/start"))

    def stop_recording(self) -> str:
        """Close the bag and return the recorder's summary."""
        return self._trigger("recorder/stop")

    def snapshot(self, camera: str) -> Rgb:
        """Return a camera's next image (H, W, 3) RGB.

        Raises:
            TrialError: If none comes.
        """
        images: Queue[Image] = Queue()
        topic = f"camera/{camera}/image_raw"
        subscription = self._node.create_subscription(Image, topic, images.put, qos.SENSOR)
        try:
            msg = images.get(timeout=_IMAGE_TIMEOUT_S)
            self._prompts.note(camera, msg)
            return conversions.image_from_msg(camera, msg, self._now_ns).rgb
        except Empty as error:
            raise TrialError(f"no image on '{topic}' within {_IMAGE_TIMEOUT_S:g} s; is the camera running?") from error
        finally:
            self._executor.create_task(self._node.destroy_subscription, subscription)  # not while it is waited for

    # ----------------------------------------------------------------------------------- PromptSession

    def target_mask(self) -> TargetMask:
        """Return where the twin sees the trial's target."""
        return self._prompts.target_mask(lambda: self._trigger("/twin/show_target"))

    def prompt(self, prompt: ReferringPrompt) -> None:
        """Show the policy what the next instruction speaks of, drawn on the last `snapshot` of its camera."""
        self._prompts.publish(prompt)

    def measured(self) -> LiveMeasurements:
        """Return what the graph has reported since the recording was started."""
        return LiveMeasurements(
            latencies_ms=tuple(self._latencies_ms),
            skews_ms=tuple(self._skews_ms),
            verdicts=dict(self._verdicts),
            interventions=self._interventions.counts,
        )

    def check_alive(self) -> None:
        """Raise TrialError if a process of the graph has ended."""
        if dead := self._dead_processes():
            raise TrialError("; ".join(dead))

    def _trigger(self, service: str) -> str:
        try:
            return self._services.call(service)
        except TransportError as error:
            raise TrialError(str(error)) from error


def _values(msg: DiagnosticStatus) -> dict[str, str]:
    return {value.key: value.value for value in msg.values}
