"""What a policy looks at, from topics or from the camera node of the same process, into an observation window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo, Image, JointState, MultiDOFJointState

from vla3d_ros.camera.view_exchange import ViewExchange
from vla3d_ros.datatypes import RobotState
from vla3d_ros.errors import Vla3dError
from vla3d_ros.policy.observation_window import ObservationWindow
from vla3d_ros.policy.robot_state_pairing import RobotStatePairing
from vla3d_ros.ros import conversions, qos
from vla3d_ros.ros.camera_topics import depth_from_msg
from vla3d_ros.ros.lifecycle import ManagedNode
from vla3d_ros.ros.view_inbox import ViewInbox


class ObservationInputs:
    """Subscribes once, converts, and fills the window in force; all in the node's executor."""

    def __init__(
        self,
        node: ManagedNode,
        *,
        exchange: ViewExchange | None,
        strokes_m: Mapping[str, float],
        on_news: Callable[[], None],
        on_trouble: Callable[[str], None],
    ) -> None:
        """Prepare; nothing is heard before `fill`.

        Args:
            node: Whose executor listens.
            exchange: Where the camera node of the same process puts views; None to subscribe to topics.
            strokes_m: Opening of each arm's fully open gripper, metres.
            on_news: Called when an observation may have become ready.
            on_trouble: Called with a sentence about a message that could not be used.
        """
        self._node, self._exchange, self._strokes_m = node, exchange, dict(strokes_m)
        self._on_news, self._on_trouble = on_news, on_trouble
        self._inbox: ViewInbox | None = None
        self._is_wired = False

    def fill(self, window: ObservationWindow, pairing: RobotStatePairing, cameras: Sequence[str]) -> None:
        """Fill this window from now on; subscribe the first time."""
        self._window, self._pairing, self._cameras = window, pairing, tuple(cameras)
        if not self._is_wired:
            self._is_wired = True
            self._wire()

    def _wire(self) -> None:
        node = self._node
        if self._exchange is not None:
            self._inbox = ViewInbox(node, self._exchange, self._on_views)
        for camera in self._cameras if self._exchange is None else ():
            self._listen_to(camera)
        node.create_subscription(JointState, "joint_states", self._on_joint_state, qos.STATE)
        node.create_subscription(MultiDOFJointState, "ee_state", self._on_ee_state, qos.STATE)

    def _listen_to(self, camera: str) -> None:
        topics = (
            (Image, "image_raw", self._on_image, qos.SENSOR),
            (CameraInfo, "camera_info", self._on_info, qos.SENSOR),
            (TransformStamped, "extrinsics", self._on_extrinsics, qos.LATCHED),
            (Image, "depth", self._on_depth, qos.SENSOR),
        )
        for kind, name, callback, profile in topics:
            if name != "depth" or camera in self._window.depth_cameras:
                self._node.create_subscription(kind, f"camera/{camera}/{name}", partial(callback, camera), profile)

    def _on_views(self) -> None:
        assert self._inbox is not None
        try:
            self._inbox.move_into(self._window, self._cameras, self._node.now_ns)
        except Vla3dError as error:
            self._on_trouble(str(error))
        self._on_news()

    def _on_image(self, camera: str, msg: Image) -> None:
        try:
            self._window.add_image(conversions.image_from_msg(camera, msg, self._node.now_ns))
        except Vla3dError as error:
            self._on_trouble(str(error))
        self._on_news()

    def _on_depth(self, camera: str, msg: Image) -> None:
        try:
            self._window.add_depth(camera, conversions.stamp_to_ns(msg.header.stamp), depth_from_msg(msg))
        except Vla3dError as error:
            self._on_trouble(f"camera '{camera}': {error}")
        self._on_news()

    def _on_info(self, camera: str, msg: CameraInfo) -> None:
        try:
            self._window.add_model(camera, conversions.camera_model_from_msg(msg))
        except Vla3dError as error:
            self._on_trouble(f"camera '{camera}': {error}")

    def _on_extrinsics(self, camera: str, msg: TransformStamped) -> None:
        try:
            self._window.add_mount(conversions.mount_from_msg(camera, msg))
        except Vla3dError as error:
            self._on_trouble(str(error))

    def _on_joint_state(self, msg: JointState) -> None:
        try:
            self._add_states(self._pairing.add_joint_state(*conversions.joint_state_from_msg(msg)))
        except Vla3dError as error:
            self._on_trouble(str(error))

    def _on_ee_state(self, msg: MultiDOFJointState) -> None:
        stamp_ns = conversions.stamp_to_ns(msg.header.stamp)
        try:
            ee_states = conversions.ee_state_from_msg(msg, self._strokes_m)
            self._add_states(self._pairing.add_ee_state(stamp_ns, ee_states))
        except Vla3dError as error:
            self._on_trouble(str(error))

    def _add_states(self, states: Sequence[RobotState]) -> None:
        for state in states:
            self._window.add_robot_state(state)
        if states:
            self._on_news()
