"""Who says how a live trial went: the twin's truth, or a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from vla3d_ros.datatypes import Rgb
from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.interventions import SEEN
from vla3d_ros.evaluation.live_trials import LiveMeasurements, LiveSession, LiveStatus, LiveTrial
from vla3d_ros.evaluation.milestones import MilestoneWatch, Moment
from vla3d_ros.evaluation.operator import EndedTrial, Operator, SetUp, TrialView
from vla3d_ros.evaluation.placement import draw_placement
from vla3d_ros.evaluation.plan import PlannedTrial
from vla3d_ros.evaluation.prompting import PromptSession, TargetMask, target_in_box
from vla3d_ros.evaluation.study import MASK, FailureKind, Study
from vla3d_ros.evaluation.trial_record import TrialRecord
from vla3d_ros.evaluation.twin_scenes import twin_scene
from vla3d_ros.twin.scene import SceneConfig

_BY_OPERATOR = "ended"


class Referee(Protocol):
    """Prepares a trial and judges it afterwards."""

    def session_for(self, trial: PlannedTrial, attempt: int, session: LiveSession) -> LiveSession:
        """Return the session through which this attempt is run."""
        ...

    def target(self, trial: PlannedTrial) -> str:
        """Return what the instruction calls the target."""
        ...

    def mark(self, session: PromptSession) -> tuple[TargetMask, Rgb]:
        """Return where the target of the scene that was just set is, and the picture it is marked in."""
        ...

    def rule(self, trial: PlannedTrial, attempt: int, live: LiveTrial, ended_at: str) -> TrialRecord:
        """Return what became of the attempt; the bag's path is filled in by the caller."""
        ...


class TwinReferee:
    """Takes the outcome from the twin's judge and the sub-tasks from the twin's truth: trials run unattended."""

    def __init__(self, study: Study, scene: SceneConfig) -> None:
        self._study, self._scene = study, scene
        self._watch: MilestoneWatch | None = None

    def look(self, moment: Moment) -> None:
        """Take note of the truth; to be called whenever there is news."""
        if self._watch is not None:
            self._watch.update(moment)

    def session_for(self, trial: PlannedTrial, attempt: int, session: LiveSession) -> LiveSession:
        """Return the session as it is: the twin sets the scene from the seed."""
        scene = twin_scene(self._scene, trial.condition.seed)
        self._watch = MilestoneWatch(self._scene, scene.cube, scene.pad)
        return session

    def target(self, trial: PlannedTrial) -> str:
        """Return what the scene calls the cube."""
        return f"{twin_scene(self._scene, trial.condition.seed).cube} cube"

    def mark(self, session: PromptSession) -> tuple[TargetMask, Rgb]:
        """Return the mask that the twin knows; everything is at rest, so the next picture fits it."""
        found = session.target_mask()
        return found, session.snapshot(found.camera)

    def rule(self, trial: PlannedTrial, attempt: int, live: LiveTrial, ended_at: str) -> TrialRecord:
        """Return the judge's word, and how far the trial came."""
        assert self._watch is not None
        is_success = live.outcome == "success"
        ended_by = _ended_by(live)
        kind = self._watch.failure_kind(is_stopped=ended_by == "safety stop")
        return TrialRecord(
            trial=trial.number,
            attempt=attempt,
            policy=trial.policy,
            is_valid=True,
            outcome="success" if is_success else "failure",
            reason=live.reason,
            ended_by=ended_by,
            judged_by="twin",
            sim_s=live.sim_s,
            wall_s=live.wall_s,
            ended_at=ended_at,
            failure="" if is_success else kind.value,
            sub_tasks=self._watch.sub_tasks(self._study.task(trial.condition.task), is_success=is_success),
        )


class OperatorReferee:
    """Has a person set the scene, end trials, and judge them."""

    def __init__(self, study: Study, operator: Operator, total: int) -> None:
        self._study, self._operator, self._total = study, operator, total
        self._view: TrialView | None = None
        self._set_up = SetUp()

    def session_for(self, trial: PlannedTrial, attempt: int, session: LiveSession) -> LiveSession:
        """Return a session in which placing means asking the operator."""
        self._view = trial_view(self._study, trial, attempt, self._total)
        return _OperatedSession(session, self._view, self._operator, self._keep)

    def _keep(self, set_up: SetUp) -> None:
        self._set_up = set_up

    def target(self, trial: PlannedTrial) -> str:
        """Return the object's name in the protocol."""
        return trial.condition.object

    def mark(self, session: PromptSession) -> tuple[TargetMask, Rgb]:
        """Return what stands out in the box that the operator drew.

        Raises:
            ConfigError: If the operator drew none.
        """
        if self._set_up.target is None:
            raise ConfigError("the operator confirmed the scene without a box around the target")
        return target_in_box(session, self._set_up.target)

    def rule(self, trial: PlannedTrial, attempt: int, live: LiveTrial, ended_at: str) -> TrialRecord:
        """Ask the operator."""
        assert self._view is not None
        ended_by = _ended_by(live)
        counted = live.measured.interventions
        ended = EndedTrial(ended_by=ended_by, reason=live.reason, sim_s=live.sim_s, interventions=counted)
        judgement = self._operator.judge(self._view, ended)
        is_valid = not judgement.invalid_because
        outcome = "success" if judgement.is_success else "failure"
        return TrialRecord(
            trial=trial.number,
            attempt=attempt,
            policy=trial.policy,
            is_valid=is_valid,
            outcome=outcome if is_valid else "none",
            reason=live.reason,
            ended_by=ended_by,
            judged_by="operator",
            sim_s=live.sim_s,
            wall_s=live.wall_s,
            ended_at=ended_at,
            failure="" if judgement.is_success and is_valid else judgement.failure,
            sub_tasks=_complete(self._view, judgement.sub_tasks),
            note=judgement.note,
            interventions=judgement.interventions,
            intervention_kinds={SEEN: judgement.interventions} if judgement.interventions else {},
            invalid_because=judgement.invalid_because,
            start_image=self._set_up.start_image,
            placement_score=self._set_up.placement_score,
        )


def trial_view(study: Study, trial: PlannedTrial, attempt: int, total: int) -> TrialView:
    """Return a trial as its operator may see it."""
    condition = trial.condition
    task = study.task(condition.task)
    return TrialView(
        number=trial.number,
        total=total,
        condition=condition.number,
        attempt=attempt,
        policy=trial.policy,
        task=task.name,
        setting=condition.setting,
        object=condition.object,
        instruction=task.instruction.format(object=condition.object),
        success=task.success,
        timeout_s=task.timeout_s,
        sub_tasks=task.sub_tasks,
        checklist=study.checklist,
        environment=condition.environment,
        changes=trial.changes,
        picture=draw_placement(study, condition),
        needs_target_box=study.prompt == MASK,
    )


def spoiled_record(trial: PlannedTrial, attempt: int, because: str, ended_at: str, judged_by: str) -> TrialRecord:
    """Return the record of an attempt that could not be run to its end: invalid, not the policy's fault."""
    return TrialRecord(
        trial=trial.number,
        attempt=attempt,
        policy=trial.policy,
        is_valid=False,
        outcome="none",
        reason=because,
        ended_by="trouble",
        judged_by=judged_by,
        sim_s=0.0,
        wall_s=0.0,
        ended_at=ended_at,
        failure=FailureKind.HARDWARE.value,
        invalid_because=because,
    )


def _ended_by(live: LiveTrial) -> str:
    if live.outcome in ("success", _BY_OPERATOR):
        return "success" if live.outcome == "success" else "operator"
    if live.reason.startswith("safety stop"):
        return "safety stop"
    if live.reason.startswith("stopped by"):
        return "operator"
    return "timeout" if live.reason.startswith(("timeout", "not within")) else "failure"


def _complete(view: TrialView, done: Mapping[str, bool]) -> dict[str, bool]:
    return {step.name: done.get(step.name, False) for step in view.sub_tasks}


class _OperatedSession:
    """A live session whose scene is set, and whose trials may be ended, by a person."""

    def __init__(
        self, session: LiveSession, view: TrialView, operator: Operator, keep: Callable[[SetUp], None]
    ) -> None:
        self._session, self._view, self._operator = session, view, operator
        self._keep = keep
        self._is_running = False

    def status(self) -> LiveStatus:
        status = self._session.status()
        if self._is_running and self._operator.wants_end(self._view, status):
            return LiveStatus(
                now_ns=status.now_ns,
                outcome=_BY_OPERATOR,
                reason="the operator ended the trial",
                phase=status.phase,
                stop_reason=status.stop_reason,
                is_moving=status.is_moving,
            )
        return status

    def place(self, seed: int) -> str:
        self._keep(self._operator.set_up(self._view))
        return self._view.instruction

    def instruct(self, instruction: str) -> None:
        self._is_running = bool(instruction)
        self._session.instruct(instruction)

    def home(self) -> None:
        self._session.home()

    def arm(self) -> None:
        self._session.arm()

    def disarm(self) -> None:
        self._session.disarm()

    def reset_stop(self) -> None:
        self._session.reset_stop()

    def start_recording(self) -> Path:
        return self._session.start_recording()

    def stop_recording(self) -> str:
        return self._session.stop_recording()

    def check_alive(self) -> None:
        self._session.check_alive()

    def measured(self) -> LiveMeasurements:
        return self._session.measured()
