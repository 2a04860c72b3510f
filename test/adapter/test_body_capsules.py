"""Capsules of whole robots: placed where the kinematics say, and ignoring only pairs that can not collide."""

from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.adapter.body_capsules import RobotCapsules
from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.urdf_chain import UrdfChain
from vla3d_ros.geometry.segments import segment_distances

ROBOTS = sorted(path.stem for path in (Path(__file__).parents[2] / "config" / "robots").glob("*.yaml"))


def load(robot):
    embodiment = load_embodiment(Path(__file__).parents[2] / "config" / "robots" / f"{robot}.yaml")
    return embodiment, RobotCapsules(embodiment.urdf_path, embodiment.arms)


def random_q(embodiment, count, rng):
    return {
        a.name: rng.uniform(a.limits.q_lower, a.limits.q_upper, (count, len(a.joint_names))) for a in embodiment.arms
    }


def least_gap(capsules, q):
    ends = capsules.place(q)
    first, second = capsules.pairs.T
    gap = segment_distances(ends[:, first], ends[:, second]) - capsules.radii[first] - capsules.radii[second]
    return gap.min(axis=1)


@pytest.mark.parametrize("robot", ROBOTS)
def test_capsules_lie_where_forward_kinematics_puts_their_links(robot):
    embodiment, capsules = load(robot)
    q = random_q(embodiment, 5, np.random.default_rng(0))
    ends = capsules.place(q)
    for arm in embodiment.arms:
        chain = UrdfChain(embodiment.urdf_path, arm.base_frame, arm.joint_names)
        bodies, placed = chain.moving_bodies(), chain.place_links(q[arm.name])
        for link in set(bodies.links) & {link for link, owner in zip(capsules.links, capsules.arm_of, strict=True)
                                         if owner == arm.name}:  # fmt: skip
            mine = [i for i, name in enumerate(capsules.links) if name == link]
            local = [i for i, name in enumerate(bodies.links) if name == link]
            R, p = placed[link][:, :3, :3], placed[link][:, :3, 3]
            points = bodies.points_link[local] @ R.transpose(0, 2, 1) + p[:, None]
            for point, radius in zip(points.transpose(1, 0, 2), bodies.radii[local], strict=True):
                to = np.stack([point, point], axis=1)[:, None]
                inside = segment_distances(to, ends[:, mine]) - capsules.radii[mine] + radius
                assert inside.min(axis=1).max() < 1e-6, f"{link}: the capsule does not enclose the shape"


@pytest.mark.parametrize("robot", ROBOTS)
def test_a_robot_at_home_touches_nothing(robot):
    embodiment, capsules = load(robot)
    assert least_gap(capsules, {arm.name: arm.q_home[None] for arm in embodiment.arms})[0] > 0.005


@pytest.mark.parametrize("robot", ROBOTS)
def test_every_robot_has_pairs_to_watch_and_few_false_alarms(robot):
    embodiment, capsules = load(robot)
    assert len(capsules.pairs) > 20
    rng = np.random.default_rng(1)
    near_home = {
        arm.name: np.clip(
            arm.q_home + rng.normal(scale=0.2, size=(300, len(arm.joint_names))), arm.limits.q_lower, arm.limits.q_upper
        )
        for arm in embodiment.arms
    }
    assert (least_gap(capsules, near_home) < 0.005).mean() < 0.05


def test_two_arms_that_reach_for_one_place_are_seen_to_collide():
    embodiment, capsules = load(next(name for name in ROBOTS if len(load(name)[0].arms) == 2))
    arms = set(capsules.arm_of) - {""}
    across = [
        (a, b) for a, b in capsules.pairs if capsules.arm_of[a] != capsules.arm_of[b] and "" not in
        (capsules.arm_of[a], capsules.arm_of[b])
    ]  # fmt: skip
    assert len(arms) == 2 and len(across) > 20
    gaps = least_gap(capsules, random_q(embodiment, 3000, np.random.default_rng(2)))
    assert (gaps < 0).any() and (gaps > 0).mean() > 0.5
