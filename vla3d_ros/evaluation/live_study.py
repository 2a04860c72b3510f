"""A protocol's trials in the running graph, one by one: swap the policy, home, scene, arm, run, judge, write down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vla3d_ros.errors import ConfigError, InstructionError, ShapeError
from vla3d_ros.evaluation.calibration_state import CalibrationState
from vla3d_ros.evaluation.live_trials import LiveSession, LiveStatus, TrialError, run_live_trial
from vla3d_ros.evaluation.plan import PlannedTrial
from vla3d_ros.evaluation.prompting import PromptSession, show_target
from vla3d_ros.evaluation.referees import Referee, spoiled_record
from vla3d_ros.evaluation.statistics import percentile
from vla3d_ros.evaluation.study import MASK
from vla3d_ros.evaluation.study_run import StudyRun
from vla3d_ros.evaluation.trial_record import TrialRecord


class LiveStudy:
    """Runs what is left of a run through one live session."""

    def __init__(
        self,
        run: StudyRun,
        referee: Referee,
        clock: Callable[[], str],
        use_policy: Callable[[str], None],
        *,
        prompts: PromptSession | None = None,
        calibration: Callable[[], CalibrationState | None] = lambda: None,
    ) -> None:
        """Take what trials need.

        Args:
            run: The run.
            referee: Who judges.
            clock: Returns the wall time as text.
            use_policy: Puts the policy with this label in charge, and returns when it is ready.
            prompts: Carries marked pictures to the policy; needed if the protocol says `prompt: mask`.
            calibration: Returns which calibration is in force; asked before every attempt.

        Raises:
            ConfigError: If the protocol marks targets and nothing carries that.
        """
        if run.study.prompt == MASK and prompts is None:
            raise ConfigError(f"protocol '{run.study.name}' marks targets by masks; these trials have no way to")
        self._prompts, self._calibration = prompts, calibration
        self._run, self._referee, self._clock, self._use_policy = run, referee, clock, use_policy
        self.on_trial: Callable[[PlannedTrial], None] = lambda trial: None
        """Called before every attempt."""
        self.on_status: Callable[[PlannedTrial, str, LiveStatus, float], None] = lambda *_: None
        """Called while a trial runs: trial, instruction, status, seconds since its start."""
        self.on_record: Callable[[PlannedTrial, TrialRecord], None] = lambda trial, record: None
        """Called after every attempt."""

    def run(self, session: LiveSession) -> None:
        """Run trials until none is left.

        Raises:
            TrialError: If the graph ended; the attempt is written down as invalid and the rest can be resumed.
            OperatorLeftError: If the operator ended the run.
            ConfigError: If one trial was invalid too often.
        """
        while (trial := self._run.next_trial()) is not None:
            self.on_trial(trial)
            self._use_policy(trial.policy)
            state = self._calibration()
            attempt = self._run.start(trial, {"seed": trial.condition.seed, "at": self._clock()})
            record = self._attempt(trial, attempt, session)
            record = replace(record, calibration=None if state is None else state.to_json())
            self._run.finish(record)
            self.on_record(trial, record)
            if not record.is_valid:
                session.check_alive()

    def _attempt(self, trial: PlannedTrial, attempt: int, session: LiveSession) -> TrialRecord:
        try:
            live = run_live_trial(
                self._referee.session_for(trial, attempt, session),
                trial=trial.number,
                seed=trial.condition.seed,
                timeout_s=self._run.study.task(trial.condition.task).timeout_s,
                on_status=lambda instruction, status, sim_s: self.on_status(trial, instruction, status, sim_s),
                prepare=lambda instruction: self._marked(trial, instruction),
            )
        except TrialError as error:
            return spoiled_record(trial, attempt, str(error), self._clock(), self._run.study.world.value)
        record = self._referee.rule(trial, attempt, live, self._clock())
        kinds = {**live.measured.interventions, **record.intervention_kinds}
        return replace(
            record,
            bag=_relative(live.bag, self._run.folder),
            latency_p50_ms=percentile(live.measured.latencies_ms, 50),
            latency_p99_ms=percentile(live.measured.latencies_ms, 99),
            skew_p99_ms=percentile(live.measured.skews_ms, 99),
            verdicts=live.measured.verdicts,
            interventions=sum(kinds.values()),
            intervention_kinds=kinds,
        )

    def _marked(self, trial: PlannedTrial, instruction: str) -> str:
        """Show the policy the marked target if the protocol says so; return what it is told."""
        if self._run.study.prompt != MASK or self._prompts is None:
            return instruction
        try:
            found, rgb = self._referee.mark(self._prompts)
            target, seed = self._referee.target(trial), trial.condition.seed
            return show_target(self._prompts, found, rgb, instruction=instruction, target=target, seed=seed)
        except (ConfigError, ShapeError, InstructionError) as error:
            raise TrialError(f"the target could not be marked: {error}") from error


def _relative(path: Path, folder: Path) -> str:
    """Return a bag's path as the report needs it: relative to the run where it lies below."""
    try:
        return str(path.resolve().relative_to(folder.resolve()))
    except ValueError:
        return str(path)
