"""Whether an engine does what the package's author saw: in millimetres, degrees and openings of the decoded chunk.

An engine that compiles is not yet one that computes the same; the ones that do not are refused before a robot is armed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla3d_ros.datatypes import ArmChunk
from vla3d_ros.errors import ParityError, join_problems
from vla3d_ros.policy.action_decoder import ActionDecoder
from vla3d_ros.policy.engine import Engine, EngineOutput
from vla3d_ros.policy.golden import GoldenCase
from vla3d_ros.policy.manifest import Manifest, Tolerance
from vla3d_ros.policy.package import PolicyPackage
from vla3d_ros.policy.preprocess import Preprocessor

Float = NDArray[np.float64]

_SAME_INSTANCE_M = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmDifference:
    """How far one arm's chunk is from another, and at which step (from 0) that is worst."""

    arm: str
    position_mm: float
    position_step: int
    rotation_deg: float
    rotation_step: int
    gripper: float
    gripper_step: int

    def problems(self, tolerance: Tolerance) -> list[str]:
        """Return which of the differences are too large."""
        checks = (
            (self.position_mm, tolerance.position_mm, self.position_step, "mm"),
            (self.rotation_deg, tolerance.rotation_deg, self.rotation_step, "degrees"),
            (self.gripper, tolerance.gripper, self.gripper_step, "of the gripper's stroke"),
        )
        return [
            f"arm '{self.arm}' differs by {got:.4g} {unit} at step {step}; tolerated: {most:g}"
            for got, most, step, unit in checks
            if not got <= most
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDifference:
    """How far one golden case is from what it must give; instances is the share found again, 1.0 if none is shown."""

    case: int
    arms: tuple[ArmDifference, ...]
    instances: float

    def problems(self, tolerance: Tolerance) -> list[str]:
        """Return what is too large."""
        problems = [problem for arm in self.arms for problem in arm.problems(tolerance)]
        if self.instances < tolerance.instances:
            problems.append(f"only {self.instances:.0%} of the instances agree; expected {tolerance.instances:.0%}")
        return [f"golden case {self.case}: {problem}" for problem in problems]


def compare_chunks(expected: Sequence[ArmChunk], got: Sequence[ArmChunk]) -> tuple[ArmDifference, ...]:
    """Return the largest differences of each arm's chunk."""
    differences = []
    for a, b in zip(expected, got, strict=True):
        position = 1e3 * np.linalg.norm(a.Ts_ee0_ee[:, :3, 3] - b.Ts_ee0_ee[:, :3, 3], axis=1)
        relative = np.swapaxes(a.Ts_ee0_ee[:, :3, :3], 1, 2) @ b.Ts_ee0_ee[:, :3, :3]
        rotation = np.degrees(Rotation.from_matrix(relative).magnitude())
        gripper = np.abs(a.gripper_opening - b.gripper_opening)
        differences.append(
            ArmDifference(
                arm=a.arm,
                position_mm=float(position.max()),
                position_step=int(position.argmax()),
                rotation_deg=float(rotation.max()),
                rotation_step=int(rotation.argmax()),
                gripper=float(gripper.max()),
                gripper_step=int(gripper.argmax()),
            )
        )
    return tuple(differences)


def instance_overlap(expected: Mapping[str, NDArray[Any]], got: Mapping[str, NDArray[Any]]) -> float:
    """Return the share of instances that both show within 1 cm, as sets: their order does not matter.

    Intersection over union, matched one to one from the nearest pair on; 1.0 if neither shows any.
    """
    if "instance_points" not in expected or "instance_points" not in got:
        return 1.0
    a, b = (_shown(display) for display in (expected, got))
    if not len(a) and not len(b):
        return 1.0
    distances = np.linalg.norm(a[:, None] - b[None], axis=2)
    common = 0
    while distances.size and distances.min() <= _SAME_INSTANCE_M:
        row, column = np.unravel_index(int(distances.argmin()), distances.shape)
        distances = np.delete(np.delete(distances, row, axis=0), column, axis=1)
        common += 1
    return common / (len(a) + len(b) - common)


def golden_differences(
    package: PolicyPackage, engine: Engine, cases: Sequence[GoldenCase] | None = None
) -> tuple[CaseDifference, ...]:
    """Run golden cases through an engine, preprocessing included, and compare.

    Args:
        package: The package.
        engine: The engine.
        cases: What to run; the package's own by default.
    """
    manifest = package.manifest
    found = []
    for index, case in enumerate(package.golden() if cases is None else cases):
        output = run_case(manifest, engine, case)
        decoder = _decoder(manifest, case)
        arms = compare_chunks(decoder.decode(case.actions).arms, decoder.decode(output.actions).arms)
        overlap = instance_overlap(case.display, output.display)
        found.append(CaseDifference(case=index, arms=arms, instances=overlap))
    return tuple(found)


def run_case(manifest: Manifest, engine: Engine, case: GoldenCase) -> EngineOutput:
    """Return an engine's output for a case's observation, noise and guidance."""
    views = {view.name: view.name for view in manifest.views}
    slots = {slot: slot for slot in manifest.arm_slots}
    inputs = Preprocessor(manifest, views, slots, case.embodiment)(case.observation)
    return engine.infer(inputs, case.noise, case.flow_steps, case.guidance)


def require_parity(package: PolicyPackage, engine: Engine) -> tuple[CaseDifference, ...]:
    """Run the package's golden cases and refuse an engine that gives something else.

    Raises:
        ParityError: Names case, arm, step and amount of everything that is too far off.
    """
    tolerance = tolerance_for(package.manifest, engine.precision)
    differences = golden_differences(package, engine)
    problems = [problem for difference in differences for problem in difference.problems(tolerance)]
    if problems:
        subject = f"engine '{engine.name}' ({engine.precision}) disagrees with policy package '{package.manifest.name}'"
        raise ParityError(join_problems(subject, problems))
    return differences


def tolerance_for(manifest: Manifest, precision: str) -> Tolerance:
    """Return what is tolerated in a precision.

    Raises:
        ParityError: If the package says nothing about it: then nobody looked at it.
    """
    if precision not in manifest.tolerances:
        have = sorted(manifest.tolerances)
        raise ParityError(
            f"policy package '{manifest.name}' has tolerances for {have}, none for '{precision}': choose one of these, "
            "or measure what is tolerable and export the package again"
        )
    return manifest.tolerances[precision]


def _shown(display: Mapping[str, NDArray[Any]]) -> Float:
    points = np.asarray(display["instance_points"], dtype=np.float64)
    mask = display.get("instance_mask")
    return points if mask is None else points[np.asarray(mask, dtype=bool)]


def _decoder(manifest: Manifest, case: GoldenCase) -> ActionDecoder:
    spec = manifest.embodiment(case.embodiment)
    assert spec is not None  # the package was loaded
    filled = {slot: slot for slot, joints in zip(manifest.arm_slots, spec.joints, strict=True) if joints}
    return ActionDecoder(manifest.actions, manifest.arm_slots, filled)
