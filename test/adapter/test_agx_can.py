"""The vendor's own SDK, over a virtual CAN bus, against a fake arm."""

import math
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("piper_sdk", reason="pip install 'vla3d_ros[agx]'")

sys.path.insert(0, str(Path(__file__).parent))
from fake_piper import FakePiper

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.interfaces.agx_can import AgxCan
from vla3d_ros.adapter.interfaces.arm_speaker import ArmSpeaker
from vla3d_ros.adapter.interfaces.messages import JointStateMessage
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.adapter.trajectory import home_trajectory

ROBOT = load_embodiment(Path(__file__).parents[2] / "config" / "robots" / "piper.yaml")
ARM = ROBOT.arms[0]
NAMES = ARM.command.wire_names


def until(is_so, what: str) -> None:
    deadline = time.monotonic() + 10.0
    while not is_so():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.005)


@pytest.fixture
def pair(request):
    channel = f"fake_{request.node.name}"
    fake = FakePiper(channel)
    arm = AgxCan(NAMES, "gripper", channel=channel, bustype="virtual")
    until(arm.enable, "enabled motors")
    yield arm, fake
    arm.close()
    fake.close()


def message(names, positions, efforts=()) -> JointStateMessage:
    return JointStateMessage(
        topic="", stamp_ns=0, names=tuple(names), positions=tuple(positions), efforts=tuple(efforts)
    )


def test_a_streamed_motion_reaches_the_arm_exactly_and_is_reported_back(pair):
    arm, fake = pair
    goal = ARM.q_home + 0.1
    speaker = ArmSpeaker(ARM, ROBOT.urdf_path)
    path = home_trajectory(ARM.name, ARM.q_home, goal, 1_000_000_000, ARM.limits, 1.0)
    speaker.follow(path)
    for now_ns in range(int(path.times_ns[0]), int(path.times_ns[-1]) + 20_000_000, 10_000_000):
        for sent in speaker.tick(now_ns):
            assert arm.send(sent) is None
    expected = np.round(np.degrees(goal) * 1000)
    until(lambda: fake.joints == expected.tolist(), "the last setpoint")
    until(lambda: np.allclose([arm.positions()[name] for name in NAMES], goal, atol=1e-5), "the report")
    assert set(fake.modes) == {(0x01, 0x01, 100, 0xAD)}


def test_the_gripper_gets_micrometres_and_millinewtons(pair):
    arm, fake = pair
    (sent,) = ArmSpeaker(ARM, ROBOT.urdf_path).set_opening(0.5, 0)
    assert arm.send(sent) is None
    until(lambda: fake.gripper == (35_000, 3_000), "the gripper's frame")
    until(lambda: arm.positions()["gripper"] == pytest.approx(0.035), "the gripper's report")


def test_a_message_that_leaves_out_a_joint_or_holds_nan_moves_nothing(pair):
    arm, fake = pair
    assert "joint6" in arm.send(message(NAMES[:5], ARM.q_home[:5]))
    assert "joint6" in arm.send(message(NAMES, [*ARM.q_home[:5], math.nan]))
    assert "gripper not sent" in arm.send(message(["gripper"], [0.2], [1.0]))
    time.sleep(0.1)
    assert fake.joints == [0] * 6 and fake.gripper == (0, 0)


def test_the_urdfs_kinematics_are_those_of_the_sdk(pair):
    from piper_sdk.kinematics.piper_fk import C_PiperForwardKinematics

    sdk = C_PiperForwardKinematics(0x01)
    kinematics = ArmKinematics(ROBOT.urdf_path, ARM)
    generator = np.random.default_rng(7)
    for _ in range(50):
        q = generator.uniform(ARM.limits.q_lower, ARM.limits.q_upper)
        x_mm, y_mm, z_mm = sdk.CalFK(q.tolist())[5][:3]
        links = kinematics.place_links(q[None])
        T_base_flange = np.linalg.inv(links["base_link"][0]) @ links["link6"][0]
        assert T_base_flange[:3, 3] == pytest.approx(np.array([x_mm, y_mm, z_mm]) / 1000, abs=1e-6)
