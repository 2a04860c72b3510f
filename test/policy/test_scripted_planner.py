"""Laws of the scripted plan: continuous, bounded, finishes, and tries again when fingers or eyes disagree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from drawn_tabletop import robot_at, settings
from numpy.typing import NDArray

from vla3d_ros.errors import PerceptionError
from vla3d_ros.policy.backends.scripted_config import read_scripted_config
from vla3d_ros.policy.backends.scripted_perception import Belief
from vla3d_ros.policy.backends.scripted_phases import Phase
from vla3d_ros.policy.backends.scripted_planner import ScriptedPlanner

Float = NDArray[np.float64]

HOME = np.array([0.31, 0.0, 0.48, 0.02, -0.03, 0.1])
DT_NS = 33_333_333
LAG_TICKS = 2


def belief(box: tuple[float, ...], stamp_ns: int) -> Belief:
    return Belief(box=np.array(box), stamp_ns=stamp_ns, cameras=("head", "side"), rms_px=np.zeros(2))


@dataclass
class KinematicWorld:
    """A robot that follows the plan two ticks late, and a cube that sticks to closed fingers."""

    cube: Float
    pad: Float
    planner: ScriptedPlanner = field(default_factory=lambda: ScriptedPlanner(read_scripted_config(settings())))
    is_slippery: bool = False
    opening: float = 1.0
    tick: int = 0
    positions: list[Float] = field(default_factory=lambda: [HOME] * (LAG_TICKS + 1))
    phases: list[Phase] = field(default_factory=list)
    jumps: list[float] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)

    @property
    def tool(self) -> Float:
        return self.positions[-1 - LAG_TICKS]

    def run(self, seconds: float, each: Callable[[KinematicWorld], None] = lambda world: None) -> None:
        planned = None
        for _ in range(int(seconds * 30)):
            stamp_ns = self.tick * DT_NS
            beliefs = {"cube": belief(tuple(self.cube), stamp_ns), "pad": belief(tuple(self.pad), stamp_ns)}
            chunk = self.planner.plan(robot_at(self.tool, self.opening, stamp_ns), beliefs, stamp_ns)
            if planned is not None:
                expected = planned[1].motion.position
                self.jumps.append(float(np.linalg.norm(chunk[0].motion.position[:3] - expected[:3])))
            planned = chunk
            self.speeds.append(float(np.linalg.norm(chunk[0].motion.velocity[:3])))
            self.phases.append(self.planner.phase or Phase.APPROACH)
            self.positions.append(chunk[0].motion.position)
            self._move_fingers(chunk[0].opening)
            self.tick += 1
            each(self)

    def _move_fingers(self, wanted: float) -> None:
        is_around = np.linalg.norm(self.tool[:3] - self.cube[:3]) < 0.02
        lowest = 0.5 if is_around and not self.is_slippery else 0.0
        is_held = self.opening == 0.5 and wanted == 0.0 and is_around
        if wanted < self.opening:
            self.opening = max(wanted, lowest, self.opening - 0.1)
        else:
            self.opening = min(wanted, self.opening + 0.1)
        if is_held:
            self.cube = np.append(self.tool[:3], self.tool[5])


def pick_and_place() -> KinematicWorld:
    return KinematicWorld(cube=np.array([0.5, 0.2, 0.02, 0.6]), pad=np.array([0.4, -0.2, 0.001, 0.3]))


def test_the_cube_ends_on_the_pad_within_twelve_seconds() -> None:
    world = pick_and_place()
    world.run(12.0)
    assert world.phases[-1] is Phase.DONE
    assert np.linalg.norm(world.cube[:2] - world.pad[:2]) < 0.006
    assert world.planner.attempts == 1


def test_replanning_at_every_tick_does_not_slow_a_motion_down() -> None:
    world = pick_and_place()
    world.run(3.0)
    assert max(world.speeds) > 0.9 * 0.24


def test_a_plan_continues_where_the_previous_one_would_be() -> None:
    world = pick_and_place()
    world.run(12.0)
    assert max(world.jumps) < 0.002


def test_tool_speed_and_acceleration_stay_inside_their_bounds() -> None:
    world = pick_and_place()
    world.run(12.0)
    velocity = np.diff(np.stack(world.positions)[:, :3], axis=0) * 30.0
    acceleration = np.diff(velocity, axis=0) * 30.0
    assert np.linalg.norm(velocity, axis=1).max() <= 0.35
    assert np.abs(acceleration).max() <= 0.8 * 1.05


def test_a_nudged_cube_is_followed_and_still_placed() -> None:
    world = pick_and_place()

    def nudge(world: KinematicWorld) -> None:
        if world.tick == 50:
            world.cube = world.cube + np.array([0.03, -0.03, 0.0, 0.4])

    world.run(13.0, nudge)
    assert np.linalg.norm(world.cube[:2] - world.pad[:2]) < 0.006


def test_a_nudge_during_the_descent_makes_the_tool_rise_before_it_moves_sideways() -> None:
    world = pick_and_place()
    moved: list[float] = []

    def nudge(world: KinematicWorld) -> None:
        if not moved and world.phases[-1] is Phase.DESCEND and world.tool[2] < 0.05:
            moved.append(float(world.positions[-1][1]))
            world.cube = world.cube + np.array([0.0, -0.05, 0.0, 0.0])
        if moved and world.phases[-1] is Phase.APPROACH and world.positions[-1][2] < 0.09:
            assert abs(world.positions[-1][1] - moved[0]) < 0.005

    world.run(14.0, nudge)
    assert moved
    assert np.linalg.norm(world.cube[:2] - world.pad[:2]) < 0.006


def test_a_missed_grasp_opens_the_fingers_and_is_tried_again() -> None:
    world = pick_and_place()
    world.is_slippery = True

    def dry(world: KinematicWorld) -> None:
        if world.planner.attempts == 2:
            world.is_slippery = False

    world.run(16.0, dry)
    assert world.planner.attempts == 2
    assert world.phases[-1] is Phase.DONE
    assert np.linalg.norm(world.cube[:2] - world.pad[:2]) < 0.006


def test_a_cube_seen_left_behind_is_fetched_again() -> None:
    world = pick_and_place()
    lost: list[int] = []

    def drop(world: KinematicWorld) -> None:
        if not lost and world.phases[-1] is Phase.TRANSFER and world.tool[1] < 0.1:
            lost.append(world.tick)
            world.cube = np.array([0.5, 0.05, 0.02, 0.0])
            world.opening = 0.45

    world.run(18.0, drop)
    assert world.planner.attempts == 2
    assert np.linalg.norm(world.cube[:2] - world.pad[:2]) < 0.006


def test_a_displaced_arm_restarts_the_plan_from_where_it_is() -> None:
    world = pick_and_place()
    world.run(1.0)
    displaced = np.array([0.45, -0.1, 0.3, 0.0, 0.0, 0.0])
    stamp_ns = world.tick * DT_NS
    beliefs = {"cube": belief(tuple(world.cube), stamp_ns), "pad": belief(tuple(world.pad), stamp_ns)}
    chunk = world.planner.plan(robot_at(displaced, 1.0, stamp_ns), beliefs, stamp_ns)
    assert np.linalg.norm(chunk[0].motion.position[:3] - displaced[:3]) < 0.2


def test_an_object_never_seen_is_an_error_that_names_it() -> None:
    planner = ScriptedPlanner(read_scripted_config(settings()))
    with pytest.raises(PerceptionError, match="pad of the instruction was not found in two views"):
        planner.plan(robot_at(HOME, 1.0, 0), {"cube": belief((0.5, 0.0, 0.02, 0.0), 0), "pad": None}, 0)


def test_a_cube_hidden_for_too_long_is_an_error_not_a_guess() -> None:
    forgetful = settings()
    forgetful["fit"]["max_age_s"] = 0.5
    planner = ScriptedPlanner(read_scripted_config(forgetful))
    beliefs = {"cube": belief((0.5, 0.2, 0.02, 0.0), 0), "pad": belief((0.4, -0.2, 0.001, 0.0), 0)}
    with pytest.raises(PerceptionError, match=r"last seen 1\.\d s ago; expected at most 0\.5 s"):
        for tick in range(60):
            planner.plan(robot_at(HOME, 1.0, tick * DT_NS), beliefs, tick * DT_NS)
