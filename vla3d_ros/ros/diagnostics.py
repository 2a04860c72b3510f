"""What the nodes of the running graph say of themselves."""

from __future__ import annotations

import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from vla3d_ros.errors import TransportError
from vla3d_ros.ros.qos import EVENT

_SPIN_S = 0.1


def read_diagnostics(node_name: str, timeout_s: float) -> dict[str, str]:
    """Return the values a node publishes next on /diagnostics.

    Args:
        node_name: Fully qualified name of the node.
        timeout_s: How long to wait; nodes publish once a second.

    Raises:
        TransportError: If the node says nothing for so long.
    """
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    heard: list[dict[str, str]] = []

    def on_diagnostics(msg: DiagnosticArray) -> None:
        heard.extend(
            {entry.key: entry.value for entry in status.values} for status in msg.status if status.name == node_name
        )

    try:
        reader = rclpy.create_node("diagnostics_reader", context=context, start_parameter_services=False)
        reader.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, EVENT)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(reader)
        deadline = time.monotonic() + timeout_s
        while not heard and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=_SPIN_S)
    finally:
        rclpy.shutdown(context=context)
    if not heard:
        raise TransportError(f"node {node_name} published nothing on /diagnostics in {timeout_s:g} s; is it running?")
    return heard[-1]
