"""A trajectory message as it is on the wire, and what ros2_control's trajectory controller refuses, in its words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vla3d_ros.datatypes import JointTrajectory

_FLT_EPSILON = 1.1920929e-07


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrajectoryPoint:
    """One point as on the wire: time from start in ns; rad, rad/s, rad/s^2; empty where the message is empty."""

    time_from_start_ns: int
    positions: Sequence[float]
    velocities: Sequence[float] = ()
    accelerations: Sequence[float] = ()
    effort: Sequence[float] = ()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrajectoryCommand:
    """One `trajectory_msgs/JointTrajectory`, nothing interpreted. `stamp_ns` 0 means: start at the next update."""

    joint_names: Sequence[str]
    stamp_ns: int
    points: Sequence[TrajectoryPoint]

    @classmethod
    def from_trajectory(cls, trajectory: JointTrajectory) -> TrajectoryCommand:
        """Stamp a trajectory with its first knot's time, as the adapter puts it on the wire."""
        start_ns = int(trajectory.times_ns[0])
        points = tuple(
            TrajectoryPoint(time_from_start_ns=int(time_ns) - start_ns, positions=q, velocities=dq)
            for time_ns, q, dq in zip(trajectory.times_ns, trajectory.q.tolist(), trajectory.dq.tolist(), strict=True)
        )
        return cls(joint_names=trajectory.joint_names, stamp_ns=start_ns, points=points)


def rejection(
    command: TrajectoryCommand, joint_names: Sequence[str], now_ns: int, allow_end_velocity: bool
) -> str | None:
    """Return the text with which the controller refuses a message, or None if it is accepted.

    Three things which the real controller executes with unpredictable results are refused here as well: values that
    are not finite, a joint named twice, accelerations without velocities. The texts say so.
    """
    return (
        _names_problem(command, joint_names)
        or _end_problem(command, now_ns, allow_end_velocity)
        or _points_problem(command)
        or _undefined_behaviour(command)
    )


def _names_problem(command: TrajectoryCommand, joint_names: Sequence[str]) -> str | None:
    if not command.joint_names:
        return "Empty joint names on incoming trajectory."
    if len(command.joint_names) != len(joint_names):
        return "Joints on incoming trajectory don't match the controller joints."
    if not command.points:
        return "Empty trajectory received."
    for name in command.joint_names:
        if name not in joint_names:
            return f"Incoming joint {name} doesn't match the controller's joints."
    return None


def _end_problem(command: TrajectoryCommand, now_ns: int, allow_end_velocity: bool) -> str | None:
    last = command.points[-1]
    if not allow_end_velocity:
        for name, velocity in zip(command.joint_names, last.velocities, strict=False):
            if abs(velocity) > _FLT_EPSILON:
                return f"Velocity of last trajectory point of joint {name} is not zero: {velocity:.15f}"
    end_ns = command.stamp_ns + last.time_from_start_ns
    if command.stamp_ns and end_ns < now_ns:
        start_s, end_s = command.stamp_ns / 1e9, end_ns / 1e9
        return f"Received trajectory with non-zero start time ({start_s:f}) that ends in the past ({end_s:f})"
    return None


def _points_problem(command: TrajectoryCommand) -> str | None:
    previous: TrajectoryPoint | None = None
    for index, point in enumerate(command.points):
        if previous is not None and point.time_from_start_ns <= previous.time_from_start_ns:
            before_s, here_s = previous.time_from_start_ns / 1e9, point.time_from_start_ns / 1e9
            return (
                f"Time between points {index - 1} and {index} is not strictly increasing, "
                f"it is {before_s:f} and {here_s:f} respectively"
            )
        size = len(command.joint_names)
        fields = (("positions", point.positions), ("velocities", point.velocities))
        for field, values in (*fields, ("accelerations", point.accelerations)):
            if len(values) != size and (len(values) or field == "positions"):
                return f"Mismatch between joint_names size ({size}) and {field} ({len(values)}) at point #{index}."
        if len(point.effort):
            return "Trajectories with effort fields are currently not supported."
        previous = point
    return None


def _undefined_behaviour(command: TrajectoryCommand) -> str | None:
    if len(set(command.joint_names)) != len(command.joint_names):
        return f"joint names {list(command.joint_names)} repeat (a real controller would move the missing joint)"
    for index, point in enumerate(command.points):
        values = (*point.positions, *point.velocities, *point.accelerations)
        if not all(math.isfinite(value) for value in values):
            return f"point #{index} holds values that are not finite (a real controller would execute them)"
        if len(point.accelerations) and not len(point.velocities):
            return f"point #{index} has accelerations without velocities (a real controller would command zero)"
    return None
