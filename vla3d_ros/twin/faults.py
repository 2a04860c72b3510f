"""How the twin can fail like hardware: encoders that freeze, joints that go missing, cameras that go blind.

One fault at a time, by name: `freeze_states`, `drop_states`, `drop_joint`, `rename_joint`, `nan_joint`,
`shift_stamps:<seconds>`, `deaf` (commands are ignored), `refuse_gripper`, `blind:<camera>` or `blind:*`; empty = none.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np

from vla3d_ros.camera.source import CameraSource
from vla3d_ros.datatypes import CameraImage
from vla3d_ros.twin.truth import JointSample

logger = logging.getLogger(__name__)

_KINDS = frozenset(
    {
        "", "freeze_states", "drop_states", "drop_joint", "rename_joint", "nan_joint", "shift_stamps", "deaf",
        "refuse_gripper", "blind",
    }
)  # fmt: skip
_NS = 1_000_000_000


class TwinFaults:
    """The fault in force; asked by whatever it concerns."""

    def __init__(self) -> None:
        self._text, self._kind, self._argument = "", "", ""
        self._frozen: JointSample | None = None

    def imitate(self, text: str) -> None:
        """Set the fault in force, e.g. `blind:wrist`; empty = none. An unknown one is refused, and logged once."""
        if text == self._text:
            return
        self._text, self._frozen = text, None
        kind, _, argument = text.partition(":")
        if kind not in _KINDS:
            logger.error("unknown fault '%s': expected one of %s", text, sorted(_KINDS))
            kind = ""
        self._kind, self._argument = kind, argument

    @property
    def is_deaf(self) -> bool:
        """Whether commands to the arms are ignored."""
        return self._kind == "deaf"

    @property
    def refuses_gripper(self) -> bool:
        """Whether the gripper aborts every goal."""
        return self._kind == "refuse_gripper"

    def blinds(self, camera: str) -> bool:
        """Whether a camera gives no images."""
        return self._kind == "blind" and self._argument in ("*", camera)

    def spoil(self, sample: JointSample) -> JointSample:
        """Return the joint states as the fault leaves them."""
        if self._kind == "freeze_states":
            self._frozen = self._frozen or sample
            return replace(self._frozen, stamp_ns=sample.stamp_ns)
        if self._kind == "shift_stamps":
            return replace(sample, stamp_ns=sample.stamp_ns + int(float(self._argument) * _NS))
        return self._mutilated(sample)

    def _mutilated(self, sample: JointSample) -> JointSample:
        """Take joints away, rename or spoil one."""
        if self._kind == "drop_states":
            return _pick(sample, slice(0, 0))
        if self._kind == "drop_joint":
            return _pick(sample, slice(1, None))
        if self._kind == "rename_joint":
            return replace(sample, names=(f"{sample.names[0]}_of_another_robot", *sample.names[1:]))
        if self._kind == "nan_joint":
            q = sample.q.copy()
            q[0] = np.nan
            return replace(sample, q=q)
        return sample


class BlindableSource:
    """A camera of the twin that gives nothing while a fault blinds it."""

    def __init__(self, source: CameraSource, faults: TwinFaults) -> None:
        """Wrap a source."""
        self._source = source
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def read(self, timeout_s: float) -> CameraImage | None:
        """See `CameraSource.read`."""
        image = self._source.read(timeout_s)
        return None if self._faults.blinds(self._source.name) else image


def _pick(sample: JointSample, part: slice) -> JointSample:
    return JointSample(
        stamp_ns=sample.stamp_ns,
        names=sample.names[part],
        q=sample.q[part],
        dq=sample.dq[part],
        effort=sample.effort[part],
    )
