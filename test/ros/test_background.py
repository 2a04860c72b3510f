"""Work in another thread, results in the thread that spins."""

import threading
import time

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python")

from vla3d_ros.ros.background import BackgroundWorker

pytestmark = pytest.mark.ros


@pytest.fixture
def node(ros_context):
    import rclpy

    created = rclpy.create_node("background_test", start_parameter_services=False)
    yield created
    created.destroy_node()


def spin_until(node, is_over, timeout_s=5.0):
    import rclpy

    deadline = time.monotonic() + timeout_s
    while not is_over() and time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.05)


def test_work_is_done_elsewhere_and_its_result_delivered_here(node):
    worker, seen = BackgroundWorker(node, "worker"), []
    for number in range(3):
        worker.begin(lambda number=number: (number, threading.current_thread().name), seen.append)
        assert worker.is_busy
        spin_until(node, lambda: not worker.is_busy)
    assert seen == [(0, "worker"), (1, "worker"), (2, "worker")]


def test_timers_go_on_while_work_is_done(node):
    worker, ticks, results = BackgroundWorker(node, "worker"), [], []
    node.create_timer(0.01, lambda: ticks.append(time.monotonic()))
    worker.begin(lambda: time.sleep(0.3), results.append)
    spin_until(node, lambda: bool(results))
    assert len(ticks) >= 10


def test_waiting_delivers_the_result_once(node):
    worker, seen = BackgroundWorker(node, "worker"), []
    worker.begin(lambda: time.sleep(0.05) or 7, seen.append)
    worker.wait()
    assert seen == [7] and not worker.is_busy
    spin_until(node, lambda: False, timeout_s=0.2)
    assert seen == [7]


def test_waiting_also_waits_for_work_that_a_result_begins(node):
    worker, seen = BackgroundWorker(node, "worker"), []
    worker.begin(lambda: 1, lambda result: (seen.append(result), worker.begin(lambda: 2, seen.append)))
    worker.wait()
    assert seen == [1, 2] and not worker.is_busy


def test_an_error_of_the_work_is_raised_here(node):
    worker = BackgroundWorker(node, "worker")

    def fail():
        raise ValueError("broken")

    worker.begin(fail, lambda result: None)
    with pytest.raises(ValueError, match="broken"):
        worker.wait()
    assert not worker.is_busy
