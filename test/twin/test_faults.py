"""The twin fails on demand, and only as it is told to."""

import numpy as np
import pytest

from vla3d_ros.twin.faults import BlindableSource, TwinFaults
from vla3d_ros.twin.truth import JointSample


def sample(stamp_ns=1_000_000_000, q0=0.1):
    q = np.array([q0, 0.2, 0.3])
    return JointSample(stamp_ns=stamp_ns, names=("a", "b", "c"), q=q, dq=np.zeros(3), effort=np.zeros(3))


def faulty(text):
    faults = TwinFaults()
    faults.imitate(text)
    return faults


def test_without_a_fault_everything_passes_as_it_is():
    faults = TwinFaults()
    healthy = sample()
    assert faults.spoil(healthy) is healthy
    assert not faults.is_deaf and not faults.refuses_gripper and not faults.blinds("wrist")


def test_frozen_states_repeat_the_first_values_under_new_stamps():
    faults = faulty("freeze_states")
    faults.spoil(sample(1, 0.1))
    later = faults.spoil(sample(2, 0.9))
    assert later.stamp_ns == 2 and later.q[0] == 0.1
    faults.imitate("")
    assert faults.spoil(sample(3, 0.7)).q[0] == 0.7


@pytest.mark.parametrize(
    ("fault", "names"),
    [("drop_states", ()), ("drop_joint", ("b", "c")), ("rename_joint", ("a_of_another_robot", "b", "c"))],
)
def test_joints_go_missing_or_change_their_names(fault, names):
    spoiled = faulty(fault).spoil(sample())
    assert spoiled.names == names and len(spoiled.q) == len(spoiled.dq) == len(spoiled.effort) == len(names)


def test_a_joint_reads_nan_without_harming_the_true_sample():
    true = sample()
    assert np.isnan(faulty("nan_joint").spoil(true).q[0]) and true.q[0] == 0.1


def test_stamps_are_shifted_by_the_seconds_asked_for():
    assert faulty("shift_stamps:-0.5").spoil(sample(2_000_000_000)).stamp_ns == 1_500_000_000


def test_one_camera_or_all_go_blind():
    assert faulty("blind:wrist").blinds("wrist") and not faulty("blind:wrist").blinds("head")
    assert faulty("blind:*").blinds("head")


def test_a_blind_camera_still_takes_images_from_its_source_and_gives_none():
    class Source:
        name = "wrist"

        def read(self, timeout_s):
            return "image"

        def close(self):
            return "closed"

    faults = TwinFaults()
    source = BlindableSource(Source(), faults)
    assert source.read(0.1) == "image" and source.close() == "closed"
    faults.imitate("blind:wrist")
    assert source.read(0.1) is None


def test_an_unknown_fault_is_logged_once_and_does_nothing(caplog):
    faults = faulty("gremlins")
    faults.imitate("gremlins")
    assert len(caplog.records) == 1 and "gremlins" in caplog.text and "freeze_states" in caplog.text
    healthy = sample()
    assert faults.spoil(healthy) is healthy
