"""The singularity margin, on a two-joint arm whose Jacobian loses a direction when it is stretched out."""

import numpy as np
import pytest

from vla3d_ros.datatypes import JointTrajectory
from vla3d_ros.safety.singularity import check_singularity


class Elbow:
    """q[0] is the elbow's angle; the smallest singular value is |sin q|."""

    def jacobian(self, q):
        return np.diag([1.0, abs(np.sin(q[0]))])


def check(angles, margin=0.1):
    q = np.column_stack([np.array(angles, float), np.zeros(len(angles))])
    times_ns = np.arange(len(q), dtype=np.int64) * 100_000_000
    trajectory = JointTrajectory(arm="x", joint_names=("a", "b"), times_ns=times_ns, q=q, dq=np.zeros_like(q))
    return [reason.message for reason in check_singularity(trajectory, Elbow(), margin)]


def test_a_bent_elbow_passes():
    assert check([1.0, 0.8, 0.5]) == []


def test_a_stretched_elbow_is_named_with_value_and_limit():
    assert "singular value of 0.0500, allowed 0.1000" in check([0.5, 0.2, 0.05])[0]


def test_an_arm_found_stretched_may_bend_but_not_stretch_further():
    assert check([0.05, 0.06, 0.5]) == []
    assert "allowed 0.0500" in check([0.05, 0.01])[0]


@pytest.mark.parametrize("angles", [[0.5, 0.0], [0.0, 0.0]])
def test_a_margin_of_zero_asks_for_nothing(angles):
    assert check(angles, margin=0.0) == []
