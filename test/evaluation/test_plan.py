"""Plans: balanced, deterministic, blinded."""

from __future__ import annotations

import importlib.util
from collections import Counter, defaultdict
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.blinding import draw_key
from vla3d_ros.evaluation.placement import draw_placement
from vla3d_ros.evaluation.plan import TrialPlan, make_plan
from vla3d_ros.evaluation.study_reader import list_studies, load_study, parse_study
from vla3d_ros.resources import config_dir

_SPEC = importlib.util.spec_from_file_location("study_example", Path(__file__).with_name("study_example.py"))
example = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(example)

ORDERS = ("interleaved", "balanced", "blocked")


def study(order: str = "interleaved"):
    return parse_study(example.PROTOCOL.replace("order: interleaved", f"order: {order}"), "fruit")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(ORDERS), st.integers(1, 4))
def test_every_policy_meets_every_condition_once_on_the_same_scene(seed, order, policies):
    labels = "ABCD"[:policies]
    plan = make_plan(study(order), labels, seed)
    seeds = defaultdict(set)
    for trial in plan.trials:
        seeds[trial.condition.number].add((trial.condition.seed, trial.condition.object))
    assert Counter((t.condition.number, t.policy) for t in plan.trials) == {
        (condition, label): 1 for condition in range(1, 13) for label in labels
    }
    assert all(len(scenes) == 1 for scenes in seeds.values())
    cells = Counter((t.policy, t.condition.setting, t.condition.object) for t in plan.trials)
    assert set(cells.values()) == {2} and len(cells) == 6 * policies
    assert [t.number for t in plan.trials] == list(range(1, len(plan.trials) + 1))


@pytest.mark.parametrize("order", ORDERS)
def test_the_same_seed_gives_the_same_plan_and_another_another(order):
    assert make_plan(study(order), "AB", 5) == make_plan(study(order), "AB", 5)
    assert make_plan(study(order), "AB", 5) != make_plan(study(order), "AB", 6)


def test_a_plan_survives_the_disk():
    plan = make_plan(study(), "AB", 5)
    import json

    assert TrialPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_what_is_kept_together_is_not_mixed():
    for order in ORDERS:
        stretches = [
            name for name, _ in groupby(make_plan(study(order), "AB", 3).trials, lambda t: t.condition.setting)
        ]
        assert len(stretches) == 2


def test_interleaved_policies_take_turns_on_each_condition_and_each_is_first_equally_often():
    plan = make_plan(study(), "ABC", 5)
    firsts = Counter(next(group).policy for _, group in groupby(plan.trials, lambda trial: trial.condition.number))
    assert firsts == {"A": 4, "B": 4, "C": 4}
    assert all(len(set(t.policy for t in plan.trials[i : i + 3])) == 3 for i in range(0, 36, 3))  # noqa: C401


def test_a_balanced_block_is_completed_by_every_policy_before_the_next_begins():
    plan = make_plan(study("balanced"), "AB", 5)
    for setting in ("sparse", "dense"):
        trials = [trial for trial in plan.trials if trial.condition.setting == setting]
        assert Counter(trial.policy for trial in trials[:10]) == {"A": 5, "B": 5}


def test_blocked_policies_change_as_seldom_as_possible():
    plan = make_plan(study("blocked"), "AB", 5)
    assert sum(a.policy != b.policy for a, b in pairwise(plan.trials)) <= 3


def test_the_environment_changes_on_schedule_and_is_the_same_for_both_policies():
    plan = make_plan(study(), "AB", 5)
    dense = [trial for trial in plan.trials if trial.condition.setting == "dense"]
    lights = [t.condition.environment["lighting"] for t in dense if t.policy == "A"]
    assert [len(list(group)) for _, group in groupby(lights)] == [2, 2, 2]
    assert set(lights) == {"warm", "cold", "dim"}
    by_condition = defaultdict(set)
    for trial in dense:
        by_condition[trial.condition.number].add(tuple(sorted(trial.condition.environment.items())))
    assert all(len(seen) == 1 for seen in by_condition.values())
    around = {}
    for trial in plan.trials:
        around |= trial.changes
        assert all(around[what] == value for what, value in trial.condition.environment.items())
    assert sum("lighting" in trial.changes for trial in dense) == 3


def test_labels_are_drawn_from_the_seed_and_both_draws_happen():
    keys = [draw_key(("pi", "tau"), seed, "salt").policies["A"] for seed in range(40)]
    assert 8 < keys.count("pi") < 32
    assert draw_key(("pi", "tau"), 3, "salt") == draw_key(("pi", "tau"), 3, "salt")
    assert draw_key(("pi", "tau"), 3, "salt").fingerprint != draw_key(("pi", "tau"), 3, "pepper").fingerprint
    with pytest.raises(ConfigError, match="each once"):
        draw_key(("pi", "pi"), 3, "salt")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_a_drawn_scene_keeps_region_distance_and_count_and_repeats(seed):
    from dataclasses import replace

    drawn = study()
    condition = replace(make_plan(drawn, "A", 1).trials[0].condition, seed=seed)
    low, high = drawn.setting(condition.setting).background_objects
    picture = draw_placement(drawn, condition)
    assert picture == draw_placement(drawn, condition)
    assert [at.name for at in picture.placed if at.role == "target"] == [condition.object]
    assert low <= sum(at.role == "background" for at in picture.placed) <= high
    for at in picture.placed:
        assert 0.3 <= at.x_m <= 0.7 and -0.3 <= at.y_m <= 0.3 and -180 <= at.yaw_deg <= 180
    for one in picture.placed:
        for other in picture.placed:
            assert one is other or (one.x_m - other.x_m) ** 2 + (one.y_m - other.y_m) ** 2 >= 0.06**2


def test_a_protocol_reports_every_problem_at_once():
    wrong = (
        example.PROTOCOL.replace("world: real", "world: moon")
        .replace("timeout_s: 60", "timeout_s: -1")
        .replace("blind: true", "blind: perhaps\n  speed: 3")
    )
    with pytest.raises(ConfigError) as caught:
        parse_study(wrong, "fruit")
    for part in ("'world' is 'moon'", "'tasks[0].timeout_s' is -1", "'design.blind' is 'perhaps'", "'design.speed'"):
        assert part in str(caught.value)


def test_a_protocol_reports_contradictions():
    wrong = (
        example.PROTOCOL.replace("per_object: true", "per_object: false")
        .replace("  background: [cup, spoon, box, sponge, tin, ball]\n", "")
        .replace("columns: [policy, setting]", "columns: [policy, weather]")
        .replace("name: dense", "name: sparse")
    )
    with pytest.raises(ConfigError) as caught:
        parse_study(wrong, "fruit")
    for part in ("per_object: true", "'background' names none", "['weather']", "setting 'sparse' is there twice"):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", list_studies(config_dir()))
def test_shipped_protocols_can_be_planned(name):
    shipped = load_study(name, config_dir())
    labels = "AB"
    plan = make_plan(shipped, labels, 5, None)
    assert len(plan.trials) == len(labels) * shipped.trials_per_policy


def test_the_papers_protocols_have_the_papers_numbers():
    gear = load_study("gear_universal_grasp", config_dir())
    assert gear.trials_per_policy == 6360 and len(gear.objects) == 212
    assert Counter(thing.category for thing in gear.objects) == {
        "axisymmetric": 104,
        "block_like": 54,
        "irregular": 43,
        "tool": 6,
        "bagged": 5,
    }
    changes = {change.what: change.every_trials for change in gear.setting("bg_light").changes}
    assert changes == {"tablecloth": 100, "lighting": 10}
    vipa = load_study("vipa_real_robot", config_dir())
    assert [len(task.sub_tasks) for task in vipa.tasks] == [5, 3, 3]
    assert vipa.design.trials_per_cell == 10


def test_an_unknown_protocol_names_the_known_ones():
    with pytest.raises(ConfigError, match="tabletop_twin_smoke"):
        load_study("no_such", config_dir())
