"""The layouts for Foxglove and RViz name topics that the running graph really has, with their types."""

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")

from vla3d_ros.commands.console_viewers import viewed_of

pytestmark = [pytest.mark.ros, pytest.mark.slow]


def test_every_topic_of_the_layouts_is_in_the_graph_with_its_type(graph):
    wanted = {(name, kind) for name, kind in viewed_of(graph.deployment).topics().items()}

    def missing() -> set:
        known = {(name, kind) for name, kinds in graph.ear.node.get_topic_names_and_types() for kind in kinds}
        return wanted - known

    graph.ear.wait(lambda: not missing(), "topics of the layouts")
    assert not missing()
