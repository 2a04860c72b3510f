"""Every shipped robot moves as its manufacturer's table says, and as independent implementations do."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.adapter.urdf_chain import UrdfChain

from . import published_tables as tables

ROBOTS = Path(__file__).parents[2] / "config" / "robots"
SAMPLES = 300
TOLERANCE_M = 1e-9


def in_base(*T_parts):
    T = np.eye(4)
    for part in T_parts:
        T = T @ part
    return T


FRANKA_TOOL = in_base(tables.shift(2, 0.107), tables.turn(2, -np.pi / 4), tables.shift(2, 0.1034))
PIPER_TOOL = in_base(tables.turn(2, np.pi), tables.shift(2, 0.135))
PLINTH = tables.shift(2, 0.12)

# robot, arm: what lies before the table, the table, its convention, what lies behind it (metres, from the data sheets).
PUBLISHED = {
    ("fr3", "fr3"): (np.eye(4), tables.FRANKA, tables.modified, FRANKA_TOOL),
    ("panda", "panda"): (np.eye(4), tables.FRANKA, tables.modified, FRANKA_TOOL),
    ("piper", "piper"): (PLINTH, tables.PIPER, tables.modified, PIPER_TOOL),
    ("piper_before_v163", "piper"): (PLINTH, tables.PIPER_BEFORE_V163, tables.modified, PIPER_TOOL),
    ("dual_piper", "left"): (PLINTH @ tables.shift(1, 0.3), tables.PIPER, tables.modified, PIPER_TOOL),
    ("dual_piper", "right"): (PLINTH @ tables.shift(1, -0.3), tables.PIPER, tables.modified, PIPER_TOOL),
    ("ur5e", "ur5e"): (tables.turn(2, np.pi), tables.UR5E, tables.standard, tables.shift(2, 0.1528)),
    ("xarm6", "xarm6"): (np.eye(4), tables.XARM6, tables.standard, tables.shift(2, 0.172)),
    ("xarm7", "xarm7"): (np.eye(4), tables.XARM7, tables.modified, tables.shift(2, 0.172)),
}


def arm_of(robot, arm):
    embodiment = load_embodiment(ROBOTS / f"{robot}.yaml")
    spec = embodiment.arm(arm)
    return SimpleNamespace(spec=spec, kinematics=ArmKinematics(embodiment.urdf_path, spec), urdf=embodiment.urdf_path)


def random_q(limits, seed=0):
    return np.random.default_rng(seed).uniform(limits.q_lower, limits.q_upper, (SAMPLES, len(limits.q_lower)))


def flange_poses(robot, arm, link):
    """Joint samples and the poses of a link before the gripper, relative to the link the arm's table starts from."""
    built = arm_of(robot, arm)
    q = random_q(built.spec.limits)
    placed = built.kinematics.place_links(q)
    return q, placed[link]


@pytest.mark.parametrize(("robot", "arm"), PUBLISHED, ids="-".join)
def test_forward_kinematics_is_the_published_table(robot, arm):
    pytest.importorskip("pinocchio")
    T_base_table, table, convention, T_last_ee = PUBLISHED[robot, arm]
    built = arm_of(robot, arm)
    q = random_q(built.spec.limits)
    published = np.stack([T_base_table @ convention(table, row) @ T_last_ee for row in q])
    assert np.abs(built.kinematics.forward_many(q) - published).max() < TOLERANCE_M
    one_by_one = np.stack([built.kinematics.forward(row).matrix for row in q[:50]])
    assert np.abs(one_by_one - published[:50]).max() < TOLERANCE_M


@pytest.mark.parametrize(("robot", "offset"), [("piper", 1), ("piper_before_v163", 0)])
def test_forward_kinematics_is_that_of_the_vendors_sdk_for_its_firmware(robot, offset):
    """piper_sdk 0.6.2: positions in mm, angles in degrees, extrinsic xyz."""
    kinematics = pytest.importorskip("piper_sdk.kinematics.piper_fk", reason="needs `pip install piper_sdk`")
    vendor = kinematics.C_PiperForwardKinematics(offset)
    q, placed = flange_poses(robot, "piper", "link6")
    for row, T_base_link6 in zip(q, placed, strict=True):
        x, y, z, *rpy = vendor.CalFK(row.tolist())[-1]
        assert T_base_link6[:3, 3] * 1e3 == pytest.approx([x, y, z + 120.0], abs=1e-3)
        R = Rotation.from_euler("xyz", rpy, degrees=True).as_matrix()
        assert T_base_link6[:3, :3] == pytest.approx(R, abs=1e-6)


def test_the_two_firmwares_of_one_arm_can_not_be_confused():
    """Two degrees at two joints are up to a centimetre at the wrist: the wrong file would miss a cube."""
    q, later = flange_poses("piper_before_v163", "piper", "link6")
    earlier = arm_of("piper", "piper").kinematics.place_links(q)["link6"]
    apart = np.linalg.norm(later[:, :3, 3] - earlier[:, :3, 3], axis=1)
    assert 0.005 < np.median(apart) < apart.max() < 0.02


@pytest.mark.parametrize(
    ("robot", "ours", "folder", "file", "theirs"),
    [
        ("panda", "panda_link8", "panda_description/urdf", "panda.urdf", "panda_link8"),
        ("xarm7", "link7", "xarm_description/urdf", "xarm7.urdf", "link7"),
    ],
)
def test_forward_kinematics_is_that_of_other_peoples_urdf(tmp_path, robot, ours, folder, file, theirs):
    """Their right angles are rounded to 1.5708, which is undone here: it would cost 5 micrometres."""
    shared = [Path(entry) / "cmeel.prefix/share/example-robot-data/robots" / folder / file for entry in sys.path]
    path = next((path for path in shared if path.is_file()), None)
    if path is None:
        pytest.skip("needs `pip install example-robot-data` (131 MB)")
    built = arm_of(robot, robot)
    exact = tmp_path / file
    exact.write_text(re.sub(r"\b1\.5708\b|\b1\.57079632679\b", repr(np.pi / 2), path.read_text()))
    chain = UrdfChain(exact, built.spec.base_frame, built.spec.joint_names)
    q = random_q(built.spec.limits)
    assert np.abs(chain.place_links(q)[theirs] - built.kinematics.place_links(q)[ours]).max() < 1e-6


# The ROS drivers' own link chains: x y z (m) roll pitch yaw per joint, another description than the DH tables.
DRIVER_CHAINS = {
    ("ur5e", "tool0"): [
        (0.0, 0.0, 0.1625, 0.0, 0.0, 0.0),
        (0.0, 0.0, 0.0, np.pi / 2, 0.0, 0.0),
        (-0.425, 0.0, 0.0, 0.0, 0.0, 0.0),
        (-0.3922, 0.0, 0.1333, 0.0, 0.0, 0.0),
        (0.0, -0.0997, 0.0, np.pi / 2, 0.0, 0.0),
        (0.0, 0.0996, 0.0, np.pi / 2, np.pi, np.pi),
    ],
    ("xarm6", "link6"): [
        (0.0, 0.0, 0.267, 0.0, 0.0, 0.0),
        (0.0, 0.0, 0.0, -np.pi / 2, 0.0, 0.0),
        (0.0535, -0.2845, 0.0, 0.0, 0.0, 0.0),
        (0.0775, 0.3425, 0.0, -np.pi / 2, 0.0, 0.0),
        (0.0, 0.0, 0.0, np.pi / 2, 0.0, 0.0),
        (0.076, 0.097, 0.0, -np.pi / 2, 0.0, 0.0),
    ],
}


@pytest.mark.parametrize(
    ("robot", "link", "tolerance_m"),
    [
        ("ur5e", "tool0", TOLERANCE_M),
        ("xarm6", "link6", 2.5e-6),  # the maker's two descriptions: 289.48866 mm, and hypot(53.5, 284.5) = 289.48661
    ],
)
def test_forward_kinematics_is_that_of_the_drivers_link_chain(robot, link, tolerance_m):
    q, placed = flange_poses(robot, robot, link)
    for row, ours in zip(q, placed, strict=True):
        T = tables.turn(2, np.pi) if robot == "ur5e" else np.eye(4)
        for (x, y, z, roll, pitch, yaw), angle in zip(DRIVER_CHAINS[robot, link], row, strict=True):
            fixed = tables.shift(0, x) @ tables.shift(1, y) @ tables.shift(2, z)
            T = T @ fixed @ tables.turn(2, yaw) @ tables.turn(1, pitch) @ tables.turn(0, roll) @ tables.turn(2, angle)
        assert np.abs(T - ours).max() < tolerance_m


@pytest.mark.parametrize("path", sorted(ROBOTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_robot_waits_above_the_table_with_its_grippers_pointing_down(path):
    embodiment = load_embodiment(path)
    for spec in embodiment.arms:
        kinematics = ArmKinematics(embodiment.urdf_path, spec)
        T_base_ee = kinematics.forward(spec.q_home).matrix
        assert T_base_ee[:3, 2] == pytest.approx([0.0, 0.0, -1.0], abs=2e-3)
        assert T_base_ee[:3, 0] == pytest.approx([1.0, 0.0, 0.0], abs=2e-3)
        assert 0.15 < T_base_ee[2, 3] < 0.6
        _, points = kinematics.forward_bodies(spec.q_home[None])
        assert (points[0, :, 2] - kinematics.body_radii).min() > 0.0


@pytest.mark.parametrize("path", sorted(ROBOTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_robot_follows_reachable_chunks_inside_its_limits(path):
    embodiment = load_embodiment(path)
    generator = np.random.default_rng(7)
    for spec in embodiment.arms:
        kinematics = ArmKinematics(embodiment.urdf_path, spec)
        room = spec.limits.q_upper - spec.limits.q_lower
        for _ in range(20):
            q_start = generator.uniform(spec.limits.q_lower + 0.2 * room, spec.limits.q_upper - 0.2 * room)
            q = q_start + np.linspace(1 / 30, 1.0, 30)[:, None] * generator.uniform(-0.3, 0.3, len(room))
            solution = kinematics.solve_chunk(kinematics.forward_many(q), q_start, period_s=1 / 30)
            assert solution.residual_m.max() < 1e-4 and solution.residual_rad.max() < np.radians(0.05)
            assert (solution.q >= spec.limits.q_lower).all() and (solution.q <= spec.limits.q_upper).all()
