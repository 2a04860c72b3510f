"""What the journal says about one attempt at one planned trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from vla3d_ros.evaluation.interventions import WORDS
from vla3d_ros.evaluation.plain_record import read_record
from vla3d_ros.evaluation.study import FailureKind

ENDED_BY = ("success", "failure", "timeout", "safety stop", "operator", "interrupted", "trouble")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One attempt. An invalid one (not the policy's fault) is repeated, and counted in the report.

    `policy` is the blinded label. `sim_s` is the trial's length on the ROS clock, `wall_s` on the wall. `sub_tasks`
    maps every sub-task to whether it was done. `judged_by` is "twin" or "operator". `bag` and `start_image` are paths
    relative to the run's directory. `placement_score` compares the start image with the reference, 1 = the same.
    `interventions` counts those of people while it ran, `intervention_kinds` says which (`interventions.WORDS`).
    `calibration` is the plain form of a `CalibrationState`, None where nothing is known. `verdicts` counts the safety
    gate's answers: allow, clamp, refuse (one chunk was not followed), stop (of the arm).
    """

    trial: int
    attempt: int
    policy: str
    is_valid: bool
    outcome: str
    reason: str
    ended_by: str
    judged_by: str
    sim_s: float
    wall_s: float
    ended_at: str
    failure: str = ""
    sub_tasks: Mapping[str, bool] = field(default_factory=dict)
    note: str = ""
    interventions: int = 0
    intervention_kinds: Mapping[str, int] = field(default_factory=dict)
    invalid_because: str = ""
    bag: str | None = None
    start_image: str | None = None
    placement_score: float | None = None
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    skew_p99_ms: float | None = None
    verdicts: Mapping[str, int] = field(default_factory=dict)
    calibration: Mapping[str, Any] | None = None

    @property
    def is_success(self) -> bool:
        """Whether the whole task was done."""
        return self.outcome == "success"

    @property
    def sub_task_share(self) -> float:
        """Share of sub-tasks done; the whole task's outcome where there are none."""
        if not self.sub_tasks:
            return float(self.is_success)
        return sum(self.sub_tasks.values()) / len(self.sub_tasks)

    def problems(self) -> list[str]:
        """Return what contradicts itself, one sentence each."""
        problems = []
        if self.outcome not in ("success", "failure", "none"):
            problems.append(f"outcome is '{self.outcome}'; expected success, failure, or none for an invalid attempt")
        if self.ended_by not in ENDED_BY:
            problems.append(f"ended_by is '{self.ended_by}'; expected one of {list(ENDED_BY)}")
        kinds = [kind.value for kind in FailureKind]
        if self.failure and self.failure not in kinds:
            problems.append(f"failure is '{self.failure}'; expected one of {kinds}")
        if self.is_valid and self.outcome == "none":
            problems.append("a valid attempt needs an outcome")
        if not self.is_valid and not self.invalid_because:
            problems.append("an invalid attempt needs a reason")
        if unknown := sorted(set(self.intervention_kinds) - set(WORDS)):
            problems.append(f"interventions {unknown} are unknown; expected some of {list(WORDS)}")
        if self.interventions < 0 or self.interventions != sum(self.intervention_kinds.values()):
            problems.append(f"{self.interventions} interventions, but by kind {dict(self.intervention_kinds)}")
        if self.is_valid and self.is_success and self.failure:
            problems.append(f"a success can not have failed by '{self.failure}'")
        return problems

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json.dumps` takes."""
        counted = ("sub_tasks", "verdicts", "intervention_kinds")
        return asdict(self) | {name: dict(getattr(self, name)) for name in counted}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrialRecord:
        """Read what `to_json` wrote.

        Raises:
            RecordingError: If a field is unknown or missing.
        """
        return read_record(cls, values, "trial record")
