"""From images on disk, or a live stream, to a rig file: the whole way of `vla3d calibrate`."""

import csv

import cv2
import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore
from simulated_calibration import BOARD, photograph

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.robot_poses import RobotPoses
from vla3d_ros.camera.calibration_data import list_images, read_folder
from vla3d_ros.camera.guided_capture import GuidedCapture
from vla3d_ros.camera.rig import load_rig, look_at
from vla3d_ros.cli import main
from vla3d_ros.commands.calibration_bag import read_bag
from vla3d_ros.errors import ConfigError, RecordingError
from vla3d_ros.geometry import Transform
from vla3d_ros.recording import BagWriter, offered_qos
from vla3d_ros.resources import config_dir

T_EE_BOARD = Transform.from_rpy([0.0, 0.0, 0.03], [0.2, 0.1, 0.3])
UP = np.array([0.0, 0.0, 1.0])
STORE = get_typestore(Stores.ROS2_KILTED)
HEADER = "image,camera,x,y,z,qx,qy,qz,qw"


@pytest.fixture(scope="module")
def rig():
    return load_rig(config_dir() / "cameras" / "tabletop_twin.yaml")


@pytest.fixture(scope="module")
def data(rig, tmp_path_factory):
    """Photographs of a board on the gripper by both fixed cameras, and where the arm was."""
    folder, generator, rows = tmp_path_factory.mktemp("data"), np.random.default_rng(0), []
    cameras = [rig.camera(name) for name in ("head", "side")]
    for number in range(16):
        p = generator.uniform([0.4, -0.15, 0.1], [0.55, 0.1, 0.3])
        toward = cameras[number % 2].mount.T_parent_camera.translation
        tilt = Transform.from_rpy([0, 0, 0], [*generator.uniform(-0.5, 0.5, 2), generator.uniform(-1.5, 1.5)])
        centred = Transform.from_rotation(np.eye(3), [-0.12, -0.09, 0.0])
        T_base_board = look_at(p, 2 * p - toward, UP) @ tilt @ centred
        T_base_ee = T_base_board @ T_EE_BOARD.inverse()
        for camera in cameras:
            T_camera_board = camera.mount.T_parent_camera.inverse() @ T_base_board
            if T_camera_board.rotation[2, 2] < 0.4:
                continue
            name = f"{camera.name}_{number:02d}.png"
            image = photograph(BOARD, T_camera_board, camera.model)
            cv2.imwrite(str(folder / name), image)
            rows.append([name, camera.name, *T_base_ee.translation, *T_base_ee.xyzw])
    with (folder / "poses.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([HEADER.split(","), *rows])
    return folder


def distance_mm(path, rig, camera: str) -> float:
    found = load_rig(path).camera(camera).mount.T_parent_camera
    return 1e3 * found.distance_to(rig.camera(camera).mount.T_parent_camera)[0]


def test_extrinsics_of_two_cameras_go_from_a_folder_into_a_rig_file(data, rig, tmp_path) -> None:
    out = tmp_path / "rig.yaml"
    assert main(["calibrate", "extrinsics", str(data), "--out", str(out), "--deployment", "fr3_tabletop_twin"]) == 0
    assert distance_mm(out, rig, "head") < 1.0 and distance_mm(out, rig, "side") < 1.0
    record = load_rig(out).camera("head").calibration["extrinsics"]
    assert record.robot == "fr3" and record.board == BOARD.text and record.error_px < 0.5 and not record.forced
    assert not load_rig(out).camera("wrist").calibration


def test_calibration_worse_than_the_threshold_is_refused_unless_forced(data, rig, tmp_path, capsys) -> None:
    out = tmp_path / "rig.yaml"
    command = ["calibrate", "hand-eye", str(data), "--camera", "head", "--out", str(out), "--max-mm", "0.01"]
    command += ["--deployment", "fr3_tabletop_twin"]
    assert main(command) == 2 and not out.exists()
    assert "nothing was written; --force writes it anyway" in " ".join(capsys.readouterr().err.split())
    assert main([*command, "--force"]) == 0
    record = load_rig(out).camera("head").calibration["extrinsics"]
    assert record.forced and record.method == "hand-eye eye-to-hand"
    assert distance_mm(out, rig, "head") < 1.5


def test_dry_run_writes_nothing(data, tmp_path) -> None:
    out = tmp_path / "rig.yaml"
    command = ["calibrate", "hand-eye", str(data), "--camera", "side", "--out", str(out), "--dry-run"]
    assert main([*command, "--deployment", "fr3_tabletop_twin"]) == 0
    assert not out.exists()


def test_poses_may_be_yaml_and_rows_of_other_cameras_are_left_out(data, tmp_path) -> None:
    (tmp_path / "a.png").write_bytes((data / "head_00.png").read_bytes())
    row = "{image: a.png, position_m: [0.1, 0.2, 0.3], xyzw: [0, 0, 0, 1]}"
    other = "{image: a.png, camera: side, position_m: [0.1, 0.2, 0.3], xyzw: [0, 0, 0, 1]}"
    (tmp_path / "poses.yaml").write_text(f"- {row}\n- {other}\n")
    images = read_folder(tmp_path, "head")
    assert [image.camera for image in images] == ["head"]
    assert images[0].T_base_ee.translation.tolist() == [0.1, 0.2, 0.3]
    assert images[0].load().shape == (480, 640, 3)


def test_wrong_table_is_refused_with_every_problem(tmp_path) -> None:
    (tmp_path / "poses.csv").write_text(f"{HEADER}\nlost.png,head,0,0,0,0,0,0,1\nlost.png,,0,zero,0,0,0,0,1\n")
    with pytest.raises(ConfigError) as caught:
        read_folder(tmp_path, None)
    text = str(caught.value)
    assert "row 1: image" in text and "row 2 names no camera" in text and "row 2: transform" in text


def test_guided_capture_keeps_resting_views_at_new_places_and_says_what_is_missing(rig, tmp_path) -> None:
    model = rig.camera("head").model
    taken = GuidedCapture(tmp_path, "head", BOARD, needs_poses=True, wanted=3)
    here = Transform.from_rpy([-0.12, -0.09, 0.6], [0.3, -0.2, 0.1])
    image = photograph(BOARD, here, model)
    arm = Transform.from_rpy([0.5, 0, 0.2], [np.pi, 0, 0])
    assert "hold still" in taken.offer(image, arm).message
    kept = taken.offer(image, arm)
    assert kept.is_kept and "kept 1 of 3" in kept.message and "1 poses show the board" in kept.missing[0]
    assert taken.offer(image, arm).message == "this place is known; move on"
    assert taken.offer(image, None).message.startswith("no joint states")
    assert taken.offer(np.full_like(image, 90), arm).message == "the board is not seen"
    rows = read_folder(tmp_path, "head")
    assert len(rows) == 1 and rows[0].T_base_ee.distance_to(arm)[0] < 1e-8
    assert not taken.is_complete


def test_guided_capture_for_intrinsics_wants_the_board_elsewhere_in_the_image(rig, tmp_path) -> None:
    model = rig.camera("head").model
    taken = GuidedCapture(tmp_path, "head", BOARD, needs_poses=False, wanted=2)
    kept = 0
    for x_m in (-0.2, -0.2, -0.2, -0.05, -0.05):
        image = photograph(BOARD, Transform.from_rpy([x_m, -0.09, 0.6], [0.3, 0.2, 0.0]), model)
        kept += taken.offer(image, None).is_kept
    assert kept == 2 and len(list_images(tmp_path, "head")) == 2
    assert any("corners cover" in sentence for sentence in taken.missing())


def message(msgtype: str, stamp_ns: int, **fields) -> bytes:
    stamp = STORE.types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    header = STORE.types["std_msgs/msg/Header"](stamp=stamp, frame_id="")
    return bytes(STORE.serialize_cdr(STORE.types[msgtype](header=header, **fields), msgtype))


def write_bag(path, names, stops, *, rest_s: float) -> None:
    """Joint states at 100 Hz: a rest at every stop, half a second of motion between; the image's grey is the time."""
    image, state, names = "sensor_msgs/msg/Image", "sensor_msgs/msg/JointState", list(names)
    with BagWriter(path) as bag:
        bag.add_topic("/fr3/camera/head/image_raw", image, offered_qos())
        bag.add_topic("/fr3/joint_states", state, offered_qos())
        period = rest_s + 0.5
        for tick in range(round(100 * period * len(stops))):
            stamp_ns, (index, since) = 10**10 + tick * 10**7, divmod(tick / 100, period)
            here, there = stops[int(index)], stops[min(int(index) + 1, len(stops) - 1)]
            q = here + max(0.0, since - rest_s) / 0.5 * (there - here)
            fields = {"name": names, "position": q, "velocity": np.zeros(0), "effort": np.zeros(0)}
            bag.write("/fr3/joint_states", stamp_ns, message(state, stamp_ns, **fields))
            if tick % 10 == 0:
                pixels = np.full(4 * 4 * 3, tick // 10, dtype=np.uint8)
                size = {"height": 4, "width": 4, "encoding": "rgb8", "is_bigendian": 0, "step": 12, "data": pixels}
                bag.write("/fr3/camera/head/image_raw", stamp_ns, message(image, stamp_ns, **size))


@pytest.fixture(scope="module")
def embodiment():
    return load_embodiment(config_dir() / "robots" / "fr3.yaml")


def test_bag_gives_one_image_per_rest_with_the_pose_of_that_time(rig, embodiment, tmp_path) -> None:
    arm, robot = embodiment.arms[0], RobotPoses(embodiment)
    home = np.concatenate([arm.q_home, [0.04, 0.04]])
    stops = [home, home + 0.2, home - 0.2, home + 0.0, home + np.array([0.3] + [0.0] * 8)]
    write_bag(tmp_path / "bag", robot.joint_names, stops, rest_s=1.0)
    images = read_bag(tmp_path / "bag", embodiment, [rig.camera("head")])
    middles = [int(image.load()[0, 0, 0]) / 10 for image in images]  # seconds since the start
    assert middles == pytest.approx([0.5, 2.0, 3.5, 6.75], abs=0.15), "the fourth stop is where the first was"
    for image, stop in zip(images, [stops[0], stops[1], stops[2], stops[4]], strict=True):
        links = robot.place(robot.joint_names, stop)
        expected = links[arm.base_frame].inverse() @ links[arm.ee_frame]
        assert image.T_base_ee.distance_to(expected)[0] < 1e-3


def test_bag_of_an_arm_that_never_rests_is_refused(rig, embodiment, tmp_path) -> None:
    arm, robot = embodiment.arms[0], RobotPoses(embodiment)
    home = np.concatenate([arm.q_home, [0.04, 0.04]])
    write_bag(tmp_path / "bag", robot.joint_names, [home, home + 0.2, home - 0.2, home + 0.3], rest_s=0.1)
    with pytest.raises(RecordingError, match="the arm never stood still"):
        read_bag(tmp_path / "bag", embodiment, [rig.camera("head")])
