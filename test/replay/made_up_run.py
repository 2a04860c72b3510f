"""A small recorded run, made without ROS: two cameras, a moving robot, a policy that remembers and its chunks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rosbags.typesys import Stores, get_typestore
from scipy.spatial.transform import Rotation

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.datatypes import ActionChunk, ArmChunk, Observation, PolicyReport
from vla3d_ros.errors import PerceptionError
from vla3d_ros.evaluation.referring import referring_prompt
from vla3d_ros.geometry import exp_se3
from vla3d_ros.policy.backend import PolicyDescription
from vla3d_ros.recording.bag_writer import BagWriter
from vla3d_ros.recording.qos import offered_qos
from vla3d_ros.replay.chunk_record import record_of_chunk
from vla3d_ros.resources import config_dir

ROBOT = config_dir() / "robots" / "fr3.yaml"
CAMERAS = ("head", "wrist")
WIDTH, HEIGHT = 64, 48
START_NS, STATE_NS, IMAGE_NS = 1_000_000_000, 5_000_000, 33_333_333
STORE = get_typestore(Stores.ROS2_KILTED)
SESSION = {
    "deployment": {"description": "made up", "robot": "fr3", "rig": "tabletop_twin"},
    "nodes": {
        "policy": {"backend": "scripted", "backend_config": "scripted_tabletop"},
        "adapter": {
            "execution": {
                "gate": {
                    "workspace_lower_m": [0.0, -0.9, 0.0],
                    "workspace_upper_m": [0.9, 0.9, 1.2],
                    "table_z_m": 0.0,
                    "ee_speed_m_s": 1.0,
                    "ee_turn_rad_s": 2.5,
                }
            }
        },
    },
}


class RememberingPolicy:
    """Turns pixels, states and all it saw before into a chunk; every third observation shows it nothing."""

    def __init__(
        self, weight: float = 1.0, cameras: tuple[str, ...] = CAMERAS, blind_every: int = 0, arm: str = "fr3"
    ) -> None:
        self.weight, self._cameras, self._blind_every, self._arm = weight, cameras, blind_every, arm
        self.resets: list[str] = []
        self._memory, self._seen = 0.0, 0

    @property
    def description(self) -> PolicyDescription:
        return PolicyDescription(
            name="remembering", cameras=self._cameras, arms=(self._arm,), steps=8, dt_ns=33_333_333
        )

    def reset(self, instruction: str) -> None:
        self.resets.append(instruction)
        self._memory, self._seen = 0.0, 0

    def infer(self, observation: Observation) -> ActionChunk:
        self._seen += 1
        pixels = sum(float(view.rgb.mean()) * (1 + index) for index, view in enumerate(observation.views))
        where = sum(float(view.T_base_camera.translation.sum()) for view in observation.views)
        self._memory = 0.9 * self._memory + self.weight * (
            pixels * 1e-3 + where + float(observation.robot_states[0].q.sum())
        )
        if self._blind_every and self._seen % self._blind_every == 0:
            raise PerceptionError("nothing to be seen")
        twists = np.linspace(0.0, 1.0, 9)[1:, None] * np.array([0.01, 0.0, 0.005, 0.0, 0.0, 0.02])
        twists[:, 1] += 1e-3 * np.sin(self._memory)
        arm = ArmChunk(
            arm=self._arm, Ts_ee0_ee=exp_se3(twists), gripper_opening=np.full(8, 0.5 + 0.1 * np.sin(self._memory))
        )
        report = PolicyReport(compute_ns=1)
        return ActionChunk(stamp_ns=observation.stamp_ns, dt_ns=33_333_333, arms=(arm,), report=report)

    def close(self) -> None:
        pass


def message(msgtype: str, **fields: Any) -> Any:
    return STORE.types[msgtype](**fields)


def header(stamp_ns: int, frame: str = "") -> Any:
    stamp = message("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return message("std_msgs/msg/Header", stamp=stamp, frame_id=frame)


def image_fields(stamp_ns: int, frame: str, encoding: str, bytes_a_pixel: int, data: Any) -> dict[str, Any]:
    fields = {"header": header(stamp_ns, frame), "height": HEIGHT, "width": WIDTH, "encoding": encoding}
    return {**fields, "is_bigendian": 0, "step": WIDTH * bytes_a_pixel, "data": data}


def transform(p: Any, xyzw: Any) -> Any:
    x, y, z = (float(value) for value in p)
    qx, qy, qz, qw = (float(value) for value in xyzw)
    return message(
        "geometry_msgs/msg/Transform",
        translation=message("geometry_msgs/msg/Vector3", x=x, y=y, z=z),
        rotation=message("geometry_msgs/msg/Quaternion", x=qx, y=qy, z=qz, w=qw),
    )


class RunMaker:
    """Writes the bag; `chunks` and `reports` of a live policy are added by stamp.

    prompt: colour of the mask on a picture shown at the start. depth_of: cameras that give depth. away_rad: where the
    arms stand, from home.
    """

    def __init__(
        self,
        path: Path,
        *,
        moves: bool = True,
        seconds: float = 1.0,
        session: Any = SESSION,
        robot: Path = ROBOT,
        instruction: str = "do it",
        prompt: str = "",
        depth_of: tuple[str, ...] = (),
        away_rad: float = 0.0,
    ) -> None:
        self.path, self._moves, self._seconds, self._session = path, moves, seconds, session
        self._instruction, self._prompt, self._depth_of, self._away_rad = instruction, prompt, depth_of, away_rad
        embodiment = load_embodiment(robot)
        self.arms = embodiment.arms
        self.arm = self.arms[0]
        self._kinematics = [ArmKinematics(embodiment.urdf_path, arm) for arm in self.arms]
        self._generator = np.random.default_rng(7)

    def write(
        self, answers: dict[int, tuple[ActionChunk | None, dict[str, str]]] | None = None, **changes: Any
    ) -> Path:
        """Write the run. changes: drop_ee (leave ee_state out), late_states (received 200 ms late), q_jump (rad)."""
        with BagWriter(self.path, is_compressed=False) as self._writer:
            self._latched()
            end_ns = START_NS + int(self._seconds * 1e9)
            drops_ee = bool(changes.get("drop_ee"))
            late_ns = 200_000_000 if changes.get("late_states") else 0
            entries: list[tuple[int, int, Any]] = []
            for number, stamp_ns in enumerate(range(START_NS - 20_000_000, end_ns + 20_000_000, STATE_NS)):
                jump = changes.get("q_jump", 0.0) if number == 30 else 0.0
                entries.append((stamp_ns + late_ns, 0, lambda s=stamp_ns, j=jump: self._state(s, j, drops_ee)))
            for stamp_ns in range(START_NS, end_ns, IMAGE_NS):
                entries.append((stamp_ns + 1_000_000, 1, lambda s=stamp_ns: self._images(s)))
                if answers and stamp_ns in answers:
                    entries.append((stamp_ns + 40_000_000, 2, lambda s=stamp_ns: self._answer(s, *answers[s])))
            for receive_ns, _, write in sorted(entries, key=lambda entry: entry[:2]):
                self._now_ns = receive_ns
                write()
        return self.path

    def _put(self, topic: str, msgtype: str, fields: dict[str, Any], *, is_latched: bool = False) -> None:
        if topic not in self._writer.topics:
            self._writer.add_topic(topic, msgtype, offered_qos(is_latched=is_latched))
        cdr = bytes(STORE.serialize_cdr(message(msgtype, **fields), msgtype))
        self._writer.write(topic, self._now_ns, cdr)

    def _latched(self) -> None:
        self._now_ns = START_NS - 30_000_000
        if self._session is not None:
            self._put("/fr3/session", "std_msgs/msg/String", {"data": yaml.safe_dump(self._session)}, is_latched=True)
        self._put("/fr3/instruction", "std_msgs/msg/String", {"data": self._instruction}, is_latched=True)
        mounts = {
            "head": (self.arm.base_frame, (1.0, 0.0, 0.8)),
            "wrist": (self.arm.ee_frame, (0.05, 0.0, -0.1)),
        }
        for camera, (parent, p) in mounts.items():
            xyzw = Rotation.from_euler("xyz", [3.0, 0.1, 0.2]).as_quat()
            fields = {"header": header(START_NS, parent), "child_frame_id": f"{camera}_optical_frame"}
            fields["transform"] = transform(p, xyzw)
            self._put(f"/fr3/camera/{camera}/extrinsics", "geometry_msgs/msg/TransformStamped", fields, is_latched=True)
        if self._prompt:
            rgb = self._generator.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
            mask[10:30, 20:40] = True
            shown = referring_prompt("head", rgb, mask, self._prompt).rgb
            fields = image_fields(START_NS, "head_optical_frame", "rgb8", 3, shown.ravel())
            self._put("/fr3/policy/prompt", "sensor_msgs/msg/Image", fields, is_latched=True)

    def _state(self, stamp_ns: int, jump: float, drop_ee: bool) -> None:
        t = (stamp_ns - START_NS) * 1e-9
        names: list[str] = []
        positions, velocities, poses = [], [], []
        for arm, kinematics in zip(self.arms, self._kinematics, strict=True):
            joints, fingers = len(arm.q_home), arm.gripper.joint_names
            sway = np.sin(2.0 * t * np.linspace(0.5, 1.0, joints)) if self._moves else np.zeros(joints)
            q = arm.q_home + self._away_rad + 0.05 * sway + jump
            names += [*arm.joint_names, *fingers]
            positions += [q, arm.gripper.positions(0.5)]
            velocities += [0.0 * q, np.zeros(len(fingers))]
            T = kinematics.forward(q)
            poses.append(transform(T.translation, T.xyzw))
            poses.append(transform((0.5 * arm.gripper.stroke_m, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)))
        fields = {"header": header(stamp_ns), "name": names, "position": np.concatenate(positions)}
        fields |= {"velocity": np.concatenate(velocities), "effort": np.zeros(0)}
        self._put("/fr3/joint_states", "sensor_msgs/msg/JointState", fields)
        if drop_ee:
            return
        fields = {"header": header(stamp_ns, self.arm.base_frame), "joint_names": self._columns}
        fields |= {"transforms": poses, "twist": [], "wrench": []}
        self._put("/fr3/ee_state", "sensor_msgs/msg/MultiDOFJointState", fields)

    @property
    def _columns(self) -> list[str]:
        return [f"{arm.name}_{end}" for arm in self.arms for end in ("ee", "finger")]

    def _images(self, stamp_ns: int) -> None:
        for camera in CAMERAS:
            pixels = self._generator.integers(0, 255, HEIGHT * WIDTH * 3, dtype=np.uint8)
            fields = image_fields(stamp_ns, f"{camera}_optical_frame", "rgb8", 3, pixels)
            self._put(f"/fr3/camera/{camera}/image_raw", "sensor_msgs/msg/Image", fields)
            if camera in self._depth_of:
                depth = self._generator.integers(300, 2000, HEIGHT * WIDTH, dtype=np.uint16).view(np.uint8)
                fields = image_fields(stamp_ns, f"{camera}_optical_frame", "16UC1", 2, depth)
                self._put(f"/fr3/camera/{camera}/depth", "sensor_msgs/msg/Image", fields)
            self._info(camera, stamp_ns)

    def _info(self, camera: str, stamp_ns: int) -> None:
        roi = message("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
        K = np.array([60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0])
        fields = {"header": header(stamp_ns), "height": HEIGHT, "width": WIDTH, "distortion_model": "plumb_bob"}
        fields |= {"d": np.zeros(5), "k": K, "r": np.eye(3).ravel(), "p": np.zeros(12)}
        fields |= {"binning_x": 0, "binning_y": 0, "roi": roi}
        self._put(f"/fr3/camera/{camera}/camera_info", "sensor_msgs/msg/CameraInfo", fields)

    def _answer(self, stamp_ns: int, chunk: ActionChunk | None, values: dict[str, str]) -> None:
        if chunk is None:
            return
        arms = record_of_chunk(chunk, {arm.name: arm.gripper.stroke_m for arm in self.arms}).arms
        points = []
        for index in range(len(arms[self.arm.name].opening_m)):
            poses = []
            for steps in (arms[arm.name] for arm in self.arms):
                poses.append(transform(steps.p_ee0_ee[index], steps.xyzw[index]))
                poses.append(transform((steps.opening_m[index], 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)))
            due = (index + 1) * chunk.dt_ns
            duration = message("builtin_interfaces/msg/Duration", sec=due // 10**9, nanosec=due % 10**9)
            kind = "trajectory_msgs/msg/MultiDOFJointTrajectoryPoint"
            points.append(message(kind, transforms=poses, velocities=[], accelerations=[], time_from_start=duration))
        fields = {"header": header(stamp_ns, self.arm.base_frame), "joint_names": self._columns, "points": points}
        self._put("/fr3/policy/chunk", "trajectory_msgs/msg/MultiDOFJointTrajectory", fields)
        pairs = {
            "stamp_ns": str(stamp_ns),
            "task": "1",
            "instruction": self._instruction,
            "compute_ms": "5.0",
            **values,
        }
        report = [message("diagnostic_msgs/msg/KeyValue", key=key, value=value) for key, value in pairs.items()]
        status = {"level": 0, "name": "policy", "message": "chunk", "hardware_id": "", "values": report}
        self._put("/fr3/policy/report", "diagnostic_msgs/msg/DiagnosticStatus", status)


def options(**given: Any) -> argparse.Namespace:
    """What the command line would give."""
    defaults = {
        "bag": None,
        "drop_view": [],
        "view": [],
        "instruction": None,
        "deployment": None,
        "rig": None,
        "joint_states": "",
    }
    return argparse.Namespace(**{**defaults, "latency_ms": 40.0, **given})
