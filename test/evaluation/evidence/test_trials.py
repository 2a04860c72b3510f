"""Trials of cells in the twin, and the command that runs them; everything here is a fraction of a second of a trial."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import yaml

from vla3d_ros.cli import main
from vla3d_ros.commands.evidence_setup import cell_setups
from vla3d_ros.errors import ConfigError, DependencyError, EngineError, RecordingError
from vla3d_ros.evaluation.batch import kept_backend
from vla3d_ros.evaluation.evidence.config import read_plan
from vla3d_ros.evaluation.evidence.spatial_scene import look_at_scene
from vla3d_ros.evaluation.evidence.trial import (
    ERROR,
    FAILURES,
    NEVER_REACHED,
    NOT_PLACED,
    SAFETY_STOP,
    CellTrial,
    failure_of,
    run_cell_trial,
)
from vla3d_ros.evaluation.trial_loop import TrialLoop
from vla3d_ros.policy.loading import load_backend
from vla3d_ros.training.demonstrations.eyes import ClosedEyes
from vla3d_ros.twin.engine import require_gl
from vla3d_ros.twin.renderer import TwinRenderer

pytest.importorskip("mujoco")

TIMEOUT_S = 0.5


@pytest.fixture
def gl():
    try:
        require_gl()
    except DependencyError as error:
        pytest.skip(str(error))


@pytest.fixture
def tiny(content):
    """A plan of fractions of trials: the scripted policy beside an untrained package."""
    pytest.importorskip("onnxruntime")
    content |= {"trials": 2, "timeout_s": TIMEOUT_S, "variations": ["nominal", "camera_shift"]}
    content["variants"]["better"]["policy"] = "models/vla3d_tiny"
    return content


@pytest.fixture
def made(tiny, tmp_path, config):
    plan = read_plan(tiny, where="test")
    return cell_setups(plan, plan.cells(), tmp_path, config)


def test_a_failure_is_named_by_the_last_milestone_or_the_safety_stop():
    assert [failure_of(milestones, "not within 20 s") for milestones in ((), ("reached", "lifted", "carried"))] == [
        NEVER_REACHED,
        NOT_PLACED,
    ]
    assert failure_of(("reached",), "safety stop: table: too low") == SAFETY_STOP
    assert len(set(FAILURES)) == 6


def test_a_trial_survives_json_and_strange_fields_do_not(trial):
    values = trial(3, False).to_json()
    assert CellTrial.from_json(values) == trial(3, False)
    with pytest.raises(RecordingError, match="colour"):
        CellTrial.from_json(values | {"colour": "red"})


def test_the_same_number_is_the_same_scene_in_every_cell(made):
    def scene(cell, number):
        setup = replace(made.setups[cell], eyes=ClosedEyes)
        return TrialLoop(setup, np.random.default_rng([7, number])).trial

    first, other = scene(("plain", "nominal"), 0), scene(("plain", "nominal"), 1)
    assert first.cubes != other.cubes
    for cell in made.setups:
        again = scene(cell, 0)
        assert (again.instruction, again.cubes, again.pads) == (first.instruction, first.cubes, first.pads)


def test_a_trial_that_comes_nowhere_says_so_and_is_the_same_every_time(made):
    setup = replace(made.setups["plain", "nominal"], eyes=ClosedEyes)
    first, second = (run_cell_trial(setup, seed=7, trial=1) for _ in range(2))
    assert first == second
    assert first.failure == NEVER_REACHED
    assert first.sim_s == pytest.approx(TIMEOUT_S, abs=0.1)


class BrokenPolicy:
    """Sees something at first, and then fails for good."""

    def __init__(self, settings):
        self._policy, self._left = load_backend(*settings), 3

    def __getattr__(self, name):
        return getattr(self._policy, name)

    def infer(self, observation):
        self._left -= 1
        if not self._left:
            raise EngineError("the engine is on fire")
        return self._policy.infer(observation)


def test_an_error_of_the_policy_fails_its_trial_and_not_the_sweep(made):
    setup = made.setups["plain", "nominal"]
    broken = replace(setup, eyes=ClosedEyes, policy_factory=partial(BrokenPolicy, setup.policy_factory.args))
    found = run_cell_trial(broken, seed=7, trial=1)
    assert (found.failure, found.is_success) == (ERROR, False)
    assert found.reason == "EngineError: the engine is on fire"
    assert 0.0 < found.sim_s < TIMEOUT_S


def test_identities_differ_where_cells_do_and_nowhere_else(made):
    identities = made.identities
    plain, better, shifted = (
        identities[cell] for cell in (("plain", "nominal"), ("better", "nominal"), ("plain", "camera_shift"))
    )
    assert {key for key in plain if plain[key] != better[key]} == {"policy"}
    assert {key for key in plain if plain[key] != shifted[key]} == {"variation"}
    assert better["policy"]["is_trained"] is False


def test_policies_that_are_missing_are_named_together(tiny, tmp_path, config):
    tiny["variants"]["plain"]["policy"] = "models/nothing"
    tiny["variants"]["better"]["policy"] = "nobody"
    plan = read_plan(tiny, where="test")
    with pytest.raises(ConfigError, match=r"(?s)models/nothing.*'nobody'"):
        cell_setups(plan, plan.cells(), tmp_path, config)


def chunks_of(setup, number):
    """Return the chunks that a policy makes in a trial, and the trial's result."""
    loop, chunks = TrialLoop(setup, np.random.default_rng([7, number])), []
    loop.on_chunk = lambda chunk: chunks.append(chunk.arms[0].Ts_ee0_ee.copy())
    result = loop.run(number, 7)
    assert len(chunks) > 4
    return np.array(chunks), result


def test_a_kept_package_does_in_its_second_trial_what_a_new_one_does(made):
    kept = replace(made.setups["better", "nominal"], eyes=ClosedEyes)
    assert kept.policy_factory.func is kept_backend
    fresh = replace(kept, policy_factory=partial(load_backend, *kept.policy_factory.args))
    chunks_of(kept, 0)
    again, expected = chunks_of(kept, 1), chunks_of(fresh, 1)
    assert np.array_equal(again[0], expected[0])
    assert again[1] == expected[1]


def test_only_what_the_policy_looks_at_is_rendered_and_it_looks_the_same(made, gl):
    loop = TrialLoop(made.setups["better", "nominal"], np.random.default_rng(3))
    state, wanted = loop.world.render_state(), loop.policy.description.cameras
    alone, everything = loop.eyes.render(state), TwinRenderer(loop.world.model, loop.world.rig.cameras)
    assert set(alone) == set(wanted)
    assert all(np.array_equal(everything.render(state)[name], picture) for name, picture in alone.items())
    everything.close()


def test_a_view_that_never_comes_is_not_rendered(tiny, tmp_path, config):
    tiny["variations"] = ["nominal", "wrist_missing", "camera_shift"]
    plan = read_plan(tiny, where="test")
    setup = cell_setups(plan, [("plain", "wrist_missing")], tmp_path, config).setups["plain", "wrist_missing"]
    loop = TrialLoop(replace(setup, eyes=ClosedEyes), np.random.default_rng(3))
    assert set(loop.eyes.render(loop.world.render_state())) == {"head", "side"}


def test_the_truth_of_a_moment_is_that_of_its_pictures(made, gl):
    setup = made.setups["better", "camera_shift"]
    first, second = look_at_scene(setup, seed=8, scene=0, at_s=(0.0, 0.2))
    assert first.observation.stamp_ns < second.observation.stamp_ns
    named = [thing for thing in second.objects if thing.is_named]
    assert len(named) == 2
    assert second.counts.visible >= 2
    for thing in named:  # the outline of a cube or pad is where its middle projects
        for seen in second.observation.views:
            if thing.seen[seen.camera] > 0.9:
                middle = seen.T_base_camera.inverse().apply(thing.T_base_object.translation)
                x, y = (seen.model.K @ middle)[:2] / middle[2]
                assert second.numbers[seen.camera][round(y), round(x)] == thing.number


def test_a_policy_that_does_not_say_where_things_are_has_no_moments(made, gl):
    assert look_at_scene(made.setups["plain", "nominal"], seed=8, scene=0, at_s=(0.0,)) == ()


@pytest.mark.slow
def test_the_command_runs_a_part_goes_on_and_then_only_writes_the_page(tiny, tmp_path, gl, capsys):
    plan, out, docs = tmp_path / "small.yaml", tmp_path / "run", tmp_path / "docs"
    plan.write_text(yaml.safe_dump(tiny))
    words = ["bench", "tabletop", "--plan", str(plan), "--out", str(out), "--processes", "1"]
    assert main([*words, "--variants", "plain", "--trials", "1"]) == 1
    assert "2 of 2 trials to run" in capsys.readouterr().out
    assert "**Not finished: 2 of 8 trials." in (out / "small.md").read_text()
    assert main(words) == 1  # complete, but the bar is missed
    assert "6 of 8 trials to run" in capsys.readouterr().out
    before = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    assert main([*words, "--docs", str(docs)]) == 1
    assert "0 of 8 trials to run" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()} == before
    page = (docs / "benchmarks" / "small.md").read_text()
    assert "Not finished" not in page and "**missed**" in page
    linked = {line.split("](../images/")[1].rstrip(")") for line in page.splitlines() if line.startswith("![")}
    assert linked == {path.name for path in (docs / "images").iterdir()}
    assert "small_spatial.png" in linked
