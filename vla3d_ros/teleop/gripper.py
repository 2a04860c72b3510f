"""One gripper on its own: it follows presses whether the clutch is closed or not, and never opens by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

_HALF = 0.5


class GripperReference:
    """The opening asked for, 0 closed ... 1 open, and the one commanded, which moves there at a limited speed."""

    def __init__(self, per_s: float) -> None:
        """Start without an opening.

        Args:
            per_s: Speed, openings a second.
        """
        self._per_s = per_s
        self._wanted: float | None = None
        self._commanded = 0.0
        self._stamp_ns: int | None = None

    @property
    def wanted(self) -> float | None:
        """The opening asked for; None until the first look."""
        return self._wanted

    def want(self, opening: float) -> None:
        """Ask for an opening."""
        self._wanted = min(max(opening, 0.0), 1.0)

    def press(self, button: str) -> None:
        """Act on `open`, `close`, or `gripper`, which closes a gripper that is rather open and opens any other."""
        if button != "gripper":
            self.want(1.0 if button == "open" else 0.0)
        elif self._wanted is not None:
            self.want(0.0 if self._wanted > _HALF else 1.0)

    def plan(self, stamp_ns: int, measured: float, steps: int, dt_s: float) -> Float:
        """Return the openings (T,) to command from an instant on.

        What was commanded last stays in force however far the fingers got: they may hold something.

        Args:
            stamp_ns: Now.
            measured: Opening of the gripper, where it starts.
            steps: T.
            dt_s: Time between steps.
        """
        if self._wanted is None:
            self._wanted = self._commanded = measured
        elif self._stamp_ns is not None:
            elapsed_s = min(max(stamp_ns - self._stamp_ns, 0) * 1e-9, steps * dt_s)
            self._commanded = float(self._towards(np.array([elapsed_s]))[0])
        self._stamp_ns = stamp_ns
        return self._towards(dt_s * np.arange(1.0, steps + 1.0, dtype=np.float64))

    def _towards(self, seconds: Float) -> Float:
        assert self._wanted is not None
        reach = self._per_s * seconds
        openings: Float = self._commanded + np.clip(self._wanted - self._commanded, -reach, reach)
        return openings
