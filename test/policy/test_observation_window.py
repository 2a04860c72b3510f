import numpy as np
import pytest

from vla3d_ros.datatypes import CameraImage, CameraModel, CameraMount, RobotState
from vla3d_ros.errors import FrameError, ShapeError
from vla3d_ros.geometry import Transform
from vla3d_ros.policy.observation_window import ObservationWindow

MS = 1_000_000


def state(stamp_ms: float, x: float = 0.0) -> RobotState:
    return RobotState(
        arm="arm",
        stamp_ns=int(stamp_ms * MS),
        joint_names=("a", "b"),
        q=np.array([x, 0.0]),
        dq=np.zeros(2),
        T_base_ee=Transform.from_rotation(np.eye(3), (x, 0, 0)),
        gripper_opening=1.0,
    )


def image(camera: str, stamp_ms: float, size=(4, 6)) -> CameraImage:
    return CameraImage(camera=camera, rgb=np.zeros((*size, 3), np.uint8), stamp_ns=int(stamp_ms * MS), receive_ns=0)


def mount(camera: str, parent: str) -> CameraMount:
    T = Transform.from_rotation(np.eye(3), (0, 0, 0.1))
    return CameraMount(camera=camera, parent_frame=parent, optical_frame=f"{camera}_optical_frame", T_parent_camera=T)


@pytest.fixture
def window() -> ObservationWindow:
    window = ObservationWindow(
        cameras=("head", "wrist"), base_frame="base", ee_frames={"arm": "tool"}, grace_ns=50 * MS, min_views=1
    )
    for camera, parent in (("head", "base"), ("wrist", "tool")):
        window.add_model(camera, CameraModel(width_px=6, height_px=4, K=np.diag([5.0, 5.0, 1.0])))
        window.add_mount(mount(camera, parent))
    return window


def test_it_names_everything_it_waits_for():
    window = ObservationWindow(cameras=("head",), base_frame="base", ee_frames={"arm": "tool"}, grace_ns=0, min_views=1)
    assert window.waiting_for == ("camera_info of 'head'", "extrinsics of 'head'", "state of arm 'arm'", "images")


def test_a_wrist_view_gets_the_pose_the_hand_had_when_the_photons_came(window):
    window.add_robot_state(state(90, x=0.0))
    window.add_robot_state(state(110, x=0.2))
    for camera in ("head", "wrist"):
        window.add_image(image(camera, 100))
    observation = window.take("go")
    assert observation.stamp_ns == 100 * MS
    assert observation.robot_states[0].q[0] == pytest.approx(0.1)
    head, wrist = observation.views
    assert np.allclose(head.T_base_camera.translation, (0, 0, 0.1))
    assert np.allclose(wrist.T_base_camera.translation, (0.1, 0, 0.1))


def test_an_observation_waits_until_the_robot_state_covers_its_stamp(window):
    window.add_robot_state(state(90))
    for camera in ("head", "wrist"):
        window.add_image(image(camera, 100))
    assert window.take("go") is None
    window.add_robot_state(state(101))
    assert window.take("go") is not None


def test_a_set_from_before_the_first_robot_state_is_passed_over(window):
    window.add_robot_state(state(110))
    window.add_robot_state(state(200))
    for stamp_ms in (100, 133):
        for camera in ("head", "wrist"):
            window.add_image(image(camera, stamp_ms))
    assert window.take("go").stamp_ns == 133 * MS


def test_the_newest_complete_set_wins_and_overtaken_and_lost_sets_are_counted(window):
    window.add_robot_state(state(0))
    window.add_robot_state(state(500))
    for stamp_ms in (100, 133, 166):
        for camera in ("head", "wrist") if stamp_ms != 133 else ("head",):
            window.add_image(image(camera, stamp_ms))
    assert window.take("go").stamp_ns == 166 * MS
    assert (window.counters.complete, window.counters.overtaken, window.counters.lost) == (1, 1, 1)


def test_a_missing_view_is_marked_after_the_grace_period(window):
    window.add_robot_state(state(0))
    window.add_robot_state(state(500))
    window.add_image(image("head", 100))
    assert window.take("go") is None
    window.add_image(image("head", 160))
    observation = window.take("go")
    assert observation.stamp_ns == 100 * MS
    assert observation.missing_views == ("wrist",)


def test_late_images_never_bring_an_old_observation_back(window):
    window.add_robot_state(state(0))
    window.add_robot_state(state(500))
    for stamp_ms in (200, 100):
        for camera in ("head", "wrist"):
            window.add_image(image(camera, stamp_ms))
        taken = window.take("go")
        assert (taken is None) == (stamp_ms == 100)


def test_an_image_of_another_size_than_its_calibration_is_refused(window):
    window.add_robot_state(state(0))
    window.add_robot_state(state(500))
    window.add_image(image("head", 100, size=(2, 3)))
    window.add_image(image("wrist", 100))
    with pytest.raises(ShapeError, match="is 3x2 px; its camera_info says 6x4 px"):
        window.take("go")


def test_a_camera_on_an_unknown_frame_is_refused(window):
    with pytest.raises(FrameError, match="frame 'elbow'; expected one of"):
        window.add_mount(mount("head", "elbow"))


def depth_window() -> ObservationWindow:
    window = ObservationWindow(
        cameras=("head", "wrist"),
        base_frame="base",
        ee_frames={"arm": "tool"},
        grace_ns=50 * MS,
        min_views=1,
        depth_cameras=("head",),
    )
    for camera, parent in (("head", "base"), ("wrist", "tool")):
        window.add_model(camera, CameraModel(width_px=6, height_px=4, K=np.diag([5.0, 5.0, 1.0])))
        window.add_mount(mount(camera, parent))
    window.add_robot_state(state(0))
    window.add_robot_state(state(1000))
    return window


def show(window: ObservationWindow, stamp_ms: float, depth_of: tuple[str, ...] = (), size=(4, 6)) -> None:
    for camera in ("head", "wrist"):
        window.add_image(image(camera, stamp_ms))
    for camera in depth_of:
        window.add_depth(camera, int(stamp_ms * MS), np.full(size, stamp_ms, np.float32))


def test_depth_joins_the_image_with_its_stamp_and_that_of_other_cameras_is_left_out():
    window = depth_window()
    show(window, 100, depth_of=("head", "wrist"))
    head, wrist = window.take("go").views
    np.testing.assert_array_equal(head.depth_m, np.full((4, 6), 100, np.float32))
    assert wrist.depth_m is None


def test_a_camera_that_never_gave_depth_is_not_waited_for():
    window = depth_window()
    show(window, 100)
    assert window.take("go").views[0].depth_m is None
    assert window.counters.views_without_depth == 0


def test_late_depth_is_waited_for_and_when_it_does_not_come_the_view_has_none_and_is_counted():
    window = depth_window()
    show(window, 100, depth_of=("head",))
    assert window.take("go") is not None
    show(window, 133)
    assert window.take("go") is None
    window.add_depth("head", 133 * MS, np.ones((4, 6), np.float32))
    assert window.take("go").views[0].depth_m is not None
    show(window, 166)
    show(window, 233)
    observation = window.take("go")
    assert observation.stamp_ns == 166 * MS and observation.views[0].depth_m is None
    assert window.counters.views_without_depth == 1


def test_depth_that_is_not_aligned_to_its_image_is_refused():
    window = depth_window()
    show(window, 100, depth_of=("head",), size=(2, 3))
    with pytest.raises(ShapeError, match="depth of camera 'head' is 3x2 px and its image 6x4 px"):
        window.take("go")
