"""Errors a user can act on.

Every message follows one formula: *what, got, expected, available, remedy*. Children also inherit the
builtin a Python programmer would expect, so generic handlers keep working.
"""

from __future__ import annotations

from collections.abc import Iterable


class Vla3dError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(Vla3dError, ValueError):
    """A configuration value is missing, unknown or contradicts another."""


class ShapeError(Vla3dError, ValueError):
    """An array does not have the shape its name promises."""


class FrameError(Vla3dError, LookupError):
    """A coordinate frame is unknown or not connected."""


class StaleObservationError(Vla3dError, TimeoutError):
    """Data is older (or newer) than the buffer or the gate allows."""


class InstructionError(Vla3dError, ValueError):
    """An instruction asks for something the policy does not know."""


class PerceptionError(Vla3dError, RuntimeError):
    """The policy cannot see what it was told to act on."""


class PackageError(Vla3dError, ValueError):
    """A policy package is not what its manifest says, or does not fit the robot, the rig or this program."""


class EngineError(Vla3dError, RuntimeError):
    """An inference engine can not be built, or does not run where it was told to."""


class ParityError(Vla3dError, RuntimeError):
    """An engine's chunks differ from what the policy package says they must be; it must not drive a robot."""


class PolicyServerError(Vla3dError, ConnectionError):
    """A policy server can not be reached, reports an error, or answers something else than it must."""


class DependencyError(Vla3dError, ImportError):
    """An optional package or a system library is missing."""


class CalibrationError(Vla3dError, ValueError):
    """A calibration can not be computed from this data, or is too bad to be used."""


class TransportError(Vla3dError, RuntimeError):
    """The ROS transport is not able to carry this deployment's data."""


class BringUpError(Vla3dError, RuntimeError):
    """A node refused to become active."""


class TrainingError(Vla3dError, RuntimeError):
    """A training run went wrong, or can not be continued as asked."""


class RecordingError(Vla3dError, OSError):
    """A bag can not be written or read."""


def join_problems(subject: str, problems: Iterable[str]) -> str:
    """Compose one message that reports all offenders at once.

    Args:
        subject: What was checked, e.g. a file name.
        problems: One sentence per offender.

    Returns:
        The subject, then one offender a line.
    """
    lines = list(problems)
    if len(lines) == 1:
        return f"{subject}: {lines[0]}"
    return "\n".join([f"{subject}: {len(lines)} problems", *(f"  - {line}" for line in lines)])
