"""Real pixels of three real cameras, composed into a bag that says what it is, and seen through the cores."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_up_run import RememberingPolicy, options

from vla3d_ros.camera.board import parse_board
from vla3d_ros.camera.rig import look_at
from vla3d_ros.commands.replay_setup import recorded_run, setup_for
from vla3d_ros.datatypes import CameraModel, Observation, View
from vla3d_ros.deployment import load_deployment
from vla3d_ros.errors import ConfigError
from vla3d_ros.geometry import project
from vla3d_ros.recording.bag_reader import BagReader
from vla3d_ros.replay.composition import NOTICE, Composition, compose
from vla3d_ros.replay.markers import MarkerSurvey
from vla3d_ros.replay.offline import OfflineReplay
from vla3d_ros.replay.posed_images import read_posed_images
from vla3d_ros.resources import config_dir

PANDA = Path(__file__).parents[3] / "shared" / "data" / "fairo_franka_3cam"
needs_data = pytest.mark.skipif(not PANDA.is_dir(), reason="the folder shared/data with real recordings is absent")
CAMERAS = ("cam0", "cam1", "cam2")


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    pytest.importorskip("pinocchio")
    deployment = load_deployment("panda_tabletop_twin", config_dir())
    images = read_posed_images(PANDA)
    extrinsics = images.calibrated(parse_board("marker:9:39:DICT_4X4_50"), np.random.default_rng(0))
    session = {
        "deployment": {"robot": "panda", "rig": "panda_tabletop_twin"},
        "nodes": {
            "camera": {"grace_ms": 5000.0},
            "policy": {"grace_ms": 5000.0},
            "adapter": {"execution": deployment.parameters["adapter"]["execution"]},
        },
    }
    path = tmp_path_factory.mktemp("composed") / "bag"
    composition = Composition(
        images=images, extrinsics=extrinsics, embodiment=deployment.embodiment, instruction="look", session=session
    )
    summary, left_out = compose(path, composition)
    assert not left_out and not any(summary.dropped.values())
    return path, images


@needs_data
def test_a_composed_bag_says_so_in_its_topics_and_in_its_metadata(composed):
    path, _ = composed
    with BagReader(path) as bag:
        assert bag.custom_data["composition"] == NOTICE
        notice = bag.decode(next(bag.messages(["/composed/notice"]))).data
    assert notice.startswith("THIS BAG IS A COMPOSITION") and "Invented" in notice


@needs_data
def test_the_pixels_are_the_bytes_of_the_data_set(composed):
    path, images = composed
    with BagReader(path) as bag:
        kept = [bytes(bag.decode(m).data) for m in bag.messages(["/composed/camera/cam1/image_raw/compressed"])]
    assert kept == [pose.files["cam1"].read_bytes() for pose in images.poses]


@needs_data
def test_every_pose_becomes_one_observation_with_all_views_and_that_pose(composed):
    path, images = composed
    run = recorded_run(options(bag=path))
    setup = setup_for(run, options(bag=path), CAMERAS)
    observations = [observation for observation, _ in OfflineReplay(run, setup, CAMERAS).observations()]
    assert len(observations) == len(images.poses) == 20
    for observation, pose in zip(observations, images.poses, strict=True):
        assert [view.camera for view in observation.views] == list(CAMERAS)
        distance_m, angle_rad = observation.robot_states[0].T_base_ee.distance_to(pose.T_base_ee)
        assert distance_m < 5e-4 and angle_rad < 5e-3


@needs_data
def test_markers_agree_with_themselves_through_the_estimated_calibration(composed):
    path, _ = composed
    run = recorded_run(options(bag=path))
    offline = OfflineReplay(run, setup_for(run, options(bag=path), CAMERAS), CAMERAS)
    survey = MarkerSurvey("DICT_4X4_50", {9: 39.0})
    offline.on_observation = survey.add
    replay = offline.play(RememberingPolicy(cameras=CAMERAS, arm="panda"))
    assert len(replay.chunks) == 20
    found = {finding.marker: finding for finding in survey.findings()}
    for number in (0, 2, 3):
        assert found[number].rests
        assert found[number].side_spread_mm < 2.0 and found[number].rays_miss_mm < 1.5
    table = [found[number].side_mean_mm for number in (0, 2, 3)]
    assert np.ptp(table) < 3.0, "markers of one print are of one size"
    assert not found[9].rests and abs(found[9].side_error_mm) < 0.5


def test_a_drawn_marker_comes_back_at_its_size():
    board, survey = parse_board("marker:3:50:DICT_4X4_50"), MarkerSurvey("DICT_4X4_50", {3: 50.0})
    K = np.array([[1500.0, 0, 639.5], [0, 1500.0, 479.5], [0, 0, 1]])
    model = CameraModel(width_px=1280, height_px=960, K=K)
    corners = board.side_m / 2 * np.array([[-1, 1, 0], [1, 1, 0], [1, -1, 0], [-1, -1, 0]])
    tile = cv2.copyMakeBorder(
        cv2.aruco.generateImageMarker(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50), 3, 300),
        *4 * [60], cv2.BORDER_CONSTANT, value=255,
    )  # fmt: skip
    inside = np.array([[60, 60], [360, 60], [360, 360], [60, 360]], dtype=np.float32) - 0.5
    views = []
    for camera, place in (("one", [0.3, 0.1, 0.5]), ("two", [-0.3, 0.1, 0.5])):
        T_base_camera = look_at(np.array(place), np.zeros(3), np.array([0.0, 0.0, 1.0]))
        pixels = project(T_base_camera.inverse().apply(corners), model.K).astype(np.float32)
        warp = cv2.getPerspectiveTransform(inside, pixels)
        grey = cv2.warpPerspective(tile, warp, (1280, 960), flags=cv2.INTER_LINEAR, borderValue=255)
        rgb = np.repeat(grey[:, :, None], 3, axis=2)
        views.append(View(camera=camera, rgb=rgb, model=model, T_base_camera=T_base_camera, stamp_ns=1))
    for stamp_ns in (1, 2):
        survey.add(Observation(stamp_ns=stamp_ns, views=tuple(views), robot_states=(), instruction=""))
    (finding,) = survey.findings()
    assert finding.rests and finding.cameras == ("one", "two")
    assert abs(finding.side_error_mm) < 0.5 and finding.side_spread_mm < 1.0


def test_a_folder_without_the_table_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no data.json"):
        read_posed_images(tmp_path)


def test_images_that_do_not_exist_are_named(tmp_path):
    entry = {"camera": "a", "width": 4, "height": 4, "fx": 1, "fy": 1, "ppx": 1, "ppy": 1, "coeffs": []}
    sample = {"ee_position_base_m": [0, 0, 0], "ee_quaternion_base_xyzw": [0, 0, 0, 1], "images": ["a/00.jpg"]}
    (tmp_path / "data.json").write_text(json.dumps({"intrinsics": [entry], "samples": [sample]}))
    with pytest.raises(ConfigError, match=r"do not exist: .*00\.jpg"):
        read_posed_images(tmp_path)
