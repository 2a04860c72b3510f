"""What a person at the robot sees and says during a trial: the seam between trials and terminal, console or tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from vla3d_ros.errors import Vla3dError
from vla3d_ros.evaluation.live_trials import LiveStatus
from vla3d_ros.evaluation.placement import PlacementPicture
from vla3d_ros.evaluation.study import SubTask


class OperatorLeftError(Vla3dError, RuntimeError):
    """The operator ended the run; it can be resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialView:
    """One trial as its operator may see it: which policy runs is only a label.

    `condition` numbers the scene, which
    other policies meet, too; `changes` is what to change around the robot before it, `environment` what it has to be
    like then. `needs_target_box`: the set-up has to say where the target is seen.
    """

    number: int
    total: int
    condition: int
    attempt: int
    policy: str
    task: str
    setting: str
    object: str
    instruction: str
    success: str
    timeout_s: float
    sub_tasks: tuple[SubTask, ...]
    checklist: tuple[str, ...]
    environment: Mapping[str, str]
    changes: Mapping[str, str]
    picture: PlacementPicture
    needs_target_box: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetBox:
    """A box that somebody drew around the target in a camera's picture: upper left corner and size, pixels."""

    camera: str
    x_px: int
    y_px: int
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """The scene is ready. Score and image (path relative to the run) are there if a camera compared it.

    `target` is there if the trial's view asked for it.
    """

    placement_score: float | None = None
    start_image: str | None = None
    target: TargetBox | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedTrial:
    """How a trial ended, for who judges it: success, failure, timeout, safety stop or operator; seconds of ROS time.

    `interventions` are those that the graph has counted, by kind.
    """

    ended_by: str
    reason: str
    sim_s: float
    interventions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the operator says about a trial that has ended. `invalid_because` makes it invalid: it is repeated.

    `interventions`: how many there were beside those that the graph has counted, e.g. hands in the scene.
    """

    is_success: bool
    sub_tasks: Mapping[str, bool] = field(default_factory=dict)
    failure: str = ""
    note: str = ""
    interventions: int = 0
    invalid_because: str = ""


class Operator(Protocol):
    """A person at the robot, through whatever they look at and press."""

    def set_up(self, view: TrialView) -> SetUp:
        """Show what to place where, and return when the scene is ready.

        Raises:
            OperatorLeftError: If the operator ends the run.
        """
        ...

    def wants_end(self, view: TrialView, status: LiveStatus) -> bool:
        """Whether the operator has ended the trial; asked some twenty times a second. The arm's stop is not this."""
        ...

    def judge(self, view: TrialView, ended: EndedTrial) -> Judgement:
        """Ask for the outcome, at once, with the arm at rest.

        Raises:
            OperatorLeftError: If the operator ends the run instead.
        """
        ...
