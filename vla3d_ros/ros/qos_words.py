"""QoS as bags and their override files spell it -> profiles of rclpy."""

from __future__ import annotations

from typing import Any

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy

from vla3d_ros.replay.qos_overrides import QosOverride

_DEPTH = 10
_LONGEST_NS = 9_000_000_000_000_000_000  # what recorders write for "unspecified" is near the largest number


def offered_profile(recorded: Any, override: QosOverride | None) -> QoSProfile:
    """Return what a player offers for one topic.

    Args:
        recorded: The recorded profiles (`rosbags` Qos), may be empty: the strictest of them is offered.
        override: Wins where it says something.
    """
    is_reliable = all(each.reliability.name != "BEST_EFFORT" for each in recorded)
    is_latched = bool(recorded) and all(each.durability.name == "TRANSIENT_LOCAL" for each in recorded)
    profile = QoSProfile(
        depth=max([_DEPTH, *(int(each.depth) for each in recorded)]),
        reliability=ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE,
    )
    if override is not None:
        _apply(profile, override)
    return profile


def _apply(profile: QoSProfile, override: QosOverride) -> None:
    kinds = {
        "history": HistoryPolicy,
        "reliability": ReliabilityPolicy,
        "durability": DurabilityPolicy,
        "liveliness": LivelinessPolicy,
    }
    for name, kind in kinds.items():
        word = getattr(override, name)
        if word is not None:
            setattr(profile, name, kind[word.upper()])
    if override.depth:
        profile.depth = override.depth
    for name in ("deadline", "lifespan", "liveliness_lease_duration"):
        duration_ns = getattr(override, f"{name}_ns")
        if 0 < duration_ns < _LONGEST_NS:
            setattr(profile, name, Duration(nanoseconds=duration_ns))
    profile.avoid_ros_namespace_conventions = override.avoid_ros_namespace_conventions
