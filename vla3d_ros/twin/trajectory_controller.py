"""A joint trajectory controller that behaves like ros2_control's `joint_trajectory_controller`, warts included.

The adapter is written against the controller on the robot, so the twin imitates it rather than an ideal one: silent
rejection with the controller's own words, newest message wins, the old trajectory forgotten in one cycle, start from
the *measured* state, no blending, hold at the measured position. `Distribution` selects what differs between them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import ConfigError
from vla3d_ros.twin.trajectory_command import TrajectoryCommand, rejection
from vla3d_ros.twin.trajectory_spline import TrajectorySpline

Float = NDArray[np.float64]

logger = logging.getLogger(__name__)

HOLD_TEXT = "Holding position due to state tolerance violation"


class Distribution(Enum):
    """Whose controller is imitated; kilted behaves like jazzy."""

    HUMBLE = "humble"
    JAZZY = "jazzy"

    @classmethod
    def parse(cls, name: str) -> Distribution:
        """Return the distribution of that name.

        Raises:
            ConfigError: If the controller of that distribution is not imitated.
        """
        for member in cls:
            if member.value == name:
                return member
        available = [member.value for member in cls]
        raise ConfigError(f"trajectory controller distribution is {name!r}; expected one of {available}")


class TrajectoryController:
    """Follows trajectories of one arm; `submit` from anywhere, `update` once a control period."""

    def __init__(
        self,
        joint_names: Sequence[str],
        *,
        update_period_ns: int,
        distribution: Distribution = Distribution.JAZZY,
        path_tolerance_rad: float = 0.0,
        interpolate_from_desired_state: bool = False,
        allow_nonzero_velocity_at_trajectory_end: bool | None = None,
    ) -> None:
        """Configure as the controller's parameters would.

        Args:
            joint_names: The J joints, in the order of `q` below.
            update_period_ns: Control period.
            distribution: Whose controller to imitate.
            path_tolerance_rad: Largest position error on any joint before the controller holds; 0 = no limit.
            interpolate_from_desired_state: Lead in from the last command instead of the measured state
                (`open_loop_control` in humble).
            allow_nonzero_velocity_at_trajectory_end: None = the distribution's default.
        """
        self.joint_names = tuple(joint_names)
        self._period_ns = update_period_ns
        self._distribution = distribution
        self._path_tolerance_rad = path_tolerance_rad
        self._from_desired = interpolate_from_desired_state
        is_humble = distribution is Distribution.HUMBLE
        allow_end = allow_nonzero_velocity_at_trajectory_end
        self._allow_end_velocity = is_humble if allow_end is None else allow_end
        self._look_ahead_ns = 0 if is_humble else update_period_ns
        self._pending: TrajectoryCommand | None = None
        self._active: TrajectorySpline | None = None
        self._hold_q: Float | None = None
        self._command: tuple[Float, Float] | None = None
        self._command_time_ns = 0
        self.reference: tuple[Float, Float] | None = None  # (q, dq) at the last update, for error and tolerance
        self.last_rejection: str | None = None
        self.rejected = 0
        self.tolerance_violations = 0

    def reset(self) -> None:
        """Forget every trajectory; the next update holds wherever the arm then is."""
        self._pending = None
        self._active = None
        self._hold_q = None
        self._command = None
        self.reference = None

    @property
    def is_holding(self) -> bool:
        """Whether no trajectory is being followed: the controller holds a position of its own choice."""
        return self._active is None or self._active.is_hold

    def submit(self, command: TrajectoryCommand, now_ns: int) -> str | None:
        """Take one message, as the topic callback does; it starts at the next update unless a newer one replaces it.

        Args:
            command: The message.
            now_ns: The controller's clock.

        Returns:
            None if accepted, otherwise the text which the controller writes to its log; nobody else is told.
        """
        text = rejection(command, self.joint_names, now_ns, self._allow_end_velocity)
        if text is None:
            self._pending = command
            return None
        self.rejected += 1
        self.last_rejection = text
        logger.error("trajectory rejected: %s", text)
        return text

    def update(self, now_ns: int, q: Float, dq: Float) -> tuple[Float, Float]:
        """Advance one control period.

        Args:
            now_ns: Time of this update.
            q: (J,) measured rad.
            dq: (J,) measured rad/s.

        Returns:
            (q, dq) to be followed until the next update, (J,) each.
        """
        is_first_sample = self._install(now_ns, q, dq)
        active = self._active
        if active is None:
            active = self._active = TrajectorySpline.hold(q, now_ns)
        if self._command is None:
            self._command = (q.copy(), np.zeros_like(q))
        self.reference = active.sample(now_ns)
        ahead_ns = now_ns + self._look_ahead_ns
        if self._violates_path(q, is_first_sample or ahead_ns < active.end_ns):
            self.tolerance_violations += 1
            logger.warning(HOLD_TEXT)
            self._hold_q = q.copy()
            return self._command
        self._command = active.sample(ahead_ns) if self._look_ahead_ns else self.reference
        self._command_time_ns = now_ns
        return self._command

    def _install(self, now_ns: int, q: Float, dq: Float) -> bool:
        if self._pending is not None:
            command, self._pending, self._hold_q = self._pending, None, None
            before_ns, before = now_ns, (q, dq)
            if self._from_desired and self._command is not None:
                # A jazzy artefact: the last command was for the period after the time kept with it.
                before_ns = now_ns if self._distribution is Distribution.HUMBLE else self._command_time_ns
                before = self._command
            self._active = _spline(command, self.joint_names, now_ns, before_ns, before)
            return True
        if self._hold_q is not None:
            self._active, self._hold_q = TrajectorySpline.hold(self._hold_q, now_ns), None
        return False

    def _violates_path(self, q: Float, is_checked: bool) -> bool:
        if self._path_tolerance_rad <= 0.0 or not is_checked or self.reference is None:
            return False
        return bool(np.abs(self.reference[0] - q).max() > self._path_tolerance_rad)


def _spline(
    command: TrajectoryCommand,
    joint_names: tuple[str, ...],
    now_ns: int,
    before_ns: int,
    before: tuple[Float, Float],
) -> TrajectorySpline:
    """Order the message's columns by our joints and put the state before it in front."""
    order = [list(command.joint_names).index(name) for name in joint_names]
    start_ns = command.stamp_ns or now_ns
    points = command.points

    def column(rows: list[Sequence[float]]) -> list[Float | None]:
        return [np.asarray(row, dtype=np.float64)[order] if len(row) else None for row in rows]

    return TrajectorySpline.through(
        times_ns=[start_ns + point.time_from_start_ns for point in points],
        q=[np.asarray(point.positions, dtype=np.float64)[order] for point in points],
        dq=column([point.velocities for point in points]),
        ddq=column([point.accelerations for point in points]),
        before_ns=before_ns,
        before=before,
    )
