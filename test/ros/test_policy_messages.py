"""What a policy hears from the adapter, and what it shows of what it sees."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from visualization_msgs.msg import Marker

from vla3d_ros.datatypes import ExecutedSteps, SpatialReport, Verdict, VerdictKind
from vla3d_ros.errors import ShapeError
from vla3d_ros.ros.conversions import verdict_to_msg
from vla3d_ros.ros.executed_steps import executed_steps_from_msg
from vla3d_ros.ros.spatial_markers import spatial_to_msg


def test_accounts_of_both_arms_survive_the_way_through_a_verdict():
    accounts = tuple(ExecutedSteps(arm=arm, chunk_stamp_ns=17, first=2, count=3) for arm in ("left", "right"))
    values = {"stamp_ns": "99"} | accounts[0].values() | accounts[1].values()
    msg = verdict_to_msg("adapter", Verdict(kind=VerdictKind.ALLOW, stamp_ns=99), values)
    assert executed_steps_from_msg(msg, ["left", "right"]) == accounts
    assert executed_steps_from_msg(msg, ["right"]) == accounts[1:]
    assert executed_steps_from_msg(msg, ["other"]) == ()


def test_half_an_account_is_refused_by_name():
    msg = DiagnosticStatus(name="adapter", values=[KeyValue(key="left_executed_first", value="2")])
    with pytest.raises(ShapeError, match="of arm 'left'; expected three whole numbers"):
        executed_steps_from_msg(msg, ["left"])


def test_points_are_shown_in_the_base_frame_at_the_observations_stamp():
    report = SpatialReport(
        instance_points_base=np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]),
        instance_scores=np.array([1.0, 0.0]),
        completion_points_base=np.zeros((0, 3)),
    )
    instances, completion = spatial_to_msg(report, "table", 1_500_000_000).markers
    assert (instances.header.frame_id, instances.header.stamp.sec, instances.ns) == ("table", 1, "instances")
    assert [(p.x, p.y, p.z) for p in instances.points] == [(0.1, 0.2, 0.3), (0.4, 0.5, 0.6)]
    assert instances.colors[0].g == 1.0 and instances.colors[1].r == 1.0
    assert completion.action == Marker.DELETE, "what was shown before must go"
