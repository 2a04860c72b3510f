"""Batches of trials: repeatable, ordered, and hard on the policy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from vla3d_ros.errors import ConfigError, DependencyError, RecordingError
from vla3d_ros.evaluation import batch
from vla3d_ros.evaluation.nudge import draw_nudge
from vla3d_ros.evaluation.trial import TrialResult
from vla3d_ros.evaluation.trial_loop import TrialLoop, TrialSetup
from vla3d_ros.execution import ExecutionConfig
from vla3d_ros.policy.backend import PolicyBackend
from vla3d_ros.policy.backends.scripted import ScriptedPolicy
from vla3d_ros.twin.engine import require_gl
from vla3d_ros.twin.placement import draw_trial
from vla3d_ros.twin.scene import load_scene

CONFIG = Path(__file__).parents[2] / "config"
GATE = {
    "workspace_lower_m": [0.2, -0.45, 0.005],
    "workspace_upper_m": [0.75, 0.45, 0.7],
    "table_z_m": 0.0,
    "ee_speed_m_s": 0.5,
    "ee_turn_rad_s": 2.0,
}


def scripted() -> PolicyBackend:
    text = (CONFIG / "policies" / "scripted_tabletop.yaml").read_text()
    return ScriptedPolicy.from_config(yaml.safe_load(text))


@pytest.fixture
def setup() -> TrialSetup:
    return TrialSetup(
        robot_file=CONFIG / "robots" / "fr3.yaml",
        rig_file=CONFIG / "cameras" / "tabletop_twin.yaml",
        scene_file=CONFIG / "scenes" / "tabletop.yaml",
        policy_factory=scripted,
        execution=ExecutionConfig.from_mapping({"gate": GATE}),
    )


@pytest.fixture
def gl() -> None:
    try:
        require_gl()
    except DependencyError as error:
        pytest.skip(str(error))


def result(trial: int) -> TrialResult:
    return TrialResult(
        trial=trial, seed=3, instruction="", outcome="success", reason="", sim_s=9.0, verdicts={"allow": 2}
    )


def disturb(loop: TrialLoop, phase: str, tick: int, push: Callable[[], None]) -> list[str]:
    """Call `push` at the `tick`-th chunk of a phase; return the list that collects the phases."""
    phases: list[str] = []

    def on_chunk(chunk: object) -> None:
        phases.append(chunk.report.details["phase"])  # type: ignore[attr-defined]
        if phases[-1] == phase and phases.count(phase) == tick:
            push()

    loop.on_chunk = on_chunk
    return phases


def test_a_result_survives_json() -> None:
    assert TrialResult.from_json(json.loads(json.dumps(result(4).to_json()))) == result(4)


def test_a_result_with_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(RecordingError, match="unknown fields \\['colour'\\]"):
        TrialResult.from_json({**result(4).to_json(), "colour": "red"})


def test_an_empty_batch_is_refused(setup: TrialSetup) -> None:
    with pytest.raises(ConfigError, match="0 trials"):
        batch.run_batch(setup, trials=0, seed=1)


def test_results_come_in_order_and_progress_sees_each(setup: TrialSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "run_batch_trial", lambda setup, *, seed, trial: result(trial))
    seen: list[int] = []
    results = batch.run_batch(setup, trials=3, seed=1, progress=lambda done: seen.append(done.trial))
    assert [done.trial for done in results] == seen == [0, 1, 2]


@pytest.mark.parametrize("seed", range(20))
def test_a_nudge_leaves_room_for_a_gripper_and_stays_off_the_pads(seed: int) -> None:
    scene = load_scene(CONFIG / "scenes" / "tabletop.yaml")
    generator = np.random.default_rng(seed)
    trial = draw_trial(scene, generator)
    nudge = draw_nudge(scene, trial, generator)
    cube = trial.cubes[trial.cube]
    x, y = cube.x_m + nudge.dx_m, cube.y_m + nudge.dy_m
    others = [at for name, at in trial.cubes.items() if name != trial.cube]
    assert 0.02 <= np.hypot(nudge.dx_m, nudge.dy_m) <= 0.05
    assert min(np.hypot(x - at.x_m, y - at.y_m) for at in others) >= 0.085
    assert min(np.hypot(x - at.x_m, y - at.y_m) for at in trial.pads.values()) >= 0.10


@pytest.mark.slow
def test_the_same_seed_and_trial_give_the_same_result(setup: TrialSetup, gl: None) -> None:
    first, second = (batch.run_batch_trial(setup, seed=31, trial=0) for _ in range(2))
    assert first.is_success, first.reason
    assert first == second
    assert first.sim_s < 12.0
    assert first.latency_p50_ms == pytest.approx(setup.latency_ms, abs=5.0)


@pytest.mark.slow
def test_a_cube_that_jumps_from_between_the_closing_fingers_is_grasped_at_the_second_attempt(
    setup: TrialSetup, gl: None
) -> None:
    loop = TrialLoop(setup, np.random.default_rng([33, 0]))
    phases = disturb(loop, "grasp", 2, lambda: loop.world.nudge(loop.trial.cube, 0.09, 0.0, 0.3))
    outcome = loop.run(0, 33)
    assert outcome.is_success, outcome.reason
    assert outcome.attempts == 2
    assert phases.index("approach", phases.index("grasp")) < phases.index("lift")


@pytest.mark.slow
def test_a_cube_torn_from_the_hand_on_its_way_is_fetched_again(setup: TrialSetup, gl: None) -> None:
    loop = TrialLoop(setup, np.random.default_rng([34, 0]))
    disturb(loop, "transfer", 10, lambda: loop.world.nudge(loop.trial.cube, 0.09, 0.0, 0.3))
    outcome = loop.run(0, 34)
    assert outcome.is_success, outcome.reason
    assert outcome.attempts == 2
