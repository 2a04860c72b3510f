"""Two arms: who takes the cube, where it is handed over, and that nobody stands in the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_tabletop import CAMERAS, CUBE_M, INSTRUCTION, PAD_M, RGB, camera_model, draw, look_at
from scipy.spatial.transform import Rotation

from vla3d_ros.datatypes import ActionChunk, Observation, RobotState, View
from vla3d_ros.errors import ConfigError
from vla3d_ros.geometry import Transform
from vla3d_ros.policy.backends.scripted_bimanual import ScriptedBimanualPolicy
from vla3d_ros.policy.backends.scripted_motion import tool_poses
from vla3d_ros.policy.loading import read_settings

SETTINGS = Path(__file__).parents[2] / "config" / "policies" / "scripted_dual_piper.yaml"
STEP_NS = 33_333_333
PAD_LEFT, PAD_RIGHT = np.array([0.26, 0.22, 0.001, 0.0]), np.array([0.26, -0.22, 0.001, 0.0])
CUBE_LEFT, CUBE_RIGHT = np.array([0.27, 0.33, 0.02, 0.2]), np.array([0.27, -0.33, 0.02, 0.2])
CUBE_MIDDLE = np.array([0.24, 0.0, 0.02, 0.0])


class Stage:
    """A drawn table and two ideal arms that are wherever the last chunk's first step put them."""

    def __init__(self, cube: np.ndarray, pad: np.ndarray) -> None:
        settings = read_settings(SETTINGS) | {"cameras": list(CAMERAS)}
        self.policy = ScriptedBimanualPolicy.from_config(settings)
        self.policy.reset(INSTRUCTION)
        self.views = [self._draw(name, cube, pad) for name in CAMERAS]
        self.poses = {"left": self._tool(0.2), "right": self._tool(-0.2)}
        self.now_ns = 0

    @staticmethod
    def _tool(y_m: float) -> np.ndarray:
        return tool_poses(np.array([[0.27, y_m, 0.19, 0.0, 0.0, 0.0]]))[0]

    @staticmethod
    def _draw(name: str, cube: np.ndarray, pad: np.ndarray) -> View:
        eye, target = CAMERAS[name]
        T_base_camera = look_at(eye, (target[0] - 0.2, 0.0, 0.0))
        rgb = np.full((480, 640, 3), RGB["grey"], dtype=np.uint8)
        draw(rgb, T_base_camera, pad, PAD_M, "cyan")
        draw(rgb, T_base_camera, cube, CUBE_M, "red")
        return View(camera=name, rgb=rgb, model=camera_model(), T_base_camera=T_base_camera, stamp_ns=0)

    def step(self) -> ActionChunk:
        self.now_ns += STEP_NS
        robots = tuple(
            RobotState(
                arm=arm, stamp_ns=self.now_ns, joint_names=(), q=np.zeros(0), dq=np.zeros(0),
                T_base_ee=Transform(pose.copy()), gripper_opening=1.0,
            )
            for arm, pose in self.poses.items()
        )  # fmt: skip
        views = tuple(replace(view, stamp_ns=self.now_ns) for view in self.views)
        chunk = self.policy.infer(
            Observation(stamp_ns=self.now_ns, views=views, robot_states=robots, instruction=INSTRUCTION)
        )
        self.poses = {arm.arm: _rigid(self.poses[arm.arm] @ arm.Ts_ee0_ee[0]) for arm in chunk.arms}
        return chunk

    def run(self, seconds: float) -> ActionChunk:
        for _ in range(round(seconds * 30)):
            chunk = self.step()
        return chunk


def _rigid(matrix: np.ndarray) -> np.ndarray:
    """Undo the rounding that many products collect."""
    matrix[:3, :3] = Rotation.from_matrix(matrix[:3, :3]).as_matrix()
    return matrix


@pytest.mark.parametrize(
    ("cube", "pad", "job"),
    [
        (CUBE_LEFT, PAD_LEFT, "left to the pad"),
        (CUBE_RIGHT, PAD_RIGHT, "right to the pad"),
        (CUBE_LEFT, PAD_RIGHT, "left to the hand-over point"),
        (CUBE_RIGHT, PAD_LEFT, "right to the hand-over point"),
        (CUBE_MIDDLE, PAD_LEFT, "left to the pad"),
        (CUBE_MIDDLE, PAD_RIGHT, "right to the pad"),
    ],
)
def test_the_arm_on_the_pads_side_places_and_the_other_brings_what_is_out_of_reach(cube, pad, job):
    assert Stage(cube, pad).step().report.details["job"] == job


def test_a_chunk_is_for_both_arms_and_the_idle_one_parks_with_an_open_gripper():
    stage = Stage(CUBE_LEFT, PAD_LEFT)
    chunk = stage.run(3.0)
    assert [arm.arm for arm in chunk.arms] == ["left", "right"]
    assert (chunk.arms[1].gripper_opening == 1.0).all()
    assert stage.poses["right"][:3, 3] == pytest.approx([0.26, -0.33, 0.15], abs=1e-3)


def test_nobody_goes_to_the_middle_before_the_other_is_out_of_the_way():
    stage = Stage(CUBE_LEFT, PAD_RIGHT)
    while stage.step().report.details.get("phase") is None:
        assert stage.poses["left"][1, 3] > 0.15
    assert stage.poses["right"][1, 3] <= -0.24


def test_steps_of_both_arms_are_smooth():
    stage = Stage(CUBE_LEFT, PAD_LEFT)
    path = []
    for _ in range(60):
        stage.step()
        path.append([pose[:3, 3] for pose in stage.poses.values()])
    speed = np.diff(np.array(path), axis=0) * 30.0
    assert np.abs(speed).max() < 0.25
    assert np.abs(np.diff(speed, axis=0)).max() * 30.0 < 1.0


def test_wrong_settings_are_named():
    settings = read_settings(SETTINGS)
    del settings["bimanual"]["overlap_m"]
    with pytest.raises(ConfigError, match="overlap_m"):
        ScriptedBimanualPolicy.from_config(settings)
