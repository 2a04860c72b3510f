"""Every robot that is shipped has a place to work in, and everything it is asked for there is within its reach."""

from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.camera.rig import load_rig
from vla3d_ros.deployment import list_deployments, load_deployment
from vla3d_ros.execution import ExecutionConfig
from vla3d_ros.policy.backends.scripted_motion import tool_poses, tool_position
from vla3d_ros.policy.loading import load_backend, read_settings
from vla3d_ros.twin.scene import load_scene

CONFIG = Path(__file__).parents[2] / "config"
TWINS = [name for name in list_deployments(CONFIG) if name.endswith("_tabletop_twin")]
STEPS = 40


@pytest.fixture(scope="module", params=TWINS)
def deployment(request):
    return load_deployment(request.param, CONFIG)


def test_there_is_a_deployment_for_every_robot():
    robots = {load_deployment(name, CONFIG).embodiment.name for name in TWINS}
    assert robots == {path.stem for path in (CONFIG / "robots").glob("*.yaml")}


def test_the_policy_fits_robot_and_cameras(deployment):
    settings = deployment.parameters["policy"]
    backend = load_backend(settings["backend"], settings["backend_config"])
    assert backend.description.arms == tuple(arm.name for arm in deployment.embodiment.arms)
    assert set(backend.description.cameras) <= {camera.name for camera in load_rig(deployment.rig_file).cameras}
    ExecutionConfig.from_mapping(deployment.parameters["adapter"]["execution"])


def test_the_grasp_is_judged_by_the_opening_at_which_the_cube_is_held(deployment):
    task = read_settings(Path(deployment.parameters["policy"]["backend_config"]))["task"]
    cube_m = load_scene(Path(deployment.parameters["twin"]["scene_file"])).cubes.size_m
    for arm in deployment.embodiment.arms:
        assert task["grasped_opening"] == pytest.approx(cube_m / arm.gripper.stroke_m, abs=0.01)


def test_every_place_is_within_reach_at_grasp_and_carrying_height_whatever_the_cubes_yaw(deployment):
    scene = load_scene(Path(deployment.parameters["twin"]["scene_file"])).trial
    settings = read_settings(Path(deployment.parameters["policy"]["backend_config"]))
    heights = [settings["task"][key] for key in ("grasp_height_m", "hover_height_m", "carry_height_m")]
    arms = deployment.embodiment.arms
    for arm in arms:
        kinematics = ArmKinematics(deployment.embodiment.urdf_path, arm)
        start = tool_position(kinematics.forward(arm.q_home).matrix, 0.0)
        for x, y in _corners(scene, start[1] if len(arms) > 1 else None):
            for z in heights:
                for yaw in (-np.pi / 4 - 0.1, np.pi / 4 + 0.1):
                    goal = np.array([x, y, z, 0.0, 0.0, yaw])
                    path = tool_poses(start + np.linspace(0.0, 1.0, STEPS)[:, None] * (goal - start))
                    assert kinematics.solve_chunk(path, arm.q_home).converged[-1], (arm.name, x, y, z, yaw)


def _corners(scene, own_y_m: float | None) -> list[tuple[float, float]]:
    """Corners of the region; of an arm's own half, and the hand-over point, where there are two."""
    low, high = scene.region_y_m
    if own_y_m is None:
        return [(x, y) for x in scene.region_x_m for y in (low, high)]
    side = high if own_y_m > 0 else low
    corners = [(x, y) for x in scene.region_x_m for y in (0.1 * np.sign(side), side)]
    return [*corners, (float(scene.keep_clear_m[0]), float(scene.keep_clear_m[1]))]
