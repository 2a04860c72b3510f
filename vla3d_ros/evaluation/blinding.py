"""Who is policy A: sealed in a file of its own until the report, with a fingerprint so that nobody can swap it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vla3d_ros.errors import ConfigError, RecordingError

_LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_OWNER_ONLY = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyKey:
    """Label to policy name. `salt` keeps the fingerprint from being guessed; it comes from the system's randomness."""

    policies: Mapping[str, str]
    salt: str

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in order."""
        return tuple(sorted(self.policies))

    @property
    def fingerprint(self) -> str:
        """What the journal keeps: it tells nothing, but fits this key only."""
        text = json.dumps({"policies": dict(sorted(self.policies.items())), "salt": self.salt}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def draw_key(policies: Sequence[str], seed: int, salt: str, *, is_blind: bool = True) -> PolicyKey:
    """Give every policy a label.

    Args:
        policies: Names, each once.
        seed: Of the plan.
        salt: Random text.
        is_blind: Draw the labels; otherwise the names themselves are used.

    Raises:
        ConfigError: If there are none, too many, or names repeat.
    """
    repeated = sorted({name for name in policies if policies.count(name) > 1})
    if repeated or not 0 < len(policies) <= len(_LABELS):
        raise ConfigError(f"policies {list(policies)}; expected 1 to {len(_LABELS)}, each once (repeated: {repeated})")
    if not is_blind:
        return PolicyKey(policies={name: name for name in policies}, salt=salt)
    order = np.random.default_rng([seed, 3]).permutation(len(policies))
    return PolicyKey(policies={_LABELS[i]: policies[index] for i, index in enumerate(order)}, salt=salt)


def write_key(key: PolicyKey, path: Path) -> None:
    """Seal a key: a file that only its owner may read. The report opens it when the last trial is done."""
    path.touch(mode=_OWNER_ONLY, exist_ok=True)
    content = {"sealed": "open with `vla3d evaluate report`", "policies": dict(key.policies), "salt": key.salt}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_key(path: Path, fingerprint: str | None = None) -> PolicyKey:
    """Open a sealed key.

    Args:
        path: The file.
        fingerprint: What the journal says; None where there is no journal yet.

    Raises:
        RecordingError: If the file is missing or broken, or is not the key that the run began with.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        key = PolicyKey(policies=dict(content["policies"]), salt=str(content["salt"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"sealed key {path} can not be read: {error!r}") from error
    if fingerprint is not None and key.fingerprint != fingerprint:
        raise RecordingError(
            f"sealed key {path} has fingerprint {key.fingerprint[:12]}; the journal says {fingerprint[:12]}: "
            "it is not the key that the run began with"
        )
    return key
