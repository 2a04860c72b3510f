"""What a replay is allowed to differ by, and what it is told to the programs and people who asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vla3d_ros.errors import ConfigError, join_problems
from vla3d_ros.replay.chunk_record import ChunkRecord
from vla3d_ros.replay.comparison import QUANTITIES, Comparison
from vla3d_ros.replay.fingerprint import Fingerprint
from vla3d_ros.replay.offline import Replay
from vla3d_ros.replay.recorded_run import RecordedRun


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayLimits:
    """Largest differences that pass, over all chunks and steps, and how many chunks may be missing or stopped."""

    position_mm: float = 1.0
    rotation_deg: float = 0.5
    gripper_mm: float = 1.0
    missing_chunks: float = 0
    new_stops: float = 0
    is_exact: bool = False

    @classmethod
    def load(cls, path: Path | None, overrides: Mapping[str, float | bool | None]) -> ReplayLimits:
        """Read limits from a YAML file with the names of the fields; what the command line gives wins.

        Raises:
            ConfigError: Lists unknown keys and values that are no limits.
        """
        content = {} if path is None else _read(path)
        known = {one.name for one in fields(cls)}
        problems = [f"unknown limit '{key}': expected one of {sorted(known)}" for key in content if key not in known]
        problems += [
            f"'{key}' is {value!r}; expected a number from 0 on"
            for key, value in content.items()
            if key in known and not (isinstance(value, (int, float)) and value >= 0)
        ]
        if problems:
            raise ConfigError(join_problems(f"limits {path}", problems))
        given = {key: value for key, value in overrides.items() if value is not None}
        return replace(cls(**content), **given)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ReplayOutcome:
    """One replay, what it was compared with, and what came of it.

    changes: what is known to differ from the reference's circumstances. stops_before: the reference's stops.
    rebuilt: observations equal to the live policy's in every number, of how many whose digest is known. command_s: wall
    time since the program was started, with loading and reading; None if it is not known.
    """

    run: RecordedRun
    replay: Replay
    fingerprint: Fingerprint
    limits: ReplayLimits
    comparison: Comparison | None = None
    reference: Mapping[int, ChunkRecord] = field(default_factory=dict)
    changes: Sequence[str] = ()
    stops_before: int = 0
    rebuilt: tuple[int, int] = (0, 0)
    is_repeatable: bool | None = None
    command_s: float | None = None
    extras: Mapping[str, Any] | None = None

    @property
    def word(self) -> str:
        """Passed, failed, or not compared."""
        if self.violations:
            return "failed"
        return "passed" if self.comparison is not None or self.is_repeatable else "not compared"

    @property
    def violations(self) -> tuple[str, ...]:
        """Every limit that is broken, in a sentence."""
        return tuple(_violations(self))

    def to_json(self) -> dict[str, Any]:
        """Return plain values; all but `timing` is the same in every run."""
        replay, comparison = self.replay, self.comparison
        known, total = self.rebuilt
        return {
            "bag": str(self.run.path),
            "policy": replay.policy,
            "digest": replay.digest,
            "passed": not self.violations,
            "violations": list(self.violations),
            "changes": list(self.changes),
            "observations": {
                "used": replay.observations,
                "unseen_stamps_ns": list(replay.unseen),
                "lost_sets": replay.lost_sets,
                "equal_to_live": known,
                "live_digests": total,
            },
            "chunks": len(replay.chunks),
            "unanswered": {str(stamp): why for stamp, why in sorted(replay.unanswered.items())},
            "verdicts": replay.verdicts,
            "objections": replay.objections,
            "comparison": None if comparison is None else comparison_json(comparison),
            "repeatable": self.is_repeatable,
            "fingerprint": self.fingerprint.to_json(),
            "notes": list(self.run.notes),
            **(self.extras or {}),
            "timing": {**timing_json(replay, self.run), "command_s": self.command_s},
        }


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values."""
    figures = {
        name: {
            "unit": unit,
            "worst": comparison.worst(name),
            "by_step": dict(zip(("p50", "p95", "max"), comparison.horizons(name).tolist(), strict=True)),
        }
        for name, unit in QUANTITIES.items()
    }
    return {
        "against": comparison.against,
        "compared": len(comparison.differences),
        "identical": comparison.identical,
        "missing_stamps_ns": list(comparison.missing),
        "extra_stamps_ns": list(comparison.extra),
        "incomparable": {str(stamp): why for stamp, why in comparison.incomparable.items()},
        "worst_stamps_ns": [difference.stamp_ns for difference in comparison.worst_moments(3)],
        **figures,
    }


def timing_json(replay: Replay, run: RecordedRun) -> dict[str, Any]:
    """Return speed and compute times, which differ from run to run; None where there are none.

    `wall_s` and `times_real_time` are of decoding, inference and judging; `read_s` is what reading all but the pictures
    took before.
    """
    return {
        "read_s": run.read_s,
        "wall_s": replay.wall_s,
        "recorded_s": replay.recorded_s,
        "times_real_time": replay.recorded_s / replay.wall_s,
        "compute_ms": _percentiles([chunk.compute_ms for chunk in replay.chunks]),
        "recorded_compute_ms": _percentiles([chunk.compute_ms for chunk in run.chunks.values()]),
    }


def _percentiles(values: Sequence[float]) -> dict[str, float] | None:
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return None
    return {"p50": float(np.percentile(finite, 50)), "p99": float(np.percentile(finite, 99))}


def _violations(outcome: ReplayOutcome) -> list[str]:
    limits, comparison = outcome.limits, outcome.comparison
    sentences = []
    if outcome.is_repeatable is False:
        sentences.append("two runs gave different chunks: the policy is not deterministic")
    stops = outcome.replay.verdicts.get("stop", 0) - outcome.stops_before
    if comparison is not None and stops > limits.new_stops:
        sentences.append(f"{stops} more chunks stopped by safety than before; allowed {limits.new_stops:g}")
    if comparison is None:
        return sentences
    for name, unit in QUANTITIES.items():
        worst, allowed = comparison.worst(name), getattr(limits, f"{name}_{unit}")
        if worst > allowed:
            sentences.append(f"{name} differs by up to {worst:.4g} {unit}; allowed {allowed:g} {unit}")
    missing = len(comparison.missing) + len(comparison.incomparable)
    if missing > limits.missing_chunks:
        sentences.append(f"{missing} chunks of the reference have no counterpart; allowed {limits.missing_chunks:g}")
    if not comparison.differences:
        sentences.append("no chunk could be compared")
    elif limits.is_exact and comparison.identical < len(comparison.differences):
        changed = len(comparison.differences) - comparison.identical
        sentences.append(f"{changed} of {len(comparison.differences)} chunks differ in some bit; none may")
    return sentences


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"limits {path} can not be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"limits {path} is {content!r}; expected a mapping from limit to number")
    return content
