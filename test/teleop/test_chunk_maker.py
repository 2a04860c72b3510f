"""Laws of the chunks a person's hands make."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from teleop_hands import TOOL_DOWN, PerfectArms, accelerations, pose_hand, settings_of, speeds, twist_hand

from vla3d_ros.geometry import Transform
from vla3d_ros.teleop.chunk_maker import ChunkMaker
from vla3d_ros.teleop.motion import Box

DT_NS = round(1e9 / 30)
DT_S = DT_NS * 1e-9
TOLERANCE = 1.001


def driven(
    device: str = "gamepad", arms=("arm",), share: float = 1.0, box: Box | None = None, **changes
) -> PerfectArms:
    maker = ChunkMaker(settings_of(device, **changes), arms, box)
    world = PerfectArms(maker, dict.fromkeys(arms, TOOL_DOWN), DT_NS, share)
    world.run(0.1, {arm: twist_hand(clutch=False) for arm in arms})  # seen released
    return world


def moved(world: PerfectArms, arm: str = "arm") -> np.ndarray:
    return world.poses[arm].translation - TOOL_DOWN.translation


def random_hands(seed: int, count: int) -> list:
    random = np.random.default_rng(seed)
    return [twist_hand(*random.uniform(-1.5, 1.5, 6), clutch=bool(random.random() < 0.8)) for _ in range(count)]


def test_a_hold_chunk_is_the_identity_where_the_arm_stands():
    world = driven()
    (part,) = world.chunks[-1].arms
    np.testing.assert_allclose(part.Ts_ee0_ee, np.repeat(np.eye(4)[None], 30, axis=0), atol=1e-12)
    assert world.chunks[-1].dt_ns == DT_NS and len(part.Ts_ee0_ee) == 30


def test_a_hold_brings_a_sagging_arm_back_instead_of_sinking_with_it():
    world = driven()
    sagged = Transform.from_rotation(TOOL_DOWN.rotation, TOOL_DOWN.translation - [0.0, 0.0, 0.004])
    for _ in range(50):
        world.poses["arm"] = sagged
        world.run(DT_S, {"arm": twist_hand(clutch=False)})
    last = world.absolute(world.chunks[-1], "arm", sagged)[-1]
    np.testing.assert_allclose(last.translation, TOOL_DOWN.translation, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_every_chunk_starts_where_the_one_before_said_and_ends_at_rest(seed):
    world = driven()
    for hand in random_hands(seed, 30):
        before = world.chunks[-1]
        anchor = world.told["arm"][-2][1]
        said = world.absolute(before, "arm", anchor)[:3]
        world.run(DT_S, {"arm": hand})
        first = world.absolute(world.chunks[-1], "arm", world.told["arm"][-2][1])[0]
        assert (
            np.linalg.norm(first.translation - said[1].translation) <= 1.0 * DT_S**2 * TOLERANCE
        )  # one step's acceleration
        poses = world.absolute(world.chunks[-1], "arm", world.told["arm"][-2][1])
        assert poses[-1].distance_to(poses[-2]) == pytest.approx((0.0, 0.0), abs=1e-9)


@pytest.mark.parametrize("scale", [0.3, 1.0])
@pytest.mark.parametrize("device", ["gamepad", "spacemouse"])
def test_no_chunk_and_no_path_is_ever_faster_than_the_limits(device, scale):
    world = driven(device)
    limits = settings_of(device).limits
    for hand in random_hands(7, 60):
        world.run(DT_S, {"arm": hand}, scale)
        chunk_poses = [world.told["arm"][-2][1], *world.absolute(world.chunks[-1], "arm", world.told["arm"][-2][1])]
        linear, angular = speeds(chunk_poses, DT_S)
        assert linear.max() <= scale * limits.linear_m_s * TOLERANCE
        assert angular.max() <= scale * limits.angular_rad_s * TOLERANCE
        assert accelerations(chunk_poses, DT_S).max() <= limits.linear_m_s2 * TOLERANCE
    path = [pose for _, pose in world.told["arm"]]
    assert speeds(path, DT_S)[0].max() <= scale * limits.linear_m_s * TOLERANCE
    assert accelerations(path, DT_S).max() <= limits.linear_m_s2 * TOLERANCE


def test_letting_go_brakes_at_once_and_a_device_that_is_lost_does_the_same():
    for hands in ({"arm": twist_hand(1.0, clutch=False)}, {}):
        world = driven()
        world.run(1.0, {"arm": twist_hand(1.0)})
        start = world.poses["arm"].translation
        world.run(DT_S, hands)
        last = world.absolute(world.chunks[-1], "arm", world.told["arm"][-2][1])[-1]
        limits = settings_of("gamepad").limits
        braking_m = limits.linear_m_s**2 / (2.0 * limits.linear_m_s2)
        assert np.linalg.norm(last.translation - start) <= braking_m + limits.linear_m_s * DT_S
        world.run(1.0, hands)
        np.testing.assert_allclose(world.poses["arm"].translation, last.translation, atol=1e-6)


def test_if_nothing_follows_a_chunk_drives_on_for_a_moment_and_rests():
    world = driven()
    world.run(1.0, {"arm": twist_hand(1.0)})
    settings = settings_of("gamepad")
    poses = world.absolute(world.chunks[-1], "arm", world.told["arm"][-2][1])
    linear, _ = speeds(poses, DT_S)
    driving = round(settings.drive_s / DT_S) - 1
    np.testing.assert_allclose(linear[:driving], settings.limits.linear_m_s, rtol=1e-6)
    at_rest = driving + int(np.ceil(settings.limits.braking_s / DT_S)) + 1
    np.testing.assert_allclose(linear[at_rest:], 0.0, atol=1e-9)


def test_axes_of_the_base_and_of_the_tool_differ_by_the_tools_rotation():
    base = driven(frames=("base",) * 6)
    tool = driven(frames=("tool",) * 6)
    for world in (base, tool):
        world.run(1.0, {"arm": twist_hand(1.0, 0.0, 0.0)})
    direction = moved(base) / np.linalg.norm(moved(base))
    np.testing.assert_allclose(direction, [1.0, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(moved(tool), TOOL_DOWN.rotation @ moved(base), atol=1e-9)
    for world, axis in ((base, np.eye(3)[2]), (tool, TOOL_DOWN.rotation[:, 2])):
        before = world.poses["arm"].rotation
        world.run(0.5, {"arm": twist_hand(0, 0, 0, 0, 0, 1.0)})
        turned = Rotation.from_matrix(world.poses["arm"].rotation @ before.T).as_rotvec()
        np.testing.assert_allclose(turned / np.linalg.norm(turned), axis, atol=1e-6)


def test_frames_are_chosen_per_axis():
    world = driven(frames=("base", "base", "tool", "base", "base", "base"))
    world.run(1.0, {"arm": twist_hand(0.0, 0.0, 1.0)})
    direction = moved(world) / np.linalg.norm(moved(world))
    np.testing.assert_allclose(direction, TOOL_DOWN.rotation[:, 2], atol=1e-9)


@pytest.mark.parametrize("frame", ["base", "tool"])
def test_closing_the_clutch_again_with_the_hand_elsewhere_causes_no_jump(frame):
    world = driven("poses", frames=(frame,) * 6)
    far = Transform.from_rpy((5.0, -3.0, 1.0), (1.0, 0.5, -2.0))
    for T_device_hand in (Transform.identity(), far, far.inverse()):
        before = world.poses["arm"]
        world.run(0.3, {"arm": pose_hand(T_device_hand, clutch=False)})
        world.run(1.0, {"arm": pose_hand(T_device_hand)})
        assert world.poses["arm"].distance_to(before) == pytest.approx((0.0, 0.0), abs=1e-6)


def test_the_arm_does_what_the_hand_does_after_the_clutch_closed():
    world = driven("leader")
    start = Transform.from_rpy((0.5, 0.0, 0.4), (0.3, 0.0, 0.0))
    shift, turn = np.array([0.05, -0.08, 0.03]), Rotation.from_rotvec([0.1, 0.2, -0.3])
    world.run(0.2, {"arm": pose_hand(start)})
    end = Transform.from_rotation(turn.as_matrix() @ start.rotation, start.translation + shift)
    world.run(2.0, {"arm": pose_hand(end)})
    np.testing.assert_allclose(moved(world), shift, atol=1e-4)
    np.testing.assert_allclose(world.poses["arm"].rotation, turn.as_matrix() @ TOOL_DOWN.rotation, atol=1e-3)


def test_what_the_hand_did_between_closing_and_the_next_chunk_is_done_too():
    """A busy machine may take long from one chunk to the next; the hand does not wait for it."""
    maker = ChunkMaker(settings_of("poses"), ["arm"])
    arms = PerfectArms(maker, {"arm": TOOL_DOWN}, maker._dt_ns)
    start, there = Transform.identity(), Transform.from_rpy((0.0, 0.04, 0.0), (0.0, 0.0, 0.0))
    arms.run(0.2, {"arm": pose_hand(start, clutch=False)})
    maker.look({"arm": pose_hand(start)})  # closed here
    arms.run(1.0, {"arm": pose_hand(there)})
    moved = arms.poses["arm"].translation - TOOL_DOWN.translation
    np.testing.assert_allclose(moved, there.translation, atol=1e-3)


def test_a_hand_in_the_tools_axes_moves_the_tool_as_it_moves_itself():
    world = driven("poses", frames=("tool",) * 6)
    start = Transform.from_rpy((0.5, 0.0, 0.4), (0.3, 0.4, 0.5))
    step = Transform.from_rpy((0.05, 0.02, -0.03), (0.1, 0.0, 0.2))
    world.run(0.2, {"arm": pose_hand(start)})
    world.run(2.0, {"arm": pose_hand(start @ step)})
    assert world.poses["arm"].distance_to(TOOL_DOWN @ step) == pytest.approx((0.0, 0.0), abs=1e-3)


def test_a_trackers_axes_are_turned_into_those_of_the_base():
    T_base_device = Transform.from_rpy((9.0, 9.0, 9.0), (0.0, 0.0, np.pi / 2))
    maker = ChunkMaker(settings_of("poses"), ["arm"], None, T_base_device)
    world = PerfectArms(maker, {"arm": TOOL_DOWN}, DT_NS)
    world.run(0.1, {"arm": pose_hand(Transform.identity(), clutch=False)})
    world.run(0.1, {"arm": pose_hand(Transform.identity())})
    world.run(2.0, {"arm": pose_hand(Transform.from_rpy((0.1, 0.0, 0.0), (0.0, 0.0, 0.0)))})
    np.testing.assert_allclose(moved(world), [0.0, 0.1, 0.0], atol=1e-4)


def test_a_smaller_scale_shrinks_the_hands_translation_and_changing_it_causes_no_jump():
    world = driven("leader")
    start = Transform.identity()
    end = Transform.from_rpy((0.1, 0.0, 0.0), (0.0, 0.0, 0.0))
    world.run(0.2, {"arm": pose_hand(start)}, scale=0.3)
    world.run(2.0, {"arm": pose_hand(end)}, scale=0.3)
    np.testing.assert_allclose(moved(world), [0.03, 0.0, 0.0], atol=1e-4)
    world.run(1.0, {"arm": pose_hand(end)}, scale=1.0)
    np.testing.assert_allclose(moved(world), [0.03, 0.0, 0.0], atol=1e-4)


def test_one_arm_moves_while_the_other_holds_and_both_move_together():
    world = driven(arms=("left", "right"))
    world.run(0.5, {"left": twist_hand(1.0), "right": twist_hand(1.0, clutch=False)})
    assert moved(world, "left")[0] > 0.05
    np.testing.assert_allclose(moved(world, "right"), 0.0, atol=1e-12)
    world.run(0.5, {"left": twist_hand(1.0), "right": twist_hand(-1.0)})
    assert moved(world, "right")[0] < -0.05
    assert [part.arm for part in world.chunks[-1].arms] == ["left", "right"]


def test_an_arm_that_is_stuck_is_never_told_to_be_further_ahead_than_the_leash():
    world = driven(share=0.0)
    settings = settings_of("gamepad")
    world.run(3.0, {"arm": twist_hand(1.0, 0, 0, 0, 0, 1.0)})
    first = world.told["arm"][-1][1]
    far_m, far_rad = first.distance_to(TOOL_DOWN)
    assert settings.leash_m * 0.9 <= far_m <= settings.leash_m + settings.limits.linear_m_s * DT_S
    assert far_rad <= settings.leash_rad + settings.limits.angular_rad_s * DT_S


def test_a_wall_stops_the_hand_and_can_be_left_again():
    walls = Box(lower_m=TOOL_DOWN.translation - 1.0, upper_m=TOOL_DOWN.translation + np.array([0.1, 1.0, 1.0]))
    world = driven(box=walls)
    world.run(3.0, {"arm": twist_hand(1.0, 0.5)})
    assert 0.09 <= moved(world)[0] <= 0.105
    assert max(pose.translation[0] for _, pose in world.told["arm"]) <= walls.upper_m[0] + 0.005
    world.run(1.0, {"arm": twist_hand(-1.0)})
    assert moved(world)[0] < 0.0


def test_time_that_leaps_back_starts_from_where_the_arm_is():
    world = driven()
    world.run(0.5, {"arm": twist_hand(1.0)})
    world.stamp_ns -= 20_000_000_000
    world.run(DT_S, {"arm": twist_hand(1.0, clutch=False)})
    np.testing.assert_allclose(world.chunks[-1].arms[0].Ts_ee0_ee[-1], np.eye(4), atol=1e-9)


def test_the_gripper_moves_on_its_own_at_its_speed_and_keeps_what_it_was_told():
    world = driven()
    hand = world._maker.arms["arm"]
    hand.gripper.press("gripper")
    world.run(DT_S, {})
    openings = world.chunks[-1].arms[0].gripper_opening
    per_step = settings_of("gamepad").limits.gripper_per_s * DT_S
    assert np.abs(np.diff(openings)).max() <= per_step * TOLERANCE
    assert openings[-1] == 0.0
    world.run(1.0, {})
    world.openings["arm"] = 0.4  # something is between the fingers
    world.run(0.5, {})
    assert set(world.chunks[-1].arms[0].gripper_opening.tolist()) == {0.0}
    hand.gripper.press("gripper")
    world.run(1.0, {})
    assert world.openings["arm"] == 1.0


def test_a_hands_opening_counts_only_while_its_clutch_is_closed():
    world = driven()
    world.run(1.0, {"arm": twist_hand(clutch=False, opening=0.0)})
    assert world.openings["arm"] == 1.0
    world.run(1.0, {"arm": twist_hand(opening=0.0)})
    assert world.openings["arm"] == 0.0
