"""Every shipped robot stands in the twin: its model, its cameras, its grippers, and the same kinematics as ours."""

from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.camera.rig import load_rig
from vla3d_ros.twin.scene import load_scene
from vla3d_ros.twin.world import TwinWorld

CONFIG = Path(__file__).parents[2] / "config"
RIGS = {"fr3": "tabletop_twin", "piper_before_v163": "piper_tabletop_twin"}
ROBOTS = sorted(path.stem for path in (CONFIG / "robots").glob("*.yaml"))


@pytest.fixture(params=ROBOTS)
def world(request):
    robot = load_embodiment(CONFIG / "robots" / f"{request.param}.yaml")
    rig = load_rig(CONFIG / "cameras" / f"{RIGS.get(request.param, request.param + '_tabletop_twin')}.yaml")
    return TwinWorld(robot, rig, load_scene(CONFIG / "scenes" / "tabletop.yaml"))


def run(world, seconds):
    for _ in range(round(seconds * 1e9 / world.period_ns)):
        world.step()


def test_arms_hold_their_home_and_all_models_agree_where_that_is(world):
    run(world, 0.5)
    sample = world.joint_state()
    for arm in world.embodiment.arms:
        q = sample.q[[sample.names.index(name) for name in arm.joint_names]]
        assert q == pytest.approx(arm.q_home, abs=2e-3)  # one driver rounds pi to 3.14
        T_world_ee = world.frame_pose(arm.ee_frame).matrix
        T_world_base = world.frame_pose(arm.base_frame).matrix
        kinematics = ArmKinematics(world.embodiment.urdf_path, arm)
        assert np.abs(T_world_base @ kinematics.forward(arm.q_home).matrix - T_world_ee).max() < 1e-6


def test_torques_at_rest_stay_far_below_what_the_joints_have(world):
    run(world, 0.2)
    sample = world.joint_state()
    for arm in world.embodiment.arms:
        effort = np.abs(sample.effort[[sample.names.index(name) for name in arm.joint_names]])
        allowed = [world.model.jnt_actfrcrange[world.model.joint(name).id, 1] for name in arm.joint_names]
        assert (effort < 0.6 * np.array(allowed)).all()


def test_grippers_close_and_say_so_in_their_drivers_words(world):
    for arm in world.embodiment.arms:
        gripper = arm.gripper
        assert reported(world, arm) == pytest.approx(gripper.position_open, abs=1e-3)
        world.command_gripper(arm.name, gripper.command_position(0.0), gripper.max_effort_n)
    run(world, 2.0)
    for arm in world.embodiment.arms:
        assert reported(world, arm) == pytest.approx(arm.gripper.position_closed, abs=1e-3)
        pads = [world.frame_pose(finger_link(world, name)).translation for name in arm.gripper.finger_joints]
        assert np.linalg.norm(pads[0] - pads[1]) < 1e-3


def reported(world, arm):
    sample = world.joint_state()
    return sample.q[[sample.names.index(name) for name in arm.gripper.joint_names]]


def finger_link(world, joint):
    return world.model.body(world.model.jnt_bodyid[world.model.joint(joint).id]).name


def test_every_camera_of_the_rig_rides_on_a_link_of_the_robot(world):
    for camera in world.rig.cameras:
        world.frame_pose(camera.mount.parent_frame)
    wrists = [camera for camera in world.rig.cameras if camera.mount.parent_frame != world.embodiment.base_frame]
    assert {camera.mount.parent_frame for camera in wrists} == {arm.ee_frame for arm in world.embodiment.arms}
