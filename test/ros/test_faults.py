"""A quick share of the fault table (`vla3d bench faults` runs all of it): one graph, struck again and again."""

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")

from rich.console import Console

from vla3d_ros.commands.bench_faults import strike_all, struck_deployment
from vla3d_ros.commands.graph import running_graph
from vla3d_ros.evaluation.fault_list import pick_faults

pytestmark = [pytest.mark.ros, pytest.mark.slow]

FAULTS = ("nan_chunk", "seek_table", "state_frozen", "clock_back")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("faults")
    deployment = struck_deployment("fr3_tabletop_twin", run_dir, 30.0)
    found = []
    with running_graph(deployment, run_dir / "logs", is_private=True) as supervisor:
        strike_all(pick_faults(FAULTS, 1.0), deployment, supervisor, Console(), found)
    return {result.fault: result for result in found}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_graph_survives_says_why_stays_inside_its_limits_and_recovers(results, fault):
    result = results[fault]
    assert result.problems == ()
    assert result.extremes.samples > 500, "the twin's own log is too short to judge by"
