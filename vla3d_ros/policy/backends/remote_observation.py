"""What a remote policy is sent: images, state vectors and the prompt, under the names the server's model knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla3d_ros.datatypes import Float, Observation, Rgb, RobotState
from vla3d_ros.errors import ConfigError, PerceptionError
from vla3d_ros.policy.backends.remote_config import ImageSettings, RemoteConfig, StatePart

_ROTATIONS: dict[str, Callable[[Float], Float]] = {
    "quat_xyzw": lambda R: _positive(Rotation.from_matrix(R).as_quat()),
    "quat_wxyz": lambda R: np.roll(_positive(Rotation.from_matrix(R).as_quat()), 1),
    "rot6d": lambda R: np.concatenate([R[:, 0], R[:, 1]]),
    "rpy": lambda R: Rotation.from_matrix(R).as_euler("xyz"),
    "rotvec": lambda R: Rotation.from_matrix(R).as_rotvec(),
}


def request_of(config: RemoteConfig, observation: Observation, instruction: str) -> dict[str, Any]:
    """Compose a request.

    Args:
        config: Which view and which state goes where; a dot in a key makes a mapping inside the request.
        observation: What is seen.
        instruction: What to do.

    Raises:
        PerceptionError: If a view is missing that the settings do not allow to be.
        ConfigError: If the observation has no arm of that name; names those it has.
    """
    views = {view.camera: view.rgb for view in observation.views}
    missing = sorted({i.camera for i in config.images if i.camera not in views and i.when_missing == "refuse"})
    if missing:
        raise PerceptionError(f"the remote policy needs cameras {missing}; there are views of {sorted(views)}")
    robots = {state.arm: state for state in observation.robot_states}
    unknown = sorted({part.arm for state in config.states for part in state.parts} - robots.keys())
    if unknown:
        raise ConfigError(f"the remote policy's settings name arms {unknown}; the robot has {sorted(robots)}")
    request: dict[str, Any] = {}
    for image in config.images:
        _put(request, image.key, fitted_image(views.get(image.camera), image))
    for state in config.states:
        pieces = [_piece(robots[part.arm], part) for part in state.parts]
        _put(request, state.key, np.concatenate(pieces).astype(np.float32))
    _put(request, config.prompt_key, instruction)
    return request


def fitted_image(rgb: Rgb | None, settings: ImageSettings) -> Rgb:
    """Resize an image to what the server wants.

    Args:
        rgb: (H, W, 3) uint8, or None for a black one.
        settings: Size; `pad` keeps the proportions and centres the image on black, `stretch` does not.

    Returns:
        (height, width, 3) uint8, or (3, height, width) with layout `chw`.
    """
    width, height = settings.width_px, settings.height_px
    canvas = np.zeros((height, width, 3), np.uint8)
    if rgb is not None:
        scale = min(width / rgb.shape[1], height / rgb.shape[0])
        inner = (width, height) if settings.fit == "stretch" else _inner_size(rgb, scale, width, height)
        shrinks = inner[0] < rgb.shape[1] or inner[1] < rgb.shape[0]
        resized = cv2.resize(rgb, inner, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        canvas[top : top + inner[1], left : left + inner[0]] = resized
    return canvas if settings.layout == "hwc" else np.ascontiguousarray(canvas.transpose(2, 0, 1))


def _inner_size(rgb: Rgb, scale: float, width: int, height: int) -> tuple[int, int]:
    rows, columns = rgb.shape[:2]
    return min(width, max(1, int(columns * scale))), min(height, max(1, int(rows * scale)))


def _piece(state: RobotState, part: StatePart) -> NDArray[np.float64]:
    match part.quantity:
        case "joint_positions":
            return state.q
        case "joint_velocities":
            return state.dq
        case "gripper":
            return np.array([part.closed + (part.open - part.closed) * state.gripper_opening])
        case "ee_position":
            return state.T_base_ee.translation
    return _ROTATIONS[part.quantity.removeprefix("ee_")](state.T_base_ee.rotation)


def _positive(xyzw: Float) -> Float:
    return -xyzw if xyzw[3] < 0 else xyzw


def _put(request: dict[str, Any], key: str, value: Any) -> None:
    *folders, name = key.split(".")
    for folder in folders:
        request = request.setdefault(folder, {})
    request[name] = value


def request_summary(request: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return a line for each entry of a request, for people who compare it with what their model wants."""
    lines: list[str] = []
    for key, value in request.items():
        if isinstance(value, Mapping):
            lines += request_summary(value, f"{prefix}{key}.")
        elif isinstance(value, np.ndarray):
            lines.append(f"{prefix}{key}: {value.shape} {value.dtype}")
        else:
            lines.append(f"{prefix}{key}: {type(value).__name__}")
    return lines
