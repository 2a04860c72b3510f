"""Look at the running graph from outside."""

from __future__ import annotations

import time

import rclpy
from rclpy.context import Context
from rclpy.signals import SignalHandlerOptions

_POLL_S = 0.05


def running_nodes(discovery_s: float) -> tuple[str, ...]:
    """Return the fully qualified names of the nodes that this process's ROS domain shows.

    Args:
        discovery_s: How long to wait for others to answer. On one machine 1 s is ample.
    """
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        observer = rclpy.create_node("graph_observer", context=context, start_parameter_services=False)
        deadline = time.monotonic() + discovery_s
        while time.monotonic() < deadline:
            time.sleep(_POLL_S)
        found = observer.get_node_names_and_namespaces()
        own = observer.get_fully_qualified_name()
    finally:
        rclpy.shutdown(context=context)
    names = {f"{namespace.rstrip('/')}/{name}" for name, namespace in found}
    return tuple(sorted(names - {own}))
