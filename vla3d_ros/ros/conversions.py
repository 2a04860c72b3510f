"""Message <-> datatypes, the only place. Pure functions, in pairs."""

from __future__ import annotations

import array
import struct
from collections.abc import Mapping, Sequence

import numpy as np
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from geometry_msgs.msg import Pose, PoseArray, Quaternion, TransformStamped, Vector3
from geometry_msgs.msg import Transform as TransformMsg
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image, JointState, MultiDOFJointState
from trajectory_msgs.msg import (
    JointTrajectory as JointTrajectoryMsg,
)
from trajectory_msgs.msg import (
    JointTrajectoryPoint,
    MultiDOFJointTrajectory,
    MultiDOFJointTrajectoryPoint,
)

from vla3d_ros.datatypes import (
    ActionChunk,
    ArmChunk,
    CameraImage,
    CameraModel,
    CameraMount,
    JointTrajectory,
    PolicyReport,
    RobotState,
    Verdict,
)
from vla3d_ros.errors import ShapeError
from vla3d_ros.geometry import Transform
from vla3d_ros.ros.conditioned_steps import CONDITIONED, conditioned_mark, conditioned_steps

_NS = 1_000_000_000
_EE_SUFFIX = "_ee"
_FINGER_SUFFIX = "_finger"
_QUATERNION_TOLERANCE = 1e-3


# --------------------------------------------------------------------------------------------------- time


def stamp_to_ns(stamp: Time) -> int:
    """Return nanoseconds of a stamp."""
    return int(stamp.sec) * _NS + int(stamp.nanosec)


def stamp_from_ns(stamp_ns: int) -> Time:
    """Return the stamp of integer nanoseconds."""
    return Time(sec=stamp_ns // _NS, nanosec=stamp_ns % _NS)


def duration_to_ns(duration: Duration) -> int:
    """Return nanoseconds of a duration."""
    return int(duration.sec) * _NS + int(duration.nanosec)


def duration_from_ns(duration_ns: int) -> Duration:
    """Return the duration of integer nanoseconds."""
    return Duration(sec=duration_ns // _NS, nanosec=duration_ns % _NS)


def stamp_ns_of_cdr(cdr: bytes) -> int:
    """Return the stamp of a serialized message that starts with a header, without reading the rest."""
    order = "<" if cdr[1] & 1 else ">"
    sec, nanosec = struct.unpack_from(f"{order}iI", cdr, 4)
    return int(sec) * _NS + int(nanosec)


# ------------------------------------------------------------------------------------------------- geometry


def transform_to_msg(T_a_b: Transform) -> TransformMsg:
    """Return the geometry message of a rigid transform."""
    x, y, z = T_a_b.translation
    qx, qy, qz, qw = T_a_b.xyzw
    return TransformMsg(
        translation=Vector3(x=float(x), y=float(y), z=float(z)),
        rotation=Quaternion(x=float(qx), y=float(qy), z=float(qz), w=float(qw)),
    )


def transform_from_msg(msg: TransformMsg) -> Transform:
    """Return the rigid transform of a geometry message; the quaternion must be of unit length."""
    t, r = msg.translation, msg.rotation
    return Transform.from_xyzw((t.x, t.y, t.z), (r.x, r.y, r.z, r.w))


def transform_stamped_msg(parent: str, child: str, T_parent_child: Transform, stamp_ns: int) -> TransformStamped:
    """Return the /tf message for the pose of `child` in `parent`."""
    msg = TransformStamped(child_frame_id=child, transform=transform_to_msg(T_parent_child))
    msg.header.frame_id = parent
    msg.header.stamp = stamp_from_ns(stamp_ns)
    return msg


def path_to_msg(frame: str, Ts_frame_ee: np.ndarray, stamp_ns: int) -> PoseArray:
    """Return a (T, 4, 4) stack of poses as a PoseArray in the named frame."""
    msg = PoseArray()
    msg.header.frame_id = frame
    msg.header.stamp = stamp_from_ns(stamp_ns)
    for transform in _stack_to_msgs(Ts_frame_ee):
        pose = Pose(orientation=transform.rotation)
        pose.position.x = transform.translation.x
        pose.position.y = transform.translation.y
        pose.position.z = transform.translation.z
        msg.poses.append(pose)
    return msg


# --------------------------------------------------------------------------------------------------- camera


def image_to_msg(image: CameraImage, frame_id: str) -> Image:
    """Return an rgb8 image message."""
    height, width, _ = image.rgb.shape
    msg = Image(height=height, width=width, encoding="rgb8", is_bigendian=0, step=width * 3)
    msg.header.frame_id = frame_id
    msg.header.stamp = stamp_from_ns(image.stamp_ns)
    pixels = array.array("B")
    pixels.frombytes(np.ascontiguousarray(image.rgb).data)  # rclpy checks bytes and lists element by element
    msg.data = pixels
    return msg


def image_from_msg(camera: str, msg: Image, receive_ns: int) -> CameraImage:
    """Return the RGB image of an rgb8 or bgr8 message.

    Raises:
        ShapeError: If the encoding or the row step is another.
    """
    if msg.encoding not in ("rgb8", "bgr8") or msg.step < msg.width * 3:
        raise ShapeError(
            f"image of camera '{camera}' is {msg.width}x{msg.height} '{msg.encoding}' with step {msg.step}; "
            "expected encoding rgb8 or bgr8; set it in the camera driver"
        )
    rows = np.frombuffer(msg.data, dtype=np.uint8).reshape(msg.height, msg.step)
    rgb = rows[:, : msg.width * 3].reshape(msg.height, msg.width, 3)
    if msg.encoding == "bgr8":
        rgb = np.ascontiguousarray(rgb[:, :, ::-1])
    return CameraImage(camera=camera, rgb=rgb, stamp_ns=stamp_to_ns(msg.header.stamp), receive_ns=receive_ns)


def camera_info_to_msg(model: CameraModel, frame_id: str, stamp_ns: int) -> CameraInfo:
    """Return the CameraInfo of a pinhole model."""
    msg = CameraInfo(height=model.height_px, width=model.width_px, distortion_model="plumb_bob")
    msg.header.frame_id = frame_id
    msg.header.stamp = stamp_from_ns(stamp_ns)
    msg.d = [float(x) for x in model.distortion] or [0.0] * 5
    msg.k = [float(x) for x in model.K.ravel()]
    msg.r = [float(x) for x in np.eye(3).ravel()]
    msg.p = [float(x) for x in np.hstack([model.K, np.zeros((3, 1))]).ravel()]
    return msg


def camera_model_from_msg(msg: CameraInfo) -> CameraModel:
    """Return the pinhole model of a CameraInfo message.

    Raises:
        ShapeError: If the distortion model is not plumb_bob, or K is not calibrated.
    """
    if msg.distortion_model not in ("plumb_bob", ""):
        raise ShapeError(f"camera_info has distortion model '{msg.distortion_model}'; expected 'plumb_bob'")
    K = np.array(msg.k, dtype=np.float64).reshape(3, 3)
    if not (K[0, 0] > 0 and K[1, 1] > 0):
        raise ShapeError(f"camera_info has focal lengths {K[0, 0]}, {K[1, 1]} px; the camera is not calibrated")
    distortion = np.array(msg.d, dtype=np.float64)
    if not distortion.any():
        distortion = np.zeros(0)
    return CameraModel(width_px=msg.width, height_px=msg.height, K=K, distortion=distortion)


def mount_to_msg(mount: CameraMount, stamp_ns: int) -> TransformStamped:
    """Return a camera's extrinsics as the pose of its optical frame in the parent frame."""
    return transform_stamped_msg(mount.parent_frame, mount.optical_frame, mount.T_parent_camera, stamp_ns)


def mount_from_msg(camera: str, msg: TransformStamped) -> CameraMount:
    """Return a camera's extrinsics."""
    return CameraMount(
        camera=camera,
        parent_frame=msg.header.frame_id,
        optical_frame=msg.child_frame_id,
        T_parent_camera=transform_from_msg(msg.transform),
    )


# ---------------------------------------------------------------------------------------------- robot state


def joint_state_from_msg(msg: JointState) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, int]:
    """Return (names, q (J,), dq (J,), stamp_ns); dq is NaN where the driver does not send it.

    Raises:
        ShapeError: If there are not as many positions as names.
    """
    names = tuple(msg.name)
    q = np.array(msg.position, dtype=np.float64)
    if q.shape != (len(names),):
        raise ShapeError(f"joint_states has {len(names)} names and {len(q)} positions; expected one position a name")
    dq = np.array(msg.velocity, dtype=np.float64)
    return names, q, dq if dq.shape == q.shape else np.full(q.shape, np.nan), stamp_to_ns(msg.header.stamp)


def joint_state_to_msg(
    names: Sequence[str], q: np.ndarray, dq: np.ndarray, effort: np.ndarray, stamp_ns: int
) -> JointState:
    """Return a joint state message, rad (or m), rad/s, N m."""
    msg = JointState(name=list(names), position=q.tolist(), velocity=dq.tolist(), effort=effort.tolist())
    msg.header.stamp = stamp_from_ns(stamp_ns)
    return msg


def ee_state_to_msg(
    states: Sequence[RobotState], base_frame: str, strokes_m: Mapping[str, float]
) -> MultiDOFJointState:
    """Return end-effector poses and gripper openings of all arms at one stamp.

    `<arm>_ee` is the pose in the base frame, `<arm>_finger` has the opening in metres in translation.x.
    """
    msg = MultiDOFJointState()
    msg.header.frame_id = base_frame
    msg.header.stamp = stamp_from_ns(states[0].stamp_ns)
    for state in states:
        msg.joint_names += [f"{state.arm}{_EE_SUFFIX}", f"{state.arm}{_FINGER_SUFFIX}"]
        msg.transforms += [
            transform_to_msg(state.T_base_ee),
            _finger_to_msg(state.gripper_opening, strokes_m[state.arm]),
        ]
    return msg


def ee_state_from_msg(msg: MultiDOFJointState, strokes_m: Mapping[str, float]) -> dict[str, tuple[Transform, float]]:
    """Return (T_base_ee, opening 0..1) per arm.

    Raises:
        ShapeError: If an arm that is asked for is missing.
    """
    by_name = dict(zip(msg.joint_names, msg.transforms, strict=True))
    _require(by_name, [f"{arm}{suffix}" for arm in strokes_m for suffix in (_EE_SUFFIX, _FINGER_SUFFIX)], "ee_state")
    return {
        arm: (
            transform_from_msg(by_name[f"{arm}{_EE_SUFFIX}"]),
            by_name[f"{arm}{_FINGER_SUFFIX}"].translation.x / stroke_m,
        )
        for arm, stroke_m in strokes_m.items()
    }


# --------------------------------------------------------------------------------------------------- chunks


def chunk_to_msg(chunk: ActionChunk, base_frame: str, strokes_m: Mapping[str, float]) -> MultiDOFJointTrajectory:
    """Return a chunk as one atomic standard message; stamp = the observation's stamp.

    If the policy conditioned steps, there is a column `conditioned`, with 1 in translation.x of those steps.
    """
    msg = MultiDOFJointTrajectory()
    msg.header.frame_id = base_frame
    msg.header.stamp = stamp_from_ns(chunk.stamp_ns)
    for arm in chunk.arms:
        msg.joint_names += [f"{arm.arm}{_EE_SUFFIX}", f"{arm.arm}{_FINGER_SUFFIX}"]
    columns = [_stack_to_msgs(arm.Ts_ee0_ee) for arm in chunk.arms]
    for step in range(len(columns[0])):
        point = MultiDOFJointTrajectoryPoint(time_from_start=duration_from_ns((step + 1) * chunk.dt_ns))
        for arm, column in zip(chunk.arms, columns, strict=True):
            finger = _finger_to_msg(float(arm.gripper_opening[step]), strokes_m[arm.arm])
            point.transforms += [column[step], finger]
        if chunk.conditioned_steps:
            point.transforms.append(conditioned_mark(step < chunk.conditioned_steps))
        msg.points.append(point)
    if chunk.conditioned_steps:
        msg.joint_names.append(CONDITIONED)
    return msg


def chunk_from_msg(msg: MultiDOFJointTrajectory, strokes_m: Mapping[str, float]) -> ActionChunk:
    """Return the chunk of a message. Values are passed on as they are: judging them is the gate's task.

    Raises:
        ShapeError: If an arm is missing, the steps are not equally spaced, or a point is incomplete.
    """
    columns = {name: index for index, name in enumerate(msg.joint_names)}
    _require(columns, [f"{arm}{suffix}" for arm in strokes_m for suffix in (_EE_SUFFIX, _FINGER_SUFFIX)], "chunk")
    if not msg.points or any(len(point.transforms) != len(columns) for point in msg.points):
        raise ShapeError(
            f"chunk has {len(msg.points)} points; expected at least 1, each with {len(columns)} transforms"
        )
    times_ns = np.array([duration_to_ns(point.time_from_start) for point in msg.points])
    dt_ns = int(times_ns[0])
    if dt_ns <= 0 or (np.abs(np.diff(times_ns, prepend=0) - dt_ns) > 1000).any():
        raise ShapeError(f"chunk times {times_ns.tolist()} ns are not equally spaced from the stamp on")
    arms = []
    for arm, stroke_m in strokes_m.items():
        ee, finger = columns[f"{arm}{_EE_SUFFIX}"], columns[f"{arm}{_FINGER_SUFFIX}"]
        arms.append(
            ArmChunk(
                arm=arm,
                Ts_ee0_ee=_stack_from_msgs([point.transforms[ee] for point in msg.points], f"chunk of arm '{arm}'"),
                gripper_opening=np.array([point.transforms[finger].translation.x / stroke_m for point in msg.points]),
            )
        )
    return ActionChunk(
        stamp_ns=stamp_to_ns(msg.header.stamp),
        dt_ns=dt_ns,
        arms=tuple(arms),
        conditioned_steps=conditioned_steps([point.transforms for point in msg.points], columns.get(CONDITIONED)),
    )


# ------------------------------------------------------------------------------------------------- commands


def joint_trajectory_to_msg(trajectory: JointTrajectory) -> JointTrajectoryMsg:
    """Return the stamped command a joint_trajectory_controller takes; stamp = time of the first knot."""
    start_ns = int(trajectory.times_ns[0])
    msg = JointTrajectoryMsg(joint_names=list(trajectory.joint_names))
    msg.header.stamp = stamp_from_ns(start_ns)
    for time_ns, q, dq in zip(trajectory.times_ns.tolist(), trajectory.q, trajectory.dq, strict=True):
        msg.points.append(
            JointTrajectoryPoint(
                positions=q.tolist(), velocities=dq.tolist(), time_from_start=duration_from_ns(time_ns - start_ns)
            )
        )
    return msg


# ----------------------------------------------------------------------------------------- reports, verdicts


def report_to_msg(name: str, report: PolicyReport, values: Mapping[str, str]) -> DiagnosticStatus:
    """Return a policy's report on one chunk, with extra values of the node's own."""
    compute = {"compute_ms": f"{report.compute_ns / 1e6:.3f}"}
    return status_msg(name, True, "chunk", {**compute, **report.details, **values})


def verdict_to_msg(name: str, verdict: Verdict, values: Mapping[str, str]) -> DiagnosticStatus:
    """Return the gate's verdict on one command: OK, WARN for clamped, ERROR for stopped."""
    levels = {"allow": DiagnosticStatus.OK, "clamp": DiagnosticStatus.WARN, "stop": DiagnosticStatus.ERROR}
    msg = status_msg(name, True, verdict.kind.value, {**{r.check: r.message for r in verdict.reasons}, **values})
    msg.level = levels[verdict.kind.value]
    return msg


def status_msg(name: str, is_healthy: bool, message: str, values: Mapping[str, str]) -> DiagnosticStatus:
    """Return a DiagnosticStatus from plain values."""
    return DiagnosticStatus(
        level=DiagnosticStatus.OK if is_healthy else DiagnosticStatus.ERROR,
        name=name,
        message=message,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def _stack_to_msgs(Ts_a_b: np.ndarray) -> list[TransformMsg]:
    """Return T messages of a (T, 4, 4) stack; one rotation conversion for all."""
    quaternions = Rotation.from_matrix(Ts_a_b[:, :3, :3]).as_quat().tolist()
    return [
        TransformMsg(translation=Vector3(x=x, y=y, z=z), rotation=Quaternion(x=qx, y=qy, z=qz, w=qw))
        for (x, y, z), (qx, qy, qz, qw) in zip(Ts_a_b[:, :3, 3].tolist(), quaternions, strict=True)
    ]


def _stack_from_msgs(transforms: Sequence[TransformMsg], subject: str) -> np.ndarray:
    """Return the (T, 4, 4) stack of T messages; translations pass as they are, quaternions must be unit."""
    quaternions = np.array([(m.rotation.x, m.rotation.y, m.rotation.z, m.rotation.w) for m in transforms])
    norms = np.linalg.norm(quaternions, axis=1)
    wrong = np.flatnonzero(~(np.abs(norms - 1.0) <= _QUATERNION_TOLERANCE))
    if wrong.size:
        raise ShapeError(
            f"{subject}: quaternions of steps {wrong.tolist()} have norms {norms[wrong].tolist()}; expected 1"
        )
    stack = np.tile(np.eye(4), (len(transforms), 1, 1))
    stack[:, :3, :3] = Rotation.from_quat(quaternions).as_matrix()
    stack[:, :3, 3] = [(m.translation.x, m.translation.y, m.translation.z) for m in transforms]
    return stack


def _finger_to_msg(opening: float, stroke_m: float) -> TransformMsg:
    msg = TransformMsg()
    msg.translation.x = opening * stroke_m
    return msg


def _require(known: Mapping[str, object], wanted: Sequence[str], subject: str) -> None:
    missing = [name for name in wanted if name not in known]
    if missing:
        raise ShapeError(f"{subject} lacks {missing}: it names {sorted(known)}; expected every arm of the deployment")
