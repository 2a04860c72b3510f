from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.camera.rig import load_rig
from vla3d_ros.recording import MessageDefinitions
from vla3d_ros.recording.health import HealthMonitor

IMAGE, INFO, JOINTS = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo", "sensor_msgs/msg/JointState"
MOUNT = "geometry_msgs/msg/TransformStamped"
S = 1_000_000_000
PERIOD_NS = S // 30
RIG = """
anchor: head
rate_hz: 30.0
max_skew_ms: 8.0
cameras:
{cameras}
"""
CAMERA = """
  {name}:
    source: recorded
    width_px: 64
    height_px: 48
    K: [60.0, 0, 32, 0, 60.0, 24, 0, 0, 1]
    mount: {{parent_frame: base, optical_frame: {name}_optical_frame, position_m: [0, 0, 1], xyzw: [1, 0, 0, 0]}}
    calibration:
      extrinsics: {{date: 2025-12-01, method: charuco, board: b, views: 12, robot: r}}
"""


class Scene:
    """Two cameras and an arm that send what the test says."""

    def __init__(self, folder: Path, ros, *, is_simulated: bool = False, today: date = date(2026, 1, 1)) -> None:
        path = folder / "rig.yaml"
        path.write_text(RIG.format(cameras="".join(CAMERA.format(name=name) for name in ("head", "side"))))
        self.ros, self.rng, self.now_ns = ros, np.random.default_rng(0), 100 * S
        self.monitor = HealthMonitor(
            MessageDefinitions().typestore,
            rig=load_rig(path),
            joint_names=["shoulder", "elbow"],
            is_simulated=is_simulated,
            today=lambda: today,
        )

    def send(self, topic: str, kind: str, cdr: bytes) -> None:
        self.monitor.on_message(topic, kind, self.now_ns, cdr)

    def picture(self) -> np.ndarray:
        return self.rng.integers(60, 200, (48, 64, 3), dtype=np.uint8)

    def calibrate(self, *names: str) -> None:
        ros = self.ros
        for name in names:
            roi = ros.message(
                "sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
            )
            fields = {
                "header": ros.header(1),
                "height": 48,
                "width": 64,
                "distortion_model": "plumb_bob",
                "d": np.zeros(5),
            }
            k, r, p = np.eye(3).ravel(), np.eye(3).ravel(), np.eye(3, 4).ravel()
            info = ros.cdr(INFO, **fields, k=k, r=r, p=p, binning_x=0, binning_y=0, roi=roi)
            self.send(f"/arm/camera/{name}/camera_info", INFO, info)
            zero = ros.message("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=1.0)
            turn = ros.message("geometry_msgs/msg/Quaternion", x=1.0, y=0.0, z=0.0, w=0.0)
            transform = ros.message("geometry_msgs/msg/Transform", translation=zero, rotation=turn)
            mount = ros.cdr(MOUNT, header=ros.header(1), child_frame_id=f"{name}_optical_frame", transform=transform)
            self.send(f"/arm/camera/{name}/extrinsics", MOUNT, mount)

    def run(self, seconds: float, *, pictures=None, skew_ns: int = 0, every: int = 1, q: float = 0.0, joints=None):
        """Let both cameras and the arm run; `pictures` maps a camera to what it sees instead of noise."""
        for index in range(round(seconds * 30)):
            self.now_ns += PERIOD_NS
            for name, shift_ns in (("head", 0), ("side", skew_ns)):
                if name == "side" and index % every:
                    continue
                seen = (pictures or {}).get(name, self.picture)
                seen = seen() if callable(seen) else seen
                cdr = self.ros.image(seen, self.now_ns - 5_000_000 - shift_ns)
                self.send(f"/arm/camera/{name}/image_raw", IMAGE, cdr)
            names = ["shoulder", "elbow"] if joints is None else joints
            position = [q * index] * len(names)
            self.send("/arm/joint_states", JOINTS, self.ros.joint_state(self.now_ns, names, position, []))

    def problems(self, after_s: float = 0.0) -> str:
        return " | ".join(self.monitor.problems(self.now_ns + int(after_s * S)))


@pytest.fixture
def scene(tmp_path, ros) -> Scene:
    scene = Scene(tmp_path, ros)
    scene.calibrate("head", "side")
    return scene


def test_healthy_graph_has_no_problems_and_its_calibration_is_told(scene):
    scene.run(3.0)
    assert scene.problems() == ""
    assert scene.monitor.figures()["head_hz"] == "30.0"
    calibration = scene.monitor.calibration()["side"]
    assert calibration["mount"]["position_m"] == [0.0, 0.0, 1.0]
    assert calibration["K"][0] == 1.0
    assert calibration["records"]["extrinsics"]["method"] == "charuco"


def test_nothing_heard_names_every_camera_and_the_joints(tmp_path, ros):
    problems = Scene(tmp_path, ros).problems()
    assert "camera 'head': no image yet" in problems
    assert "camera 'side': no image yet" in problems
    assert "no joint state of ['shoulder', 'elbow']" in problems


def test_slow_camera_is_compared_with_the_rig(scene):
    scene.run(3.0, every=2)
    assert "camera 'side': 15.0 Hz; the rig says 30 Hz" in scene.problems()
    assert "head" not in scene.problems()


def test_stalled_camera_is_told_by_the_age_of_its_newest_image(scene):
    scene.run(1.0)
    assert "camera 'head': newest image is 1.2" in scene.problems(after_s=1.2)


def test_captures_that_do_not_belong_together_are_skew(scene):
    scene.run(2.0, skew_ns=12_000_000)
    assert "skew between cameras is 12.0 ms; the rig allows 8 ms" in scene.problems()


def test_stamps_ahead_of_now_ask_for_synchronised_clocks(scene):
    scene.run(2.0)
    scene.now_ns -= S
    assert "ahead of now; synchronise clocks" in scene.problems()


def test_lag_behind_the_one_clock_of_a_simulation_is_no_matter_of_stamps(tmp_path, ros):
    scene = Scene(tmp_path, ros, is_simulated=True)
    scene.calibrate("head", "side")
    scene.run(2.0)
    scene.now_ns -= S // 5
    assert scene.problems() == ""


@pytest.mark.parametrize(
    ("picture", "word"),
    [
        (np.zeros((48, 64, 3), np.uint8), "black"),
        (np.full((48, 64, 3), 14, np.uint8), "under-exposed"),
        (np.full((48, 64, 3), 255, np.uint8), "over-exposed"),
        (np.full((48, 64, 3), 120, np.uint8), "blurred"),
    ],
)
def test_unusable_picture_is_named(scene, picture, word):
    scene.run(1.0, pictures={"side": picture})
    assert f"camera 'side': {word}" in scene.problems()
    assert "camera 'head'" not in scene.problems()


def test_real_camera_that_repeats_itself_is_frozen_even_while_nothing_moves(scene):
    scene.run(2.5, pictures={"side": scene.picture()})
    assert "camera 'side': frozen" in scene.problems()


def test_simulated_camera_may_repeat_itself_until_the_arm_moves(tmp_path, ros):
    scene = Scene(tmp_path, ros, is_simulated=True)
    scene.calibrate("head", "side")
    still = {"side": scene.picture()}
    scene.run(2.5, pictures=still)
    assert "frozen" not in scene.problems()
    scene.run(2.5, pictures=still, q=0.01)
    assert "camera 'side': frozen" in scene.problems()


def test_missing_calibration_and_an_old_one_are_named(tmp_path, ros):
    scene = Scene(tmp_path, ros, today=date(2026, 6, 1))
    scene.calibrate("head")
    scene.run(1.0)
    problems = scene.problems()
    assert "camera 'side': no intrinsics" in problems
    assert "camera 'side': no extrinsics" in problems
    assert "camera 'head': extrinsics were calibrated 182 days ago; expected 90 or less" in problems


def test_joint_states_that_are_old_partial_or_nameless_are_named(scene):
    scene.run(1.0)
    assert "joint state of 'shoulder' is 0.80 s old" in scene.problems(after_s=0.8)
    scene.run(1.0, joints=[])
    assert "/arm/joint_states: joint states without names" in scene.problems()
    scene.run(1.0, joints=["shoulder"])
    assert "joint state of 'elbow' is 2.00 s old" in scene.problems()


def test_image_that_is_none_is_a_problem_of_its_camera_and_not_of_the_recorder(scene):
    scene.run(1.0)
    scene.now_ns += S
    scene.send("/arm/camera/side/image_raw", IMAGE, scene.ros.image(scene.picture(), scene.now_ns)[:90])
    assert "camera 'side': image is 64x48 'rgb8'" in scene.problems()
