"""Reads `config/trials/<protocol>.yaml` strictly: every problem at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from vla3d_ros.adapter.config_reader import ConfigReader
from vla3d_ros.errors import ConfigError, join_problems
from vla3d_ros.evaluation.study import (
    MILESTONES,
    Comparison,
    Design,
    EnvironmentChange,
    Order,
    Randomisation,
    Setting,
    Study,
    StudyObject,
    SubTask,
    TableLayout,
    Task,
    World,
)

_FACTORS = ("policy", "task", "setting", "category", "object")
_FULL_TURN_DEG = 360.0


def list_studies(config_dir: Path) -> list[str]:
    """Return the names of the protocols in `config/trials` that `vla3d evaluate` runs."""
    files = (config_dir / "trials").glob("*.yaml")
    return sorted(file.stem for file in files if "tasks:" in file.read_text(encoding="utf-8").splitlines())


def load_study(name: str, config_dir: Path) -> Study:
    """Read a trial protocol.

    Args:
        name: Name in `config/trials`, or the path of a YAML file.
        config_dir: The directory `config`.

    Raises:
        ConfigError: If the protocol is unknown or wrong; lists every problem.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else config_dir / "trials" / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(
            f"unknown trial protocol '{name}': expected one of {list_studies(config_dir)} or the path of a YAML file"
        )
    return parse_study(path.read_text(encoding="utf-8"), path.stem)


def parse_study(text: str, name: str) -> Study:
    """Read a trial protocol's text.

    Raises:
        ConfigError: If it is wrong; lists every problem.
    """
    content = yaml.safe_load(text)
    reader = ConfigReader(content, where="")
    world = World(reader.choice("world", [world.value for world in World]))
    default = _read_randomisation(reader.section("randomisation")) if reader.has("randomisation") else None
    objects = _read_objects(reader)
    tasks = tuple(_read_task(task, world, default) for task in reader.sections("tasks"))
    settings = tuple(_read_setting(setting, [task.name for task in tasks]) for setting in reader.sections("settings"))
    study = Study(
        name=name,
        title=reader.text("title"),
        description=reader.text("description"),
        source=reader.text("source"),
        world=world,
        deployment=reader.text("deployment") if reader.has("deployment") else "",
        policies=_read_policies(content, reader),
        prompt=reader.choice("prompt", ("instruction", "mask")) if reader.has("prompt") else "instruction",
        design=_read_design(reader.section("design")),
        tasks=tasks,
        objects=objects,
        settings=settings,
        checklist=_names(reader, "checklist"),
        table=_read_table(reader.section("table")),
        open_choices=_names(reader, "open"),
        digest=hashlib.sha256(text.encode()).hexdigest(),
    )
    reader.finish(optional=("deployment", "policies", "prompt", "randomisation", "objects", "checklist", "open"))
    problems = reader.problems or _contradictions(study)
    if problems:
        raise ConfigError(join_problems(f"trial protocol '{name}'", problems))
    return study


def _read_policies(content: Any, reader: ConfigReader) -> dict[str, str]:
    """Names of the study to names of files in `config/policies`; the names are the user's choice."""
    if not reader.has("policies"):
        return {}
    section = reader.section("policies")
    given = content["policies"]
    policies = {name: section.text(name) for name in map(str, given)} if isinstance(given, dict) else {}
    section.finish()
    return policies


def _read_objects(reader: ConfigReader) -> tuple[StudyObject, ...]:
    objects = []
    for group in reader.sections("objects") if reader.has("objects") else ():
        category = group.text("category")
        if group.has("count"):
            count = _count(group, "count")
            names = tuple(f"{category}_{index:03d}" for index in range(1, count + 1))
        else:
            names = group.names("names")
        group.finish(optional=("names", "count"))
        objects += [StudyObject(name=name, category=category) for name in names]
    return tuple(objects)


def _read_task(reader: ConfigReader, world: World, default: Randomisation | None) -> Task:
    task = Task(
        name=reader.text("name"),
        instruction=reader.text("instruction"),
        success=reader.text("success"),
        sub_tasks=tuple(_read_sub_task(step, world) for step in reader.sections("sub_tasks"))
        if reader.has("sub_tasks")
        else (),
        timeout_s=reader.positive("timeout_s"),
        randomisation=_read_randomisation(reader.section("randomisation")) if reader.has("randomisation") else default,
        has_objects=reader.flag("per_object") if reader.has("per_object") else False,
    )
    reader.finish(optional=("sub_tasks", "randomisation", "per_object"))
    return task


def _read_sub_task(reader: ConfigReader, world: World) -> SubTask:
    sub_task = SubTask(
        name=reader.text("name"),
        text=reader.text("text"),
        milestone=reader.choice("milestone", MILESTONES) if world is World.TWIN else "",
    )
    reader.finish()
    return sub_task


def _read_randomisation(reader: ConfigReader) -> Randomisation:
    randomisation = Randomisation(
        region_x_m=_pair(reader, "region_x_m"),
        region_y_m=_pair(reader, "region_y_m"),
        yaw_deg=_pair(reader, "yaw_deg"),
        least_distance_m=reader.positive("least_distance_m"),
        items=_names(reader, "items"),
        background=_names(reader, "background"),
    )
    reader.finish(optional=("items", "background"))
    return randomisation


def _read_setting(reader: ConfigReader, tasks: Sequence[str]) -> Setting:
    low, high = _pair(reader, "background_objects") if reader.has("background_objects") else (0.0, 0.0)
    setting = Setting(
        name=reader.text("name"),
        text=reader.text("text"),
        tasks=reader.names("tasks") if reader.has("tasks") else tuple(tasks),
        background_objects=(int(low), int(high)),
        changes=tuple(_read_change(change) for change in reader.sections("changes")) if reader.has("changes") else (),
    )
    reader.finish(optional=("tasks", "background_objects", "changes"))
    return setting


def _read_change(reader: ConfigReader) -> EnvironmentChange:
    change = EnvironmentChange(
        what=reader.text("what"), every_trials=_count(reader, "every_trials"), values=reader.names("values")
    )
    reader.finish()
    return change


def _read_design(reader: ConfigReader) -> Design:
    comparison = reader.section("comparison")
    design = Design(
        order=Order(reader.choice("order", [order.value for order in Order])),
        trials_per_cell=_count(reader, "trials_per_cell"),
        block_conditions=_count(reader, "block_conditions") if reader.has("block_conditions") else 5,
        keep_together=_names(reader, "keep_together"),
        is_blind=reader.flag("blind"),
        most_attempts=_count(reader, "most_attempts"),
        comparison=Comparison(
            method=comparison.choice("method", ("fixed", "e_process")), alpha=comparison.positive("alpha")
        ),
    )
    comparison.finish()
    reader.finish(optional=("block_conditions", "keep_together"))
    return design


def _read_table(reader: ConfigReader) -> TableLayout:
    table = TableLayout(
        rows=reader.names("rows"), columns=reader.names("columns"), cell=reader.choice("cell", ("rate", "sub_whole"))
    )
    reader.finish()
    return table


def _count(reader: ConfigReader, key: str) -> int:
    number = reader.positive(key)
    if number != int(number):
        reader.problems.append(f"'{key}' is {number}; expected a whole number")
    return int(number)


def _pair(reader: ConfigReader, key: str) -> tuple[float, float]:
    low, high = (float(value) for value in reader.vector(key, 2))
    if low > high:
        reader.problems.append(f"'{key}' is [{low:g}, {high:g}]; expected [lowest, highest]")
    return low, high


def _names(reader: ConfigReader, key: str) -> tuple[str, ...]:
    return reader.names(key) if reader.has(key) else ()


def _contradictions(study: Study) -> list[str]:
    tasks = [task.name for task in study.tasks]
    problems = []
    for what, names in (
        ("task", tasks),
        ("setting", [setting.name for setting in study.settings]),
        ("object", [thing.name for thing in study.objects]),
    ):
        problems += [f"{what} '{name}' is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    for setting in study.settings:
        unknown = [name for name in setting.tasks if name not in tasks]
        problems += [f"setting '{setting.name}' names unknown tasks {unknown}: expected some of {tasks}"] * bool(
            unknown
        )
    for task in study.tasks:
        problems += _task_contradictions(study, task)
    design = study.design
    if not 0 < design.comparison.alpha < 1:
        problems.append(f"'design.comparison.alpha' is {design.comparison.alpha:g}; expected a fraction below 1")
    if design.comparison.method == "e_process" and design.order is not Order.INTERLEAVED:
        problems.append(
            f"'design.order' is '{design.order.value}'; method 'e_process' needs 'interleaved': it takes pairs"
        )
    for key, chosen, known in (
        ("design.keep_together", design.keep_together, ("setting", "task")),
        ("table.rows", study.table.rows, _FACTORS),
        ("table.columns", study.table.columns, _FACTORS),
    ):
        wrong = [name for name in chosen if name not in known]
        if wrong:
            problems.append(f"'{key}' has {wrong}; expected some of {list(known)}")
    return problems


def _task_contradictions(study: Study, task: Task) -> list[str]:
    problems: list[str] = []
    if task.has_objects and not study.objects:
        problems.append(f"task '{task.name}' is per object, but the protocol has no 'objects'")
    if "{object}" in task.instruction and not task.has_objects:
        problems.append(f"task '{task.name}' speaks of {{object}}; set 'per_object: true'")
    steps = [step.name for step in task.sub_tasks]
    problems += [
        f"task '{task.name}' has sub-task '{n}' twice" for n in sorted({n for n in steps if steps.count(n) > 1})
    ]
    drawn = task.randomisation
    if study.world is World.REAL and drawn is None:
        problems.append(f"task '{task.name}' has no 'randomisation': say how its scenes are drawn")
    most = max((s.background_objects[1] for s in study.settings if task.name in s.tasks), default=0)
    if drawn is not None and most and not drawn.background:
        problems.append(f"task '{task.name}' needs up to {most} background objects, but 'background' names none")
    if drawn is not None and drawn.yaw_deg[1] - drawn.yaw_deg[0] > _FULL_TURN_DEG:
        problems.append(f"task '{task.name}': 'yaw_deg' spans more than {_FULL_TURN_DEG:g} degrees")
    return problems
