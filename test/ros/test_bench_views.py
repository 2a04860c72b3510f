import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")

from vla3d_ros.ros.bench_views import as_json, measure_views

pytestmark = [pytest.mark.ros, pytest.mark.slow]


def test_three_cameras_reach_the_observation_window_through_the_real_camera_node():
    seen = measure_views(way="shipped", duration_s=3.0)
    assert seen.sets == 90
    assert seen.complete + seen.overtaken + seen.lost == 90
    assert seen.complete >= 80, "a busy machine overtakes a few"
    assert seen.skew_p99_ms <= 15.0
    assert '"latency_p50_ms"' in as_json({"shipped": seen})


def test_one_process_hands_the_same_sets_over_as_arrays():
    seen = measure_views(way="one_process", duration_s=2.0)
    assert seen.complete + seen.overtaken + seen.lost == seen.sets == 60
    assert seen.complete >= 50
