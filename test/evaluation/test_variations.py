"""What a policy is shown of a varied trial; nobody renders here."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml

from vla3d_ros.evaluation.trial_loop import TrialLoop, TrialSetup
from vla3d_ros.execution import ExecutionConfig
from vla3d_ros.policy.backends.scripted import ScriptedPolicy
from vla3d_ros.training.demonstrations.eyes import ClosedEyes
from vla3d_ros.twin.variation import load_variation

CONFIG = Path(__file__).parents[2] / "config"
GATE = {
    "workspace_lower_m": [0.2, -0.45, 0.005],
    "workspace_upper_m": [0.75, 0.45, 0.7],
    "table_z_m": 0.0,
    "ee_speed_m_s": 0.5,
    "ee_turn_rad_s": 2.0,
}


@pytest.fixture
def shown():
    """Run a fraction of a second of a trial; return the loop and what its policy was shown."""
    pytest.importorskip("mujoco")
    settings = yaml.safe_load((CONFIG / "policies" / "scripted_tabletop.yaml").read_text())
    setup = TrialSetup(
        robot_file=CONFIG / "robots" / "fr3.yaml",
        rig_file=CONFIG / "cameras" / "tabletop_twin.yaml",
        scene_file=CONFIG / "scenes" / "tabletop.yaml",
        policy_factory=partial(ScriptedPolicy.from_config, settings),
        execution=ExecutionConfig.from_mapping({"gate": GATE}),
        eyes=ClosedEyes,
    )

    def run(name):
        variation = load_variation(name, CONFIG / "variations")
        loop = TrialLoop(replace(setup, variation=variation, timeout_s=0.4), np.random.default_rng([1, 2]))
        observations = []
        loop.on_observation = observations.append
        outcome = loop.run(0, 1)
        assert len(observations) > 4
        return loop, observations, outcome

    return run


def poses(observation):
    return {view.camera: view.T_base_camera.matrix for view in observation.views}


def test_the_policy_is_told_where_shifted_cameras_are_unless_nobody_noticed(shown):
    (_, nominal, _), (loop, told, _), (_, stale, _) = (
        shown(name) for name in ("nominal", "camera_shift", "camera_shift_stale")
    )
    true = loop.world.rig.camera("head").mount.T_parent_camera.matrix
    assert poses(told[0])["head"] == pytest.approx(true)
    assert np.linalg.norm(poses(nominal[0])["head"][:3, 3] - true[:3, 3]) == pytest.approx(0.05)
    assert poses(stale[0])["head"] == pytest.approx(poses(nominal[0])["head"])


def test_a_missing_view_is_waited_for_and_then_named(shown):
    _, observations, _ = shown("wrist_missing")
    assert all(observation.missing_views == ("wrist",) for observation in observations)
    assert all([view.camera for view in observation.views] == ["head", "side"] for observation in observations)


def test_withheld_states_are_absent_and_the_scripted_policy_says_that_it_needs_them(shown):
    _, observations, outcome = shown("state_missing")
    assert all(observation.robot_states == () for observation in observations)
    assert "no robot state" in outcome.reason


def test_latency_is_added_to_that_of_the_setup(shown):
    assert shown("latency_100ms")[0].stage.extra_latency_ms == 100.0
