"""A bag composed from still images at arm poses: real pixels and poses, invented time. It says so, in many places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import ArmSpec, Embodiment
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.camera.extrinsics import ExtrinsicsCalibration
from vla3d_ros.errors import ConfigError
from vla3d_ros.geometry import Transform, blend_transforms
from vla3d_ros.recording.bag_writer import BagSummary, BagWriter
from vla3d_ros.recording.message_definitions import MessageDefinitions
from vla3d_ros.recording.qos import offered_qos
from vla3d_ros.replay.posed_images import PosedImageSet

Float = NDArray[np.float64]

NAMESPACE = "composed"
NOTICE = (
    "THIS BAG IS A COMPOSITION, not a recording. Real: the pixels (JPEG bytes unchanged), intrinsics, and the pose of "
    "the end effector at every image. Estimated: the cameras' extrinsics, from a marker on the end effector. Invented: "
    "every time stamp and rate, the joint positions (inverse kinematics of the poses), the motion between the poses, "
    "the gripper's opening, the instruction."
)
_NS = 1_000_000_000
_START_NS = 1_000_000_000
_STATE_HZ, _PATH_STEPS = 100, 40
_REST_S, _SLOWEST_S = 0.4, 1.0
_SPEED_SHARE = 0.3  # of the joints' velocity limits, for the invented motion


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Composition:
    """What to compose: real images and poses, estimated extrinsics, the robot, and words for the policy.

    session: what a recording's session would say of robot, rig and bounds.
    """

    images: PosedImageSet
    extrinsics: ExtrinsicsCalibration
    embodiment: Embodiment
    instruction: str
    session: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Instant:
    stamp_ns: int
    q: Float
    dq: Float
    pose: int | None


def compose(path: Path, composition: Composition) -> tuple[BagSummary, list[int]]:
    """Write the bag.

    Returns:
        What was written, and the numbers of poses left out because the robot can not reach them.

    Raises:
        ConfigError: If the robot has several arms, or reaches no pose.
        RecordingError: If the bag can not be written.
    """
    if len(composition.embodiment.arms) != 1:
        raise ConfigError(f"a composition is of one arm; {len(composition.embodiment.arms)} given")
    arm = composition.embodiment.arms[0]
    kinematics = ArmKinematics(composition.embodiment.urdf_path, arm)
    configurations = _configurations(composition, kinematics, arm)
    left_out = [index for index in range(len(composition.images.poses)) if index not in configurations]
    custom = {"composition": NOTICE, "source": composition.images.folder.name}
    definitions = MessageDefinitions()
    with BagWriter(path, definitions=definitions, custom_data=custom) as writer:
        scribe = _Scribe(writer, definitions, composition)
        scribe.write_latched(_START_NS)
        for instant in _motion(configurations, arm):
            scribe.write_state(instant, kinematics.forward(instant.q))
            if instant.pose is not None:
                scribe.write_images(instant.stamp_ns, instant.pose)
        return writer.close(), left_out


def _configurations(composition: Composition, kinematics: ArmKinematics, arm: ArmSpec) -> dict[int, Float]:
    """Joint positions by pose, near to one another; poses out of reach are left out."""
    found: dict[int, Float] = {}
    q = arm.q_home
    for index, pose in enumerate(composition.images.poses):
        start = kinematics.forward(q).matrix
        path = blend_transforms(start, pose.T_base_ee.matrix, np.linspace(0.0, 1.0, _PATH_STEPS))
        solution = kinematics.solve_chunk(path, q)
        if solution.converged[-1]:
            q = found[index] = solution.q[-1]
    if not found:
        raise ConfigError(f"arm '{arm.name}' reaches none of the {len(composition.images.poses)} poses; another robot?")
    return found


def _motion(configurations: Mapping[int, Float], arm: ArmSpec) -> Iterator[_Instant]:
    """Rest at every pose, with the images in the middle of the rest, and move smoothly in between."""
    step_ns = _NS // _STATE_HZ
    stamp_ns = _START_NS + step_ns
    q_before: Float | None = None
    rest = round(_REST_S * _STATE_HZ)
    for pose, q in configurations.items():
        if q_before is not None:
            duration_s = max(_SLOWEST_S, float(np.max(np.abs(q - q_before) / (_SPEED_SHARE * arm.limits.velocity))) * 2)
            for s in np.arange(1, round(duration_s * _STATE_HZ)) / (duration_s * _STATE_HZ):
                blend, rate = s**3 * (10 - 15 * s + 6 * s * s), 30 * s * s * (1 - s) ** 2 / duration_s
                yield _Instant(stamp_ns, q_before + blend * (q - q_before), rate * (q - q_before), None)
                stamp_ns += step_ns
        for index in range(rest):
            yield _Instant(stamp_ns, q, np.zeros_like(q), pose if index == rest // 2 else None)
            stamp_ns += step_ns
        q_before = q


class _Scribe:
    """Builds and writes messages, by the topics and conventions of the live graph."""

    def __init__(self, writer: BagWriter, definitions: MessageDefinitions, composition: Composition) -> None:
        self._writer, self._composition = writer, composition
        self._store = definitions.typestore
        self._types = self._store.types
        self._arm = composition.embodiment.arms[0]

    def write_latched(self, stamp_ns: int) -> None:
        base, text = f"/{NAMESPACE}", yaml.safe_dump(dict(self._composition.session), sort_keys=False)
        for topic, words in (("notice", NOTICE), ("session", text), ("instruction", self._composition.instruction)):
            self._write(f"{base}/{topic}", "std_msgs/msg/String", stamp_ns, {"data": words}, is_latched=True)
        for camera, found in self._composition.extrinsics.cameras.items():
            fields = {
                "header": self._header(stamp_ns, self._arm.base_frame),
                "child_frame_id": f"{camera}_optical_frame",
                "transform": self._transform(found.T_base_camera),
            }
            topic = f"{base}/camera/{camera}/extrinsics"
            self._write(topic, "geometry_msgs/msg/TransformStamped", stamp_ns, fields, is_latched=True)

    def write_state(self, instant: _Instant, T_base_ee: Transform) -> None:
        arm, header = self._arm, self._header(instant.stamp_ns, "")
        fingers = arm.gripper.joint_names if arm.gripper else ()
        closed = arm.gripper.positions(0.0) if arm.gripper else np.zeros(0)
        joints = {
            "header": header,
            "name": [*arm.joint_names, *fingers],
            "position": np.concatenate([instant.q, closed]),
            "velocity": np.concatenate([instant.dq, np.zeros(len(fingers))]),
            "effort": np.zeros(0),
        }
        self._write(f"/{NAMESPACE}/joint_states", "sensor_msgs/msg/JointState", instant.stamp_ns, joints)
        poses = [self._transform(T_base_ee), self._transform(Transform.identity())]
        ee_state = {
            "header": self._header(instant.stamp_ns, arm.base_frame),
            "joint_names": [f"{arm.name}_ee", f"{arm.name}_finger"],
            "transforms": poses,
            "twist": [],
            "wrench": [],
        }
        self._write(f"/{NAMESPACE}/ee_state", "sensor_msgs/msg/MultiDOFJointState", instant.stamp_ns, ee_state)

    def write_images(self, stamp_ns: int, pose: int) -> None:
        images = self._composition.images
        for camera, file in images.poses[pose].files.items():
            base, header = f"/{NAMESPACE}/camera/{camera}", self._header(stamp_ns, f"{camera}_optical_frame")
            data = np.frombuffer(file.read_bytes(), dtype=np.uint8)
            jpeg = {"header": header, "format": "rgb8; jpeg compressed bgr8", "data": data}
            self._write(f"{base}/image_raw/compressed", "sensor_msgs/msg/CompressedImage", stamp_ns, jpeg)
            model = images.models[camera]
            roi = self._types["sensor_msgs/msg/RegionOfInterest"](
                x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
            )
            info = {
                "header": header,
                "height": model.height_px,
                "width": model.width_px,
                "distortion_model": "plumb_bob",
                "d": model.distortion if model.distortion.size else np.zeros(5),
                "k": model.K.ravel(),
                "r": np.eye(3).ravel(),
                "p": np.hstack([model.K, np.zeros((3, 1))]).ravel(),
                "binning_x": 0,
                "binning_y": 0,
                "roi": roi,
            }
            self._write(f"{base}/camera_info", "sensor_msgs/msg/CameraInfo", stamp_ns, info)

    def _write(
        self, topic: str, msgtype: str, stamp_ns: int, fields: Mapping[str, Any], *, is_latched: bool = False
    ) -> None:
        if topic not in self._writer.topics:
            self._writer.add_topic(topic, msgtype, offered_qos(is_latched=is_latched, depth=1 if is_latched else 10))
        message = self._types[msgtype](**fields)
        self._writer.write(topic, stamp_ns, bytes(self._store.serialize_cdr(message, msgtype)))

    def _header(self, stamp_ns: int, frame: str) -> Any:
        time = self._types["builtin_interfaces/msg/Time"](sec=stamp_ns // _NS, nanosec=stamp_ns % _NS)
        return self._types["std_msgs/msg/Header"](stamp=time, frame_id=frame)

    def _transform(self, T_a_b: Transform) -> Any:
        (x, y, z), (qx, qy, qz, qw) = T_a_b.translation.tolist(), T_a_b.xyzw.tolist()
        return self._types["geometry_msgs/msg/Transform"](
            translation=self._types["geometry_msgs/msg/Vector3"](x=x, y=y, z=z),
            rotation=self._types["geometry_msgs/msg/Quaternion"](x=qx, y=qy, z=qz, w=qw),
        )
