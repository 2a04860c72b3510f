"""Protocols in the twin: scenes for objects, milestones, and a whole trial."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.errors import ConfigError, DependencyError
from vla3d_ros.evaluation.fast_study import run_fast_study, run_fast_trial
from vla3d_ros.evaluation.live_trials import LiveMeasurements, LiveTrial
from vla3d_ros.evaluation.milestones import MilestoneWatch, Moment
from vla3d_ros.evaluation.plan import make_plan
from vla3d_ros.evaluation.referees import TwinReferee
from vla3d_ros.evaluation.study import FailureKind
from vla3d_ros.evaluation.study_reader import load_study
from vla3d_ros.evaluation.study_run import RunOrder, begin_run, read_run
from vla3d_ros.evaluation.trial_loop import TrialSetup
from vla3d_ros.evaluation.twin_scenes import check_twin_study, twin_picture, twin_scene, twin_seeds
from vla3d_ros.execution import ExecutionConfig
from vla3d_ros.policy.loading import load_backend
from vla3d_ros.twin.engine import require_gl
from vla3d_ros.twin.scene import load_scene

CONFIG = Path(__file__).parents[2] / "config"
SCENE = load_scene(CONFIG / "scenes" / "tabletop.yaml")
STUDY = load_study("tabletop_twin_smoke", CONFIG)
GATE = {
    "workspace_lower_m": [0.15, -0.55, 0.0],
    "workspace_upper_m": [0.80, 0.55, 0.80],
    "table_z_m": 0.0,
    "ee_speed_m_s": 0.6,
    "ee_turn_rad_s": 2.5,
}


@pytest.fixture
def setup() -> TrialSetup:
    try:
        require_gl()
    except DependencyError as error:
        pytest.skip(str(error))
    return TrialSetup(
        robot_file=CONFIG / "robots" / "fr3.yaml",
        rig_file=CONFIG / "cameras" / "tabletop_twin.yaml",
        scene_file=CONFIG / "scenes" / "tabletop.yaml",
        policy_factory=partial(load_backend, "scripted", str(CONFIG / "policies" / "scripted_tabletop.yaml")),
        execution=ExecutionConfig.from_mapping({"gate": GATE}),
    )


def at(x: float, y: float, z: float) -> np.ndarray:
    return np.array([x, y, z])


def moment(p_cube: np.ndarray, p_ee: np.ndarray) -> Moment:
    return Moment(p_cubes={"red": p_cube}, p_pads={"cyan": at(0.5, 0.2, 0.001)}, p_ees={"arm": p_ee})


def test_seeds_for_an_object_give_scenes_that_name_it():
    seeds = list(islice(twin_seeds(SCENE)("blue", 100), 5))
    assert len(set(seeds)) == 5 and min(seeds) >= 100
    assert all(twin_scene(SCENE, seed).cube == "blue" for seed in seeds)
    with pytest.raises(ConfigError, match="object 'pear' is no cube"):
        next(twin_seeds(SCENE)("pear", 0))


def test_the_twins_plan_puts_every_policy_on_the_same_scene_of_its_object():
    plan = make_plan(STUDY, "AB", 5, twin_seeds(SCENE))
    for trial in plan.trials:
        assert twin_scene(SCENE, trial.condition.seed).cube == trial.condition.object


def test_the_twins_picture_shows_every_object_and_marks_the_target():
    scene = twin_scene(SCENE, 7)
    picture = twin_picture(SCENE, scene)
    assert len(picture.placed) == SCENE.trial.cubes + SCENE.trial.pads
    assert {p.name for p in picture.placed if p.role == "target"} == {f"{scene.cube} cube", f"{scene.pad} pad"}


def test_a_protocol_that_the_scene_can_not_do_is_refused_with_all_reasons():
    wrong = replace(
        STUDY,
        objects=(replace(STUDY.objects[0], name="pear"),),
        tasks=(replace(STUDY.tasks[0], timeout_s=400.0),),
    )
    with pytest.raises(ConfigError, match=r"'pear' is no cube; task 'pick_and_place' may take 400 s"):
        check_twin_study(wrong, SCENE)


def test_milestones_come_in_order_and_stay():
    watch = MilestoneWatch(SCENE, "red", "cyan")
    on_table, high = at(0.4, 0.0, 0.02), at(0.4, 0.0, 0.10)
    watch.update(moment(high, at(0.4, 0.0, 0.4)))
    assert watch.reached == () and watch.failure_kind(is_stopped=False) is FailureKind.PERCEPTION
    watch.update(moment(on_table, at(0.4, 0.0, 0.05)))
    assert watch.reached == ("reached",) and watch.failure_kind(is_stopped=False) is FailureKind.GRASP
    watch.update(moment(high, high))
    assert watch.reached == ("reached", "lifted") and watch.failure_kind(is_stopped=False) is FailureKind.MOTION
    watch.update(moment(at(0.5, 0.2, 0.15), at(0.5, 0.2, 0.15)))
    watch.update(moment(on_table, high))
    assert watch.reached == ("reached", "lifted", "carried")
    assert watch.failure_kind(is_stopped=False) is FailureKind.PLACEMENT
    assert watch.failure_kind(is_stopped=True) is FailureKind.SAFETY_STOP
    assert watch.sub_tasks(STUDY.tasks[0], is_success=False) == {
        "reach": True, "lift": True, "carry": True, "place": False
    }  # fmt: skip
    assert all(watch.sub_tasks(STUDY.tasks[0], is_success=True).values())


def test_the_twins_referee_takes_outcome_and_reason_from_the_judge():
    referee = TwinReferee(STUDY, SCENE)
    trial = make_plan(STUDY, "AB", 5, twin_seeds(SCENE)).trials[0]
    referee.session_for(trial, 1, None)
    live = LiveTrial(
        trial=1,
        seed=trial.condition.seed,
        instruction="",
        outcome="failure",
        reason="safety stop: workspace",
        sim_s=4.0,
        wall_s=5.0,
        bag=Path("bag"),
        measured=LiveMeasurements(),
    )
    record = referee.rule(trial, 1, live, "now")
    assert (record.outcome, record.ended_by, record.failure) == ("failure", "safety stop", "safety stop")
    assert not record.problems()


@pytest.mark.slow
def test_a_fast_run_is_judged_by_the_twin_and_repeats_itself(tmp_path, setup):
    text = (CONFIG / "trials" / "tabletop_twin_smoke.yaml").read_text()
    text = text.replace("names: [red, yellow]", "names: [red]")
    text = text.replace("  - {category: cold colours, names: [green, blue]}\n", "")
    order = RunOrder(
        protocol=text,
        name="smoke",
        policies=("one", "two"),
        seed=5,
        mode="fast",
        salt="s",
        scene_seeds=twin_seeds(SCENE),
    )
    with begin_run(tmp_path, order) as run:
        run_fast_study(run, {"A": setup, "B": setup}, lambda: "now")
    first, second = read_run(tmp_path).records
    assert first.is_success and all(first.sub_tasks.values())
    assert (first.sim_s, first.verdicts) == (second.sim_s, second.verdicts)


@pytest.mark.slow
def test_a_trial_that_takes_longer_than_the_protocol_allows_is_a_timeout(setup):
    trial = make_plan(STUDY, "A", 5, twin_seeds(SCENE)).trials[0]
    record = run_fast_trial(replace(STUDY.tasks[0], timeout_s=1.0), setup, trial)
    assert (record.outcome, record.ended_by, record.reason) == ("failure", "timeout", "not within 1 s")
    assert 1.0 < record.sim_s < 1.2 and not record.sub_tasks["lift"]
