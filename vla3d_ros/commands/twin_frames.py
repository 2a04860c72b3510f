"""Images of the twin's cameras at several arm poses, with the robot's poses as its joint states tell them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import ArmSpec, Embodiment
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.adapter.robot_poses import RobotPoses
from vla3d_ros.camera.outline_fit import RobotFrame
from vla3d_ros.camera.rig import CameraRig
from vla3d_ros.errors import ConfigError, Vla3dError
from vla3d_ros.geometry import Transform, blend_transforms
from vla3d_ros.twin.renderer import TwinRenderer
from vla3d_ros.twin.scene import load_scene
from vla3d_ros.twin.world import TwinWorld

Float = NDArray[np.float64]

_PATH_STEPS = 30
_TILTS_RAD = (0.25, -0.25, 0.0)
# Fractions of the workspace, so that the arm is seen from all sides of it.
_PLACES = ((0.3, 0.3, 0.15), (0.3, 0.7, 0.3), (0.55, 0.6, 0.12), (0.7, 0.4, 0.35), (0.6, 0.75, 0.2), (0.45, 0.45, 0.4))


def twin_frames(
    embodiment: Embodiment, rig: CameraRig, parameters: Mapping[str, Mapping[str, Any]], *, poses: int, seed: int
) -> dict[str, list[RobotFrame]]:
    """Put the first arm at places in its workspace and take a picture with every camera at every stop.

    Args:
        embodiment: The robot.
        rig: Where the cameras of the world really are.
        parameters: The deployment's nodes: scene of `twin`, workspace of `adapter`.
        poses: Number of stops.
        seed: Of the objects on the table.

    Returns:
        Per camera one frame per stop.

    Raises:
        ConfigError: If the deployment has no twin.
    """
    if "twin" not in parameters:
        raise ConfigError("the deployment has no twin; bring it up and check the running graph instead")
    world = TwinWorld(embodiment, rig, load_scene(Path(parameters["twin"]["scene_file"])))
    world.place(np.random.default_rng(seed))
    robot = RobotPoses(embodiment)
    renderer = TwinRenderer(world.model, rig.cameras)
    try:
        frames: dict[str, list[RobotFrame]] = {camera.name: [] for camera in rig.cameras}
        for _ in _stops(world, parameters["adapter"]["execution"]["gate"], poses):
            sample = world.joint_state()
            Ts_base_link = robot.place(sample.names, sample.q)
            images = renderer.render(world.render_state())
            for camera in rig.cameras:
                parent = Ts_base_link[camera.mount.parent_frame]
                frame = RobotFrame(rgb=images[camera.name], Ts_base_link=Ts_base_link, T_base_parent=parent)
                frames[camera.name].append(frame)
        return frames
    finally:
        renderer.close()


def nudged(rig: CameraRig, camera: str, T_camera_moved: Transform) -> CameraRig:
    """Return the rig with one camera moved, by a displacement in its own optical frame."""
    spec = rig.camera(camera)
    mount = replace(spec.mount, T_parent_camera=spec.mount.T_parent_camera @ T_camera_moved)
    cameras = tuple(replace(other, mount=mount) if other.name == camera else other for other in rig.cameras)
    return replace(rig, cameras=cameras)


def _stops(world: TwinWorld, gate: Mapping[str, Any], count: int) -> Iterator[None]:
    arm = world.embodiment.arms[0]
    kinematics = ArmKinematics(world.embodiment.urdf_path, arm)
    lower, upper = np.array(gate["workspace_lower_m"]), np.array(gate["workspace_upper_m"])
    T_home = kinematics.forward(arm.q_home)
    reached = 0
    for index in range(2 * count):
        place = lower + np.array(_PLACES[index % len(_PLACES)]) * (upper - lower)
        tilt = Transform.from_rpy([0.0, 0.0, 0.0], np.roll(_TILTS_RAD, index))
        T_goal = Transform.from_rotation((T_home @ tilt).rotation, place)
        path = blend_transforms(T_home.matrix, T_goal.matrix, np.linspace(0.0, 1.0, _PATH_STEPS))
        solution = kinematics.solve_chunk(path, arm.q_home)
        if not solution.converged[-1]:
            continue
        _put(world, arm, solution.q[-1])
        yield
        reached += 1
        if reached == count:
            return
    if not reached:
        raise Vla3dError(f"arm '{arm.name}' reaches no pose in its workspace {lower.tolist()} to {upper.tolist()}")


def _put(world: TwinWorld, arm: ArmSpec, q: Float) -> None:
    """Let an arm rest at a configuration, whatever drives it: no physics is needed to take a picture."""
    moved = replace(arm, q_home=q)
    arms = tuple(moved if other.name == arm.name else other for other in world.embodiment.arms)
    world.embodiment = replace(world.embodiment, arms=arms)
    world.reset_robot()
