"""Trials of a protocol in the running graph, in the twin or on a robot; policies are swapped by restarting theirs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vla3d_ros.camera.rig import load_rig
from vla3d_ros.commands.console_process import ConsoleProcess
from vla3d_ros.commands.evaluate_policies import StudyPolicy, deploy
from vla3d_ros.commands.evaluate_study import record_line, trial_progress, wall_time
from vla3d_ros.commands.evaluate_terminal import TerminalOperator
from vla3d_ros.commands.graph import running_graph
from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.calibration_state import CalibrationWatch
from vla3d_ros.evaluation.desk import TrialDesk
from vla3d_ros.evaluation.live_study import LiveStudy
from vla3d_ros.evaluation.live_trials import LiveStatus
from vla3d_ros.evaluation.operator import Operator
from vla3d_ros.evaluation.plan import PlannedTrial
from vla3d_ros.evaluation.referees import OperatorReferee, Referee, TwinReferee
from vla3d_ros.evaluation.start_image import StartImages
from vla3d_ros.evaluation.study import World
from vla3d_ros.evaluation.study_run import StudyRun
from vla3d_ros.evaluation.trial_record import TrialRecord
from vla3d_ros.resources import config_dir
from vla3d_ros.supervisor import Supervisor
from vla3d_ros.twin.scene import SceneConfig

if TYPE_CHECKING:
    from vla3d_ros.evaluation.node import TrialRunner


class PolicySwitch:
    """Puts a policy in charge by restarting the processes whose parameters differ: the policy's, and the recorder's.

    The recorder's differ because every bag says which policy made it.
    """

    def __init__(
        self, deployment: str, choices: Mapping[str, StudyPolicy], run: StudyRun, *, is_live: bool = False
    ) -> None:
        self._bags = run.folder / "bags"
        self.deployments = {
            label: deploy(deployment, choice, config_dir(), self._bags, is_live=is_live)
            for label, choice in choices.items()
        }
        self._current = ""

    def begin_with(self, label: str) -> Any:
        """Return the deployment to start the graph with."""
        self._current = label
        return self.deployments[label]

    def use(self, label: str, supervisor: Supervisor) -> None:
        """Put another policy in charge of the running graph, and wait until it is ready."""
        if label == self._current:
            return
        from vla3d_ros.ros.bring_up import reactivate_nodes  # needs rclpy

        nodes = supervisor.replace(self.deployments[label])
        reactivate_nodes(nodes, dead_processes=supervisor.dead_processes)
        self._current = label


def run_live(
    run: StudyRun,
    deployment: str,
    choices: Mapping[str, StudyPolicy],
    scene: SceneConfig | None,
    console: Console,
    *,
    is_live: bool,
    page: Mapping[str, Any] | None = None,
) -> None:
    """Run what is left of a run in the graph of a deployment.

    Args:
        run: Its plan and journal.
        deployment: Where it takes place.
        choices: Label -> policy.
        scene: Of the twin, which then judges by itself; None if a person does.
        console: The terminal.
        is_live: Let a robot of metal move.
        page: Where the operator's console is served; None without one.

    Raises:
        TrialError: If the graph ended; the run can be resumed.
    """
    first = run.next_trial()
    if first is None:
        return
    switch = PolicySwitch(deployment, choices, run, is_live=is_live)
    start = switch.begin_with(first.policy)
    if run.study.world is World.REAL and start.parameters.get("adapter", {}).get("dry_run"):
        raise ConfigError(f"deployment '{start.name}' is a dry run: nothing would move; add --live to run trials")
    calibration = CalibrationWatch(start.rig_file, lambda: datetime.now().astimezone().date())
    with contextlib.ExitStack() as stack:
        private = running_graph(start, run.folder / "logs", is_private=run.study.world is World.TWIN)
        supervisor = stack.enter_context(private)
        from vla3d_ros.evaluation.node import TrialRunner  # needs rclpy

        runner = TrialRunner(start.namespace, supervisor.dead_processes)
        stack.callback(runner.close)
        console.print("bringing up")
        runner.bring_up(start.node_names, lambda node: None)
        referee: Referee
        if scene is not None:
            referee = TwinReferee(run.study, scene)
            runner.on_moment = referee.look
        else:
            camera = load_rig(start.rig_file).cameras[0].name
            operator = _operator(run, runner, camera, stack, console if page is None else None)
            referee = OperatorReferee(run.study, operator, len(run.plan.trials))
        if page is not None:
            own = stack.enter_context(ConsoleProcess(start, page, run.folder / "logs", console.print))
            console.print(f"page on [bold]{own.address}[/]")
        study = LiveStudy(
            run, referee, wall_time, lambda label: switch.use(label, supervisor),
            prompts=runner, calibration=calibration.state,
        )  # fmt: skip
        _watched(study, run, console, is_quiet=scene is None)(runner)


def _operator(
    run: StudyRun, runner: TrialRunner, camera: str, stack: contextlib.ExitStack, terminal: Console | None
) -> Operator:
    """Return the person at the terminal; without one, the desk at which a person sits who looks at the page."""
    starts = StartImages(run.folder, lambda: runner.snapshot(camera))
    if terminal is not None:
        return TerminalOperator(terminal, run.folder, starts, camera=camera)
    from vla3d_ros.ros.desk_link import DeskHost  # needs rclpy

    desk = TrialDesk(runner.check_alive)
    stack.callback(DeskHost(runner.node, desk, starts).close)
    return desk


def _watched(study: LiveStudy, run: StudyRun, console: Console, *, is_quiet: bool) -> Callable[[Any], None]:
    """Return the study's `run` with its progress on the console."""

    def on_record(trial: PlannedTrial, record: TrialRecord) -> None:
        console.print(record_line(trial, record))

    def quietly(session: Any) -> None:
        study.on_record = on_record
        study.run(session)

    def with_progress(session: Any) -> None:
        with trial_progress(console) as progress:
            total, done = len(run.plan.trials), len(run.valid_trials)
            task = progress.add_task("trials", total=total, completed=done, line="home")

            def on_trial(trial: PlannedTrial) -> None:
                progress.update(task, completed=len(run.valid_trials), line=f"trial {trial.number}: {trial.policy}")

            def on_status(trial: PlannedTrial, instruction: str, status: LiveStatus, sim_s: float) -> None:
                progress.update(task, line=f"trial {trial.number}: {instruction} · {sim_s:.1f} s")

            study.on_trial, study.on_status = on_trial, on_status
            study.on_record = lambda trial, record: progress.console.print(record_line(trial, record))
            study.run(session)
            progress.update(task, completed=len(run.valid_trials), line="done")

    return quietly if is_quiet else with_progress
