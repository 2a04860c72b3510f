"""A chunk in steps: the work changes nothing, and what happens meanwhile wins."""

from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.datatypes import ActionChunk, ArmChunk, Reason
from vla3d_ros.execution import ExecutionConfig, ExecutionPipeline
from vla3d_ros.geometry import exp_se3

pytest.importorskip("pinocchio")

MS = 1_000_000
DT_NS = 33_333_333
START_NS = 5_000_000_000
CONFIG = {
    "gate": {
        "workspace_lower_m": [0.15, -0.45, 0.0],
        "workspace_upper_m": [0.75, 0.45, 0.8],
        "table_z_m": 0.0,
        "ee_speed_m_s": 1.0,
        "ee_turn_rad_s": 2.5,
    }
}
EMBODIMENT = load_embodiment(Path(__file__).parents[1] / "config" / "robots" / "fr3.yaml")
ARM = EMBODIMENT.arms[0]


def feel(pipeline, now_ns):
    names = (*ARM.joint_names, *ARM.gripper.joint_names)
    pipeline.on_joint_state(names, np.append(ARM.q_home, [0.04, 0.04]), np.zeros(9), now_ns)


def chunk(stamp_ns):
    twists = np.zeros((30, 6))
    twists[:, 1] = np.linspace(0.0, 0.05, 30)
    part = ArmChunk(arm=ARM.name, Ts_ee0_ee=exp_se3(twists), gripper_opening=np.ones(30))
    return ActionChunk(stamp_ns=stamp_ns, dt_ns=DT_NS, arms=(part,))


@pytest.fixture
def pipeline():
    created = ExecutionPipeline(EMBODIMENT, ExecutionConfig.from_mapping(CONFIG))
    for now_ns in range(START_NS - 50 * MS, START_NS + 1, 5 * MS):
        feel(created, now_ns)
    assert created.arm(START_NS).accepted
    return created


def finish(steps, planned, now_ns=START_NS + MS):
    with pytest.raises(StopIteration) as end:
        steps.send((planned, now_ns))
    return end.value.value


def test_the_steps_end_as_the_whole_does(pipeline):
    steps = pipeline.chunk_steps(chunk(START_NS), START_NS + MS)
    execution = finish(steps, next(steps)())
    assert execution.accepted and len(execution.trajectories) == 1


def test_ticks_and_states_between_the_steps_change_nothing(pipeline):
    steps = pipeline.chunk_steps(chunk(START_NS), START_NS + MS)
    work = next(steps)
    feel(pipeline, START_NS + 5 * MS)
    assert not pipeline.on_tick(START_NS + 6 * MS).trajectories
    first = work()[0][0].trajectory.q
    assert work()[0][0].trajectory.q == pytest.approx(first, abs=0), "planning again gives the same"
    assert finish(steps, work()).accepted


@pytest.mark.parametrize("what", ["stop", "disarm", "home"])
def test_a_command_between_the_steps_voids_what_was_planned(pipeline, what):
    steps = pipeline.chunk_steps(chunk(START_NS), START_NS + MS)
    planned = next(steps)()
    if what == "stop":
        pipeline.stop("operator: test", START_NS + 2 * MS)
    else:
        getattr(pipeline, what)(START_NS + 2 * MS)
    execution = finish(steps, planned)
    assert not execution.accepted and not execution.trajectories
    assert execution.verdict.reasons[0].check == "superseded"
    assert (pipeline.stop_reason is not None) == (what == "stop")


def test_executed_steps_are_told_with_the_chunk_that_takes_over_and_with_a_stop(pipeline):
    first = pipeline.on_chunk(chunk(START_NS), START_NS + MS)
    assert first.executed_steps == ()
    for now_ns in range(START_NS + 5 * MS, START_NS + 111 * MS, 5 * MS):
        feel(pipeline, now_ns)
    second = pipeline.on_chunk(chunk(START_NS + 100 * MS), START_NS + 110 * MS)
    (steps,) = second.executed_steps
    assert (steps.arm, steps.chunk_stamp_ns) == (ARM.name, START_NS)
    assert steps.first + steps.count == 4
    (steps,) = pipeline.stop("operator: test", START_NS + 210 * MS).executed_steps
    assert steps.chunk_stamp_ns == START_NS + 100 * MS


def test_a_stop_starts_from_the_time_at_which_the_plan_was_refused(pipeline):
    first = pipeline.chunk_steps(chunk(START_NS), START_NS + MS)
    assert finish(first, next(first)()).accepted
    feel(pipeline, START_NS + 40 * MS)
    second = pipeline.chunk_steps(chunk(START_NS + 40 * MS), START_NS + 41 * MS)
    motions, _ = next(second)()
    late_ns = START_NS + 71 * MS
    stopped = finish(second, (motions, [Reason(check="table", message="too low")]), late_ns)
    (trajectory,) = stopped.trajectories
    assert stopped.verdict.stamp_ns == late_ns and trajectory.times_ns[-1] > late_ns + 12 * MS
