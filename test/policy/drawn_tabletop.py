"""A drawn table-top: boxes painted into synthetic views, for tests that need no simulator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from vla3d_ros.datatypes import CameraModel, Observation, RobotState, View
from vla3d_ros.geometry import Transform, project
from vla3d_ros.policy.backends.scripted_box_fit import box_corners
from vla3d_ros.policy.backends.scripted_motion import tool_poses

Float = NDArray[np.float64]

CUBE_M = (0.04, 0.04, 0.04)
PAD_M = (0.10, 0.10, 0.002)
RGB = {"red": (215, 13, 13), "blue": (13, 38, 215), "cyan": (5, 178, 204), "grey": (190, 188, 180)}
INSTRUCTION = "pick up the red cube and place it on the cyan pad"
CAMERAS = {"head": ((1.1, 0.0, 0.75), (0.48, 0.0, 0.0)), "side": ((0.48, -0.8, 0.6), (0.48, 0.0, 0.0))}
CAMERAS["wrist"] = ((0.35, 0.1, 0.5), (0.48, 0.0, 0.0))


def settings() -> dict[str, Any]:
    """Return the shipped settings of the scripted policy."""
    path = Path(__file__).parents[2] / "config" / "policies" / "scripted_tabletop.yaml"
    return dict(yaml.safe_load(path.read_text()))


def camera_model() -> CameraModel:
    """Return a 640x480 pinhole camera."""
    return CameraModel(width_px=640, height_px=480, K=np.array([[560.0, 0, 319.5], [0, 560, 239.5], [0, 0, 1]]))


def look_at(eye: tuple[float, ...], target: tuple[float, ...]) -> Transform:
    """Return the pose in base of a camera at `eye` that looks at `target`, image down towards the table."""
    forward = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    return Transform.from_rotation(np.stack([right, np.cross(forward, right), forward], axis=1), eye)


def draw(rgb: NDArray[np.uint8], T_base_camera: Transform, box: Float, size_m: tuple[float, ...], colour: str) -> None:
    """Paint the outline of a box (4,) x, y, z, yaw as one patch of colour."""
    corners = box_corners(np.asarray(box, dtype=float), np.array(size_m) / 2.0)
    pixels = project(T_base_camera.inverse().apply(corners), camera_model().K)
    shift = 6
    hull = cv2.convexHull(np.round(pixels * 2**shift).astype(np.int32))
    cv2.fillConvexPoly(rgb, hull, RGB[colour], shift=shift)


def views(cube: Float, pad: Float, *, occluded: Mapping[str, tuple[int, int, int, int]] | None = None) -> list[View]:
    """Draw the red cube and the cyan pad into three views; `occluded` maps cameras to grey rectangles (px)."""
    drawn = []
    for name, (eye, target) in CAMERAS.items():
        rgb = np.full((480, 640, 3), RGB["grey"], dtype=np.uint8)
        T_base_camera = look_at(eye, target)
        draw(rgb, T_base_camera, pad, PAD_M, "cyan")
        draw(rgb, T_base_camera, cube, CUBE_M, "red")
        x0, y0, x1, y1 = (occluded or {}).get(name, (0, 0, 0, 0))
        rgb[y0:y1, x0:x1] = RGB["grey"]
        drawn.append(View(camera=name, rgb=rgb, model=camera_model(), T_base_camera=T_base_camera, stamp_ns=0))
    return drawn


def robot_at(tool: Float, opening: float, stamp_ns: int) -> RobotState:
    """Return a robot whose tool is at a tool position (6,)."""
    return RobotState(
        arm="fr3",
        stamp_ns=stamp_ns,
        joint_names=(),
        q=np.zeros(0),
        dq=np.zeros(0),
        T_base_ee=Transform(tool_poses(np.asarray(tool, dtype=float)[None])[0]),
        gripper_opening=opening,
    )


def observe(images: list[View], robot: RobotState) -> Observation:
    """Bundle views and robot into an observation at the robot's stamp."""
    return Observation(stamp_ns=robot.stamp_ns, views=tuple(images), robot_states=(robot,), instruction=INSTRUCTION)
