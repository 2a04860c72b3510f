"""`vla3d evaluate PROTOCOL`: begin or resume a run, run its trials, write its report."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vla3d_ros.commands.evaluate import trial_setup
from vla3d_ros.commands.evaluate_policies import StudyPolicy, check_prompts, choose_policies, deploy
from vla3d_ros.commands.evaluate_report import report
from vla3d_ros.deployment import load_deployment
from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.calibration_state import CalibrationWatch
from vla3d_ros.evaluation.fast_study import run_fast_study
from vla3d_ros.evaluation.plan import PlannedTrial, SeedSource
from vla3d_ros.evaluation.study import MASK, Study, World
from vla3d_ros.evaluation.study_reader import load_study, parse_study
from vla3d_ros.evaluation.study_run import PROTOCOL, RunOrder, StudyData, StudyRun, begin_run, resume_run
from vla3d_ros.evaluation.trial_record import TrialRecord
from vla3d_ros.evaluation.twin_scenes import check_twin_study, twin_seeds
from vla3d_ros.resources import config_dir
from vla3d_ros.twin.scene import SceneConfig, load_scene

FAST = "fast"


def evaluate_study(name: str, options: argparse.Namespace, run_dir: Path, console: Console) -> int:
    """Run a protocol to its end, or until it is interrupted; it can be resumed then.

    Returns:
        0 when every trial of the plan has a valid result.
    """
    study = load_study(name, config_dir())
    deployment = options.deployment or study.deployment
    if not deployment:
        raise ConfigError(f"protocol '{study.name}' names no deployment; say which robot: --deployment NAME")
    if study.world is World.REAL and (options.twin or options.fast):
        raise ConfigError(f"protocol '{study.name}' is for a real robot; --twin and --fast need one with 'world: twin'")
    if study.prompt == MASK and options.fast:
        raise ConfigError(f"protocol '{study.name}' marks targets in a live picture; leave --fast out")
    runs = [run_dir] if not (options.twin and options.fast) else [run_dir, run_dir / FAST]
    for folder in runs:
        is_fast = options.fast and folder == runs[-1]
        _run(study, name, deployment, options, folder, console, is_fast=is_fast)
    return report(runs, options, console)


def _run(
    study: Study,
    name: str,
    deployment: str,
    options: argparse.Namespace,
    folder: Path,
    console: Console,
    *,
    is_fast: bool,
) -> None:
    mode = FAST if is_fast else "live" if study.world is World.TWIN else "real"
    scene = _scene(study, deployment)
    with _open_run(study, name, mode, options, folder, twin_seeds(scene) if scene else None) as run:
        choices = choose_policies(list(run.key.policies.values()), study, config_dir())
        labelled = {label: choices[policy] for label, policy in run.key.policies.items()}
        counts = f"{len(run.valid_trials)} of {len(run.plan.trials)} trials done"
        console.print(f"[bold]{study.title}[/] · {mode} · {counts} · run in {folder}")
        if study.design.is_blind:
            console.print(f"policies {', '.join(run.plan.labels)} are blinded; the report opens the key")
        if is_fast:
            _run_fast(run, deployment, labelled, options, console)
        else:
            from vla3d_ros.commands.console_process import page_options
            from vla3d_ros.commands.evaluate_live import run_live

            page = page_options(options)
            run_live(run, deployment, labelled, scene, console, is_live=options.live, page=page)


def _open_run(
    study: Study, name: str, mode: str, options: argparse.Namespace, folder: Path, seeds: SeedSource | None
) -> StudyRun:
    if options.resume and (folder / "journal.jsonl").exists():
        return resume_run(folder, lambda data: _check_same(data, study, mode, options))
    policies = tuple(entry.strip() for entry in (options.policies or "").split(",") if entry.strip())
    choices = choose_policies(policies, study, config_dir())
    check_prompts(study, choices, options.deployment or study.deployment, config_dir())
    path = Path(name) if name.endswith((".yaml", ".yml")) else config_dir() / "trials" / f"{name}.yaml"
    order = RunOrder(
        protocol=path.read_text(encoding="utf-8"),
        name=study.name,
        policies=policies,
        seed=options.seed,
        mode=mode,
        salt=secrets.token_hex(16),
        scene_seeds=seeds,
    )
    return begin_run(folder, order)


def _check_same(data: StudyData, study: Study, mode: str, options: argparse.Namespace) -> None:
    """A run is resumed as it was begun, or not at all.

    Raises:
        ConfigError: Naming what differs.
    """
    problems = []
    if data.study.name != study.name:
        problems.append(f"it is a run of protocol '{data.study.name}', not of '{study.name}'")
    elif data.study.digest != study.digest:
        problems.append(f"the protocol was changed since; its copy is {data.folder / PROTOCOL}")
    if data.mode != mode:
        problems.append(f"its trials are {data.mode}, not {mode}")
    given = sorted((options.policies or "").split(",")) if options.policies else None
    if given is not None and given != sorted(data.key.policies.values()):
        problems.append(f"it compares other policies than {given}")
    if problems:
        raise ConfigError(f"{data.folder} can not be resumed: {'; '.join(problems)}; begin a new run in another --out")


def _scene(study: Study, deployment: str) -> SceneConfig | None:
    if study.world is World.REAL:
        return None
    parameters = load_deployment(deployment, config_dir()).parameters
    if "twin" not in parameters:
        raise ConfigError(f"deployment '{deployment}' has no twin, which protocol '{study.name}' needs")
    scene = load_scene(Path(parameters["twin"]["scene_file"]))
    check_twin_study(study, scene)
    return scene


def _run_fast(
    run: StudyRun,
    deployment: str,
    labelled: Mapping[str, StudyPolicy],
    options: argparse.Namespace,
    console: Console,
) -> None:
    setups = {
        label: trial_setup(
            deploy(deployment, choice, config_dir(), run.folder / "bags"),
            latency_ms=options.latency_ms,
            nudge_share=options.nudge,
        )
        for label, choice in labelled.items()
    }
    with trial_progress(console) as progress:
        task = progress.add_task("trials", total=len(run.plan.trials), completed=len(run.valid_trials), line="fast")

        def show(trial: PlannedTrial, record: TrialRecord) -> None:
            progress.update(task, completed=len(run.valid_trials))
            progress.console.print(record_line(trial, record))

        rig_file = load_deployment(deployment, config_dir()).rig_file
        calibration = CalibrationWatch(rig_file, lambda: datetime.now().astimezone().date()).state
        run_fast_study(run, setups, wall_time, processes=options.processes, progress=show, calibration=calibration)


def trial_progress(console: Console) -> Progress:
    """Return a progress display whose tasks have a field `line`."""
    columns = (TextColumn("{task.fields[line]}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def record_line(trial: PlannedTrial, record: TrialRecord) -> str:
    """Return one line about an attempt; the policy is only a label."""
    mark = "[green]✓[/]" if record.is_success else "[red]✗[/]" if record.is_valid else "[yellow]invalid[/]"
    condition = trial.condition
    what = " · ".join(word for word in (condition.task, condition.setting, condition.object) if word)
    return f"{mark} {trial.number}: policy {trial.policy} · {what} · {record.sim_s:.1f} s · {record.reason}"


def wall_time() -> str:
    """Return the wall time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def read_protocol(folder: Path) -> Study:
    """Return the protocol as a run's folder keeps it."""
    return parse_study((folder / PROTOCOL).read_text(encoding="utf-8"), folder.name)
