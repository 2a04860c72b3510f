"""Real motion of a person's hand, through the devices: what the chunks tell an arm is that motion.

The logs are of a real FR3 that followed a person's teleoperation, at about 1 kHz with the gaps, repeats and jitter of
the real logger. Played as the stream of a leader arm, and as the stream of a tracked hand, they are what those devices
would have sent. Grippers were not logged: the leader's fingers stand still.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from teleop_hands import CONFIG, TOOL_DOWN, settings_of

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.geometry import Transform
from vla3d_ros.replay.demonstration import load_demonstration
from vla3d_ros.teleop.devices.leader import LeaderArm
from vla3d_ros.teleop.devices.poses import TrackedHands
from vla3d_ros.teleop.teleoperation import Teleoperation

pytest.importorskip("pinocchio")

LOGS = Path(__file__).parents[3] / "shared" / "data" / "fr3_teleop_1khz"
LOOK_S, CHUNK_EVERY, CLOSED_AT, MOST_LAG_S = 1 / 60, 2, 2, 0.3


@pytest.fixture(scope="module")
def embodiment():
    return load_embodiment(CONFIG / "robots" / "fr3.yaml")


@pytest.fixture(scope="module", params=range(2), ids=["first", "second"])
def demonstration(request, embodiment):
    logs = sorted(LOGS.glob("*.npy"))
    if not logs:
        pytest.skip("logs of a real FR3 are in ../shared/data/fr3_teleop_1khz, which is not here")
    return load_demonstration(logs[request.param], embodiment.arms[0])


def followed(settings, device, times_s, send):
    """Let an arm that does what it is told follow a stream; the hand rests for a second after its end.

    Args:
        settings: Of the device.
        device: What is looked at.
        times_s: (N,) when the stream's messages came.
        send: Hands the device the message of an index, at a time.

    Returns:
        Times (M,) s, told poses (M, 4, 4), and the sentences of every loss.
    """
    teleoperation = Teleoperation(settings, ["fr3"], None, getattr(device, "T_base_device", None))
    teleoperation.note_verdict("")
    pose, sent, times, told, losses = TOOL_DOWN, 0, [], [], set()
    for look in range(round((times_s[-1] + 1.0) / LOOK_S)):
        now_s = look * LOOK_S
        while sent < len(times_s) and times_s[sent] <= now_s:
            send(sent, times_s[sent])
            sent += 1
        if sent == len(times_s):
            send(sent - 1, now_s)
        state = device.poll(now_s)
        teleoperation.look(replace(state, presses=("clutch",)) if look == CLOSED_AT else state, now_s)
        losses.add(teleoperation.status().lost)
        if look % CHUNK_EVERY == 0:
            chunk = teleoperation.chunk(round(1e9 * now_s) + 1, {"fr3": (pose, 1.0)})
            times.append(now_s)
            told.append(pose.matrix)
            pose = pose @ Transform(chunk.arms[0].Ts_ee0_ee[0])
    return np.array(times), np.array(told), losses - {""}


def compared(times, told, hand_times, Ts_hand):
    """Return by how much the arm's way is off the hand's, at the lag at which it is off least.

    Returns:
        Lag (s); RMS and worst distance (m); worst turn (rad).
    """
    best = (np.inf,)
    for lag_s in np.arange(0.0, MOST_LAG_S, 0.005):
        rows = np.searchsorted(hand_times, np.clip(times - lag_s, 0.0, hand_times[-1]), side="right") - 1
        wanted = Ts_hand[rows]
        moved = (told[:, :3, 3] - told[0, :3, 3]) - (wanted[:, :3, 3] - wanted[0, :3, 3])
        off = np.linalg.norm(moved, axis=1)
        turned = told[:, :3, :3] @ told[0, :3, :3].T @ (wanted[:, :3, :3] @ wanted[0, :3, :3].T).transpose(0, 2, 1)
        turns = Rotation.from_matrix(turned).magnitude()
        best = min(best, (float(np.sqrt(np.mean(off**2))), float(lag_s), float(off.max()), float(turns.max())))
    return best[1], best[0], best[2], best[3]


def check(times, told, losses, hand_times, Ts_hand):
    lag_s, rms_m, worst_m, worst_rad = compared(times, told, hand_times, Ts_hand)
    assert not losses - {"never heard"}, "jitter and gaps of the real logger are no loss of the device"
    assert lag_s < 0.2
    assert rms_m < 0.002 and worst_m < 0.006, "millimetres, over a way of nearly two metres"
    assert worst_rad < np.radians(2.0)
    shift = told[-1, :3, 3] - told[0, :3, 3] - (Ts_hand[-1, :3, 3] - Ts_hand[0, :3, 3])
    assert np.linalg.norm(shift) < 0.001, "when the hand rests, the arm has moved as the hand has"
    way_m = np.linalg.norm(np.diff(told[:, :3, 3], axis=0), axis=1).sum()
    assert way_m > 1.5, "the person did move"


def test_a_leader_arm_moved_by_a_person_is_followed(demonstration, embodiment):
    arm, times_s = embodiment.arms[0], demonstration.stamps_ns * 1e-9
    names, fingers = (*arm.joint_names, *arm.gripper.joint_names), arm.gripper.positions(1.0)
    device = LeaderArm(embodiment)

    def send(row, now_s):
        device.hear("joint_states", names, np.concatenate([demonstration.q[row], fingers]), now_s)

    told = followed(settings_of("leader"), device, times_s, send)
    check(*told, times_s, ArmKinematics(embodiment.urdf_path, arm).forward_many(demonstration.q))


def test_a_tracked_hand_is_followed_in_the_trackers_own_axes(demonstration):
    times_s, Ts_hand = demonstration.stamps_ns * 1e-9, demonstration.Ts_base_logged
    device = TrackedHands({"poses": ["/hand"], "rpy_base_device": [0.0, 0.0, np.pi / 2]})

    def send(row, now_s):
        device.hear_pose(0, Transform(Ts_hand[row]), now_s)

    told = followed(settings_of("poses", clutch="terminal"), device, times_s, send)
    T_base_device = device.T_base_device.matrix
    check(*told, times_s, T_base_device @ Ts_hand @ T_base_device.T)
