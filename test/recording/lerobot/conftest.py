"""Made-up episodes in which everything is known in closed form: screw motions, linear joints, numbered pictures."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from vla3d_ros.adapter.embodiment import Embodiment, load_embodiment
from vla3d_ros.geometry import Transform, exp_se3
from vla3d_ros.recording import BagWriter, offered_qos
from vla3d_ros.recording.session_file import Session

sys.path.insert(0, str(Path(__file__).parent))

CONFIG = Path(__file__).parents[3] / "config"
MS, S = 1_000_000, 1_000_000_000
START_NS = 1_700_000_000 * S
HEIGHT_PX, WIDTH_PX, BLOCK_PX = 32, 256, 32
DARK, BRIGHT = 40, 215
T_EE_CAMERA = Transform.from_rpy((0.05, 0.0, -0.1), (0.1, -0.2, 0.3))
T_BASE_CAMERA = Transform.from_rpy((1.0, 0.2, 0.7), (-2.0, 0.1, 1.5))
TASK = "pick up the red cube"


def numbered(number: int) -> np.ndarray:
    """Draw a number as eight dark or bright blocks: it survives h264."""
    bits = [(number >> bit) & 1 for bit in range(WIDTH_PX // BLOCK_PX)]
    row = np.repeat(np.where(bits, BRIGHT, DARK), BLOCK_PX).astype(np.uint8)
    return np.broadcast_to(row[None, :, None], (HEIGHT_PX, WIDTH_PX, 3)).copy()


def number_of(rgb: np.ndarray) -> int:
    """Read the number of a picture (H, W, 3)."""
    means = rgb.reshape(HEIGHT_PX, -1, BLOCK_PX, 3).mean(axis=(0, 2, 3))
    return int(sum(1 << bit for bit, mean in enumerate(means) if mean > (DARK + BRIGHT) / 2))


@dataclass(kw_only=True)
class MadeUp:
    """An episode; change a field to make it differ. Times are relative to its start."""

    robot: Embodiment
    seconds: float = 1.5
    cameras: tuple[str, ...] = ("head", "wrist")
    has_depth: bool = False
    outcome: str = "success"
    instruction: str = TASK
    instructions: list[tuple[float, str]] = field(default_factory=list)
    camera_hz: float = 30.0
    capture_jitter_s: float = 0.0
    chunk_step_m: float = 0.0
    without: set[str] = field(default_factory=set)
    silent: dict[str, tuple[float, float]] = field(default_factory=dict)
    captures_s: dict[str, list[float]] = field(default_factory=dict)
    recalibrated_at_s: float = np.inf
    jump_at_s: float = np.inf
    small_picture_at_s: float = np.inf

    latency_s = 0.05
    lead_s = 0.08

    def pose(self, arm: int, t: float) -> np.ndarray:
        """Measured T_base_ee: a screw."""
        T0 = Transform.from_rpy((0.4, 0.2 * arm, 0.3), (3.0, 0.1, 0.2)).matrix
        return T0 @ exp_se3(np.array([0.05, -0.02, 0.03, 0.2, 0.1, -0.3]) * t)

    def target(self, arm: int, t: float, chunk: int = 0) -> np.ndarray:
        """Commanded T_base_ee: ahead of the measured one, by `chunk_step_m` higher with every chunk."""
        T = self.pose(arm, t + self.lead_s)
        T[2, 3] += self.chunk_step_m * chunk
        return T

    def q(self, arm: int, t: float) -> np.ndarray:
        """Joints."""
        home = self.robot.arms[arm].q_home
        jump = 3.0 if t > self.jump_at_s else 0.0
        return home + 0.1 * t * np.linspace(-1.0, 1.0, len(home)) + jump

    def opening(self, t: float) -> float:
        """Measured opening."""
        return 0.9 - 0.2 * t

    def opening_target(self, t: float) -> float:
        """Commanded opening."""
        return 0.8 - 0.2 * t

    def is_there(self, what: str, t: float) -> bool:
        """Whether a stream is not silent."""
        start, end = self.silent.get(what, (np.inf, np.inf))
        return not start <= t < end


class EpisodeBag:
    """Writes a made-up episode as the recorder would have."""

    def __init__(self, ros: SimpleNamespace, episode: MadeUp) -> None:
        self.ros, self.episode = ros, episode
        self.entries: list[tuple[float, str, str, bytes]] = []

    def write(self, path: Path) -> Path:
        e = self.episode
        self._states()
        self._chunks()
        for index, camera in enumerate(e.cameras):
            self._camera(camera, index)
        told = yaml.safe_dump({"deployment": {"robot": e.robot.name}})
        self._add(-0.2, "session", "std_msgs/msg/String", self.ros.text(told))
        for t, text in e.instructions:
            self._add(t, "instruction", "std_msgs/msg/String", self.ros.text(text))
        with BagWriter(path) as writer:
            for topic, msgtype in {topic: msgtype for _, topic, msgtype, _ in self.entries}.items():
                writer.add_topic(topic, msgtype, offered_qos())
            for t, topic, _, cdr in sorted(self.entries, key=lambda entry: entry[0]):
                writer.write(topic, START_NS + round(t * S), cdr)
        if e.outcome:
            Session(episode=path.name, outcome=e.outcome, instruction=e.instruction, operator="ada").write(path)
        return path

    def _add(self, t: float, topic: str, msgtype: str, cdr: bytes) -> None:
        if topic not in self.episode.without:
            self.entries.append((t, f"/arm/{topic}", msgtype, cdr))

    def _states(self) -> None:
        e = self.episode
        for tick in range(-10, round(e.seconds * 100) + 10):
            t = tick / 100
            stamp_ns = START_NS + tick * 10 * MS
            names = [name for arm in e.robot.arms for name in arm.joint_names]
            q = [float(x) for arm in range(len(e.robot.arms)) for x in e.q(arm, t)]
            kept = [i for i, name in enumerate(names) if name not in e.without]
            if e.is_there("joint_states", t):
                msg = self.ros.joint_state(stamp_ns, [names[i] for i in kept], [q[i] for i in kept], [])
                self._add(t + 0.001, "joint_states", "sensor_msgs/msg/JointState", msg)
            poses = {}
            for index, arm in enumerate(e.robot.arms):
                poses[f"{arm.name}_ee"] = e.pose(index, t)
                poses[f"{arm.name}_finger"] = _finger(e.opening(t) * arm.gripper.stroke_m)
            if e.is_there("ee_state", t):
                kind = "sensor_msgs/msg/MultiDOFJointState"
                state = self.ros.cdr(
                    kind,
                    header=self.ros.header(stamp_ns),
                    joint_names=list(poses),
                    transforms=[self._transform(T) for T in poses.values()],
                    twist=[],
                    wrench=[],
                )
                self._add(t + 0.001, "ee_state", kind, state)

    def _chunks(self) -> None:
        e = self.episode
        kind = "trajectory_msgs/msg/MultiDOFJointTrajectory"
        for number in range(round(e.seconds * 20)):  # 20 Hz: not the frames' rate
            t = number / 20
            if e.is_there("chunk", t):
                names = [f"{arm.name}{end}" for arm in e.robot.arms for end in ("_ee", "_finger")]
                points = [self._step(t, step, number) for step in range(1, 16)]
                stamp_ns = START_NS + round(t * S)
                cdr = self.ros.cdr(kind, header=self.ros.header(stamp_ns), joint_names=names, points=points)
                self._add(t + e.latency_s, "policy/chunk", kind, cdr)

    def _step(self, t: float, step: int, number: int) -> Any:
        e, due = self.episode, t + step / 25
        transforms = []
        for index, arm in enumerate(e.robot.arms):
            T_ee0_ee = np.linalg.inv(e.pose(index, t)) @ e.target(index, due, number)
            transforms += [
                self._transform(T_ee0_ee),
                self._transform(_finger(e.opening_target(due) * arm.gripper.stroke_m)),
            ]
        time = self.ros.message("builtin_interfaces/msg/Duration", sec=0, nanosec=step * 40 * MS)
        kind = "trajectory_msgs/msg/MultiDOFJointTrajectoryPoint"
        return self.ros.message(kind, transforms=transforms, velocities=[], accelerations=[], time_from_start=time)

    def _camera(self, camera: str, index: int) -> None:
        e = self.episode
        rng = np.random.default_rng(index)
        regular = [i / e.camera_hz + rng.uniform(0, e.capture_jitter_s) for i in range(round(e.seconds * e.camera_hz))]
        for number, t in enumerate(e.captures_s.get(camera, regular)):
            if not e.is_there(camera, t):
                continue
            stamp_ns = START_NS + round(t * S)
            rows = HEIGHT_PX // 2 if t > e.small_picture_at_s else HEIGHT_PX
            image = self.ros.image(np.ascontiguousarray(numbered(number + index)[:rows]), stamp_ns)
            self._add(t + 0.01, f"camera/{camera}/image_raw", "sensor_msgs/msg/Image", image)
            if e.has_depth:
                depth = depth_of(number).astype("<u2").view(np.uint8).reshape(HEIGHT_PX, WIDTH_PX, 2)
                cdr = self.ros.image(depth, stamp_ns, "16UC1")
                self._add(t + 0.012, f"camera/{camera}/depth", "sensor_msgs/msg/Image", cdr)
        self._add(-0.2, f"camera/{camera}/camera_info", "sensor_msgs/msg/CameraInfo", self._info())
        is_wrist = camera.startswith("wrist")
        arm = e.robot.arms[0]
        frame = arm.ee_frame if is_wrist else arm.base_frame
        mount = self._mount(camera, frame, T_EE_CAMERA if is_wrist else T_BASE_CAMERA)
        self._add(-0.2, f"camera/{camera}/extrinsics", "geometry_msgs/msg/TransformStamped", mount)
        if is_wrist and np.isfinite(e.recalibrated_at_s):
            other = self._mount(camera, frame, T_BASE_CAMERA)
            self._add(e.recalibrated_at_s, f"camera/{camera}/extrinsics", "geometry_msgs/msg/TransformStamped", other)

    def _mount(self, camera: str, frame: str, T_parent_camera: Transform) -> bytes:
        return self.ros.cdr(
            "geometry_msgs/msg/TransformStamped",
            header=self.ros.header(START_NS, frame),
            child_frame_id=f"{camera}_optical_frame",
            transform=self._transform(T_parent_camera.matrix),
        )

    def _info(self) -> bytes:
        region = self.ros.message(
            "sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        )
        return self.ros.cdr(
            "sensor_msgs/msg/CameraInfo",
            header=self.ros.header(START_NS),
            height=HEIGHT_PX,
            width=WIDTH_PX,
            distortion_model="plumb_bob",
            d=np.zeros(5),
            k=K.ravel(),
            r=np.eye(3).ravel(),
            p=np.zeros(12),
            binning_x=0,
            binning_y=0,
            roi=region,
        )

    def _transform(self, T: np.ndarray) -> Any:
        x, y, z, w = (float(value) for value in Rotation.from_matrix(T[:3, :3]).as_quat())
        return self.ros.message(
            "geometry_msgs/msg/Transform",
            translation=self.ros.message(
                "geometry_msgs/msg/Vector3", **dict(zip("xyz", map(float, T[:3, 3]), strict=True))
            ),
            rotation=self.ros.message("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w),
        )


K = np.array([[200.0, 0.0, 128.0], [0.0, 210.0, 16.0], [0.0, 0.0, 1.0]])


def depth_of(number: int) -> np.ndarray:
    """Depth in millimetres in which every bit counts."""
    return np.random.default_rng(number).integers(0, 65536, (HEIGHT_PX, WIDTH_PX), dtype=np.uint16)


def _finger(opening_m: float) -> np.ndarray:
    T = np.eye(4)
    T[0, 3] = opening_m
    return T


@pytest.fixture(scope="session")
def one_arm() -> Embodiment:
    return load_embodiment(CONFIG / "robots" / "fr3.yaml")


@pytest.fixture(scope="session")
def two_arms() -> Embodiment:
    return load_embodiment(CONFIG / "robots" / "dual_piper.yaml")


@pytest.fixture
def recorded(tmp_path, ros, one_arm):
    """Write a made-up episode; keywords change it. Returns (path, episode)."""

    def record(name: str = "episode_0001", **changes: Any) -> tuple[Path, MadeUp]:
        episode = MadeUp(**({"robot": one_arm} | changes))
        path = tmp_path / "bags" / name
        path.parent.mkdir(exist_ok=True)
        return EpisodeBag(ros, episode).write(path), episode

    return record


@pytest.fixture
def made_up() -> SimpleNamespace:
    """What the made-up episodes are made of."""
    return SimpleNamespace(
        number_of=number_of,
        numbered=numbered,
        depth_of=depth_of,
        start_ns=START_NS,
        K=K,
        T_ee_camera=T_EE_CAMERA.matrix,
        T_base_camera=T_BASE_CAMERA.matrix,
        task=TASK,
    )
