"""Where a policy believes things are, as markers for RViz and other viewers."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from vla3d_ros.datatypes import SpatialReport
from vla3d_ros.ros import qos
from vla3d_ros.ros.conversions import stamp_from_ns

Float = NDArray[np.float64]

_INSTANCE_M, _COMPLETION_M = 0.025, 0.010
_COMPLETION_COLOUR = ColorRGBA(r=0.55, g=0.75, b=1.0, a=0.7)


class SpatialPublisher:
    """Publishes spatial reports on `~/spatial`; the newest one replaces the one before."""

    def __init__(self, node: Node, base_frame: str) -> None:
        """Advertise.

        Args:
            node: Publishes.
            base_frame: Frame of the points.
        """
        self._base_frame = base_frame
        self._publisher = node.create_publisher(MarkerArray, "~/spatial", qos.EVENT)

    def publish(self, report: SpatialReport | None, stamp_ns: int) -> None:
        """Publish what the policy saw at a stamp; nothing if it does not say."""
        if report is not None:
            self._publisher.publish(spatial_to_msg(report, self._base_frame, stamp_ns))


def spatial_to_msg(report: SpatialReport, base_frame: str, stamp_ns: int) -> MarkerArray:
    """Return two lists of balls: `instances`, from red (score 0) to green (1), and `completion`, small and blue."""
    colours = [ColorRGBA(r=1.0 - score, g=score, b=0.1, a=1.0) for score in report.instance_scores.tolist()]
    instances = _balls("instances", report.instance_points_base.tolist(), colours, _INSTANCE_M)
    points = report.completion_points_base.tolist()
    completion = _balls("completion", points, [_COMPLETION_COLOUR] * len(points), _COMPLETION_M)
    markers = MarkerArray(markers=[instances, completion])
    for marker in markers.markers:
        marker.header.frame_id = base_frame
        marker.header.stamp = stamp_from_ns(stamp_ns)
    return markers


def _balls(namespace: str, points: list[list[float]], colours: list[ColorRGBA], diameter_m: float) -> Marker:
    marker = Marker(ns=namespace, id=0, type=Marker.SPHERE_LIST, action=Marker.ADD if points else Marker.DELETE)
    marker.pose.orientation.w = 1.0
    marker.scale.x = marker.scale.y = marker.scale.z = diameter_m
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in points]
    marker.colors = colours
    return marker


def spatial_from_msg(msg: MarkerArray) -> SpatialReport:
    """Return the report that `spatial_to_msg` made a message of; what other markers there are is left out."""
    by_name = {marker.ns: marker for marker in msg.markers if marker.action == Marker.ADD}
    instances, completion = by_name.get("instances"), by_name.get("completion")
    return SpatialReport(
        instance_points_base=_points(instances),
        instance_scores=np.array([colour.g for colour in instances.colors] if instances else [], dtype=np.float64),
        completion_points_base=_points(completion),
    )


def _points(marker: Marker | None) -> Float:
    points = [(p.x, p.y, p.z) for p in marker.points] if marker else []
    return np.array(points, dtype=np.float64).reshape(-1, 3)
