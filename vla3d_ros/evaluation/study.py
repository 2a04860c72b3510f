"""What a trial protocol says: tasks, objects, settings, how scenes are drawn, and how policies are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class World(Enum):
    """Where trials take place: in the twin a judge knows the truth, in the real world a person says it."""

    TWIN = "twin"
    REAL = "real"


class Order(Enum):
    """In which order policies take their turns; see `evaluation/plan.py`."""

    INTERLEAVED = "interleaved"
    BALANCED = "balanced"
    BLOCKED = "blocked"


class FailureKind(Enum):
    """Why a trial failed. The last two are not the policy's fault and make a trial invalid."""

    PERCEPTION = "perception"
    GRASP = "grasp"
    PLACEMENT = "placement"
    MOTION = "motion"
    SAFETY_STOP = "safety stop"
    HARDWARE = "hardware"
    OPERATOR_ERROR = "operator error"

    @property
    def is_the_policys(self) -> bool:
        """Whether it counts against the policy."""
        return self not in (FailureKind.HARDWARE, FailureKind.OPERATOR_ERROR)


MILESTONES = ("reached", "lifted", "carried", "placed")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubTask:
    """One step of a task, in order. `milestone` is what the twin's judge looks for; empty = a person says it."""

    name: str
    text: str
    milestone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Randomisation:
    """How a scene is drawn: centres in a rectangle of the table, metres and degrees, seen from the robot.

    x points away from the robot, y to its left. `items` are placed in every trial; of `background`, as many as the
    setting asks for, names drawn with repetition when there are fewer names than objects.
    """

    region_x_m: tuple[float, float]
    region_y_m: tuple[float, float]
    yaw_deg: tuple[float, float]
    least_distance_m: float
    items: tuple[str, ...] = ()
    background: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something to do. The instruction may hold `{object}`. `success` says in words what counts."""

    name: str
    instruction: str
    success: str
    sub_tasks: tuple[SubTask, ...]
    timeout_s: float
    randomisation: Randomisation | None
    has_objects: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyObject:
    """An object that is acted on, and the category under which results are summed."""

    name: str
    category: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentChange:
    """Something around the robot that changes every so many trials of each policy."""

    what: str
    every_trials: int
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Circumstances of trials: how many objects in the background, and what changes on schedule."""

    name: str
    text: str
    tasks: tuple[str, ...]
    background_objects: tuple[int, int]
    changes: tuple[EnvironmentChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How policies are compared, fixed before the first trial.

    `method` is "fixed" (all trials are run) or "e_process" (two policies; stop when the evidence reaches 1 / alpha).
    """

    method: str
    alpha: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Order and number of trials. `keep_together` names what is not mixed: "setting", "task"."""

    order: Order
    trials_per_cell: int
    block_conditions: int
    keep_together: tuple[str, ...]
    is_blind: bool
    most_attempts: int
    comparison: Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class TableLayout:
    """The report's main table: what its rows and columns are, and what is in a cell ("rate" or "sub_whole")."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cell: str


MASK = "mask"
"""`prompt` of a protocol whose targets are marked in the first picture; the others' is "instruction"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A whole protocol. `open_choices` names what the source leaves open and what was chosen here."""

    name: str
    title: str
    description: str
    source: str
    world: World
    deployment: str
    policies: Mapping[str, str]
    prompt: str
    design: Design
    tasks: tuple[Task, ...]
    objects: tuple[StudyObject, ...]
    settings: tuple[Setting, ...]
    checklist: tuple[str, ...]
    table: TableLayout
    open_choices: tuple[str, ...]
    digest: str

    def task(self, name: str) -> Task:
        """Return a task by name."""
        return next(task for task in self.tasks if task.name == name)

    def setting(self, name: str) -> Setting:
        """Return a setting by name."""
        return next(setting for setting in self.settings if setting.name == name)

    @property
    def trials_per_policy(self) -> int:
        """How many trials every policy gets."""
        cells = sum(
            len(self.objects) if task.has_objects else 1
            for setting in self.settings
            for task in self.tasks
            if task.name in setting.tasks
        )
        return cells * self.design.trials_per_cell
