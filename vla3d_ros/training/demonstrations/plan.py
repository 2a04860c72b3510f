"""Everything that decides the bytes of a set of demonstrations: settings, files they name, code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import vla3d_ros
from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.trial_loop import TrialSetup
from vla3d_ros.policy.backends.scripted_config import ScriptedConfig
from vla3d_ros.training.demonstrations.config import DemonstrationSettings
from vla3d_ros.twin.variation import Variation

_CODE = ("adapter", "camera", "evaluation", "geometry", "policy", "safety", "training/demonstrations", "twin")
_LIBRARIES = ("mujoco", "numpy", "opencv-python-headless", "ruckig", "scipy")
_DIGITS = 16


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DemonstrationPlan:
    """What episodes are made of; picklable.

    Attributes:
        settings: The settings file.
        setup: The deployment's robot, rig, scene and bounds; policy, eyes and variation are put in per episode.
        teacher: Of the scripted policy.
        variations: Those of the settings, by name.
        inputs: Digest of every file that was read, by name.
    """

    settings: DemonstrationSettings
    setup: TrialSetup
    teacher: ScriptedConfig
    variations: Mapping[str, Variation]
    inputs: Mapping[str, str]

    def stride(self, rate_hz: float) -> int:
        """Return how many observations there are for every sample.

        Raises:
            ConfigError: If the samples' rate does not divide the rig's.
        """
        ratio = rate_hz / self.settings.samples_hz
        if ratio < 1 or abs(ratio - round(ratio)) > 1e-9:
            raise ConfigError(
                f"'samples_hz' is {self.settings.samples_hz:g}; the rig gives {rate_hz:g} Hz: expected it divided by a "
                "whole number"
            )
        return round(ratio)


def file_digest(path: Path) -> str:
    """Return 16 hexadecimal digits of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:_DIGITS]


def code_digest() -> str:
    """Return 16 hexadecimal digits over the sources that have a say in a demonstration's bytes."""
    root = Path(vla3d_ros.__file__).parent
    files = sorted(root.glob("*.py")) + sorted(path for folder in _CODE for path in (root / folder).rglob("*.py"))
    hashed = hashlib.sha256()
    for path in files:
        hashed.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return hashed.hexdigest()[:_DIGITS]


def versions() -> dict[str, str]:
    """Return the versions of this package and of the libraries that have a say, "" for those not installed."""
    found = {"vla3d_ros": vla3d_ros.__version__}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found
