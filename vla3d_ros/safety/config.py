"""The bounds that belong to a place, not to a robot."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.safety.collision import SpaceLimits

Float = NDArray[np.float64]

_BOX = 6
_POSITIVE = (
    "ee_speed_m_s", "ee_turn_rad_s", "max_chunk_age_s", "max_state_age_s", "tracking_tolerance_rad", "max_chunk_steps",
    "max_clock_step_s", "max_frozen_s",
)  # fmt: skip
_NOT_NEGATIVE = ("body_clearance_m", "singularity_margin", "jerk_window_s", "min_chunk_interval_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateConfig:
    """Bounds that belong to a place, not to a robot. Positions in the arm's base frame."""

    workspace_lower_m: tuple[float, ...] = field(
        metadata={"description": "Box of the end effector: lowest x, y, z", "unit": "m"}
    )
    workspace_upper_m: tuple[float, ...] = field(
        metadata={"description": "Box of the end effector: highest x, y, z", "unit": "m"}
    )
    table_z_m: float = field(metadata={"description": "Height of the table's top", "unit": "m"})
    ee_speed_m_s: float = field(metadata={"description": "Highest speed of the end effector", "unit": "m/s"})
    ee_turn_rad_s: float = field(metadata={"description": "Highest turning rate of the end effector", "unit": "rad/s"})
    link_clearance_m: float = field(
        default=0.01, metadata={"description": "Links and hand stay this far above the table", "unit": "m"}
    )
    tip_clearance_m: float = field(
        default=0.002, metadata={"description": "Fingers stay this far above the table", "unit": "m"}
    )
    max_chunk_age_s: float = field(
        default=0.5, metadata={"description": "An older observation is not acted on", "unit": "s"}
    )
    max_future_s: float = field(
        default=0.05, metadata={"description": "A stamp this far ahead of now is a wrong clock", "unit": "s"}
    )
    max_state_age_s: float = field(
        default=0.1, metadata={"description": "An older joint state stops the arm", "unit": "s"}
    )
    tracking_tolerance_rad: float = field(
        default=0.15, metadata={"description": "A joint farther from its reference stops the arm", "unit": "rad"}
    )

    max_chunk_steps: int = field(
        default=512, metadata={"description": "A longer chunk is a broken message, not a plan"}
    )
    body_clearance_m: float = field(
        default=0.005, metadata={"description": "Bodies of the robot stay this far apart, and from boxes", "unit": "m"}
    )
    keep_out_m: tuple[float, ...] = field(
        default=(),
        metadata={"description": "Boxes no part may enter: lowest x, y, z, highest x, y, z of each", "unit": "m"},
    )
    singularity_margin: float = field(
        default=0.02,
        metadata={"description": "Smallest singular value of the Jacobian (m and rad) to keep; 0 = no check"},
    )
    singularity_latches: bool = field(
        default=False, metadata={"description": "Near a singularity: latch a stop, or brake and wait for better chunks"}
    )
    jerk_window_s: float = field(
        default=0.02, metadata={"description": "Jerk is judged as the mean over this time; 0 = no check", "unit": "s"}
    )
    max_clock_step_s: float = field(
        default=0.5, metadata={"description": "Time that may pass between two ticks; more is a set clock", "unit": "s"}
    )
    max_frozen_s: float = field(
        default=0.15, metadata={"description": "Joint states may stay bitwise equal in motion this long", "unit": "s"}
    )
    min_chunk_interval_s: float = field(
        default=0.01, metadata={"description": "Chunks that keep coming faster than this are refused", "unit": "s"}
    )

    def space_limits(self) -> SpaceLimits:
        """Return the bounds in space."""
        lower, upper = self.workspace_lower_m, self.workspace_upper_m
        return SpaceLimits(
            workspace_lower_m=(lower[0], lower[1], lower[2]),
            workspace_upper_m=(upper[0], upper[1], upper[2]),
            table_z_m=self.table_z_m,
            link_clearance_m=self.link_clearance_m,
            tip_clearance_m=self.tip_clearance_m,
            ee_speed_m_s=self.ee_speed_m_s,
            ee_turn_rad_s=self.ee_turn_rad_s,
        )

    def problems(self) -> list[str]:
        """Return what contradicts itself, one sentence each."""
        found = []
        for name in ("workspace_lower_m", "workspace_upper_m"):
            if len(getattr(self, name)) != len("xyz"):
                found.append(f"'{name}' is {list(getattr(self, name))}; expected three numbers x, y, z")
        if not found and not np.less(self.workspace_lower_m, self.workspace_upper_m).all():
            lower, upper = list(self.workspace_lower_m), list(self.workspace_upper_m)
            found.append(f"workspace is empty: 'workspace_lower_m' {lower} is not below 'workspace_upper_m' {upper}")
        if len(self.keep_out_m) % _BOX or not all(np.less(box[0], box[1]).all() for box in self.keep_out_boxes()):
            text = "expected six numbers per box: lowest x, y, z, then highest x, y, z"
            found.append(f"'keep_out_m' is {list(self.keep_out_m)}; {text}")
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                found.append(f"'{name}' is {getattr(self, name)}; expected a number above zero")
        for name in _NOT_NEGATIVE:
            if not getattr(self, name) >= 0:
                found.append(f"'{name}' is {getattr(self, name)}; expected zero or more")
        return found

    def keep_out_boxes(self) -> Float:
        """Return (B, 2, 3) lowest and highest corners, m; numbers that fill no box are left out."""
        whole = len(self.keep_out_m) // _BOX * _BOX
        return np.array(self.keep_out_m[:whole], dtype=np.float64).reshape(-1, 2, 3)
