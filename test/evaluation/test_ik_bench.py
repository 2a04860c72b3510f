"""The comparison of solvers asks all of them the same and judges them by one forward kinematics."""

from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.evaluation import ik_bench
from vla3d_ros.evaluation.ik_comparison import RIVALS, Rival

pytest.importorskip("pinocchio")

ROBOT = load_embodiment(Path(__file__).parents[2] / "config" / "robots" / "fr3.yaml")


def compare(count=8):
    return ik_bench.measure_poses(
        ROBOT.urdf_path, ROBOT.arms[0], count=count, generator=np.random.default_rng(5), on_start=lambda name: None
    )


def rival(build, packages=()):
    return Rival("stranger", packages, build)


def test_our_solver_comes_first_and_meets_nearby_targets(monkeypatch):
    monkeypatch.setattr(ik_bench, "RIVALS", ())
    (row,) = compare()
    assert (row.near_solved, row.targets, row.problem) == (8, 8, "")
    assert 0 < row.near_median_us <= row.near_p99_us


def test_a_solver_that_only_claims_success_solves_nothing(monkeypatch):
    monkeypatch.setattr(ik_bench, "RIVALS", (rival(lambda path, arm: lambda target, seed: seed),))
    assert compare()[1].near_solved == 0


def test_a_solution_outside_the_limits_does_not_count(monkeypatch):
    def build(path, arm):
        solve = ik_bench.ours(path, arm)
        return lambda target, seed: solve(target, seed) + 2.0 * np.pi

    monkeypatch.setattr(ik_bench, "RIVALS", (rival(build),))
    assert compare()[1].near_solved == 0


def test_missing_and_failing_solvers_are_reported_and_the_others_still_run(monkeypatch):
    def fail(path, arm):
        raise ValueError("no chain")

    strangers = (rival(fail, ("no_such_package",)), rival(fail), rival(ik_bench.ours))
    monkeypatch.setattr(ik_bench, "RIVALS", strangers)
    _, missing, failed, fine = compare()
    assert missing.problem == "not installed: no_such_package"
    assert failed.problem == "ValueError: no chain"
    assert fine.near_solved == 8


@pytest.mark.parametrize("solver", RIVALS, ids=lambda solver: solver.name)
def test_every_installed_solver_is_set_up_for_the_same_chain(monkeypatch, solver):
    if solver.missing:
        pytest.skip(f"needs {', '.join(solver.missing)}")
    monkeypatch.setattr(ik_bench, "RIVALS", (solver,))
    row = compare(20)[1]
    assert row.problem == "" and row.near_solved >= 19
