"""Reads the actions of a remote policy: poses of the end effector, absolute or relative, to our relative chunk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla3d_ros.datatypes import ActionChunk, ArmChunk, Float, Observation, PolicyReport, RobotState
from vla3d_ros.errors import ConfigError, PolicyServerError
from vla3d_ros.policy.backends.remote_config import ActionSettings, ArmColumns

_QUATERNION_TOLERANCE = 0.1
_SHORTEST_AXIS = 1e-3


def chunk_of(
    settings: ActionSettings, reply: Any, observation: Observation, report: PolicyReport | None = None
) -> ActionChunk:
    """Turn a reply into a chunk with the observation's stamp.

    Absolute poses become relative to where the end effector was **at the observation's stamp**.

    Args:
        settings: How to read the reply.
        reply: What the server answered, decoded.
        observation: What was asked about.
        report: What to say about the chunk.

    Raises:
        PolicyServerError: If the reply has no such array, or it has another shape, or numbers that make no pose.
        ConfigError: If the robot has no arm of that name.
    """
    actions = _actions(settings, reply)
    robots = {state.arm: state for state in observation.robot_states}
    if unknown := [columns.arm for columns in settings.arms if columns.arm not in robots]:
        raise ConfigError(f"the remote policy's settings name arms {unknown}; the robot has {sorted(robots)}")
    arms = tuple(_arm_chunk(settings, columns, actions, robots[columns.arm]) for columns in settings.arms)
    dt_ns = step_ns(settings)
    return ActionChunk(stamp_ns=observation.stamp_ns, dt_ns=dt_ns, arms=arms, report=report)


def step_ns(settings: ActionSettings) -> int:
    """Return the length of a step."""
    return round(1e9 / settings.rate_hz)


def rotations_of(kind: str, values: NDArray[Any]) -> Float:
    """Turn numbers into rotation matrices.

    Args:
        kind: One of `remote_config.ROTATIONS`. `rot6d` is the first two columns of R, one after the other; `rpy` turns
            about the fixed x, y, z axes in this order.
        values: (T, 6), (T, 4) or (T, 3).

    Returns:
        (T, 3, 3).

    Raises:
        PolicyServerError: If a quaternion is far from unit length, or two columns do not span a plane.
    """
    values = np.asarray(values, np.float64)
    if kind == "rot6d":
        return _gram_schmidt(values)
    if kind == "rpy":
        return np.asarray(Rotation.from_euler("xyz", values).as_matrix())
    if kind == "rotvec":
        return np.asarray(Rotation.from_rotvec(values).as_matrix())
    norms = np.linalg.norm(values, axis=1)
    far = np.flatnonzero(np.abs(norms - 1.0) > _QUATERNION_TOLERANCE)
    if far.size:
        raise PolicyServerError(
            f"quaternion of step {far[0]} has norm {norms[far[0]]:.3g}; expected 1 within {_QUATERNION_TOLERANCE}"
        )
    xyzw = np.roll(values, -1, axis=1) if kind == "quat_wxyz" else values
    return np.asarray(Rotation.from_quat(xyzw).as_matrix())


def _gram_schmidt(values: Float) -> Float:
    first, second = values[:, :3], values[:, 3:]
    lengths = np.linalg.norm(first, axis=1)
    x = first / np.maximum(lengths, _SHORTEST_AXIS)[:, None]
    rest = second - np.sum(x * second, axis=1, keepdims=True) * x
    rests = np.linalg.norm(rest, axis=1)
    flat = np.flatnonzero((lengths < _SHORTEST_AXIS) | (rests < _SHORTEST_AXIS))
    if flat.size:
        raise PolicyServerError(f"rotation of step {flat[0]}: {values[flat[0]].tolist()} are no two axes")
    y = rest / rests[:, None]
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def _actions(settings: ActionSettings, reply: Any) -> Float:
    """Return (steps, columns) finite float64."""
    if not isinstance(reply, Mapping) or settings.key not in reply:
        has = sorted(map(str, reply)) if isinstance(reply, Mapping) else type(reply).__name__
        raise PolicyServerError(f"the reply has no '{settings.key}'; it has {has}")
    actions = reply[settings.key]
    if not isinstance(actions, np.ndarray) or actions.dtype.kind not in "fiu":
        kind = actions.dtype if isinstance(actions, np.ndarray) else type(actions).__name__
        raise PolicyServerError(f"'{settings.key}' is {kind}; expected an array of numbers")
    columns = max(arm.first + arm.width for arm in settings.arms)
    if actions.ndim != 2 or actions.shape[0] != settings.steps or actions.shape[1] < columns:
        raise PolicyServerError(
            f"'{settings.key}' has shape {actions.shape}; expected ({settings.steps}, {columns} or more): fix "
            "'actions' in the settings, or the server"
        )
    bad = np.argwhere(~np.isfinite(actions))
    if bad.size:
        step, column = bad[0]
        raise PolicyServerError(
            f"'{settings.key}' is not finite: {actions[step, column]} at step {step}, column {column}"
        )
    return actions.astype(np.float64)


def _arm_chunk(settings: ActionSettings, columns: ArmColumns, actions: Float, robot: RobotState) -> ArmChunk:
    part = actions[:, columns.first : columns.first + columns.width]
    Ts = np.tile(np.eye(4), (len(part), 1, 1))
    Ts[:, :3, 3] = part[:, :3]
    Ts[:, :3, :3] = rotations_of(columns.rotation, part[:, 3:-1])
    if settings.representation == "ee_pose_in_base":
        Ts = robot.T_base_ee.inverse().matrix @ Ts
    return ArmChunk(arm=columns.arm, Ts_ee0_ee=Ts, gripper_opening=_openings(settings, columns, part[:, -1]))


def _openings(settings: ActionSettings, columns: ArmColumns, values: Float) -> Float:
    openings: Float = (values - columns.closed) / (columns.open - columns.closed)
    beyond = np.maximum(-openings, openings - 1.0)
    worst = int(np.argmax(beyond))
    if beyond[worst] > settings.gripper_overshoot:
        raise PolicyServerError(
            f"gripper of arm '{columns.arm}' at step {worst} is {values[worst]:.4g}; expected {columns.closed:g} "
            f"(closed) to {columns.open:g} (open); 'gripper_overshoot' allows {settings.gripper_overshoot:.0%} beyond"
        )
    return np.clip(openings, 0.0, 1.0)
