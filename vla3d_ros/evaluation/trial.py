"""What one trial came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from vla3d_ros.evaluation.plain_record import read_record

Outcome = Literal["success", "failure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """One scored run of a policy.

    `sim_s` is the trial's length on the ROS clock. Latency counts from the observation's stamp to the chunk's arrival,
    skew between the captures of one observation; both None when nothing was measured. `verdicts` counts the safety
    gate's answers by kind: allow, clamp, refuse (one chunk was not followed), stop (of the arm). `bag` is the
    recording's path relative to the run's directory.
    """

    trial: int
    seed: int
    instruction: str
    outcome: Outcome
    reason: str
    sim_s: float
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    skew_p99_ms: float | None = None
    lost_view_sets: int = 0
    verdicts: Mapping[str, int] = field(default_factory=dict)
    attempts: int | None = None
    bag: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether the task was done."""
        return self.outcome == "success"

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json.dumps` takes."""
        return asdict(self) | {"verdicts": dict(self.verdicts)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrialResult:
        """Read what `to_json` wrote.

        Raises:
            RecordingError: If a field is unknown or missing.
        """
        return read_record(cls, values, "trial result")
