"""A bag played into real nodes, seen from outside: what they answered, and what the gate said."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla3d_ros.datatypes import ReferringPrompt
from vla3d_ros.errors import RecordingError, ShapeError, Vla3dError
from vla3d_ros.replay.recorded_run import AnswerLog
from vla3d_ros.ros import qos
from vla3d_ros.ros.bring_up import BringUp
from vla3d_ros.ros.persistent_client import PersistentClient
from vla3d_ros.ros.prompt_topic import PROMPT_TOPIC, prompt_from_msg

_SPIN_S = 0.05
_DRAIN_S = 1.0
_RETRY_S, _ARM_S = 0.25, 1.0


class ReplaySession:
    """Brings the nodes up, arms the adapter's dry run as soon as it can be, and collects until the player is done.

    instructions, prompts: (number, what), numbered together with the answers in the order in which they were heard.
    """

    def __init__(
        self, namespace: str, dead_processes: Callable[[], Sequence[str]], camera_of_frame: Mapping[str, str]
    ) -> None:
        """Join the graph.

        Args:
            namespace: Of the robot.
            dead_processes: Says which processes have ended.
            camera_of_frame: Camera by optical frame, for prompts.
        """
        self._camera_of_frame = dict(camera_of_frame)
        self._owns_ros = not rclpy.ok()
        if self._owns_ros:
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node("replay_session", namespace=f"/{namespace}", start_parameter_services=False)
        self._dead_processes = dead_processes
        self.instructions: list[tuple[int, str]] = []
        self.prompts: list[tuple[int, ReferringPrompt]] = []
        self.answers = AnswerLog(self.instructions)
        self.verdicts: Counter[str] = Counter()
        self.objections: Counter[str] = Counter()
        self.stops: list[str] = []
        self._count, self._player, self._failure, self._is_armed = 0, "waiting", "", False

    def close(self) -> None:
        """Leave the graph, and shut ROS down if this started it."""
        self._node.destroy_node()
        if self._owns_ros:
            rclpy.try_shutdown()

    def run(self, names: Sequence[str], on_progress: Callable[[str, int], None]) -> None:
        """Bring nodes up in order, the player last, and listen until it has finished.

        Args:
            names: Fully qualified node names.
            on_progress: Called with a word and the number of chunks so far.

        Raises:
            BringUpError: If a node refused; the player refuses bags that would make an arm jump.
            RecordingError: If the bag turned out to be damaged, or a process ended.
        """
        self._listen()
        walker = BringUp(self._node)
        try:
            walker.activate(names, timeout_s=30.0, on_active=lambda name: on_progress(f"active: {name}", 0),
                            dead_processes=self._dead_processes)  # fmt: skip
        finally:
            walker.close()
        executor = SingleThreadedExecutor()
        executor.add_node(self._node)
        arm = PersistentClient(self._node, Trigger, "adapter/arm", patience_s=_ARM_S)
        pending, asked_s, done_s = None, 0.0, None
        while done_s is None or time.monotonic() < done_s + _DRAIN_S:
            executor.spin_once(timeout_sec=_SPIN_S)
            on_progress(self._player, len(self.answers.chunks))
            now_s = time.monotonic()
            if not self._is_armed and now_s - asked_s > _RETRY_S and (pending is None or pending.is_over):
                pending, asked_s = arm.ask(Trigger.Request()), now_s  # a dry run moves no arm: as often as it takes
            if done_s is None and self._player in ("finished", "failed"):
                done_s = now_s
            if dead := list(self._dead_processes()):
                raise RecordingError(f"replay: {'; '.join(dead)}")
        executor.remove_node(self._node)
        if self._failure:
            raise RecordingError(self._failure)

    def _listen(self) -> None:
        node = self._node
        node.create_subscription(MultiDOFJointTrajectory, "policy/chunk", self._on_chunk, qos.EVENT)
        node.create_subscription(DiagnosticStatus, "policy/report", self._on_report, qos.EVENT)
        node.create_subscription(DiagnosticStatus, "adapter/verdict", self._on_verdict, qos.EVENT)
        node.create_subscription(DiagnosticStatus, "adapter/state", self._on_adapter_state, qos.LATCHED)
        node.create_subscription(DiagnosticStatus, "player/state", self._on_player_state, qos.LATCHED)
        node.create_subscription(String, "instruction", self._on_instruction, qos.LATCHED)
        node.create_subscription(Image, PROMPT_TOPIC, self._on_prompt, qos.LATCHED)

    def _next(self) -> int:
        """Messages are numbered in the order in which they were heard, across topics."""
        self._count += 1
        return self._count

    def _on_chunk(self, msg: MultiDOFJointTrajectory) -> None:
        try:
            self.answers.take_chunk(self._next(), msg)
        except ShapeError as error:
            self.objections[str(error)] += 1

    def _on_report(self, msg: DiagnosticStatus) -> None:
        self.answers.take_report(self._next(), msg)

    def _on_instruction(self, msg: String) -> None:
        self.instructions.append((self._next(), msg.data.strip()))

    def _on_prompt(self, msg: Image) -> None:
        try:
            self.prompts.append((self._next(), prompt_from_msg(msg, self._camera_of_frame)))
        except Vla3dError as error:
            self.objections[str(error)] += 1

    def _on_verdict(self, msg: DiagnosticStatus) -> None:
        self.verdicts[msg.message] += 1
        known = ("dropped_steps", "stamp_ns")
        self.objections.update(v.key for v in msg.values if v.key not in known and "_executed_" not in v.key)

    def _on_adapter_state(self, msg: DiagnosticStatus) -> None:
        values = {value.key: value.value for value in msg.values}
        self._is_armed = values.get("armed") == "armed" or bool(values.get("stopped"))
        if values.get("stopped"):
            self.stops.append(values["stopped"])

    def _on_player_state(self, msg: DiagnosticStatus) -> None:
        values = {value.key: value.value for value in msg.values}
        self._player, self._failure = msg.message, values.get("failure", "")
