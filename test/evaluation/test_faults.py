"""What counts as survived, and the course of one fault on a made-up graph."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.fault_bench import run_fault
from vla3d_ros.evaluation.fault_list import all_faults, pick_faults
from vla3d_ros.evaluation.faults import Fault, is_at_rest, judge, measure
from vla3d_ros.evaluation.live_trials import LiveStatus, TrialError
from vla3d_ros.twin.motion_log import MotionRecord

EMBODIMENT = load_embodiment(Path(__file__).parents[2] / "config" / "robots" / "fr3.yaml")
ARM = EMBODIMENT.arms[0]
MS = 1_000_000
STOPPING = Fault(name="x", title="x", strike=lambda tools: None, stops=("finite",))


def record_of(q=None, dq=None, force_n=0.0, samples=400):
    q = np.tile(ARM.q_home, (samples, 1)) if q is None else q
    return MotionRecord(
        joint_names=ARM.joint_names,
        times_ns=np.arange(len(q), dtype=np.int64) * MS,
        q=q,
        dq=np.zeros_like(q) if dq is None else dq,
        table_force_n=np.full(len(q), force_n),
    )


def test_the_list_is_long_and_its_names_are_unique():
    faults = all_faults(1.0)
    assert len(faults) >= 25 and len({fault.name for fault in faults}) == len(faults)


def test_an_unknown_fault_lists_the_known_ones():
    assert [fault.name for fault in pick_faults(("flood", "nan_chunk"), 1.0)] == ["nan_chunk", "flood"]
    with pytest.raises(ConfigError, match=r"\['gremlins'\].*nan_chunk"):
        pick_faults(("gremlins",), 1.0)


def test_a_robot_at_rest_at_home_violates_nothing():
    extremes = measure(record_of(), EMBODIMENT)
    assert extremes.violations() == [] and extremes.gap_m > 0 and extremes.samples == 400


def test_every_limit_is_watched():
    q = np.tile(ARM.q_home, (400, 1))
    beyond = q.copy()
    beyond[200, 3] = ARM.limits.q_upper[3] + 0.01
    assert "beyond its range" in measure(record_of(beyond), EMBODIMENT).violations()[0]
    fast = np.zeros_like(q)
    fast[:, 0] = 1.2 * ARM.limits.velocity[0]
    assert "velocity reached" in measure(record_of(dq=fast), EMBODIMENT).violations()[0]
    sudden = np.zeros_like(q)
    sudden[200:, 1] = 0.5  # within a millisecond: 25 rad/s^2 over 20 ms
    assert measure(record_of(dq=sudden), EMBODIMENT).acceleration == pytest.approx(2.5)
    assert "12.0 N" in measure(record_of(force_n=12.0), EMBODIMENT).violations()[0]


def test_folding_the_hand_into_the_arm_shows_in_the_log():
    q = np.tile(ARM.q_home, (400, 1))
    q[:, 1], q[:, 3], q[:, 5] = -1.7, -3.0, 0.6
    assert "overlapped" in " ".join(measure(record_of(q), EMBODIMENT).violations())


def test_rest_is_judged_at_the_end_only():
    dq = np.zeros((400, len(ARM.joint_names)))
    dq[:100] = 0.5
    assert is_at_rest(record_of(dq=dq))
    dq[350] = 0.05
    assert not is_at_rest(record_of(dq=dq))


@pytest.mark.parametrize(
    ("changes", "stop", "refusals", "dead", "problem"),
    [
        ({}, "finite: steps [3]", [], [], ""),
        ({}, "", [], [], "expected a stop for finite, got 'none'"),
        ({}, "state_age: old", [], [], "got 'state_age: old'"),
        ({"stops": (), "refuses": "chunk_age"}, "", ["chunk_age"], [], ""),
        ({"stops": (), "refuses": "chunk_age"}, "", ["chunk_rate"], [], "expected a refusal for chunk_age"),
        ({"stops": ()}, "finite: x", [], [], "expected no stop"),
        ({"stops": (), "dies": "policy"}, "", [], ["process 'policy' ended with code -9"], ""),
        ({"stops": (), "dies": "policy"}, "", [], [], "nobody reported that process 'policy' ended"),
        ({"stops": (), "any_stop": True}, "anything: at all", [], [], ""),
        ({"stops": (), "any_stop": True}, "", [], ["process 'adapter' ended with code 1"], "'adapter' ended"),
    ],
)
def test_the_reason_has_to_name_the_fault(changes, stop, refusals, dead, problem):
    problems = judge(replace(STOPPING, **changes), stop, refusals, dead, record_of())
    assert (problem in problems[0]) if problem else problems == []


def test_an_arm_that_goes_on_after_a_stop_is_a_problem():
    moving = record_of(dq=np.full((400, len(ARM.joint_names)), 0.1))
    assert judge(STOPPING, "finite: x", [], [], moving) == ["the arm is not at rest"]


class Graph:
    """Session, bench and processes in one; stops with the reason it is told to, refuses to recover if told to."""

    def __init__(self, reason, refuses=""):
        self.reason, self.refuses, self.calls = reason, refuses, []
        self.now_ns, self.stopped = 10**9, ""
        self.refusals = []

    def __getattr__(self, name):
        def call(*args):
            self.calls.append(name)
            if name == self.refuses:
                raise TrialError(f"{name} refused")
            return "" if name == "revive" else []

        return call

    @property
    def fastest_rad_s(self):
        return 1.0

    @fastest_rad_s.setter
    def fastest_rad_s(self, speed):
        self.calls.append("fastest_rad_s")

    def status(self):
        self.now_ns += 20 * MS
        return LiveStatus(
            now_ns=self.now_ns, outcome="running", reason="", phase="", stop_reason=self.stopped, is_moving=False
        )

    def strike(self):
        self.stopped = self.reason

    def reset_stop(self):
        self.stopped = ""

    def save_log(self):
        record = record_of()
        return replace(record, times_ns=record.times_ns + self.now_ns - 400 * MS)


def run(graph, fault):
    return run_fault(replace(fault, strike=lambda tools: tools.strike()), graph, graph, graph, EMBODIMENT, 0)


def test_a_fault_that_is_survived_passes_and_leaves_the_graph_ready():
    graph = Graph("finite: steps [3] hold values that are not finite")
    result = run(graph, STOPPING)
    assert result.passed and result.recovered == "reset, arm, home"
    assert "steps [3]" in result.stop_reason and graph.calls[-1] == "disarm"


def test_a_graph_that_does_not_recover_fails_the_fault():
    graph = Graph("finite: x", refuses="break_twin")
    result = run(graph, STOPPING)
    assert not result.passed and result.recovered == "no" and "break_twin refused" in result.problems[-1]
