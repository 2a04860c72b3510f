"""A package at work: deterministic, truthful about time and conditioning, strict about what it is connected to."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("onnx", reason="the stand-in package is written with onnx")
pytest.importorskip("onnxruntime", reason="policies run on ONNX Runtime here")

from standin_package import DT_NS, STEPS, write_standin

from vla3d_ros.datatypes import ExecutedSteps
from vla3d_ros.errors import ConfigError, ParityError
from vla3d_ros.policy.engine import EngineOutput, EngineSettings, open_engine
from vla3d_ros.policy.golden_scenes import drawn_observation
from vla3d_ros.policy.learned import LearnedPolicy, spatial_report
from vla3d_ros.policy.learned_settings import fit_problems, read_learned_settings
from vla3d_ros.policy.loading import load_backend
from vla3d_ros.policy.manifest import RtcSpec, SeedSpec
from vla3d_ros.policy.package import write_package

SETTINGS = {
    "backend": "package",
    "package": "standin",
    "embodiment": "one_arm",
    "cameras": {"head": "front", "wrist": "hand"},
    "arms": {"left": "robot"},
}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return write_standin(tmp_path_factory.mktemp("models") / "standin")


def policy(package, **changes):
    settings = read_learned_settings({**SETTINGS, **changes})
    return LearnedPolicy(package, open_engine(package.graphs, settings.engine), settings)


def observation(package, stamp_ns=5 * 10**9, seed=0, **changes):
    manifest = package.manifest
    seen = drawn_observation(manifest, manifest.embodiments[0], np.random.default_rng(seed))
    views = tuple(replace(view, camera=SETTINGS["cameras"][view.camera], stamp_ns=stamp_ns) for view in seen.views)
    states = tuple(replace(state, arm="robot", stamp_ns=stamp_ns) for state in seen.robot_states)
    return replace(seen, stamp_ns=stamp_ns, views=views, robot_states=states, **changes)


def same(a, b):
    return np.array_equal(a.arms[0].Ts_ee0_ee, b.arms[0].Ts_ee0_ee)


def test_the_description_names_cameras_and_arms_of_the_deployment(package):
    described = policy(package).description
    assert (described.cameras, described.arms) == (("front", "hand"), ("robot",))
    assert (described.steps, described.dt_ns, described.uses_executed_steps) == (STEPS, DT_NS, False)
    assert policy(package, rtc={"enabled": True}).description.uses_executed_steps


def test_the_chunk_has_the_observations_stamp_and_says_what_took_how_long(package):
    chunk = policy(package).infer(observation(package, stamp_ns=123))
    assert (chunk.stamp_ns, chunk.dt_ns, chunk.conditioned_steps) == (123, DT_NS, 0)
    assert {"preprocess_ms", "context_ms", "flow_ms", "decode_ms"} <= set(chunk.report.details)


def test_same_seed_and_observation_give_the_same_chunk_also_on_replay(package):
    first = policy(package)
    chunks = [first.infer(observation(package, stamp_ns=stamp)) for stamp in (1, 2, 1)]
    assert same(chunks[0], chunks[2]) and not same(chunks[0], chunks[1])
    assert same(chunks[1], policy(package).infer(observation(package, stamp_ns=2)))
    assert not same(chunks[0], policy(package, seed=1).infer(observation(package, stamp_ns=1)))


def test_fixed_noise_is_the_same_for_every_observation(tmp_path):
    package = write_standin(tmp_path / "standin", seed=SeedSpec(policy="fixed"))
    fixed = policy(package)
    assert same(*(fixed.infer(observation(package, stamp_ns=stamp)) for stamp in (1, 2)))


def test_other_pictures_words_and_states_give_other_chunks(package):
    running = policy(package)
    reference = running.infer(observation(package))
    assert not same(reference, running.infer(observation(package, instruction="something else")))
    assert not same(reference, running.infer(observation(package, seed=1)))
    assert not same(reference, running.infer(replace(observation(package), robot_states=())))


def executed(stamp_ns, first=2):
    return (ExecutedSteps(arm="robot", chunk_stamp_ns=stamp_ns, first=first, count=1),)


@pytest.mark.parametrize("kind", ["guidance", "prefix"])
def test_with_real_time_chunking_the_next_chunk_begins_as_the_last_one_goes_on(tmp_path, kind):
    spec = RtcSpec(kind=kind, max_prefix_steps=4 if kind == "prefix" else 0)
    package = write_standin(tmp_path / "standin", rtc=spec)
    free, guided = (policy(package, rtc={"enabled": on, "beta": 50.0}, flow_steps=20) for on in (False, True))
    stamp_ns = 10**9
    seen = observation(package, stamp_ns)
    later = replace(observation(package, stamp_ns + 2 * DT_NS, seed=7), executed_steps=executed(stamp_ns))
    last = guided.infer(seen)
    Ts_base_last = seen.robot_states[0].T_base_ee.matrix @ last.arms[0].Ts_ee0_ee

    def gap_m(chunk):
        Ts_base = later.robot_states[0].T_base_ee.matrix @ chunk.arms[0].Ts_ee0_ee
        return np.linalg.norm((Ts_base[:2] - Ts_base_last[2:4])[:, :3, 3], axis=1).max()

    free.infer(seen)
    continued = guided.infer(later)
    assert gap_m(continued) < 0.1 * gap_m(free.infer(later))
    if kind == "prefix":
        assert gap_m(continued) < 1e-5
        assert continued.conditioned_steps == 2
    assert free.infer(later).conditioned_steps == 0


def test_settings_name_every_problem_at_once():
    with pytest.raises(ConfigError) as caught:
        read_learned_settings({"package": "x", "cameras": {}, "arms": {"left": 3}, "threads": 0, "turbo": True})
    for part in ("'embodiment' missing", "'cameras'", "'arms'", "'threads' is 0", "unknown key 'turbo'"):
        assert part in str(caught.value)


MISFITS = {
    "camera the rig lacks": ({"cameras": {"head": "front", "wrist": "moon"}}, "maps 'wrist' to 'moon'"),
    "view the package lacks": ({"cameras": {"head": "front", "tail": "hand"}}, "names 'tail'"),
    "camera twice": ({"cameras": {"head": "front", "wrist": "front"}}, "names 'front' more than once"),
    "arm the robot lacks": ({"arms": {"left": "other"}}, "maps 'left' to 'other'"),
    "slot the package lacks": ({"arms": {"middle": "robot"}}, "names 'middle'"),
    "slot the embodiment lacks": ({"arms": {"right": "robot"}}, "has arms in ['left']"),
    "unknown embodiment": ({"embodiment": "hexapod"}, "embodiment 'hexapod' is unknown"),
    "other joints": ({"embodiment": "two_arms", "arms": {"left": "robot", "right": "other"}}, "has 7 joints"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_a_package_that_does_not_fit_rig_or_robot_is_refused_by_name(package, misfit):
    changes, message = MISFITS[misfit]
    settings = read_learned_settings({**SETTINGS, **changes})
    problems = fit_problems(settings, package.manifest, ["front", "hand", "side"], {"robot": 7})
    assert any(message in problem for problem in problems), problems
    assert not fit_problems(read_learned_settings(SETTINGS), package.manifest, ["front", "hand"], {"robot": 7})


def test_a_spatial_report_shows_only_what_the_masks_let_through():
    display = {
        "instance_points": np.arange(6, dtype=np.float32).reshape(2, 3),
        "instance_scores": np.array([0.9, 0.1], np.float32),
        "instance_mask": np.array([True, False]),
        "completion_points": np.ones((3, 3), np.float32),
        "completion_mask": np.array([False, True, True]),
    }
    report = spatial_report(EngineOutput(actions=np.zeros((1, 1), np.float32), display=display, stage_ns={}))
    assert report.instance_points_base.tolist() == [[0, 1, 2]]
    assert len(report.instance_scores) == 1 and len(report.completion_points_base) == 2
    assert spatial_report(EngineOutput(actions=np.zeros((1, 1), np.float32), display={}, stage_ns={})) is None


def test_a_closed_policy_does_not_answer(package):
    running = policy(package)
    running.close()
    running.close()
    with pytest.raises(RuntimeError, match="closed"):
        running.infer(observation(package))


def test_engine_settings_name_every_problem_at_once():
    with pytest.raises(ConfigError) as caught:
        EngineSettings(kind="abacus", precision="fp7", threads=0, providers=())
    for part in ("'abacus'", "'fp7'", "threads is 0", "providers is empty"):
        assert part in str(caught.value)


def settings_file(tmp_path, package, **changes):
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump({**SETTINGS, "package": str(package.folder), **changes}))
    return str(path)


def test_a_settings_file_becomes_a_policy_that_proved_itself(package, tmp_path):
    backend = load_backend("package", settings_file(tmp_path, package))
    assert backend.infer(observation(package)).stamp_ns == 5 * 10**9
    assert same(backend.infer(observation(package)), policy(package).infer(observation(package)))
    backend.close()


def test_a_policy_that_computes_something_else_is_not_handed_out(package, tmp_path):
    folder = Path(shutil.copytree(package.folder, tmp_path / "standin"))
    (case, *others) = package.golden()
    wrong = case.actions.copy()
    wrong[4, 2] += 1.0
    crooked = write_package(folder, package.manifest, (replace(case, actions=wrong), *others), "card")
    with pytest.raises(ParityError, match=r"arm 'left' differs by 20 mm at step 4; tolerated: 0.1"):
        load_backend("package", settings_file(tmp_path, crooked))


def test_a_policy_for_another_robot_is_refused_by_its_arms(package):
    with pytest.raises(ConfigError, match=r"moves arms \['robot'\]; the robot has \['left', 'right'\]"):
        policy(package).description.require_arms(("left", "right"))
