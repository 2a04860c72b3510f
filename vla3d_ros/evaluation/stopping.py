"""When a comparison may stop early: evidence from completed conditions, in the order in which they were run."""

from __future__ import annotations

from vla3d_ros.evaluation.plan import TrialPlan
from vla3d_ros.evaluation.statistics.sequential import DiscordantEProcess
from vla3d_ros.evaluation.study import Comparison
from vla3d_ros.evaluation.trial_record import TrialRecord


class StoppingRule:
    """Method, alpha and the most trials are the protocol's, fixed before the first trial."""

    def __init__(self, comparison: Comparison, plan: TrialPlan) -> None:
        self._alpha = comparison.alpha
        self._is_sequential = comparison.method == "e_process"
        self._labels = plan.labels
        self._conditions = {trial.number: trial.condition.number for trial in plan.trials}
        self._outcomes: dict[int, dict[str, bool]] = {}
        self._evidence = DiscordantEProcess()

    @property
    def e_value(self) -> float:
        """Evidence against "no difference" so far."""
        return self._evidence.e_value

    @property
    def reason(self) -> str:
        """Why to stop now; empty while trials go on."""
        if not self._is_sequential or self._evidence.p_value > self._alpha:
            return ""
        return (
            f"evidence {1 / self._evidence.p_value:.1f} against equal policies reached {1 / self._alpha:g} "
            f"(alpha {self._alpha:g}, valid at any time) after {len(self._outcomes)} conditions"
        )

    def take(self, record: TrialRecord) -> None:
        """Look at a record; only valid ones count, and only when both policies have done a condition."""
        if not record.is_valid:
            return
        outcomes = self._outcomes.setdefault(self._conditions[record.trial], {})
        outcomes[record.policy] = record.is_success
        if self._is_sequential and len(outcomes) == len(self._labels) == 2:
            self._evidence.update(*(outcomes[label] for label in self._labels))
